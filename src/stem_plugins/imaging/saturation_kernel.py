"""The kernel that counts the pixels of one value."""

from __future__ import annotations

import numba

__all__ = ["count_equal"]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def count_equal(pixels, start, strides, wanted, per_pattern, per_pixel):
    """Count pixels that equal `wanted`, per pattern and per detector pixel, in place.

    Parameters
    ----------
    pixels, start, strides
        As `stem_plugins.imaging.frame_memory.flat_pixels` gives them.
    wanted
        The value, of the type of `pixels`.
    per_pattern, per_pixel
        (rows, columns) and (ky, kx) float64, added to.
    """
    for y in range(per_pattern.shape[0]):
        for x in range(per_pattern.shape[1]):
            for j in range(per_pixel.shape[0]):
                first = start + y * strides[0] + x * strides[1] + j * strides[2]
                row = pixels[first : first + per_pixel.shape[1]]
                hits = 0
                for i in range(row.size):
                    hits += row[i] == wanted
                if hits:
                    per_pattern[y, x] += hits
                    for i in range(row.size):
                        per_pixel[j, i] += row[i] == wanted
