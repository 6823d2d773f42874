"""Find a low-pass along the rows in the colour of the noise, take it off, and put it back.

Images that were resampled or smoothed after they were recorded have smooth noise, which looks like
faint structure. As for a detector's tail the noise power is the transfer |H|², whatever was imaged
(`stem_plugins.restoration.noise_spectrum`); but it falls far deeper, and a filter has no direction,
so that H is real. Divided by H the noise is white again, as networks know it; what they make of the
image is multiplied by H: a filter that somebody wanted stays, and structure is no sharper than it
was.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.restoration.detector_response import check_real_image
from stem_plugins.restoration.noise_spectrum import (
    FREQUENCIES,
    NoisePower,
    fit_transfer,
    noise_power,
)

__all__ = [
    "LowPass",
    "apply_low_pass",
    "estimate_low_pass",
    "low_pass_of_noise",
    "remove_low_pass",
]

#: Transfers that are sought: strengths and steepnesses, and the white noise that was added behind
#: the filter, in parts of the power at low frequencies.
STRENGTHS = np.arange(0, 10.1, 0.25)
STEEPNESSES = (1.0, 1.25, 1.5, 1.75, 2.0)
PLATEAUS = (1e-5, 1e-3, 1e-2, 1e-1)

#: The transfer's power falls no further: with a division by less, nothing but rounding would grow.
FLOOR = 1e-3

#: Weaker ones are left alone: the network was taught these, and a tail can look like one.
WEAKEST = 3.5

#: Structure reaches far up in frequency, but hardly beyond here, in parts of the highest.
FROM = 0.4

#: A transfer fits where the mean of χ² is no larger, and so many frequencies lie within three
#: standard deviations.
LARGEST_MISFIT, FITTING = 2.0, 0.8

#: From the first of these frequencies to the second the power has to fall by so much, ln: smooth
#: structure falls off, too, but then white noise shows.
STILL_FALLING, LEAST_FALL = (0.6, 1.0), 0.4

#: Rows that are filtered at once.
ROWS = 256


@dataclasses.dataclass(frozen=True)
class LowPass:
    """A low-pass along the rows, without direction.

    Parameters
    ----------
    strength, steepness
        b and s of the transfer ``|H|² = (1 - p) exp(-2 b f^s) + p``, where f is 1 at the highest
        frequency of the pixels, and p = 0.001. A strength of 0 is no filter.
    """

    strength: float = 0.0
    steepness: float = 1.0

    def transfer(self, frequencies: NDArray[np.floating]) -> NDArray[np.float64]:
        """H at some frequencies, in parts of the highest."""
        return np.exp(_log_power(frequencies, self.strength, self.steepness, FLOOR) / 2)


def estimate_low_pass(image: np.ndarray) -> LowPass:
    """Find out from its noise how strongly an image was smoothed along the rows.

    Parameters
    ----------
    image
        (y, x), real and finite, fast scan along x.

    Returns
    -------
    LowPass
        Without a strength where the noise is left with more than a thousandth of its power, about,
        at the highest frequency, where no transfer fits, or the image has less than 64 px.
        It is the same for ``a·x + b``.

    Raises
    ------
    ValueError
        The image is not two-dimensional, real and finite.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(2.0, (256, 256))
    >>> estimate_low_pass(counts)
    LowPass(strength=0.0, steepness=1.0)
    >>> found = estimate_low_pass(apply_low_pass(counts, LowPass(5.0, 1.5)))
    >>> bool(abs(found.strength - 5) < 0.5)
    True
    """
    return low_pass_of_noise(noise_power(image))


def low_pass_of_noise(noise: NoisePower | None) -> LowPass:
    """Find the low-pass that explains a noise power.

    Parameters
    ----------
    noise
        From `stem_plugins.restoration.noise_spectrum.noise_power`.
    """
    if noise is None:
        return LowPass()
    terms, transfers = _candidates()
    lowest = int(np.searchsorted(FREQUENCIES, FROM))
    fit = fit_transfer(noise, transfers, lowest=lowest)
    strength, steepness, plateau = terms[fit.number]
    above, below = _log_power(np.array(STILL_FALLING), strength, steepness, plateau)
    fits = fit.misfit < LARGEST_MISFIT and fit.within > FITTING and above - below > LEAST_FALL
    if not fits or strength < WEAKEST or plateau > FLOOR:
        return LowPass()
    return LowPass(float(strength), float(steepness))


def remove_low_pass(image: np.ndarray, low_pass: LowPass) -> NDArray[np.float32]:
    """Divide by the transfer of a low-pass, so that noise is white.

    Parameters
    ----------
    image
        (y, x), real and finite. Beyond its edges lies its mirror image.
    low_pass
        As from `estimate_low_pass`.

    Returns
    -------
    ndarray
        float32, the same shape. No frequency grows by more than a factor of 32.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((4, 128))
    >>> smooth = apply_low_pass(image, LowPass(4.0))
    >>> bool(np.allclose(remove_low_pass(smooth, LowPass(4.0)), image, atol=1e-4))
    True
    """
    return _filtered(image, low_pass, -1, None)


def apply_low_pass(
    image: np.ndarray, low_pass: LowPass, *, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Multiply by the transfer of a low-pass.

    Parameters
    ----------
    image, low_pass
        As for `remove_low_pass`.
    out
        Where to put the result, for instance the image itself; ``None``: a new array.

    Returns
    -------
    ndarray
        float32, the same shape.
    """
    return _filtered(image, low_pass, 1, out)


def _filtered(
    image: np.ndarray, low_pass: LowPass, power: int, out: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Multiply the cosine transform of each row, which sees its mirror images beyond the edges."""
    image = check_real_image(image)
    result = np.empty(image.shape, np.float32) if out is None else out
    width = image.shape[-1]
    factors = (low_pass.transfer(np.arange(width) / width) ** power).astype(np.float32)
    for first in range(0, len(image), ROWS):
        rows = image[first : first + ROWS].astype(np.float32)
        if low_pass.strength:
            rows = scipy.fft.idct(scipy.fft.dct(rows, axis=-1) * factors, axis=-1)
        result[first : first + ROWS] = rows
    return result


def _log_power(
    frequencies: NDArray[np.floating], strength: float, steepness: float, plateau: float
) -> NDArray[np.float64]:
    fallen = np.exp(-2 * strength * np.asarray(frequencies, float) ** steepness)
    power: NDArray[np.float64] = np.log((1 - plateau) * fallen + plateau)
    return power


@functools.cache
def _candidates() -> tuple[list[tuple[float, float, float]], NDArray[np.float64]]:
    """Strength, steepness and plateau of each candidate, and their log |H|²."""
    terms = [
        (float(strength), steepness, plateau)
        for steepness in STEEPNESSES
        for strength in STRENGTHS
        for plateau in PLATEAUS
    ]
    return terms, np.array([_log_power(FREQUENCIES, *one) for one in terms])
