"""Which pixels of a detector count: given ones, dead ones, hot ones, saturated ones."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from stem_plugins.imaging.pattern_checks import largest_count_of

__all__ = [
    "HOT",
    "dead_pixels",
    "filled_dead_pixels",
    "given_weights",
    "hot_pixels",
    "warn_of_saturation",
]

#: A pixel that sees less than this part of its neighbourhood in the disc is dead.
DEAD = 0.02

#: A pixel with so many times the counts of the brightest beside it, and more than this part of the
#: disc's level, is hot.
HOT, HOT_LEVEL = 10.0, 0.5

#: The eight pixels beside one.
BESIDE = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)

#: Pixels of a disc in which a hot pixel can be told from it.
SMALLEST_DISC = 25


def given_weights(mask: np.ndarray | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Turn a mask into weights.

    Parameters
    ----------
    mask
        True where a pixel counts; ``None``: everywhere.
    shape
        Of the detector.

    Raises
    ------
    ValueError
        The mask is none, does not fit, or leaves nothing.
    """
    if mask is None:
        return np.ones(shape, np.float32)
    mask = np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(
            f"mask must be True or False for every detector pixel, {shape}, not "
            f"{mask.dtype} {mask.shape}."
        )
    if not mask.any():
        raise ValueError("mask leaves no detector pixel: True is where a pixel counts.")
    return mask.astype(np.float32)


def dead_pixels(mean: NDArray[np.float64], weights: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find pixels without counts that lie among bright ones.

    Parameters
    ----------
    mean
        Mean pattern, (ky, kx).
    weights
        0 where pixels are left out already.
    """
    from scipy.ndimage import binary_fill_holes, median_filter

    level = np.median(mean[mean >= 0.1 * np.quantile(mean, 0.99)])
    disc = binary_fill_holes(median_filter(mean, 5, mode="nearest") > 0.5 * level)
    return disc & (mean < DEAD * level) & (weights > 0)


def filled_dead_pixels(
    pattern: NDArray[np.float64], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Fill what a detector does not see by what its neighbours do.

    Parameters
    ----------
    pattern
        Mean counts, (ky, kx).
    weights
        0 where pixels are known to be dead or hot; those that are dead in this pattern are found.
    """
    from scipy.ndimage import median_filter

    dead = (weights == 0) | dead_pixels(pattern, np.ones_like(weights))
    return np.where(dead, median_filter(pattern, 5, mode="nearest"), pattern)


def hot_pixels(mean: NDArray[np.float64], weights: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find pixels with far more counts than all beside them, as bright as the disc or more.

    Where the disc itself is of a few pixels, it would look like that, and none is found.

    Parameters
    ----------
    mean
        Mean pattern, (ky, kx).
    weights
        0 where pixels are left out already.
    """
    from scipy.ndimage import maximum_filter, median_filter

    around = maximum_filter(mean, footprint=BESIDE, mode="nearest")
    smooth = median_filter(mean, 5, mode="nearest")
    level = np.median(smooth[smooth >= 0.1 * smooth.max()]) if smooth.any() else np.inf
    if np.count_nonzero(smooth > 0.5 * level) < SMALLEST_DISC:
        return np.zeros(mean.shape, bool)
    return (mean > HOT * around) & (mean > HOT_LEVEL * level) & (weights > 0)


def warn_of_saturation(sample: np.ndarray, largest_count: int | None = None) -> None:
    """Warn of pixels at the largest count.

    Parameters
    ----------
    sample
        Some patterns. Counts above the largest show that the numbers are no longer those of the
        detector (binned, summed, scaled): then nothing is said.
    largest_count
        That a pixel can record; ``None``: what its type can hold.
    """
    largest = largest_count_of(sample.dtype, largest_count)
    if largest is not None and sample.max() == largest:
        full = np.count_nonzero(sample == largest)
        warnings.warn(
            f"{full} of {sample.size} pixels that were looked at are at the largest count, "
            f"{largest}: where the detector was saturated, the phase comes out too small.",
            stacklevel=4,
        )
