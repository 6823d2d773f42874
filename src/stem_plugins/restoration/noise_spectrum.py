"""Power of the noise at fast-scan frequencies, whatever was imaged, and what explains it.

Electrons arrive at random, so that noise is white until a detector or a filter colours it along the
row. The power at a fast-scan frequency is the median over the higher slow-scan frequencies, where
structure takes few and jitter adds least. It may still add something: a fit follows the lower edge
of the spectrum, and frequencies whose power is not the same at lower slow-scan frequencies, as that
of noise would be, count less.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stem_plugins.restoration.detector_response import check_real_image

__all__ = ["FREQUENCIES", "LOWEST", "WINDOW", "Fit", "NoisePower", "fit_transfer", "noise_power"]

#: Edge of the windows whose spectra are taken, and their distance [px].
WINDOW, STEP = 64, 32

#: About so many windows suffice, and so many are transformed at once.
MOST_WINDOWS, WINDOWS_AT_ONCE = 900, 64

#: Fast-scan frequencies below this one [cycles per window] hold structure in every image.
LOWEST = 6

#: Frequencies whose power is known, in parts of the highest.
FREQUENCIES = np.arange(LOWEST, WINDOW // 2) / (WINDOW // 2)

#: Ratio of the power at low and high slow-scan frequencies above which a frequency counts less.
UNLIKE_NOISE = 1.15


class NoisePower(NamedTuple):
    """Median power at the `FREQUENCIES`, over all windows."""

    #: At the upper half of slow-scan frequencies, and at the lower.
    power: NDArray[np.float64]
    below: NDArray[np.float64]
    #: Windows that share it as equals would: bright ones hold most of the noise.
    windows: float


class Fit(NamedTuple):
    """Which of some responses explains a noise power best, and how well."""

    number: int
    #: Mean of χ², share of the frequencies within three standard deviations, and the weight that
    #: frequencies have on average, in parts of that of pure noise.
    misfit: float
    within: float
    weight: float


def noise_power(image: np.ndarray) -> NoisePower | None:
    """Measure the power of the noise of an image.

    Parameters
    ----------
    image
        (y, x), real and finite, fast scan along x.

    Returns
    -------
    NoisePower or None
        ``None``: the image has less than 64 px on a side, or no noise.

    Raises
    ------
    ValueError
        The image is not two-dimensional, real and finite.
    """
    image = check_real_image(image)
    if image.ndim != 2:
        raise ValueError(f"The image must have two axes (y, x), not {image.ndim}.")
    if min(image.shape) < WINDOW:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(image, (WINDOW, WINDOW))[::STEP, ::STEP]
    # Of large images windows from all over it.
    every = max(1, math.floor(math.sqrt(windows.shape[0] * windows.shape[1] / MOST_WINDOWS)))
    windows = windows[::every, ::every]
    count = windows.shape[0] * windows.shape[1]
    taper = np.hanning(WINDOW + 2)[1:-1]
    taper = taper[:, None] * taper
    upper = np.abs(np.fft.fftfreq(WINDOW)) >= 0.25
    power, below = np.zeros((2, WINDOW // 2 - LOWEST))
    total, squares = 0.0, 0.0
    places = np.indices(windows.shape[:2]).reshape(2, -1)
    for first in range(0, count, WINDOWS_AT_ONCE):
        part = windows[tuple(places[:, first : first + WINDOWS_AT_ONCE])].astype(float)
        spectrum = np.fft.rfft2((part - part.mean(axis=(1, 2), keepdims=True)) * taper)
        square = np.abs(spectrum[..., LOWEST:-1]) ** 2
        each = np.median(square[:, upper], axis=1)
        power += each.sum(axis=0)
        total += each.mean(axis=1).sum()
        squares += (each.mean(axis=1) ** 2).sum()
        below += np.median(square[:, ~upper], axis=1).sum(axis=0)
    if not (power > 0).all():
        return None
    return NoisePower(power, below.clip(1e-300), total**2 / max(squares, 1e-300))


def fit_transfer(
    noise: NoisePower,
    transfers: NDArray[np.float64],
    handicaps: NDArray[np.float64] | float = 0.0,
    *,
    lowest: int = 0,
) -> Fit:
    """Find the response that explains a noise power best.

    Parameters
    ----------
    noise
        From `noise_power`.
    transfers
        ``log |H|²`` of each candidate, (candidates, frequencies).
    handicaps
        What each has to make up for, in terms of χ².
    lowest
        Number of the first of the `FREQUENCIES` that counts.
    """
    # What the median of so many |F|² scatters by, where neighbouring windows share half of their
    # pixels; the rest is what windows and profiles are not exact in.
    scatter = 0.02 + math.sqrt(13 / (noise.windows * WINDOW))
    weight = np.minimum(1, UNLIKE_NOISE * noise.power / noise.below)[lowest:] ** 2
    ratio = (np.log(noise.power) - transfers)[:, lowest:]
    deviation = _deviation(ratio, weight, scatter)
    square = deviation**2
    misfit = (weight * np.where(deviation > 0, square / (1 + square / 9), square)).sum(axis=1)
    best = int(np.argmin(misfit + handicaps))
    return Fit(
        best,
        float(misfit[best] / weight.sum()),
        float(np.average(np.abs(deviation[best]) < 3, weights=weight)),
        float(weight.mean()),
    )


def _deviation(
    ratio: NDArray[np.float64], weight: NDArray[np.float64], scatter: float
) -> NDArray[np.float64]:
    """Deviations from each candidate [standard deviations], (candidates, frequencies).

    The noise level of a candidate follows the lower edge: what lies above counts little.
    """
    level = np.quantile(ratio, 0.25, axis=1, keepdims=True)
    for _ in range(12):
        above = np.maximum((ratio - level) / (2 * scatter), 1)
        counted = weight / above**2
        level = (counted * ratio).sum(axis=1, keepdims=True) / counted.sum(axis=1, keepdims=True)
    deviation: NDArray[np.float64] = (ratio - level) / scatter
    return deviation
