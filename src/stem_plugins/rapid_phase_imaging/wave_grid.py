"""The grid of the exit-wave design: patterns up to 3 α, waves in pixels of λ/6α.

In these units voltage and aperture drop out. Patterns have 64 × 64 pixels of 3/32 α whose middle
pixel (32, 32) is angle zero, waves as many pixels of λ/6α around the probe.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.rapid_phase_imaging.inputs import ABERRATIONS
from stem_plugins.rapid_phase_imaging.reduction import Reduction, plan_reduction

__all__ = [
    "ANGLE",
    "PIXEL",
    "WINDOW",
    "aberration_phase",
    "angles",
    "plan_patterns",
    "probe_wave",
]

#: Pixels of a pattern and of a wave; a pixel of a pattern, in α; and one of a wave, in λ/α.
WINDOW = 64
ANGLE = 3 / 32
PIXEL = 1 / (WINDOW * ANGLE)


def aberration_phase(
    y: NDArray[np.floating], x: NDArray[np.floating], aberrations: tuple[complex, ...]
) -> NDArray[np.floating]:
    """χ [rad] at angles in parts of α.

    Parameters
    ----------
    y, x
        Angles.
    aberrations
        Complex phases at the aperture's edge, as `stem_plugins.rapid_phase_imaging.inputs` has
        them.
    """
    omega = x + 1j * y
    radius = np.abs(omega)
    chi = np.zeros(radius.shape)
    for (name, fold), value in zip(ABERRATIONS.items(), aberrations, strict=True):
        order = int(name[1]) + 1
        chi = chi + (value * radius ** (order - fold) * np.conj(omega) ** fold).real
    return chi


@functools.cache
def angles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles (y, x) of the pixels of a pattern, in parts of α."""
    line = (np.arange(WINDOW) - WINDOW // 2) * ANGLE
    y, x = np.meshgrid(line, line, indexing="ij")
    return y, x


def probe_wave(aberrations: tuple[complex, ...]) -> NDArray[np.complex64]:
    """Compute the probe at half the height of the specimen, around pixel (32, 32).

    Parameters
    ----------
    aberrations
        As for `aberration_phase`.

    Returns
    -------
    ndarray
        (`WINDOW`, `WINDOW`), of unit intensity in all.

    Examples
    --------
    >>> probe = probe_wave((0j,) * 5)
    >>> int(np.abs(probe).argmax()), float((np.abs(probe) ** 2).sum().round(4))
    (2080, 1.0)
    """
    y, x = angles()
    disc = np.clip((1 - np.hypot(y, x)) / ANGLE + 0.5, 0, 1)
    spectrum = disc * np.exp(-1j * aberration_phase(y, x, aberrations))
    spectrum /= np.sqrt(np.sum(np.abs(spectrum) ** 2))
    wave = scipy.fft.ifft2(scipy.fft.ifftshift(spectrum), norm="ortho")
    return scipy.fft.fftshift(wave).astype(np.complex64)


def _pixel_of(directions: NDArray[np.floating]) -> NDArray[np.int64]:
    place = np.floor(directions / ANGLE + WINDOW // 2 + 0.5).astype(int)
    inside = ((place >= 0) & (place < WINDOW)).all(axis=-1)
    number: NDArray[np.int64] = place[..., 0] * WINDOW + place[..., 1]
    return np.where(inside, number, -1)


def plan_patterns(detector_shape: tuple[int, int], acquisition: Acquisition) -> Reduction:
    """Find out how pixels of a detector share their counts out to those of the grid.

    Parameters
    ----------
    detector_shape, acquisition
        As for `stem_plugins.rapid_phase_imaging.reduction.plan_reduction`.
    """
    return plan_reduction(detector_shape, acquisition, cell_of=_pixel_of, cells=WINDOW**2)
