"""Integrated centre of mass (iCOM): the potential-like image whose gradient fits a vector map.

The least-squares solution of ``∇O = com`` (thesis eq. 3.2, 3.3; I. Lazić, E.G.T. Bosch and
S. Lazar, Ultramicroscopy 160, 265 (2016)), on a scan that does not repeat: O is expanded in
cosines, so that nothing wraps from one edge to the other, unlike in a plain FFT integration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from stem_plugins.imaging.center_of_mass import (
    as_pair,
    check_finite,
    check_vectors,
    scan_frame_matrix,
)
from stem_plugins.lazy.blocks import map_whole

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["icom"]


def icom(
    com: np.ndarray | da.Array,
    *,
    high_pass: float | None = None,
    rotation: float = 0.0,
    flip_y: bool = False,
    scan_step: float | tuple[float, float] = 1.0,
) -> np.ndarray | da.Array:
    """Integrate a vector map over the whole scan.

    Parameters
    ----------
    com
        Vector map, (scan_y, scan_x, 2), vectors (y, x), NumPy or dask: a centre-of-mass map, or
        the difference signals of a segmented detector.
    high_pass
        Frequency [cycles per unit of `scan_step`] at which a smooth high-pass filter
        (``1 - 2^(-(k / high_pass)²)``) passes half. ``None``: no filter.
    rotation, flip_y
        From detector to scan frame, as in `to_scan_frame`.
    scan_step
        Distance of scan positions, one number or (y, x).

    Returns
    -------
    numpy.ndarray or dask.array.Array
        (scan_y, scan_x) float64 of mean zero, in the unit of `com` times that of `scan_step`;
        a phase [rad] for vectors in rad/Å and Å. Atoms are bright.

    Raises
    ------
    ValueError
        `com` is no vector map or holds NaN, or `high_pass` is not above zero.

    Examples
    --------
    >>> y, x = np.indices((32, 32)) * 2 * np.pi / 32
    >>> gradient = np.stack([-np.sin(y), np.zeros_like(x)], axis=-1) * 2 * np.pi / 32
    >>> bool(abs(icom(gradient) - np.cos(y)).max() < 0.02)
    True
    """
    com = check_vectors(com)
    if high_pass is not None and not (np.isfinite(high_pass) and high_pass > 0):
        raise ValueError(f"high_pass must be a frequency above zero, not {high_pass}.")
    return map_whole(
        _integrate,
        com,
        shape=com.shape[:2],
        high_pass=high_pass,
        matrix=scan_frame_matrix(rotation, flip_y),
        step=as_pair(scan_step, "scan_step"),
    )


def _integrate(
    com: np.ndarray, *, high_pass: float | None, matrix: np.ndarray, step: tuple[float, float]
) -> np.ndarray:
    com = check_finite(com) @ matrix.T
    # O = Σ o_pq cos(k_p y) cos(k_q x), so its y derivative is a series of sines in y, cosines in x.
    k_y = np.pi * np.arange(com.shape[0])[:, None] / (com.shape[0] * step[0])
    k_x = np.pi * np.arange(com.shape[1])[None, :] / (com.shape[1] * step[1])
    along_y = scipy.fft.dct(_sines(com[..., 0], axis=0), axis=1, norm="ortho")
    along_x = scipy.fft.dct(_sines(com[..., 1], axis=1), axis=0, norm="ortho")
    k_squared = k_y**2 + k_x**2
    k_squared[0, 0] = 1
    image = -(k_y * along_y + k_x * along_x) / k_squared
    if high_pass is not None:
        image *= 1 - 2.0 ** (-k_squared / (2 * np.pi * high_pass) ** 2)
    image[0, 0] = 0
    return scipy.fft.idctn(image, norm="ortho")


def _sines(component: np.ndarray, *, axis: int) -> np.ndarray:
    """Sine coefficients, placed where the cosine coefficients of the same frequency stand."""
    coefficients = np.roll(scipy.fft.dst(component, axis=axis, norm="ortho"), 1, axis=axis)
    # The sine of the highest frequency has no cosine beside it.
    np.moveaxis(coefficients, axis, 0)[0] = 0
    return coefficients
