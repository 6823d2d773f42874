"""The bright-field disc in a mean pattern: where it lies, how large and how round it is."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from stem_plugins.optics.acquisition import Acquisition

__all__ = ["Disc", "calibrated_radius", "find_disc"]


@dataclasses.dataclass(frozen=True)
class Disc:
    """A bright disc.

    Parameters
    ----------
    center
        Its middle [px], (ky, kx).
    radius
        Of a circle of the same area [px].
    axes_ratio
        Longer over shorter axis.
    cut
        Whether it reaches an edge of the detector.
    """

    center: tuple[float, float]
    radius: float
    axes_ratio: float
    cut: bool


def calibrated_radius(acquisition: Acquisition) -> float:
    """Radius of the disc by the calibration [px].

    Parameters
    ----------
    acquisition
        With `convergence_angle` and `diffraction_step`.
    """
    assert acquisition.convergence_angle is not None
    assert acquisition.diffraction_step is not None
    return acquisition.convergence_angle / math.sqrt(math.prod(acquisition.diffraction_step))


def find_disc(mean: NDArray[np.floating]) -> Disc:
    """Measure the disc in the mean of many patterns: the largest region above half its level.

    Parameters
    ----------
    mean
        (ky, kx), finite, with counts.

    Examples
    --------
    >>> y, x = np.indices((40, 40))
    >>> disc = find_disc((np.hypot(y - 18, x - 21) < 10) * 5.0)
    >>> disc.center, round(disc.radius)
    ((18.0, 21.0), 10)
    """
    smooth = scipy.ndimage.median_filter(mean, 3)
    if not smooth.any():
        smooth = mean
    level = np.median(smooth[smooth >= 0.1 * np.quantile(smooth[smooth > 0], 0.995)])
    label, count = scipy.ndimage.label(smooth > 0.5 * level)
    sizes = np.bincount(label.ravel(), minlength=count + 1)[1:]
    disc = scipy.ndimage.binary_fill_holes(label == 1 + int(sizes.argmax()))
    y, x = np.nonzero(disc)
    spread = np.linalg.eigvalsh(np.cov(np.stack([y, x]))) if len(y) > 2 else np.ones(2)
    ratio = math.sqrt(spread[1] / spread[0]) if spread[0] > 0 else math.inf
    cut = disc[0].any() or disc[-1].any() or disc[:, 0].any() or disc[:, -1].any()
    center = (float(y.mean()), float(x.mean()))
    return Disc(center, math.sqrt(disc.sum() / math.pi), ratio, bool(cut))
