"""The kernel of the reduction: frames are read where they lie, in any byte order, once.

Runs of pixels are short. So a row of the detector is brought into machine order and single
precision as a whole, which the processor does many pixels at a time, before they are summed.
"""

from __future__ import annotations

import numba
import numpy as np

from stem_plugins.imaging.moments_kernel import machine_order, prefetch
from stem_plugins.imaging.row_strips import CACHE_LINE_BYTES

__all__ = ["reduce_frames"]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def reduce_frames(
    pixels,
    start: int,
    strides: tuple[int, int, int],
    shape: tuple[int, int, int, int],
    swap: bool,
    runs,
    weights,
    line,
    out,
):
    """Sum frames over runs of pixels.

    Parameters
    ----------
    pixels, start, strides, shape, swap
        As for `stem_plugins.imaging.moments_kernel.moments_of_frames`.
    runs, weights
        Of a `stem_plugins.rapid_phase_imaging.reduction.Reduction`, by detector rows.
    line
        Working row, kx float32.
    out
        Result, (positions, cells) float32, added to in place.
    """
    stride_y, stride_x, stride_row = strides
    rows, positions, _, width = shape
    for y in range(rows):
        for x in range(positions):
            frame = start + y * stride_y + x * stride_x
            cells = out[y * positions + x]
            run = 0
            while run < len(runs):
                j = runs[run, 0]
                first = frame + j * stride_row
                row = pixels[first : first + width]
                for i in range(0, width, CACHE_LINE_BYTES // pixels.itemsize):
                    prefetch(pixels, first + 4 * stride_row + i)
                if swap:
                    for i in range(row.size):
                        line[i] = machine_order(row[i])
                else:
                    for i in range(row.size):
                        line[i] = row[i]
                while run < len(runs) and runs[run, 0] == j:
                    # Over a part from its zero: an index that might be negative is no vector.
                    part = line[runs[run, 1] : runs[run, 2]]
                    total = np.float32(0)
                    for i in range(part.size):
                        total += part[i]
                    cells[runs[run, 3]] += weights[run] * total
                    run += 1
