"""Simulated patterns summed over AIRPI's cells, also where they lie turned and stretched."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.rapid_phase_imaging.detector_cells import CELLS, SECTORS, cell_of
from stem_plugins.simulation.batched_scan import ANGLE, WINDOW

__all__ = ["UNDISTORTED", "Distortion", "random_distortion", "sum_over_cells"]

#: By what angles (y, x) are multiplied to be where they are seen.
Distortion = tuple[tuple[float, float], tuple[float, float]]
UNDISTORTED: Distortion = ((1.0, 0.0), (0.0, 1.0))

#: Scatter of the rotation [degrees], and of the stretching along and across.
TURNED, STRETCHED = 2.0, 0.012

#: Parts of a pixel along an edge that are shared out where cells are no single pixels.
PARTS = 3


def random_distortion(rng: np.random.Generator) -> Distortion:
    """Draw an error of the camera's calibration: in half of the scans none.

    Parameters
    ----------
    rng
        Source of random numbers.
    """
    if rng.random() < 0.5:
        return UNDISTORTED
    turn = np.deg2rad(rng.normal(0, TURNED))
    along, across = rng.normal(0, STRETCHED, 2)
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    stretched = np.array([[1 + along, across], [across, 1 - along]])
    (a, b), (c, d) = (np.array([[cos, sin], [-sin, cos]]) @ stretched).tolist()
    return (a, b), (c, d)


def sum_over_cells(patterns: torch.Tensor, distortion: Distortion = UNDISTORTED) -> torch.Tensor:
    """Sum patterns over cells and sectors.

    Parameters
    ----------
    patterns
        (n, `WINDOW`, `WINDOW`), angle zero in the middle, between four pixels.
    distortion
        Of the camera.

    Returns
    -------
    Tensor
        (n, cells + sectors).
    """
    looked_at, weights = _weights(distortion)
    device = patterns.device
    pixels = patterns.reshape(len(patterns), -1)[:, torch.from_numpy(looked_at).to(device)]
    return pixels @ torch.from_numpy(weights).to(device)


@functools.lru_cache(maxsize=4)
def _weights(distortion: Distortion) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pixels that are looked at, and the part of each that every cell gets."""
    parts = 1 if distortion == UNDISTORTED else PARTS
    inner = (np.arange(parts) + 0.5) / parts - 0.5
    line = ((np.arange(WINDOW) - WINDOW / 2 + 0.5)[:, None] + inner).reshape(-1) * ANGLE
    angles = np.stack(np.meshgrid(line, line, indexing="ij"), -1) @ np.array(distortion).T
    divided = cell_of(angles).reshape(WINDOW, parts, WINDOW, parts)
    cell = divided.transpose(0, 2, 1, 3).reshape(WINDOW**2, parts**2)
    looked_at = np.flatnonzero((cell >= 0).any(axis=1))
    weights = np.zeros((len(looked_at), CELLS + SECTORS), np.float32)
    for part in cell[looked_at].T:
        inside = part >= 0
        weights[np.flatnonzero(inside), part[inside]] += 1 / parts**2
    return looked_at, weights
