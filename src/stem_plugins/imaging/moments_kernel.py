"""The kernel of the first pass: total, first moments, largest pixel, detector sums of every frame.

Frames are read where they lie, big-endian memory maps included, once, row by row. Two running
rows carry everything: ``columns[x]`` is the sum of column x so far, ``cumulative[x]`` the sum of
``columns[x]`` over the rows so far. With h rows, ``Σ_x cumulative = Σ_j (h - j) Σ_x v[j, x]``,
so the y moment needs no sum along x in the inner loop. Four rows are added at a time (see
`stem_plugins.imaging.row_strips`): what limits the loop is the memory, and how often the running
rows are stored, not the additions, and so a third running row, the largest pixel of each column,
comes for nothing.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from stem_plugins.imaging.detectors import DetectorSteps, MaskRuns
from stem_plugins.imaging.row_strips import (
    CACHE_LINE_BYTES,
    add_strip,
    add_swapped_strip,
    strip_width,
)

__all__ = [
    "accumulator_dtype",
    "machine_order",
    "moments_of_frames",
    "prefetch",
    "rows_before_overflow",
]

#: How far ahead of the row in work the memory is asked for. Measured flat from 2 to 16 KiB.
_PREFETCH_BYTES = 4096


@intrinsic
def machine_order(typing_context: Any, value: Any) -> Any:
    """Reverse the bytes of a number: big-endian file to machine order, in a register."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (number,) = arguments
        kind = signature.args[0]
        if kind.bitwidth == 8:
            return number
        if not isinstance(kind, types.Float):
            return builder.bswap(number)
        bits = builder.bitcast(number, ir.IntType(kind.bitwidth))
        return builder.bitcast(builder.bswap(bits), number.type)

    return value(value), generate


@intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the memory at ``array[index]``; an address beyond the array does no harm."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        )
        read, keep, data_cache = word(0), word(3), word(1)
        builder.call(function, [address, read, keep, data_cache])
        return context.get_dummy_value()

    return types.void(array, index), generate


def accumulator_dtype(dtype: np.dtype) -> np.dtype:
    """Type in which pixels of `dtype` are summed exactly: 32 bit where that suffices."""
    if dtype.kind == "f":
        return np.dtype(np.float64)
    if dtype.kind == "i":
        return np.dtype(np.int64)
    return np.dtype(np.uint32 if dtype.itemsize <= 2 else np.uint64)


def rows_before_overflow(dtype: np.dtype, height: int) -> int:
    """After how many rows the ``cumulative`` row must be emptied so that 32 bit do not overflow.

    ``columns`` itself holds at most ``height`` times the largest pixel, and is never emptied.
    """
    if accumulator_dtype(dtype) != np.uint32:
        return height
    largest_column_sum = height * int(np.iinfo(dtype).max)
    if largest_column_sum > np.iinfo(np.uint32).max:
        raise ValueError(
            f"Detectors of {height} rows are too tall for {dtype} pixels; convert to uint32."
        )
    return max(1, np.iinfo(np.uint32).max // largest_column_sum)


# The inner loops run over slices from zero to their size: an index that might be negative would
# bring in wrap-around checks, which keep the compiler from using vector instructions.
@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _add_row(row, columns, cumulative, peaks, swap):
    if swap:
        for x in range(row.size):
            value = machine_order(row[x])
            columns[x] += value
            cumulative[x] += columns[x]
            peaks[x] = value if value > peaks[x] else peaks[x]
    else:
        for x in range(row.size):
            value = row[x]
            columns[x] += value
            cumulative[x] += columns[x]
            peaks[x] = value if value > peaks[x] else peaks[x]


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _add_four_pixels(a, b, c, d, x, columns, cumulative, peaks):
    exact = columns.dtype.type
    after_a = exact(columns[x] + a)
    after_b = exact(after_a + b)
    after_c = exact(after_b + c)
    after_d = exact(after_c + d)
    columns[x] = after_d
    cumulative[x] += exact(exact(after_a + after_b) + exact(after_c + after_d))
    ab = a if a > b else b
    cd = c if c > d else d
    abcd = ab if ab > cd else cd
    peaks[x] = abcd if abcd > peaks[x] else peaks[x]


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _add_four_rows(first, second, third, fourth, columns, cumulative, peaks, swap):
    if swap:
        for x in range(first.size):
            a, b = machine_order(first[x]), machine_order(second[x])
            c, d = machine_order(third[x]), machine_order(fourth[x])
            _add_four_pixels(a, b, c, d, x, columns, cumulative, peaks)
    else:
        for x in range(first.size):
            a, b, c, d = first[x], second[x], third[x], fourth[x]
            _add_four_pixels(a, b, c, d, x, columns, cumulative, peaks)


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _skip_row(columns, cumulative):
    for x in range(columns.size):
        cumulative[x] += columns[x]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_masked_row(row, mask, j, columns, cumulative, peaks, swap):
    column = 0
    for edge in range(mask.first[j], mask.first[j + 1], 2):
        low, high = mask.edges[edge], mask.edges[edge + 1]
        _skip_row(columns[column:low], cumulative[column:low])
        part = slice(low, high)
        _add_row(row[part], columns[part], cumulative[part], peaks[part], swap)
        column = high
    _skip_row(columns[column:], cumulative[column:])


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _pick_columns(pixels, first, stride_row, j, columns, detectors, picked, swap):
    # Detectors want the column sums after a certain row: take off the rows added since.
    for k in range(4):
        for step in range(detectors.row[j + k], detectors.row[j + k + 1]):
            column = detectors.column[step]
            value = columns[column]
            for later in range(k + 1, 4):
                pixel = pixels[first + later * stride_row + column]
                value -= machine_order(pixel) if swap else pixel
            picked[detectors.slot[step]] = value


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _add_to_pattern(row, pattern_row, swap):
    if swap:
        for x in range(row.size):
            pattern_row[x] += machine_order(row[x])
    else:
        for x in range(row.size):
            pattern_row[x] += row[x]


# Reordering the sum lets the compiler use vector instructions; sums of counts stay exact.
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc"})
def _dot(weight, picked):
    total = 0.0
    for i in range(weight.size):
        total += weight[i] * picked[i]
    return total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def moments_of_frames(
    pixels,
    start: int,
    strides: tuple[int, int, int],
    shape: tuple[int, int, int, int],
    swap: bool,
    flush_rows: int,
    mask: MaskRuns,
    detectors: DetectorSteps,
    columns,
    cumulative,
    peaks,
    lowest,
    picked,
    moments,
    images,
    pattern,
):
    """Total, y and x moment and detector sums of every frame of a block.

    Parameters
    ----------
    pixels
        One-dimensional contiguous view of the memory in which the frames lie.
    start
        Index of the first pixel of the first frame.
    strides
        Distance in pixels to the next scan row, scan position, and detector row.
    shape
        (rows, columns, ky, kx) of the block.
    swap
        Whether the pixels' bytes are in the other order than the machine's.
    flush_rows
        See `rows_before_overflow`.
    mask
        Pixels that count, for everything but the pattern.
    detectors
        Virtual detectors.
    columns, cumulative, picked
        Working rows of `accumulator_dtype`: kx, kx, and one number per detector step.
    peaks
        Working row of the pixels' type in machine order: kx.
    lowest
        Lowest number of that type.
    moments
        Result, (rows, columns, 4) float64: total, Σ y v, Σ x v, largest pixel.
    images
        Result, (rows, columns, detectors) float64.
    pattern
        Sum of all frames, added to in place; (0, 0) when nobody wants it.
    """
    stride_y, stride_x, stride_row = strides
    rows, positions, height, width = shape
    line = CACHE_LINE_BYTES // pixels.itemsize
    lanes = strip_width(pixels.itemsize, columns.itemsize)
    strips_end = width // lanes * lanes
    rows_ahead = max(4, _PREFETCH_BYTES // (abs(stride_row) * pixels.itemsize))
    ahead = rows_ahead * stride_row
    # In the order of the memory, also where rows are upside down; crosswise takes half as long
    # again.
    four_ahead = ahead + min(0, 3 * stride_row)
    for y in range(rows):
        for x in range(positions):
            frame = start + y * stride_y + x * stride_x
            columns[:] = 0
            cumulative[:] = 0
            peaks[:] = lowest
            moment_from_below = 0.0
            until_flush = flush_rows
            j = 0
            while j < height:
                first = frame + j * stride_row
                if mask.edges.size == 0 and until_flush >= 4 and j + 4 <= height:
                    together = 4
                    for strip in range(0, strips_end, lanes):
                        for k in range(4):
                            prefetch(pixels, first + four_ahead + 4 * strip + k * lanes)
                        if swap:
                            add_swapped_strip(
                                pixels, first, stride_row, strip, columns, cumulative, peaks
                            )
                        else:
                            add_strip(pixels, first, stride_row, strip, columns, cumulative, peaks)
                    if strips_end < width:
                        second, third = first + stride_row, first + 2 * stride_row
                        fourth = first + 3 * stride_row
                        _add_four_rows(
                            pixels[first + strips_end : first + width],
                            pixels[second + strips_end : second + width],
                            pixels[third + strips_end : third + width],
                            pixels[fourth + strips_end : fourth + width],
                            columns[strips_end:],
                            cumulative[strips_end:],
                            peaks[strips_end:],
                            swap,
                        )
                    _pick_columns(pixels, first, stride_row, j, columns, detectors, picked, swap)
                else:
                    together = 1
                    for i in range(0, width, line):
                        prefetch(pixels, first + ahead + i)
                    row = pixels[first : first + width]
                    if mask.edges.size == 0:
                        _add_row(row, columns, cumulative, peaks, swap)
                    else:
                        _add_masked_row(row, mask, j, columns, cumulative, peaks, swap)
                    for step in range(detectors.row[j], detectors.row[j + 1]):
                        picked[detectors.slot[step]] = columns[detectors.column[step]]
                if pattern.size:
                    for k in range(together):
                        begin = first + k * stride_row
                        _add_to_pattern(pixels[begin : begin + width], pattern[j + k], swap)
                until_flush -= together
                j += together
                if until_flush == 0 or j == height:
                    until_flush = flush_rows
                    for i in range(width):
                        moment_from_below += cumulative[i]
                        cumulative[i] = 0
            total = 0.0
            moment_x = 0.0
            peak = lowest
            for i in range(width):
                total += columns[i]
                moment_x += i * float(columns[i])
                peak = max(peak, peaks[i])
            moments[y, x, 0] = total
            moments[y, x, 1] = height * total - moment_from_below
            moments[y, x, 2] = moment_x
            moments[y, x, 3] = peak
            for d in range(images.shape[2]):
                of_detector = slice(detectors.detector[d], detectors.detector[d + 1])
                images[y, x, d] = _dot(detectors.weight[of_detector], picked[of_detector])
