"""Blocks of 4D data: whole detector frames, whole scan rows where they fit.

Every one-pass method sees the data through the maps of this module. `map_scan_blocks` turns
blocks of frames into results that one last task joins; `map_whole` applies a function of small
maps; `in_order` works on threads for pictures that grow. The first two give a dask array for a
dask array and compute nothing themselves, so the same graph runs on threads, processes or a
cluster.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import numpy as np

if TYPE_CHECKING:
    import dask.array as da
    from dask.delayed import Delayed

__all__ = [
    "chunk_by_scan_rows",
    "in_order",
    "is_lazy",
    "map_scan_blocks",
    "map_whole",
    "scan_row_blocks",
    "thread_count",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Size of one block of frames. Large enough that scheduling costs nothing, small enough that a
#: few blocks in flight stay far below the memory of any machine.
BLOCK_BYTES = 64 * 2**20


def is_lazy(array: Any) -> TypeGuard[da.Array]:
    """Whether an array is a dask array.

    Looks at the type's module first, so that nobody who has no dask array pays for its import.

    Parameters
    ----------
    array
        Anything.

    Examples
    --------
    >>> is_lazy(np.zeros(3))
    False
    """
    if not type(array).__module__.startswith("dask."):
        return False
    import dask.array as da

    return isinstance(array, da.Array)


def thread_count() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def scan_row_blocks(
    shape: tuple[int, ...], itemsize: int, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[slice]:
    """Cut the scan into slices of whole rows.

    Parameters
    ----------
    shape
        Shape of the 4D data, (scan_y, scan_x, ky, kx).
    itemsize
        Bytes per detector pixel.
    block_bytes
        About how large one block becomes; a block has at least one row.

    Yields
    ------
    slice
        Scan rows of one block, from top to bottom.

    Examples
    --------
    >>> list(scan_row_blocks((5, 4, 8, 8), 2, block_bytes=1024))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    rows = max(1, block_bytes // max(1, int(np.prod(shape[1:])) * itemsize))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))


def chunk_by_scan_rows(data: da.Array) -> da.Array:
    """Rechunk lazy 4D data so that no chunk cuts the detector.

    Scan chunks stay as they are when the detector is whole already; otherwise they become whole
    scan rows of about `BLOCK_BYTES`.

    Parameters
    ----------
    data
        Lazy data, (scan_y, scan_x, ky, kx).
    """
    if data.numblocks[2:] == (1, 1):
        return data
    first = next(scan_row_blocks(data.shape, data.dtype.itemsize))
    return data.rechunk((first.stop, -1, -1, -1))


def map_scan_blocks(
    function: Callable[[np.ndarray, tuple[int, int]], Any],
    data: da.Array,
    join: Callable[[list[list[Any]]], Any],
) -> Delayed:
    """Apply a function to every block of frames and join all results, in one lazy pass.

    Few tasks, one per block and one to join, because at the speed of the kernels a task more per
    block is time that can be seen.

    Parameters
    ----------
    function
        Called as ``function(block, offset)`` with frames ``(rows, columns, ky, kx)`` as NumPy
        array and the scan position of the first of them.
    data
        Lazy data, (scan_y, scan_x, ky, kx).
    join
        Called with the results as nested lists, one list per row of blocks.

    Returns
    -------
    dask.delayed.Delayed
        What `join` returns.
    """
    import dask
    from dask.base import tokenize

    data = chunk_by_scan_rows(data)
    heights, widths = (np.cumsum([0, *chunks]) for chunks in data.chunks[:2])
    # One token for all blocks: dask would otherwise look through the function for each of them.
    token = tokenize(function, join, data)
    call = dask.delayed(function, name=f"scan-function-{token}", traverse=False)
    results = [
        [
            call(block, (int(y), int(x)), dask_key_name=(f"scan-block-{token}", int(y), int(x)))
            for block, x in zip(row, widths, strict=False)
        ]
        for row, y in zip(data.to_delayed()[:, :, 0, 0], heights, strict=False)
    ]
    return dask.delayed(join, name=f"scan-join-{token}")(results, dask_key_name=f"scan-{token}")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Generator[Result, None, None]:
    """Apply a function on threads and yield the results in the order of the items.

    Only a few items are worked on ahead of the one that is yielded, so memory stays bounded; and
    closing the generator waits for these few alone.

    Parameters
    ----------
    function
        Called with one item; releases the GIL where it works hard.
    items
        What to work on.
    workers
        Number of threads.

    Yields
    ------
    object
        What the function returned, item by item.

    Examples
    --------
    >>> list(in_order(lambda number: number**2, range(4), workers=2))
    [0, 1, 4, 9]
    """
    if workers == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def map_whole(
    function: Callable[..., np.ndarray],
    array: np.ndarray | da.Array,
    *,
    shape: tuple[int, ...],
    dtype: np.dtype | type = np.float64,
    **options: Any,
) -> np.ndarray | da.Array:
    """Apply a function that needs a whole map at once, now or as one lazy task.

    Maps of one value or vector per scan position are small beside the data that they come from,
    so one task for the whole map is both exact and cheap.

    Parameters
    ----------
    function
        Called as ``function(array, **options)`` with a NumPy array.
    array
        The map, NumPy or dask.
    shape
        Shape of the function's result.
    dtype
        Type of the function's result.
    **options
        Passed on to the function.
    """
    if not is_lazy(array):
        return function(np.asarray(array), **options)
    import dask
    import dask.array as da

    whole = array.rechunk(-1).to_delayed().item()
    return da.from_delayed(dask.delayed(function, pure=True)(whole, **options), shape, dtype=dtype)
