"""The kernels of binning: sums of neighbouring detector pixels, and weighted sums of images."""

from __future__ import annotations

import numba

from stem_plugins.imaging.moments_kernel import machine_order, prefetch

__all__ = ["add_weighted", "bin_frames", "images_of_bins"]

_PREFETCH_BYTES = 4096
_CACHE_LINE_BYTES = 64

#: Side of the tiles in which arrays are turned.
_TILE = 16

#: Positions summed at a time: their sums stay in the first-level cache.
_POSITIONS = 2048


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _add_row(row, columns, pattern_row, swap):  # type: ignore[no-untyped-def]
    if swap:
        for x in range(row.size):
            value = machine_order(row[x])
            columns[x] += value
            pattern_row[x] += value
    else:
        for x in range(row.size):
            columns[x] += row[x]
            pattern_row[x] += row[x]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def bin_frames(  # type: ignore[no-untyped-def]
    pixels,
    start: int,
    strides: tuple[int, int, int],
    shape: tuple[int, int, int, int],
    swap: bool,
    factor: int,
    columns,
    binned,
    pattern,
):
    """Sum detector pixels of every frame of a block into bins.

    Parameters
    ----------
    pixels, start, strides, shape, swap
        As for `stem_plugins.imaging.moments_kernel.moments_of_frames`.
    factor
        Pixels per bin, in each direction.
    columns
        Working row of kx numbers of the accumulator's type.
    binned
        Result, (rows, columns, bins_y, bins_x).
    pattern
        Sum of all frames, (ky, kx) float64, added to in place.
    """
    stride_y, stride_x, stride_row = strides
    rows, positions, height, width = shape
    ahead = _PREFETCH_BYTES // pixels.itemsize
    line = _CACHE_LINE_BYTES // pixels.itemsize
    for y in range(rows):
        for x in range(positions):
            frame = start + y * stride_y + x * stride_x
            for bin_y in range(binned.shape[2]):
                columns[:] = 0
                for j in range(bin_y * factor, min(height, (bin_y + 1) * factor)):
                    first = frame + j * stride_row
                    for i in range(0, width, line):
                        prefetch(pixels, first + ahead + i)
                    _add_row(pixels[first : first + width], columns, pattern[j], swap)
                for bin_x in range(binned.shape[3]):
                    total = columns[bin_x * factor]
                    for i in range(bin_x * factor + 1, min(width, (bin_x + 1) * factor)):
                        total += columns[i]
                    binned[y, x, bin_y, bin_x] = total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def images_of_bins(binned, images):  # type: ignore[no-untyped-def]
    """Write (positions, bins) as (bins, positions), in tiles that fit into the cache."""
    positions, bins = binned.shape
    for low in range(0, positions, _TILE):
        high = min(positions, low + _TILE)
        for first in range(0, bins, _TILE):
            for bin_ in range(first, min(bins, first + _TILE)):
                for position in range(low, high):
                    images[bin_, position] = binned[position, bin_]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def add_weighted(image, images, chosen, weights):  # type: ignore[no-untyped-def]
    """Add ``weights[i] · images[chosen[i]]`` to an image, for all i, in place."""
    for low in range(0, image.size, _POSITIONS):
        target = image[low : low + _POSITIONS]
        for i in range(chosen.size):
            weight = weights[i]
            source = images[chosen[i], low : low + _POSITIONS]
            for position in range(target.size):
                target[position] += weight * source[position]
