"""What a network was trained on, and words for images that lie outside.

Three numbers can be read off an image beside its restoration: the electrons per pixel, from how
the noise grows with intensity; the size of its features in pixels; and how far its structure
stands above its noise. A network's file of weights carries the range of each in its training.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stem_plugins.restoration.evidence import NoiseModel

__all__ = ["TrainingRange", "pedestal_of", "warn_outside"]


@dataclasses.dataclass(frozen=True)
class TrainingRange:
    """Range of a network's training images.

    Parameters
    ----------
    electrons
        Least and most electrons per pixel, mean of the image.
    wavelength
        Shortest and longest dominant wavelength [px]: 2π times the standard deviation of the
        image over that of its slopes; the distance of columns, about.
    contrast
        Least standard deviation of the clean image over that of the noise.
    """

    electrons: tuple[float, float]
    wavelength: tuple[float, float]
    contrast: float

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> TrainingRange | None:
        """Read the range that a file of weights carries.

        Parameters
        ----------
        details
            Of the weights; ``None`` comes back where they carry no range.
        """
        found = details.get("trained_on")
        if not isinstance(found, Mapping):
            return None
        return cls(tuple(found["electrons"]), tuple(found["wavelength"]), found["contrast"])


def dominant_wavelength(image: np.ndarray) -> float:
    """Return 2π std(I) / rms|∇I| of an image (y, x) [px]; infinite where it has no slopes."""
    slopes = sum(float(np.mean(slope**2)) for slope in np.gradient(image.astype(float)))
    return float(2 * np.pi * image.std() / np.sqrt(slopes)) if slopes > 0 else np.inf


def pedestal_of(noise: NoiseModel, mean: float) -> float | None:
    """Return the intensity of no electrons, or warn and return None where the noise is silent.

    Parameters
    ----------
    noise
        Of the measured image.
    mean
        Of the image: a pedestal lies below it.
    """
    if noise.gain > 0 and noise.pedestal < mean:
        return noise.pedestal
    warnings.warn(
        "The noise of this image does not grow with its intensity, so nothing tells the pedestal, "
        "the intensity of no electrons; none was removed. Subtract it yourself: it is the level "
        "of an image with the beam blanked.",
        UserWarning,
        stacklevel=2,
    )
    return None


def warn_outside(trained: TrainingRange, noise: NoiseModel, restored: np.ndarray) -> None:
    """Warn in words where an image lies outside what a network was trained on.

    Parameters
    ----------
    trained
        The network's range.
    noise
        Of the measured image.
    restored
        (y, x), the network's result, on the scale of the noise.
    """
    reasons = _about_dose(trained, noise, float(restored.mean()))
    reasons += _about_size(trained, restored)
    noisiness = np.sqrt(noise.mean_variance)
    if restored.std() < trained.contrast * noisiness:
        reasons.append(
            f"its structure is {restored.std() / noisiness:.2g} of its noise, where training went "
            f"down to {trained.contrast:.2g}: what is seen may be noise"
        )
    if reasons:
        warnings.warn(
            "The image lies outside what the network was trained on: "
            + "; ".join(reasons)
            + ". Look at the maps of evidence, and compare with model='fft'.",
            UserWarning,
            stacklevel=2,
        )


def _about_dose(trained: TrainingRange, noise: NoiseModel, mean: float) -> list[str]:
    if noise.gain <= 0 or noise.pedestal >= mean:
        return []
    electrons = (mean - noise.pedestal) / noise.gain
    low, high = trained.electrons
    if electrons < low:
        return [f"about {electrons:.2g} electrons per pixel, where training went down to {low:g}"]
    if electrons > high:
        return [f"about {electrons:.2g} electrons per pixel, where training went up to {high:g}"]
    return []


def _about_size(trained: TrainingRange, restored: np.ndarray) -> list[str]:
    wavelength = dominant_wavelength(restored)
    short, long = trained.wavelength
    if wavelength < short:
        return [
            f"its features repeat every {wavelength:.1f} px, where training had no less than "
            f"{short:g} px: scan with smaller steps"
        ]
    if wavelength > long and np.isfinite(wavelength):
        return [
            f"its features are as wide as {wavelength:.0f} px, where training had no more than "
            f"{long:g} px: bin the image"
        ]
    return []
