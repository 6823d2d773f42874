"""What the detector of a scanning microscope does to an image: pulses, their tail, outliers.

After thesis section 2.2 (T. Friedrich, University of Antwerp, 2023): electrons arrive one by one,
scintillator and photomultiplier turn each into a pulse of uncertain height, and the pulse dies
away slowly. Images are (..., y, x), the fast scan runs along x to the right.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.signal

__all__ = [
    "electron_spread",
    "fast_scan_tail",
    "noisy_detector",
    "outliers",
    "tail_weights",
]

#: Photons that reach the photocathode for each kV of beam energy (thesis 2.2.1).
PHOTONS_PER_KILOVOLT = 1.0

#: Share of the photons that free an electron from the photocathode.
QUANTUM_EFFICIENCY = 0.25

#: Electrons that a dynode gives off for one that hits it.
DYNODE_GAIN = 4.0

#: More electrons in one pixel than any exposure holds: a sign of wrong units.
MOST_COUNTS = 1e15


def electron_spread(beam_energy: float) -> float:
    """Relative standard deviation of the pulse of one electron (thesis eq. 2.11).

    ``√((1 - η + 1/(δ - 1))/(m η) + δ_c²/m²)`` with m photons at the photocathode (1 per kV), its
    quantum efficiency η = 0.25, the gain δ = 4 of a dynode, and the variance of the photons δ_c²,
    which the thesis leaves open; that of a Poisson process, m, is taken.

    Parameters
    ----------
    beam_energy
        [keV].

    Returns
    -------
    float
        In units of the mean pulse.

    Raises
    ------
    ValueError
        The energy is not above zero.

    Examples
    --------
    >>> round(electron_spread(300), 3)
    0.133
    """
    if not 0 < beam_energy < np.inf:
        raise ValueError(f"beam_energy must be above zero [keV], not {beam_energy}.")
    photons = PHOTONS_PER_KILOVOLT * beam_energy
    cascade = (1 - QUANTUM_EFFICIENCY + 1 / (DYNODE_GAIN - 1)) / (photons * QUANTUM_EFFICIENCY)
    return float(np.sqrt(cascade + 1 / photons))


def electrons_per_pixel(dose: float, pixel_size: float | tuple[float, float]) -> float:
    """Return the electrons of the beam that fall on one pixel.

    Parameters
    ----------
    dose
        [e/Å²].
    pixel_size
        [Å], one number or (y, x).

    Raises
    ------
    ValueError
        One of them is not above zero.
    """
    size = np.asarray(pixel_size, float)
    if size.shape not in ((), (2,)):
        raise ValueError(f"pixel_size must be one length [Å] or two, (y, x), not {pixel_size!r}.")
    electrons = float(dose * np.prod(np.broadcast_to(size, 2)))
    if not (dose > 0 and (size > 0).all() and np.isfinite(electrons)):
        raise ValueError(
            f"dose [e/Å²] and pixel_size [Å] must be above zero, not {dose} and {pixel_size}."
        )
    return electrons


def check_real_image(image: Any) -> np.ndarray:
    """Return an image, or several, as they are, if they are images.

    Parameters
    ----------
    image
        (..., y, x).

    Raises
    ------
    ValueError
        These are no real, finite numbers in two axes or more.
    """
    image = np.asarray(image)
    if image.ndim < 2 or image.size == 0:
        raise ValueError(f"An image needs pixels along y and x; this has shape {image.shape}.")
    if image.dtype.kind not in "biuf":
        raise ValueError(
            f"The image must be real numbers, not {image.dtype}. Of a complex image take the "
            "absolute square, or another real image of it."
        )
    if not np.isfinite(image).all():
        missing = np.count_nonzero(~np.isfinite(image))
        raise ValueError(
            f"{missing} of {image.size} pixels are not finite (NaN or infinite): fill them first."
        )
    return image


def real_image(image: Any) -> np.ndarray:
    """Return an image, or several, as float64; otherwise as `check_real_image`.

    Parameters
    ----------
    image
        (..., y, x).
    """
    return check_real_image(image).astype(float)


def collected_fraction(data: np.ndarray) -> np.ndarray:
    """Return data as they are, if they can be the fraction of the beam that is collected.

    Parameters
    ----------
    data
        Images or patterns, any shape.

    Raises
    ------
    ValueError
        A value is negative or not finite.
    """
    low, high = data.min(initial=0), data.max(initial=0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("The data hold values that are not finite (NaN or infinite).")
    if low < 0:
        raise ValueError(
            "The image must be the fraction of the beam that is collected: it cannot be negative, "
            f"but its smallest value is {low:g}."
        )
    return data


def noisy_detector(
    image: np.ndarray,
    *,
    dose: float,
    pixel_size: float | tuple[float, float],
    rng: np.random.Generator,
    beam_energy: float | None = 300.0,
) -> np.ndarray:
    """Count electrons and read them with scintillator and photomultiplier (thesis eq. 2.11–2.13).

    Parameters
    ----------
    image
        Fraction of the beam that the detector collects, (..., y, x), not negative.
    dose
        [e/Å²].
    pixel_size
        [Å], one number or (y, x).
    rng
        Source of random numbers.
    beam_energy
        [keV]; ``None``: electrons are counted, their pulses have no spread.

    Returns
    -------
    ndarray
        float64, in the units of `image`: counts with their pulse spread over ``dose · pixel
        area``. Empty pixels are exactly 0.

    Raises
    ------
    ValueError
        The dose or the pixel size is not above zero, the image holds negative or no numbers, or
        a pixel would get more electrons than can be counted.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> counted = noisy_detector(np.full((100, 100), 0.1), dose=1e4, pixel_size=0.1, rng=rng)
    >>> float(counted.mean().round(2)), float(counted.std().round(2))
    (0.1, 0.03)
    """
    electrons = electrons_per_pixel(dose, pixel_size)
    image = collected_fraction(real_image(image))
    if image.max() * electrons > MOST_COUNTS:
        raise ValueError(
            f"The brightest pixel would get {image.max() * electrons:.1e} electrons. The image is "
            "the fraction of the beam that is collected, the dose is in e/Å², pixels in Å."
        )
    counts = rng.poisson(image * electrons).astype(float)
    if beam_energy is not None:
        spread = electron_spread(beam_energy) * np.sqrt(counts)
        counts += spread * rng.standard_normal(counts.shape)
    return counts / electrons


def tail_weights(
    decay: float,
    length: int,
    profile: Literal["lorentzian", "exponential"] = "lorentzian",
) -> np.ndarray:
    """Response of the detector to one electron, in the pixel it arrives in and those after it.

    Parameters
    ----------
    decay
        α, decay of the response over dwell time [px]; 0: no tail.
    length
        Number of pixels.
    profile
        ``"lorentzian"``: ``h(x) = α / (4π²x² + α²)`` (thesis eq. 2.18); ``"exponential"``:
        ``h(x) = exp(-x/α)`` (eq. 2.17).

    Returns
    -------
    ndarray
        Weights at x = 0, 1, 2 … px, (length,), with sum 1.

    Raises
    ------
    ValueError
        The decay is negative or the profile unknown.

    Examples
    --------
    >>> tail_weights(6.0, 4).round(3)
    array([0.57 , 0.272, 0.106, 0.052])
    """
    if not 0 <= decay < np.inf:
        raise ValueError(f"The decay must be zero or a length above it [px], not {decay}.")
    place = np.arange(length)
    # Squares of shorter ones would underflow.
    if decay < 1e-9:
        return (place == 0).astype(float)
    if profile == "lorentzian":
        weights = 1 / ((2 * np.pi * place / decay) ** 2 + 1)
    elif profile == "exponential":
        weights = np.exp(-place / decay)
    else:
        raise ValueError(f"profile must be 'lorentzian' or 'exponential', not {profile!r}.")
    return weights / weights.sum()


def fast_scan_tail(
    image: np.ndarray,
    *,
    decay: float,
    profile: Literal["lorentzian", "exponential"] = "lorentzian",
) -> np.ndarray:
    """Smear an image along the fast scan, as a slow detector does (thesis eq. 2.16).

    Parameters
    ----------
    image
        (..., y, x); the beam goes to the right, and so does the tail.
    decay
        α, decay of the detector's response over dwell time [px].
    profile
        As for `tail_weights`.

    Returns
    -------
    ndarray
        float64. Left of the image lies its mirror image, so that a constant stays constant and
        noise has the same texture everywhere.

    Raises
    ------
    ValueError
        The decay is negative, the profile unknown, or the image not real and finite.

    Examples
    --------
    >>> fast_scan_tail(np.array([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]]), decay=3.0).round(2) + 0.0
    array([[0.01, 0.01, 0.  , 0.78, 0.14, 0.04]])
    """
    image = real_image(image)
    width = image.shape[-1]
    weights = tail_weights(decay, width, profile)
    if decay == 0:
        return image
    padded = np.concatenate([image[..., ::-1], image], axis=-1)
    shape = (1,) * (image.ndim - 1) + (width,)
    smeared = scipy.signal.fftconvolve(padded, weights.reshape(shape), axes=-1)
    return smeared[..., width : 2 * width]


def outliers(
    image: np.ndarray, *, hot: float = 0.0, dead: float = 0.0, rng: np.random.Generator
) -> np.ndarray:
    """Put in pixels hit by X-rays and pixels that read nothing.

    Parameters
    ----------
    image
        (..., y, x).
    hot
        Share of pixels hit by an X-ray: they gain one to ten times the image's maximum.
    dead
        Share of pixels that read 0.
    rng
        Source of random numbers.

    Returns
    -------
    ndarray
        A changed copy.

    Raises
    ------
    ValueError
        A share is not between 0 and 1, or the image not real and finite.

    Examples
    --------
    >>> outliers(np.ones((2, 2)), dead=1.0, rng=np.random.default_rng(0))
    array([[0., 0.],
           [0., 0.]])
    """
    if not (0 <= hot <= 1 and 0 <= dead <= 1):
        raise ValueError(f"hot and dead are shares between 0 and 1, not {hot} and {dead}.")
    image = real_image(image)
    chance = rng.random(image.shape)
    height = image.max(initial=0.0) * rng.uniform(1, 10, image.shape)
    image[chance < hot] += height[chance < hot]
    image[chance > 1 - dead] = 0
    return image
