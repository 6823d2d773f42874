"""Patterns in which a pixel counted as far as it can: their moments are wrong."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from stem_plugins.imaging.moments import check_4d
from stem_plugins.lazy.blocks import is_lazy, map_scan_blocks

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["saturated_pixels"]


def saturated_pixels(
    data: np.ndarray | da.Array, limit: int
) -> tuple[np.ndarray | da.Array, np.ndarray | da.Array]:
    """Count the pixels at the limit of the counter, per pattern and per detector pixel.

    Parameters
    ----------
    data
        Patterns of integers, (scan_y, scan_x, ky, kx), in any byte order, NumPy or dask.
    limit
        Largest count that the detector can hold, such as 4095 for a 12-bit counter.

    Returns
    -------
    per_pattern : numpy.ndarray or dask.array.Array
        How many pixels of each pattern hold `limit`, (scan_y, scan_x).
    per_pixel : numpy.ndarray or dask.array.Array
        In how many patterns each detector pixel holds it, (ky, kx): hot pixels hold it in all.

    Raises
    ------
    ValueError
        The data are not 4D integers, or their type cannot hold `limit`.

    Examples
    --------
    >>> data = np.zeros((1, 2, 2, 2), ">u2")
    >>> data[0, 1, 1, 0] = 4095
    >>> per_pattern, per_pixel = saturated_pixels(data, 4095)
    >>> per_pattern, per_pixel
    (array([[0., 1.]]), array([[0., 0.],
           [1., 0.]]))
    """
    data = check_4d(data)
    if data.dtype.kind not in "iu" or not 0 < limit <= np.iinfo(data.dtype).max:
        raise ValueError(f"Pixels of type {data.dtype} have no limit of {limit} counts.")
    if is_lazy(data):
        values, per_pixel = map_scan_blocks(
            partial(_count, limit=limit), data, channels=1, reduced_shape=data.shape[2:]
        )
    else:
        values, per_pixel = _count(np.asarray(data), (0, 0), limit=limit)
    return values[..., 0], per_pixel


def _count(
    block: np.ndarray, offset: tuple[int, int], *, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    # Equality survives a swap of bytes on both sides, and is fast on machine-typed numbers.
    native = block.view(np.ndarray).view(block.dtype.newbyteorder("="))
    wanted = np.array(limit, block.dtype).view(native.dtype)
    per_pattern = np.zeros((*block.shape[:2], 1))
    per_pixel = np.zeros(block.shape[2:])
    for row, patterns in enumerate(native):
        full = patterns == wanted
        if full.any():
            per_pattern[row, :, 0] = np.count_nonzero(full, axis=(1, 2))
            per_pixel += np.count_nonzero(full, axis=0)
    return per_pattern, per_pixel
