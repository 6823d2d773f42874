"""Walk through a scan block by block, so that no writer holds more than one block in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import dask.array

__all__ = ["check_scan_data", "compute_block", "scan_blocks"]

#: Most bytes of one block, unless a single chunk of the data is larger.
BLOCK_BYTES = 128 * 2**20


def check_scan_data(data: np.ndarray | dask.array.Array) -> None:
    """Refuse data that is no scan of real-valued counts.

    Parameters
    ----------
    data
        What should be ``data[scan_y, scan_x, ky, kx]``.

    Raises
    ------
    ValueError
        It has not four dimensions, is empty, or is neither integer, boolean nor floating.
    """
    if np.ndim(data) != 4:
        raise ValueError(
            "Scan data must have four dimensions, (scan_y, scan_x, ky, kx); "
            f"this has the shape {np.shape(data)}."
        )
    if 0 in data.shape:
        raise ValueError(f"The scan is empty: its shape is {data.shape}.")
    if data.dtype.kind not in "buif":
        raise ValueError(f"Scan data must be real numbers; these are of type {data.dtype}.")


def scan_blocks(
    data: np.ndarray | dask.array.Array, *, block_bytes: int = BLOCK_BYTES
) -> list[tuple[slice, slice]]:
    """Cut a scan into blocks of rows and columns that follow the chunks of the data.

    Parameters
    ----------
    data
        ``data[scan_y, scan_x, ky, kx]``; a dask array is never cut inside a chunk, so each chunk
        is computed once.
    block_bytes
        Most bytes of one block, where chunks allow it.

    Returns
    -------
    list of (slice, slice)
        Scan rows and columns of each block, in reading order; together the whole scan.

    Examples
    --------
    >>> scan_blocks(np.zeros((4, 3, 2, 2), "u1"), block_bytes=24)
    [(slice(0, 2, None), slice(0, 3, None)), (slice(2, 4, None), slice(0, 3, None))]
    """
    frame_bytes = data.shape[2] * data.shape[3] * data.dtype.itemsize
    chunks = getattr(data, "chunks", None)
    rows, columns = chunks[:2] if chunks else ((1,) * data.shape[0], (data.shape[1],))
    # Whole scan rows where one row of chunks fits, parts of them where it does not.
    across = list(_grouped(columns, max(rows) * frame_bytes, block_bytes))
    widest = max(part.stop - part.start for part in across)
    return [
        (down, part)
        for down in _grouped(rows, widest * frame_bytes, block_bytes)
        for part in across
    ]


def _grouped(sizes: tuple[int, ...], bytes_each: int, block_bytes: int) -> Iterator[slice]:
    """Join neighbouring chunks as long as they stay below the size of a block."""
    start = stop = 0
    for size in sizes:
        if stop > start and (stop + size - start) * bytes_each > block_bytes:
            yield slice(start, stop)
            start = stop
        stop += size
    yield slice(start, stop)


def compute_block(data: np.ndarray | dask.array.Array, block: tuple[slice, slice]) -> np.ndarray:
    """Return one block of a scan as a NumPy array.

    Parameters
    ----------
    data
        ``data[scan_y, scan_x, ky, kx]``, NumPy or dask.
    block
        Scan rows and columns, as from `scan_blocks`.
    """
    part = data[block]
    return np.asarray(part.compute() if hasattr(part, "compute") else part)
