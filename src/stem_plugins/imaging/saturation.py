"""Patterns in which a pixel counted as far as it can: their moments are wrong."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stem_plugins.imaging.frame_memory import flat_pixels, readable
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
    if not is_lazy(data):
        return _count(np.asarray(data), (0, 0), limit=limit)
    import dask.array as da

    whole: Any = map_scan_blocks(partial(_count, limit=limit), data, _join)
    return (
        da.from_delayed(whole[0], data.shape[:2], dtype=np.float64),
        da.from_delayed(whole[1], data.shape[2:], dtype=np.float64),
    )


def _join(
    grid: list[list[tuple[np.ndarray, np.ndarray]]],
) -> tuple[np.ndarray, np.ndarray]:
    rows = [np.concatenate([values for values, _ in blocks], axis=1) for blocks in grid]
    per_pixel = np.sum([count for blocks in grid for _, count in blocks], axis=0)
    return np.concatenate(rows), per_pixel


def _count(
    block: np.ndarray, offset: tuple[int, int], *, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    from stem_plugins.imaging.saturation_kernel import count_equal

    block = readable(np.asarray(block))
    pixels, start, strides = flat_pixels(block)
    # Equality survives a swap of bytes on both sides.
    wanted = np.array(limit, block.dtype).view(pixels.dtype)[()]
    per_pattern, per_pixel = np.zeros(block.shape[:2]), np.zeros(block.shape[2:])
    count_equal(pixels, start, strides, wanted, per_pattern, per_pixel)
    return per_pattern, per_pixel
