"""Contrast limits: which values are shown darkest and brightest."""

from __future__ import annotations

import numpy as np

__all__ = ["image_limits", "pattern_limits"]


def image_limits(image: np.ndarray) -> tuple[float, float]:
    """Contrast limits of an image: the 0.5 and 99.5 percentiles of what is finite.

    Parameters
    ----------
    image
        Real numbers of any shape.

    Examples
    --------
    >>> image_limits(np.zeros((2, 2)))
    (0.0, 1.0)
    """
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, (0.5, 99.5)))
    return (low, high) if high > low else (low, low + 1.0)


def pattern_limits(pattern: np.ndarray, *, darkest: float = np.inf) -> tuple[float, float]:
    """Contrast limits of a diffraction pattern: all but the brightest pixel in a thousand.

    One hot pixel would leave the rest black.

    Parameters
    ----------
    pattern
        Real numbers of any shape.
    darkest
        The lower limit is not above it.

    Examples
    --------
    >>> pattern_limits(np.array([3.0, 3.0, np.nan]), darkest=0.0)
    (0.0, 3.0)
    """
    finite = pattern[np.isfinite(pattern)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = min(darkest, float(finite.min())), float(np.percentile(finite, 99.9))
    return (low, high) if high > low else (low, low + 1.0)
