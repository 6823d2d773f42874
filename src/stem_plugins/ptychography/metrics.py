"""How good a reconstruction is: against a known specimen here, without one in `resolution`.

All measures take real phases (ny, nx) [rad] and leave out their mean: a phase has no zero. Nothing
is rescaled, and nothing moved unless asked for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import ArrayLike, NDArray

from stem_plugins.optics.probe import spatial_frequencies
from stem_plugins.ptychography.image_spectra import (
    image_pair,
    pixel_size,
    real_image,
    tukey,
    windowed_spectrum,
)
from stem_plugins.ptychography.resolution import (
    InformationLimit,
    RingCorrelation,
    fourier_ring_correlation,
    half_scans,
    information_limit,
)

__all__ = [
    "BandTransfer",
    "InformationLimit",
    "RingCorrelation",
    "cross_talk",
    "fourier_ring_correlation",
    "half_scans",
    "information_limit",
    "moved_image",
    "structural_similarity",
    "subpixel_shift",
    "transfer_by_band",
]

#: Of the window in which structures are compared: σ [px], and where it ends [σ].
WINDOW, WINDOW_END = 1.5, 3.5

#: Constants that keep flat regions from dividing by zero, as shares of the dynamic range.
STABLE_MEAN, STABLE_CONTRAST = 0.01, 0.03

#: Rounds in which two images are laid on each other, and how fine the last one is [px].
ALIGNMENT_ROUNDS, FINEST_SHIFT = 6, 1e-3

#: Power, or share of an image, below which it is rounding.
ROUNDING = 1e-24


def structural_similarity(
    image: ArrayLike, truth: ArrayLike, *, sampling: float | tuple[float, float] | None = None
) -> float:
    """Compare local means, contrast and structure of an image with those of the truth (SSIM).

    ``(2 μ ν + C₁)(2 σ_μν + C₂) / ((μ² + ν² + C₁)(σ_μ² + σ_ν² + C₂))`` with mean μ, ν and
    covariance under a Gaussian window of σ 1.5 px, averaged over the image without a margin of
    5 px. C₁ = (0.01 L)², C₂ = (0.03 L)²; L is the range of the truth. Reversed contrast turns the
    signs of both factors, and may go unnoticed; `transfer_by_band` tells it.

    Parameters
    ----------
    image, truth
        Phases (ny, nx) [rad], at least 11 px along either side, of one field of view.
    sampling
        Pixel size (y, x) [Å]. Where the pixels are not square, the window is round in Å, with σ of
        1.5 times their geometric mean. ``None``: square pixels.

    Returns
    -------
    float
        1 for the truth itself, whatever constant is added; about 0 without likeness.

    Raises
    ------
    ValueError
        The images differ in shape, are too small, or hold NaN or complex numbers; the truth is
        constant; the sampling is no pixel size.

    References
    ----------
    Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, IEEE Trans. Image Process. 13, 600
    (2004).

    Examples
    --------
    >>> truth = np.cos(np.arange(32))[:, None] * np.cos(np.arange(32))
    >>> print(f"{structural_similarity(truth + 0.7, truth):.3f}")
    1.000
    >>> print(f"{structural_similarity(0.5 * truth, truth):.3f}")
    0.697
    """
    y, x = (1.0, 1.0) if sampling is None else pixel_size(sampling)
    sigma = tuple(WINDOW * math.sqrt(y * x) / pixel for pixel in (y, x))
    margin = [int(WINDOW_END * width + 0.5) for width in sigma]
    one, other = image_pair(image, truth, ("image", "truth"), 1)
    if any(size <= 2 * edge for size, edge in zip(one.shape, margin, strict=True)):
        raise ValueError(
            f"image has {one.shape[0]} × {one.shape[1]} px; {2 * margin[0] + 1} × "
            f"{2 * margin[1] + 1} px are the least, the window in which structures are compared."
        )
    span = float(np.ptp(other))
    if not span > 0:
        raise ValueError("truth is constant: it has no structure to compare with.")

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth = scipy.ndimage.gaussian_filter(values, sigma, truncate=WINDOW_END)
        return smooth[margin[0] : -margin[0] or None, margin[1] : -margin[1] or None]

    one, other = one - one.mean(), other - other.mean()
    mean, true_mean = local(one), local(other)
    variance = local(one**2) - mean**2 + local(other**2) - true_mean**2
    covariance = local(one * other) - mean * true_mean
    mean_term, contrast_term = (STABLE_MEAN * span) ** 2, (STABLE_CONTRAST * span) ** 2
    likeness = (2 * mean * true_mean + mean_term) * (2 * covariance + contrast_term)
    size = (mean**2 + true_mean**2 + mean_term) * (variance + contrast_term)
    return float(np.mean(likeness / size))


@dataclasses.dataclass(frozen=True, eq=False)
class BandTransfer:
    """What a reconstruction keeps of the truth, in bands of spatial frequency.

    Parameters
    ----------
    bands
        Lower and upper limit of each [1/Å], (bands, 2).
    transfer
        Slope of the image over the truth: 1 is perfect, 0 lost, negative reversed; (bands,).
    correlation
        Of image and truth in the band, between -1 and 1: 1 means that only the slope is wrong;
        (bands,).
    """

    bands: NDArray[np.float64]
    transfer: NDArray[np.float64]
    correlation: NDArray[np.float64]


def transfer_by_band(
    image: ArrayLike,
    truth: ArrayLike,
    *,
    sampling: float | tuple[float, float],
    bands: Sequence[tuple[float, float]],
) -> BandTransfer:
    """Fit an image by the truth, for each band of spatial frequencies by itself.

    The slope of the regression of real images that hold the band only, ``Re Σ F T* / Σ |T|²``. A
    Tukey window (flat in the middle half) keeps the edges of the field out.

    Parameters
    ----------
    image, truth
        Phases (ny, nx) [rad], at least 16 px along either side, of one field of view.
    sampling
        Pixel size (y, x) [Å].
    bands
        Lower limit (included) and upper limit (not included) of each [1/Å].

    Raises
    ------
    ValueError
        The images differ in shape, are too small, or hold NaN or complex numbers; the truth is
        constant; the sampling is no pixel size; a band is none, holds no Fourier pixel, or the
        truth has nothing in it.

    Examples
    --------
    >>> truth = np.random.default_rng(0).normal(size=(64, 64))
    >>> found = transfer_by_band(0.8 * truth, truth, sampling=0.2, bands=[(0, 1), (1, 2)])
    >>> found.transfer.round(3), found.correlation.round(3)
    (array([0.8, 0.8]), array([1., 1.]))
    """
    one, other = image_pair(image, truth, ("image", "truth"))
    if not np.ptp(other) > 0:
        raise ValueError("truth is constant: nothing can be transferred.")
    limits = _limits(bands)
    radius = np.hypot(*spatial_frequencies(one.shape, pixel_size(sampling)))
    window = np.outer(tukey(one.shape[0]), tukey(one.shape[1]))
    found = windowed_spectrum(one, window) * bool(np.ptp(one) > 0)
    true = windowed_spectrum(other, window)
    total = np.sum(np.abs(true) ** 2)
    transfer, correlation = np.zeros(len(limits)), np.zeros(len(limits))
    for index, (low, high) in enumerate(limits):
        member = (radius >= low) & (radius < high) & (radius > 0)
        true_power = np.sum(np.abs(true[member]) ** 2)
        if not true_power > ROUNDING * total:
            raise ValueError(
                f"The truth holds nothing between {low:g} and {high:g} 1/Å; at this sampling, "
                f"{one.shape[0]} × {one.shape[1]} px hold {radius[radius > 0].min():.3g} to "
                f"{radius.max():.3g} 1/Å."
            )
        common = np.sum((found[member] * true[member].conj()).real)
        power = np.sum(np.abs(found[member]) ** 2)
        transfer[index] = common / true_power
        correlation[index] = common / np.sqrt(power * true_power) if power > 0 else 0.0
    return BandTransfer(limits, transfer, np.clip(correlation, -1, 1))


def _limits(bands: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Return the limits of bands, (bands, 2), or say in a ValueError why they are none."""
    try:
        limits = np.asarray(bands, dtype=float)
    except (TypeError, ValueError):
        limits = np.empty(0)
    if (
        limits.ndim != 2
        or limits.shape[1] != 2
        or not len(limits)
        or not np.all((limits[:, 0] >= 0) & (limits[:, 0] < limits[:, 1]))
    ):
        raise ValueError(
            "bands must be pairs of a lower and a higher frequency [1/Å], such as "
            f"[(0, 0.5), (0.5, 1)], not {bands!r}."
        )
    return limits


def cross_talk(slices: ArrayLike, truth_slices: ArrayLike) -> NDArray[np.float64]:
    """Tell how much of the wrong slices of a specimen shows in each reconstructed one.

    Each reconstructed slice is fitted as a sum of all true slices, means taken off; its row of
    coefficients is divided by that of the right slice.

    Parameters
    ----------
    slices
        Reconstructed phases (slices, ny, nx) [rad], in the order the beam meets them.
    truth_slices
        True ones, of the same shape; none of them constant, or a sum of the others.

    Returns
    -------
    ndarray
        (slices, slices): row i, column j is the part of true slice j in reconstructed slice i
        relative to that of true slice i. The diagonal is 1; without cross-talk, the rest is 0.

    Raises
    ------
    ValueError
        The stacks differ in shape or hold NaN or complex numbers; the true slices cannot be told
        from each other; a slice does not hold its own true slice, or holds it reversed.

    Examples
    --------
    >>> top, bottom = np.random.default_rng(0).normal(size=(2, 16, 16))
    >>> found = cross_talk([top + 0.25 * bottom, 0.5 * bottom], [top, bottom])
    >>> np.abs(found).round(3)
    array([[1.  , 0.25],
           [0.  , 1.  ]])
    """
    found, true = _stack(slices, "slices"), _stack(truth_slices, "truth_slices")
    if found.shape != true.shape:
        raise ValueError(
            f"slices of shape {found.shape} and truth_slices of shape {true.shape} cannot be "
            "compared; sum the true potential over the same slices, field of view and sampling."
        )
    found, true = (
        (stack - stack.mean(axis=(1, 2), keepdims=True)).reshape(len(stack), -1)
        for stack in (found, true)
    )
    length = np.linalg.norm(true, axis=1)
    if not np.all(length > 0):
        raise ValueError(f"truth_slices[{np.argmin(length)}] is constant: it holds no structure.")
    scaled, _, rank, _ = np.linalg.lstsq((true / length[:, None]).T, found.T, rcond=1e-9)
    if rank < len(true):
        raise ValueError(
            "truth_slices cannot be told from each other: one of them is a sum of the others."
        )
    coefficients = scaled.T / length
    own = np.diag(coefficients)
    least = np.sqrt(ROUNDING) * np.abs(coefficients).max(axis=1)
    if not np.all(own > least):
        index = int(np.argmin(own - least))
        raise ValueError(
            f"slices[{index}] holds {own[index]:.3g} times truth_slices[{index}]: nothing of it, "
            "or its reverse. Check that both run along the beam, and the sign of the phase."
        )
    return coefficients / own[:, None]


def _stack(slices: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return slices as finite real numbers, or say in a ValueError why they are none."""
    stack = np.asarray(slices)
    if stack.ndim != 3 or 0 in stack.shape:
        raise ValueError(f"{name} must be phases (slices, ny, nx), not of shape {stack.shape}.")
    return np.stack([real_image(part, f"{name}[{i}]", 1) for i, part in enumerate(stack)])


def subpixel_shift(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Estimate how far the second of two images of one object lies from the first.

    From the highest value of their cross-correlation, sampled ever more finely up to 0.001 px by
    its Fourier sum. All frequencies count by their power: with their phases alone, those that hold
    nothing but noise would count as much. The second image is moved back and compared again, until
    the window against the edges no longer pulls the estimate towards zero.

    Parameters
    ----------
    first, second
        (ny, nx), at least 16 px along either side, apart by less than a quarter of the field. A
        perfect crystal is at the same place after every period: then the answer is one of many.

    Returns
    -------
    ndarray
        (y, x) [px]; ``moved_image(second, -shift)`` lies on the first.

    Raises
    ------
    ValueError
        The images differ in shape, are too small or constant, or hold NaN or complex numbers.

    References
    ----------
    M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, Opt. Lett. 33, 156 (2008).

    Examples
    --------
    >>> specimen = scipy.ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 64)), 2)
    >>> bool(np.allclose(subpixel_shift(specimen, moved_image(specimen, (2.3, -0.6))), (2.3, -0.6),
    ...                  atol=0.01))
    True
    """
    one, other = image_pair(first, second, ("first", "second"))
    for name, image in (("first", one), ("second", other)):
        if not np.ptp(image) > 0:
            raise ValueError(f"{name} is constant: there is nothing to align.")
    window = np.outer(*(np.hanning(size + 2)[1:-1] for size in one.shape))
    reference = windowed_spectrum(one, window).conj()
    shift = np.zeros(2)
    for _ in range(ALIGNMENT_ROUNDS):
        cross = reference * windowed_spectrum(moved_image(other, -shift), window)
        step = _highest_correlation(cross)
        shift += step
        if np.abs(step).max() < FINEST_SHIFT:
            break
    return shift


def _highest_correlation(cross: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return where a cross-spectrum has its highest correlation, (y, x) [px]."""
    ky, kx = (np.fft.fftfreq(size) for size in cross.shape)
    correlation = scipy.fft.ifft2(cross).real
    peak = np.array(np.unravel_index(np.argmax(correlation), cross.shape), dtype=float)
    # The second half of the range of shifts is the negative one.
    peak -= np.where(peak > np.array(cross.shape) // 2, cross.shape, 0)
    step = 1.0
    while step > FINEST_SHIFT:
        step /= 10
        y, x = (center + step * np.arange(-10, 11) for center in peak)
        rows = np.exp(2j * np.pi * np.outer(y, ky))
        finer = (rows @ cross @ np.exp(2j * np.pi * np.outer(kx, x))).real
        row, column = np.unravel_index(np.argmax(finer), finer.shape)
        peak = np.array([y[row], x[column]])
    return peak


def moved_image(image: ArrayLike, shift: ArrayLike) -> NDArray[np.float64]:
    """Move an image by a fraction of a pixel, by a ramp in Fourier space.

    What leaves at one edge comes in at the opposite one.

    Parameters
    ----------
    image
        (ny, nx).
    shift
        (y, x) [px].

    Raises
    ------
    ValueError
        The image holds NaN or complex numbers, or the shift is no finite vector.

    Examples
    --------
    >>> moved_image([[0.0, 1.0, 0.0, 0.0]], (0, 2)).round(12) + 0.0
    array([[0., 0., 0., 1.]])
    """
    array, vector = real_image(image, "image", 1), np.asarray(shift, dtype=float)
    if vector.shape != (2,) or not np.isfinite(vector).all():
        raise ValueError(f"shift must be a vector (y, x) [px], not {shift!r}.")
    ky, kx = spatial_frequencies((array.shape[0], array.shape[1]), 1)
    ramp = np.exp(-2j * np.pi * (ky * vector[0] + kx * vector[1]))
    return np.asarray(scipy.fft.ifft2(scipy.fft.fft2(array) * ramp).real)
