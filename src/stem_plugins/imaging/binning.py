"""Patterns summed into larger detector pixels: a scan small enough to keep in memory.

Virtual detectors of a binned scan follow every change at once. `iter_binned` makes one in a pass
over the data; `add_weighted_images` sums images of detector pixels, which turns a change of a
detector into work on the pixels that it gained and lost alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.imaging.frame_memory import flat_pixels, readable
from stem_plugins.imaging.moments import check_4d
from stem_plugins.lazy.blocks import (
    chunk_by_scan_rows,
    in_order,
    is_lazy,
    scan_row_blocks,
    thread_count,
)

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["add_weighted_images", "bin_mask", "binned_dtype", "binned_shape", "iter_binned"]


def binned_shape(detector_shape: tuple[int, int], factor: int) -> tuple[int, int]:
    """Shape of a binned pattern; bins at the end are smaller where the factor does not divide.

    Parameters
    ----------
    detector_shape
        (ky, kx) [px].
    factor
        Detector pixels per bin, in each direction.

    Examples
    --------
    >>> binned_shape((256, 250), 4)
    (64, 63)
    """
    return math.ceil(detector_shape[0] / factor), math.ceil(detector_shape[1] / factor)


def binned_dtype(dtype: np.dtype, factor: int) -> np.dtype:
    """Type of binned pixels: the smallest in which every possible sum of small counts is exact.

    Parameters
    ----------
    dtype
        Of the data, in any byte order.
    factor
        Detector pixels per bin, in each direction.

    Returns
    -------
    numpy.dtype
        Without binning the data's own type. Sums of pixels of up to 16 bit are unsigned integers;
        sums of all others are float32, which rounds to 6e-8 of the sum.

    Examples
    --------
    >>> binned_dtype(np.dtype(">u2"), 1), binned_dtype(np.dtype(">u2"), 4)
    (dtype('uint16'), dtype('uint32'))
    >>> binned_dtype(np.dtype("u1"), 4)
    dtype('uint16')
    """
    dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype(np.float64 if dtype.itemsize > 8 else np.float32)
    if factor == 1:
        return dtype.newbyteorder("=")
    if dtype.kind == "u" and dtype.itemsize <= 2:
        largest = int(np.iinfo(dtype).max) * factor**2
        for wide in (np.uint16, np.uint32):
            if largest <= np.iinfo(wide).max:
                return np.dtype(wide)
    return np.dtype(np.float32)


def iter_binned(
    data: np.ndarray | da.Array,
    factor: int,
    *,
    workers: int | None = None,
    block_bytes: int = 8 * 2**20,
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Sum detector pixels into bins, block by block; closing the generator stops the pass.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), of any real type in any byte order, NumPy (memory maps
        included, read in place) or dask.
    factor
        Detector pixels per bin, in each direction.
    workers
        Threads that work on blocks; ``None``: as many as there are cores.
    block_bytes
        About how much of NumPy data is read between two results; dask data keep their chunks.

    Yields
    ------
    rows : slice
        The scan rows that are done.
    images : numpy.ndarray
        One image of these rows per bin, (*binned_shape, rows, scan_x) of `binned_dtype`.
    pattern : numpy.ndarray
        Sum of the patterns of these rows, not binned, (ky, kx) float64.

    Raises
    ------
    ValueError
        The data are not 4D or not real, the factor is no positive number, or a frame holds NaN or
        infinite pixels.

    Examples
    --------
    >>> data = np.ones((1, 2, 4, 4), np.uint8)
    >>> rows, images, pattern = next(iter_binned(data, 2))
    >>> images.shape, images[0, 0].tolist(), pattern[0].tolist()
    ((2, 2, 1, 2), [[4, 4]], [2.0, 2.0, 2.0, 2.0])
    """
    data = check_4d(data)
    if int(factor) != factor or factor < 1:
        raise ValueError(f"The binning factor must be a whole number above zero, not {factor}.")
    return _iter_rows(data, int(factor), workers or thread_count(), block_bytes)


def _iter_rows(
    data: Any, factor: int, workers: int, block_bytes: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    if is_lazy(data):
        data = chunk_by_scan_rows(data)
        edges = np.cumsum([0, *data.chunks[0]]).tolist()
        columns = np.cumsum([0, *data.chunks[1]]).tolist()
        blocks: Iterator[slice] = map(slice, edges[:-1], edges[1:])
        # Delayed once: slicing the array for every block would cost more than the block itself.
        grid = dict(zip(edges, data.to_delayed()[:, :, 0, 0], strict=False))
    else:
        blocks = scan_row_blocks(data.shape, data.dtype.itemsize, block_bytes=block_bytes)

    def one(rows: slice) -> tuple[slice, np.ndarray, np.ndarray]:
        if not is_lazy(data):
            return (rows, *_bin_block(np.asarray(data[rows]), factor, (rows.start, 0)))
        parts = [
            _bin_block(np.asarray(block.compute()), factor, (rows.start, column))
            for block, column in zip(grid[rows.start], columns, strict=False)
        ]
        pattern = np.sum([part[1] for part in parts], axis=0)
        return rows, np.concatenate([part[0] for part in parts], axis=3), pattern

    with contextlib.closing(in_order(one, blocks, workers=workers)) as results:
        yield from results


def _bin_block(
    block: np.ndarray, factor: int, offset: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    from stem_plugins.imaging.binning_kernel import bin_frames, images_of_bins
    from stem_plugins.imaging.moments_kernel import accumulator_dtype

    block = readable(block)
    pixels, start, strides = flat_pixels(block)
    scan_shape, detector_shape = block.shape[:2], (block.shape[2], block.shape[3])
    binned = np.empty(
        (*scan_shape, *binned_shape(detector_shape, factor)), binned_dtype(block.dtype, factor)
    )
    columns = np.zeros(detector_shape[1], accumulator_dtype(block.dtype))
    # Sums of small counts over a block fit into the accumulator, which is faster than float64.
    fits = columns.dtype == np.uint32 and math.prod(scan_shape) <= 2**16
    pattern = np.zeros(detector_shape, columns.dtype if fits else np.float64)
    swap = not block.dtype.isnative
    bin_frames(pixels, start, strides, block.shape, swap, factor, columns, binned, pattern)
    if block.dtype.kind == "f" and not np.isfinite(pattern).all():
        bad = np.argwhere(~np.isfinite(block).all(axis=(2, 3)))[0]
        raise ValueError(
            f"The pattern at scan position {tuple(int(i) for i in bad + offset)} holds NaN or "
            "infinite pixels. Replace them, for example by numpy.nan_to_num."
        )
    images = np.empty((*binned.shape[2:], *scan_shape), binned.dtype)
    positions = math.prod(scan_shape)
    images_of_bins(binned.reshape(positions, -1), images.reshape(-1, positions))
    return images, pattern.astype(np.float64)


def bin_mask(mask: np.ndarray, factor: int) -> np.ndarray:
    """Weights of bins that stand for a mask: its mean over each bin.

    Parameters
    ----------
    mask
        (ky, kx), booleans or weights.
    factor
        Detector pixels per bin, in each direction.

    Returns
    -------
    numpy.ndarray
        `binned_shape` float64.

    Examples
    --------
    >>> bin_mask(np.eye(4, dtype=bool), 2)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    starts = [np.arange(0, n, factor) for n in mask.shape]
    total = np.add.reduceat(mask.astype(np.float64), starts[0], axis=0)
    total = np.add.reduceat(total, starts[1], axis=1)
    height, width = (np.diff([*edge, n]) for edge, n in zip(starts, mask.shape, strict=True))
    return total / np.outer(height, width)


def add_weighted_images(
    image: np.ndarray, images: np.ndarray, chosen: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Add some of many images to one, each times its weight, in place.

    Parameters
    ----------
    image
        (positions,) float64, contiguous.
    images
        (images, positions), of any machine type, positions next to each other.
    chosen
        Indices of the images to add.
    weights
        One for each of them.

    Returns
    -------
    numpy.ndarray
        The same image.

    Examples
    --------
    >>> images = np.array([[1, 2], [10, 20], [100, 200]], np.uint16)
    >>> add_weighted_images(np.zeros(2), images, np.array([0, 2]), np.array([1.0, -0.5]))
    array([-49., -98.])
    """
    from stem_plugins.imaging.binning_kernel import add_weighted

    add_weighted(image, images, np.asarray(chosen, np.intp), np.asarray(weights, np.float64))
    return image
