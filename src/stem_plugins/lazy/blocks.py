"""Blocks of 4D data: whole detector frames, whole scan rows where they fit.

Every one-pass method sees the data through the two maps of this module. `map_scan_blocks` turns
blocks of frames into values per scan position plus one value per block (a summed pattern);
`map_whole` applies a function of small 2D or 3D maps. Both give a dask array for a dask array
and compute nothing themselves, so the same graph runs on threads, processes or a cluster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

if TYPE_CHECKING:
    import dask.array as da

__all__ = [
    "chunk_by_scan_rows",
    "is_lazy",
    "map_scan_blocks",
    "map_whole",
    "scan_row_blocks",
    "thread_count",
]

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
    function: Callable[..., tuple[np.ndarray, np.ndarray]],
    data: da.Array,
    *,
    channels: int,
    reduced_shape: tuple[int, ...],
) -> tuple[da.Array, da.Array]:
    """Apply a function to every block of frames, in one pass for both of its results.

    Parameters
    ----------
    function
        Called as ``function(block, offset)`` with frames ``(rows, columns, ky, kx)`` and the
        scan position of the first of them. Returns values per position
        ``(rows, columns, channels)`` and an array of `reduced_shape`, both float64.
    data
        Lazy data, (scan_y, scan_x, ky, kx).
    channels
        How many values the function gives per scan position.
    reduced_shape
        Shape of the function's second result.

    Returns
    -------
    values : dask.array.Array
        (scan_y, scan_x, channels).
    reduced : dask.array.Array
        Sum of the second results over all blocks.
    """
    import dask
    import dask.array as da

    data = chunk_by_scan_rows(data)
    blocks = data.to_delayed()[:, :, 0, 0]
    heights, widths = data.chunks[:2]
    call = dask.delayed(function, nout=2, pure=True)
    values: list[list[da.Array]] = []
    reduced: list[da.Array] = []
    for i, height in enumerate(heights):
        values.append([])
        for j, width in enumerate(widths):
            offset = (sum(heights[:i]), sum(widths[:j]))
            per_position, per_block = call(blocks[i, j], offset)
            shape = (height, width, channels)
            values[-1].append(da.from_delayed(per_position, shape, dtype=np.float64))
            reduced.append(da.from_delayed(per_block, reduced_shape, dtype=np.float64))
    whole = da.concatenate([da.concatenate(row, axis=1) for row in values], axis=0)
    return whole, da.stack(reduced).sum(axis=0)


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
