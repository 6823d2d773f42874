"""Blocks of 4D data: whole detector frames, whole scan rows where they fit.

Every one-pass method sees the data through the maps of this module. `map_scan_blocks` turns
blocks of frames into results that one last task joins; `map_whole` applies a function of small
maps; `in_order` works on threads for pictures that grow. The first two give a dask array for a
dask array and compute nothing themselves, so the same graph runs on threads, processes or a
cluster.
"""

from __future__ import annotations

import functools
import itertools
import operator
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
    "array_of_blocks",
    "array_part",
    "chunk_by_scan_rows",
    "file_reader",
    "in_order",
    "is_lazy",
    "map_scan_blocks",
    "map_whole",
    "numpy_or_dask",
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


def numpy_or_dask(data: Any) -> np.ndarray | da.Array:
    """Return 4D data that are neither, such as those of zarr and h5py, as a dask array in place.

    Its blocks are whole frames, of as many neighbouring chunks of the data as `BLOCK_BYTES` hold,
    so that each chunk is read once in a pass.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), with `shape`, `dtype` and slices. NumPy and dask arrays
        are returned as they are.

    Examples
    --------
    >>> numpy_or_dask(np.zeros((2, 2, 4, 4))).shape
    (2, 2, 4, 4)
    """
    if isinstance(data, np.ndarray) or is_lazy(data):
        return data
    import dask.array as da

    rows, columns = data.shape[:2]
    # What is not chunked lies row by row.
    high, wide = (getattr(data, "chunks", None) or (1, columns))[:2]
    frame = int(np.prod(data.shape[2:])) * np.dtype(data.dtype).itemsize
    wide = min(columns, wide * max(1, BLOCK_BYTES // (frame * high * wide)))
    high = min(rows, high * max(1, BLOCK_BYTES // (frame * high * wide)))
    return da.from_array(
        data,
        chunks=(high, wide, -1, -1),
        # A name by their contents would have to read them.
        name=False,
        # Others may not be read by several threads at a time.
        lock=not type(data).__module__.startswith("zarr."),
        asarray=True,
    )


def array_of_blocks(
    read: Callable[[tuple[int, int], tuple[int, int]], np.ndarray],
    chunks: tuple[tuple[int, ...], ...],
    dtype: np.dtype,
    name: str,
) -> da.Array:
    """Make the lazy array of a file that can be read in blocks of whole frames.

    `map_scan_blocks` reads such blocks in the task that uses them.

    Parameters
    ----------
    read
        Called with first and last (exclusive) scan row and column, each as a pair; returns these
        frames, (rows, columns, ky, kx). It is sent to other processes, so it holds the path of
        the file and not the file itself.
    chunks
        As of dask arrays; the detector is in one piece.
    dtype
        Type of the pixels.
    name
        Of the array, unlike that of any other data.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    from stem_plugins.lazy.file_blocks import FileBlocks

    layer = FileBlocks(
        {(name, i, j, 0, 0): (_read_block, read, *place) for (i, j), place in _places(chunks)}, read
    )
    meta = np.empty((0, 0, 0, 0), dtype)
    return da.Array(HighLevelGraph({name: layer}, {name: set()}), name, chunks, meta=meta)


def _places(
    chunks: tuple[tuple[int, ...], ...],
) -> Iterator[tuple[tuple[int, int], tuple[int, int, int, int]]]:
    """Number of each block along the scan, and its first and last row and column."""
    rows, columns = (np.cumsum([0, *sizes]).tolist() for sizes in chunks[:2])
    for i, (top, bottom) in enumerate(itertools.pairwise(rows)):
        for j, (left, right) in enumerate(itertools.pairwise(columns)):
            yield (i, j), (top, bottom, left, right)


def _read_block(
    read: Callable[..., np.ndarray], top: int, bottom: int, left: int, right: int
) -> np.ndarray:
    return read((top, bottom), (left, right))


def _apply(function: Callable[..., Any], block: np.ndarray, top: int, left: int) -> Any:
    return function(block, (top, left))


def _read_and_apply(
    function: Callable[..., Any],
    read: Callable[..., np.ndarray],
    top: int,
    bottom: int,
    left: int,
    right: int,
) -> Any:
    return _apply(function, _read_block(read, top, bottom, left, right), top, left)


def file_reader(data: da.Array) -> Callable[..., np.ndarray] | None:
    """Return what reads any rows and columns of lazy data in place, where they lie in a file.

    Computed by dask, they would be copied first.

    Parameters
    ----------
    data
        Lazy data.

    Returns
    -------
    callable
        Called with first and last but one row, and columns, as two pairs; ``None``: the data are
        computed from something else.
    """
    from stem_plugins.lazy.file_blocks import FileBlocks

    layer = data.dask.layers.get(data.name)
    return layer.read if isinstance(layer, FileBlocks) else None


def map_scan_blocks(
    function: Callable[[np.ndarray, tuple[int, int]], Any],
    data: da.Array,
    join: Callable[[list[list[Any]]], Any],
) -> Delayed:
    """Apply a function to every block of frames and join all results, in one lazy pass.

    Few tasks, one per block and one to join, because at the speed of the kernels a task more per
    block is time that can be seen. For the same reason they are written out here: what dask
    offers for it looks through all arguments again and again.

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
    from dask.base import tokenize
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    data = chunk_by_scan_rows(data)
    name = f"scan-{tokenize(function, join, data.name)}"
    read = file_reader(data)
    graph: dict[Any, Any] = {}
    grid: list[list[Any]] = [[] for _ in data.chunks[0]]
    for (i, j), place in _places(data.chunks):
        key = (f"block-of-{name}", i, j)
        grid[i].append(key)
        if read is not None:
            graph[key] = (_read_and_apply, function, read, *place)
        else:
            graph[key] = (_apply, function, (data.name, i, j, 0, 0), *place[::2])
    graph[name] = (join, grid)
    sources: list[Any] = [] if read is not None else [data]
    return Delayed(name, HighLevelGraph.from_collections(name, graph, sources))


def array_part(whole: Delayed, attribute: str, shape: tuple[int, ...]) -> da.Array:
    """Return an array that a delayed object will have, as a lazy array in one piece.

    Parameters
    ----------
    whole
        From `map_scan_blocks`.
    attribute
        Name of the array in the object.
    shape
        Of the array, whose type is float64.
    """
    task = (operator.attrgetter(attribute), whole.key)
    return _one_task(f"{attribute}-of-{whole.key}", task, shape, np.dtype(np.float64), whole)


def _one_task(
    name: str, task: tuple[Any, ...], shape: tuple[int, ...], dtype: np.dtype, source: Any
) -> da.Array:
    """Lazy array in one piece that one task makes from another lazy object."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    graph: dict[Any, Any] = {(name, *(0 for _ in shape)): task}
    meta = np.empty((0,) * len(shape), dtype)
    chunks = tuple((size,) for size in shape)
    return da.Array(HighLevelGraph.from_collections(name, graph, [source]), name, chunks, meta=meta)


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
    from dask.base import tokenize

    whole = array if max(array.numblocks, default=1) == 1 else array.rechunk(-1)
    name = f"whole-map-{tokenize(function, whole.name, shape, options)}"
    task = (functools.partial(function, **options), (whole.name, *(0 for _ in whole.shape)))
    return _one_task(name, task, shape, np.dtype(dtype), whole)
