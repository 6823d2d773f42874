"""What gradients are divided by, so that one step brings all parts about equally far."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.optics.electrons import wavelength
from stem_plugins.ptychography.objective import FLOOR, Objective, Parts

__all__ = ["preconditioner"]

#: Frequencies of an object whose curvature is below this part of the largest are held back.
DAMPING = 0.01

#: Mean square slope of a phase [rad²/px²] that positions are expected to see at least.
SMALLEST_SLOPE = 1e-4

#: Mean square phase [rad²] that an object is expected to have at least.
SMALLEST_CONTRAST = 3e-3

#: Illumination, in parts of the largest, below which the object is held back.
DIM = 0.05


def preconditioner(
    objective: Objective, parts: Parts, regularity: NDArray[np.floating] | None = None
) -> Callable[[Parts], Parts]:
    """Return what divides gradients by the curvature that is expected of the loss.

    Parameters
    ----------
    objective
        Whose curvature is meant.
    parts
        Where the probe shines, the object may change; and the object's slopes tell how much
        positions matter.
    regularity
        Curvature of a regulariser over the object's frequencies, (channels, y, x), to be added.
    """
    shape = objective.geometry.shape
    by_channel = [values + DAMPING * values.max() for values in objective.expected_curvature]
    if regularity is not None:
        by_channel = [one + more for one, more in zip(by_channel, regularity, strict=True)]
    divisor = torch.from_numpy(np.stack(by_channel)[:, None].astype(np.float32))
    divisor = divisor.to(objective.device)[..., : shape[1] // 2 + 1]
    intensity = parts["probe"].detach().square().sum(dim=(0, -1)).cpu().numpy()
    light = objective.geometry.illumination(intensity)
    light /= light.max()
    window = np.sqrt(light * (1 + DIM) / (light + DIM)).astype(np.float32)
    lit = torch.from_numpy(window).to(objective.device)

    scales = _scales(objective, parts["object"].detach(), intensity)

    def divide(gradients: Parts) -> Parts:
        found = {name: value * scales.get(name, 1.0) for name, value in gradients.items()}
        if "object" in found:
            spectrum = torch.fft.rfft2(lit * found["object"]) / (divisor * found["object"].shape[1])
            found["object"] = lit * torch.fft.irfft2(spectrum, s=shape)
        return found

    return divide


def _scales(
    objective: Objective, channels: torch.Tensor, intensity: NDArray[np.floating]
) -> dict[str, float]:
    """One over the expected curvature of what is neither object nor a map."""
    slopes = [torch.diff(channels[0].sum(dim=0), dim=axis) for axis in (0, 1)]
    slope = max(SMALLEST_SLOPE, float(sum(one.square().mean() for one in slopes)) / 2)
    # Phases of the probe change nothing in vacuum; how much they do follows from the object.
    contrast = float(channels[0].sum(dim=0).square().mean())
    scales = {"probe": 0.25, "aberrations": 0.25 / max(SMALLEST_CONTRAST, contrast)}
    scales["positions"] = len(objective.geometry.positions) / (4 * slope)
    if objective.slice_thickness is not None:
        shift = 1e-3 * objective.slice_thickness / min(objective.geometry.sampling)
        scales["tilt"] = 1 / (4 * slope * shift**2 * channels.shape[1])
        # What the angles of the aperture gain in phase through the whole specimen.
        edge = np.pi * objective.slice_thickness * objective.aperture_radius**2
        assert objective.acquisition.beam_energy is not None
        edge *= wavelength(objective.acquisition.beam_energy) * (channels.shape[1] - 1)
        scales["slice_thickness"] = scales["aberrations"] / edge**2
    scales["descan"] = _descan_scale(intensity)
    floor = FLOOR / objective.disc_pixels
    share = objective.measurements.survey.mean_pattern / objective.mean_counts
    scales["background"] = float(1 / np.sum(1 / (share + floor)))
    return scales


def _descan_scale(intensity: NDArray[np.floating]) -> float:
    """One over the curvature for a shift of the pattern, a ramp of the wave over the probe."""
    lines = [np.arange(size) / size - 0.5 for size in intensity.shape]
    share = intensity / intensity.sum()
    spread = sum((share.sum(axis=1 - axis) * line**2).sum() / 2 for axis, line in enumerate(lines))
    return float(1 / (4 * (2 * np.pi) ** 2 * spread))
