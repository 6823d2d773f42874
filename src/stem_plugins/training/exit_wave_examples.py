"""Examples that AIRPI's exit-wave network is taught with: 3 × 3 patterns, and the wave behind."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.rapid_phase_imaging.exit_wave_inputs import exit_wave_inputs
from stem_plugins.rapid_phase_imaging.wave_grid import WINDOW, angles, probe_wave
from stem_plugins.simulation.batched_scan import FRACTIONS
from stem_plugins.simulation.batched_scan import WINDOW as SIMULATED
from stem_plugins.simulation.crystals import Atoms
from stem_plugins.training.airpi_examples import NOISELESS, poisson_counts
from stem_plugins.training.airpi_scans import (
    Conditions,
    random_conditions,
    scan_places,
    simulated_specimen,
)

__all__ = ["WaveExamples", "exit_wave_examples", "noisy_examples", "simulated_waves"]

Generator = np.random.Generator

#: Positions along a side of what is simulated at once; those inside have all their neighbours.
SIDE = 8

#: Electrons of a pattern, from and to.
ELECTRONS = (10.0, 3e6)

#: How often the detector is smaller than the grid, and its half side then, in α.
CUT, CUT_AT = 0.3, (1.2, 3.0)


@dataclasses.dataclass(frozen=True, eq=False)
class WaveExamples:
    """Several examples of one scan.

    Parameters
    ----------
    channels
        What the network sees, (n, channels, `WINDOW`, `WINDOW`).
    probe
        (`WINDOW`, `WINDOW`) complex.
    waves
        What it is to find, (n, `WINDOW`, `WINDOW`) complex.
    """

    channels: NDArray[np.float32]
    probe: NDArray[np.complex64]
    waves: NDArray[np.complex64]


def simulated_waves(
    conditions: Conditions,
    rng: Generator,
    *,
    atoms: Atoms | None = None,
    side: int = SIDE,
    at_rest: bool = False,
    device: str = "cpu",
) -> NDArray[np.complex64]:
    """Compute the waves of a scan at half the height of a specimen.

    Parameters
    ----------
    conditions
        How it is recorded.
    rng
        Source of the specimen and of frozen phonons.
    atoms
        The specimen; ``None``: a random one.
    side
        Positions along a side.
    at_rest
        As for `stem_plugins.training.airpi_scans.simulated_specimen`.
    device
        Where waves are computed.

    Returns
    -------
    ndarray
        (side, side, `WINDOW`, `WINDOW`), each around its probe.
    """
    options: dict[str, Any] = {"atoms": atoms, "side": side, "at_rest": at_rest}
    scan = simulated_specimen(conditions, rng, device=device, **options).scan
    places = scan_places(conditions.step, side).to(device)
    kinds = torch.from_numpy(rng.integers(len(scan.phases), size=len(places))).to(device)
    waves = scan.mid_plane_waves(places, kinds)
    frequency = torch.fft.fftfreq(SIMULATED, device=device)
    middle = SIMULATED // 2 + (places % FRACTIONS) / FRACTIONS
    y, x = (torch.exp(2j * torch.pi * frequency * one[:, None]) for one in middle.T)
    spectra = torch.fft.fft2(waves, norm="ortho") * y[:, :, None] * x[:, None, :]
    cut = (SIMULATED - WINDOW) // 2
    kept = torch.fft.fftshift(spectra, dim=(1, 2))[:, cut : cut + WINDOW, cut : cut + WINDOW]
    found = torch.fft.ifft2(torch.fft.ifftshift(kept, dim=(1, 2)), norm="ortho")
    found = torch.fft.fftshift(found, dim=(1, 2)).reshape(side, side, WINDOW, WINDOW)
    return found.cpu().numpy().astype(np.complex64)


def noisy_examples(
    waves: NDArray[np.complex64], conditions: Conditions, electrons: float, rng: Generator
) -> WaveExamples:
    """Count electrons of the patterns of waves, and make of them what the network sees.

    Parameters
    ----------
    waves
        From `simulated_waves`.
    conditions
        How they were recorded.
    electrons
        Of a pattern; infinite: no noise.
    rng
        Source of the noise, and of detectors that are smaller than the grid.
    """
    spectra = np.fft.fft2(np.fft.ifftshift(waves, axes=(2, 3)), norm="ortho")
    patterns = np.fft.fftshift(np.abs(spectra) ** 2, axes=(2, 3)).astype(np.float32)
    if rng.random() < CUT:
        y, x = angles()
        patterns *= np.maximum(np.abs(y), np.abs(x)) < rng.uniform(*CUT_AT)
    if math.isfinite(electrons):
        patterns = poisson_counts(patterns * np.float32(electrons), rng)
    patterns *= WINDOW**2 / max(float(patterns.sum(axis=(2, 3)).mean()), 1e-6)
    probe = probe_wave(conditions.aberrations)
    step = (conditions.scan_step, conditions.scan_step)
    inside = slice(1, -1)
    channels = [
        exit_wave_inputs(patterns[row - 1 : row + 2], step, probe)[inside]
        for row in range(1, len(patterns) - 1)
    ]
    sought = waves[inside, inside].reshape(-1, WINDOW, WINDOW)
    return WaveExamples(np.concatenate(channels), probe, sought)


def exit_wave_examples(rng: Generator, *, device: str = "cpu") -> Iterator[WaveExamples]:
    """Draw examples without end, some dozens of a scan at once.

    Parameters
    ----------
    rng
        Source of conditions, specimens and noise.
    device
        Where waves are computed.
    """
    while True:
        conditions = random_conditions(rng)
        waves = simulated_waves(conditions, rng, device=device)
        for _ in range(2):
            electrons = math.inf
            if rng.random() > NOISELESS:
                electrons = float(np.exp(rng.uniform(*np.log(ELECTRONS))))
            yield noisy_examples(waves, conditions, electrons, rng)
