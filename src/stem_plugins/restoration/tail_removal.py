"""Find the fast-scan tail in the colour of the noise, and take it back.

What the noise power (`stem_plugins.restoration.noise_spectrum`) falls to at high fast-scan
frequencies is the transfer of the tail, |H|², whatever was imaged, and as a tail only points
forwards, H follows from it. Nothing else in an image could tell: a tail moves all columns alike,
and a moved column looks like any other. Where none of the profiles of thesis eq. 2.17 and 2.18 fits
most frequencies no tail is taken to be there. Noise that was added behind the detector hides part
of a tail, and that part stays.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal, NamedTuple

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from stem_plugins.restoration.detector_response import check_real_image, tail_weights
from stem_plugins.restoration.noise_spectrum import (
    LOWEST,
    WINDOW,
    NoisePower,
    fit_transfer,
    noise_power,
)

__all__ = ["Tail", "estimate_tail", "remove_tail", "tail_of_noise"]

#: Longest decays that are sought [px]; both delay structure by about 0.8 px.
LONGEST = {"lorentzian": 8.0, "exponential": 1.5}

#: A profile fits where so many frequencies lie within three standard deviations, with so large a
#: mean square deviation, and the frequencies have on average so much of the weight of pure noise.
FITTING, LARGEST_MISFIT, LEAST_WEIGHT = 0.8, 1.2, 0.65

#: By so much, in terms of χ², a tail has to fit better than none, and an exponential one better
#: than a Lorentzian: high frequencies hardly tell them apart, and detectors were found to have
#: the latter (thesis section 2.2.3).
EVIDENCE = 9.0

#: Pixels behind an electron from which its tail is taken back.
REACH = 64

Profile = Literal["lorentzian", "exponential"]


@dataclasses.dataclass(frozen=True)
class Tail:
    """Response of a detector along the fast scan.

    Parameters
    ----------
    decay
        α, decay of the response over dwell time [px]; 0: no tail.
    profile
        As for `tail_weights`.
    """

    decay: float = 0.0
    profile: Profile = "lorentzian"


def estimate_tail(image: np.ndarray) -> Tail:
    """Find the fast-scan tail of an image from its noise.

    Parameters
    ----------
    image
        (y, x), real and finite, fast scan along x to the right, as recorded: resampling or
        filtering colours the noise too.

    Returns
    -------
    Tail
        Without a decay where the noise shows no tail, or the image no noise, or less than 64 px.
        It is the same for ``a·x + b``.

    Raises
    ------
    ValueError
        The image is not two-dimensional, real and finite.

    Notes
    -----
    The decay, of seventy of either profile, that explains the noise power at high fast-scan
    frequencies best. How near it comes: ``benchmarks/detector_tail.py``. Straight edges that jitter
    breaks up look like noise with a tail where there is hardly anything else in the image.

    References
    ----------
    T. Friedrich, thesis, University of Antwerp (2023), eq. 2.16 to 2.18 for the profiles; the
    estimate is our own.

    Examples
    --------
    >>> from stem_plugins.restoration import fast_scan_tail
    >>> counts = np.random.default_rng(0).poisson(2.0, (256, 256))
    >>> estimate_tail(counts)
    Tail(decay=0.0, profile='lorentzian')
    >>> bool(abs(estimate_tail(fast_scan_tail(counts, decay=4.0)).decay - 4) < 0.5)
    True
    """
    return tail_of_noise(noise_power(image))


def tail_of_noise(noise: NoisePower | None) -> Tail:
    """Find the fast-scan tail that explains a noise power.

    Parameters
    ----------
    noise
        From `stem_plugins.restoration.noise_spectrum.noise_power`.
    """
    if noise is None:
        return Tail()
    candidates = _candidates()
    fit = fit_transfer(noise, candidates.transfer, candidates.handicap)
    fits = fit.within > FITTING and fit.misfit < LARGEST_MISFIT and fit.weight > LEAST_WEIGHT
    return candidates.tails[fit.number] if fits else Tail()


def remove_tail(image: np.ndarray, tail: Tail) -> NDArray[np.float32]:
    """Take a fast-scan tail back.

    Parameters
    ----------
    image
        (..., y, x), real and finite, fast scan along x to the right.
    tail
        As from `estimate_tail`.

    Returns
    -------
    ndarray
        float32, the same shape: `fast_scan_tail` undone. Left of the image lies its mirror image.

    Raises
    ------
    ValueError
        The image is not real and finite, or the tail unknown to `tail_weights`.

    Notes
    -----
    Exact but for the 64 px after which nothing is taken back. No frequency grows by more than a
    factor of 5, because a tail is strongest in the pixel it starts in.

    Examples
    --------
    >>> from stem_plugins.restoration import fast_scan_tail
    >>> image = np.random.default_rng(0).random((4, 128))
    >>> smeared = fast_scan_tail(image, decay=4.0)
    >>> float(abs(remove_tail(smeared, Tail(4.0)) - image)[:, 8:].max().round(2))
    0.0
    """
    image = check_real_image(image).astype(np.float32)
    if tail.decay == 0 or image.shape[-1] < 2:
        return image
    before = [(0, 0)] * (image.ndim - 1) + [(REACH - 1, 0)]
    padded = np.pad(image, before, mode="symmetric")
    kernel = _inverse(tail).reshape((1,) * (image.ndim - 1) + (-1,))
    sharpened = scipy.signal.oaconvolve(padded, kernel, mode="valid", axes=-1)
    return sharpened.astype(np.float32, copy=False)


class _Candidates(NamedTuple):
    tails: tuple[Tail, ...]
    #: log |H|², (tails, frequencies).
    transfer: NDArray[np.float64]
    #: What each has to make up for, (tails,).
    handicap: NDArray[np.float64]


@functools.cache
def _candidates() -> _Candidates:
    tails = [Tail()]
    profiles: tuple[Profile, ...] = ("lorentzian", "exponential")
    for profile in profiles:
        longest = LONGEST[profile]
        tails += [Tail(float(decay), profile) for decay in np.geomspace(longest / 30, longest, 70)]
    # Long enough that the windows see no end of it.
    length = 10 * WINDOW
    weights = [tail_weights(tail.decay, length, tail.profile) for tail in tails]
    transfer = np.abs(np.fft.rfft(weights, axis=1)[:, ::10]) ** 2
    handicap = [EVIDENCE * ((tail.decay > 0) + (tail.profile == "exponential")) for tail in tails]
    return _Candidates(tuple(tails), np.log(transfer[:, LOWEST:-1]), np.array(handicap))


@functools.lru_cache(maxsize=256)
def _inverse(tail: Tail) -> NDArray[np.float32]:
    """Causal filter that undoes a tail, with sum 1."""
    weights = tail_weights(tail.decay, REACH, tail.profile)
    impulse = np.zeros(REACH)
    impulse[0] = 1
    inverse = scipy.signal.lfilter([1.0], weights, impulse)
    return np.asarray(inverse / inverse.sum(), np.float32)
