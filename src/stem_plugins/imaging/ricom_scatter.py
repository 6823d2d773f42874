"""The kernel of incremental riCOM: add each position's contribution to its neighbourhood."""

from __future__ import annotations

import numba

__all__ = ["scatter_add"]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def scatter_add(image, com, turned_kernel, first):
    """Add the contributions of consecutive scan positions to an image, in place.

    Position r adds ``k(r - r_p) · com(r)`` to every r_p in reach; r_p outside the scan are left
    out. With the kernel turned by 180° its rows run the same way as the image's.

    Parameters
    ----------
    image
        (scan_y, scan_x) float64.
    com
        (positions, 2) float64, vectors (y, x).
    turned_kernel
        ``kernel[:, ::-1, ::-1]``, (2, n, n) float64, C order.
    first
        Scan position of ``com[0]``, row by row.
    """
    rows, columns = image.shape
    half = turned_kernel.shape[1] // 2
    for position in range(com.shape[0]):
        y, x = divmod(first + position, columns)
        com_y, com_x = com[position, 0], com[position, 1]
        low, high = max(0, x - half), min(columns, x + half + 1)
        left = low - x + half
        for row in range(max(0, y - half), min(rows, y + half + 1)):
            target = image[row, low:high]
            kernel_y = turned_kernel[0, row - y + half, left : left + high - low]
            kernel_x = turned_kernel[1, row - y + half, left : left + high - low]
            for i in range(target.size):
                target[i] += kernel_y[i] * com_y + kernel_x[i] * com_x
