"""Scans to train AIRPI on: random specimens under random conditions, seen by virtual detectors.

What is simulated once is the expected count of every cell at infinite dose. Noise, symmetries and
errors of the calibration are drawn anew each time a scan is used, since counts in cells, which are
sums of Poisson counts, are Poisson counts again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.rapid_phase_imaging.detector_cells import CELLS, FINE, SECTORS
from stem_plugins.rapid_phase_imaging.inputs import ABERRATIONS, conditions_of
from stem_plugins.rapid_phase_imaging.wave_grid import aberration_phase
from stem_plugins.simulation.batched_scan import (
    ANGLE,
    CUTOFF,
    FRACTIONS,
    PIXEL,
    WINDOW,
    BatchedScan,
    free_flight,
    phase_spectrum,
)
from stem_plugins.simulation.crystals import Atoms
from stem_plugins.simulation.random_specimens import random_specimen
from stem_plugins.training.cell_sums import (
    UNDISTORTED,
    Distortion,
    random_distortion,
    sum_over_cells,
)

__all__ = [
    "SIDE",
    "CleanScan",
    "Conditions",
    "SimulatedSpecimen",
    "clean_scan",
    "conditions_like",
    "random_conditions",
    "scan_places",
    "simulated_specimen",
]

Generator = np.random.Generator

#: Positions along a side of a training scan.
SIDE = 40

#: Points of the label between two positions.
LABEL_POINTS = 2

#: Where the label's frequencies begin to fade, in α; at `CUTOFF` they end.
FADE = 2.0

#: Steps between positions, in eighths of a simulated pixel, from and to.
STEPS = (7.2, 58.0)

#: Distance of slices at least [Å].
SLICE = 3.0


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How a scan is recorded.

    Parameters
    ----------
    beam_energy, convergence_angle
        In keV and mrad.
    step
        Between positions, in eighths of a simulated pixel; `scan_step` in λ/α.
    aberrations
        Complex phases at the aperture's edge [rad], as `ABERRATIONS`, at half the height of the
        specimen.
    offset
        By which patterns lie beside where they are thought to, in parts of α (y, x).
    configurations
        Frozen phonons; 0: the potential is smeared, and all of the specimen is one slice.
    distortion
        By which patterns are turned and stretched against what is thought of the camera.
    """

    beam_energy: float
    convergence_angle: float
    step: int
    aberrations: tuple[complex, ...]
    offset: tuple[float, float]
    configurations: int
    distortion: Distortion = UNDISTORTED

    @property
    def scan_step(self) -> float:
        """Between positions, in λ/α."""
        return self.step * PIXEL / FRACTIONS

    @property
    def unit(self) -> float:
        """λ/α [Å]."""
        return wavelength(self.beam_energy) / (self.convergence_angle * 1e-3)

    @property
    def extent(self) -> float:
        """Of the specimen that is needed [Å]."""
        return _grid(self.step) * PIXEL * self.unit


@dataclasses.dataclass(frozen=True, eq=False)
class CleanScan:
    """A scan without noise.

    Parameters
    ----------
    cells
        Expected parts of the beam, (`CELLS` + `SECTORS`, `SIDE`, `SIDE`).
    phase
        What is to be found [rad], of mean zero: the projected phase, smeared by thermal motion, at
        the positions and halfway between them, (2 `SIDE`, 2 `SIDE`).
    conditions
        Under which it was recorded.
    """

    cells: NDArray[np.float16]
    phase: NDArray[np.float32]
    conditions: Conditions


def random_conditions(rng: Generator) -> Conditions:
    """Draw conditions: 30 to 300 kV and 5 to 30 mrad, overlaps of 3 and more.

    Parameters
    ----------
    rng
        Source of random numbers.

    Examples
    --------
    >>> random_conditions(np.random.default_rng(0)).unit > 0.6
    True
    """
    energy = float(rng.choice([30, 40, 60, 80, 100, 120, 200, 200, 300, 300, 300]))
    if rng.random() < 0.5:
        energy = float(np.exp(rng.uniform(np.log(30), np.log(300))))
    # Atoms are seen where λ/α is small: three scans of four are such.
    angle = rng.uniform(5, 30)
    if rng.random() < 0.75:
        angle = 1e3 * wavelength(energy) / np.exp(rng.uniform(np.log(0.6), np.log(2.5)))
    angle = float(np.clip(angle, 5, 30))
    aberrations = _random_lens(rng, (0, 0.5, 1.5))
    return Conditions(
        beam_energy=energy,
        convergence_angle=angle,
        step=int(np.round(np.exp(rng.uniform(*np.log(STEPS))))),
        aberrations=aberrations,
        offset=_random_offset(rng),
        configurations=int(rng.choice([0, 4])),
        distortion=random_distortion(rng),
    )


def conditions_like(acquisition: Acquisition, rng: Generator, *, repeat: int = 1) -> Conditions:
    """Draw conditions close to those of a scan: what is known, with its small errors.

    Parameters
    ----------
    acquisition
        With beam energy, convergence angle and scan step.
    rng
        Source of random numbers.
    repeat
        Edge of the boxes of patterns that are summed.

    Raises
    ------
    ValueError
        The step is too fine or too coarse for the training.

    Examples
    --------
    >>> known = Acquisition(beam_energy=300, convergence_angle=20, scan_step=0.2)
    >>> conditions_like(known, np.random.default_rng(0)).step
    15
    """
    told = conditions_of(acquisition, repeat, math.inf)
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    step = float(np.sqrt(np.prod(told.scan_step)))
    whole = round(step / PIXEL * FRACTIONS)
    if not STEPS[0] <= whole <= STEPS[1]:
        low, high = (edge * PIXEL / FRACTIONS * told.unit for edge in STEPS)
        raise ValueError(
            f"The scan step of {step * told.unit:.3g} Å is outside what can be trained for this "
            f"probe, {low:.2g} to {high:.2g} Å."
        )
    wrong = _random_lens(rng, (0.3,))
    return Conditions(
        beam_energy=acquisition.beam_energy,
        convergence_angle=acquisition.convergence_angle,
        step=whole,
        aberrations=tuple(
            known + error for known, error in zip(told.aberrations, wrong, strict=True)
        ),
        offset=_random_offset(rng),
        configurations=int(rng.choice([0, 4])),
        distortion=random_distortion(rng),
    )


def _random_lens(rng: Generator, scales: tuple[float, ...]) -> tuple[complex, ...]:
    sizes = np.array([0.5, 0.2, 0.15, 0.2, 0.3])
    turned = rng.normal(size=(len(sizes), 2)) * sizes[:, None] * rng.choice(scales)
    return tuple(
        complex(c, s if fold else 0.0)
        for (c, s), fold in zip(turned, ABERRATIONS.values(), strict=True)
    )


def _random_offset(rng: Generator) -> tuple[float, float]:
    y, x = rng.uniform(-0.4, 0.4, 2) * FINE * rng.choice([0, 1])
    return float(y), float(x)


def clean_scan(
    conditions: Conditions, rng: Generator, *, atoms: Atoms | None = None, device: str = "cpu"
) -> CleanScan:
    """Simulate a scan.

    Parameters
    ----------
    conditions
        How it is recorded.
    rng
        Source of the specimen and of frozen phonons.
    atoms
        The specimen, `Conditions.extent` wide; ``None``: a random one.
    device
        Where waves are computed.
    """
    specimen = simulated_specimen(conditions, rng, atoms=atoms, device=device)
    cells = _cells_of_scan(specimen.scan, conditions, rng)
    phase = _label(specimen.spectrum, specimen.size, conditions)
    return CleanScan(cells.astype(np.float16), phase, conditions)


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedSpecimen:
    """A specimen that is ready to be scanned.

    Parameters
    ----------
    scan
        Its slices and the lens.
    spectrum, size
        Of the projected phase that is to be found, smeared by thermal motion; and its pixels.
    """

    scan: BatchedScan
    spectrum: NDArray[np.complexfloating]
    size: tuple[int, int]


def simulated_specimen(
    conditions: Conditions,
    rng: Generator,
    *,
    atoms: Atoms | None = None,
    side: int = SIDE,
    at_rest: bool = False,
    device: str = "cpu",
) -> SimulatedSpecimen:
    """Compute the slices of a specimen.

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
        Whether thermal motion smears the slices, in place of frozen phonons.
    device
        Where waves are computed.
    """
    pixels = _grid(conditions.step, side)
    if atoms is None:
        atoms = random_specimen(pixels * PIXEL * conditions.unit, rng)
    size = (pixels, pixels)

    def spectrum(part: Atoms) -> NDArray[np.complex64]:
        return phase_spectrum(part, size, unit=conditions.unit, beam_energy=conditions.beam_energy)

    smeared = spectrum(atoms)
    slow = _slow_field(size, rng)
    if conditions.configurations:
        count = max(1, min(8, int(atoms.cell[0] / max(SLICE, atoms.cell[0] / 8))))
        moments = range(1 if at_rest else conditions.configurations)
        phases = np.stack(
            [
                np.stack(
                    [np.fft.irfft2(one, s=size) for one in map(spectrum, _slices(moved, count))]
                )
                for moved in (atoms if at_rest else atoms.displaced(rng) for _ in moments)
            ]
        )
        distance = atoms.cell[0] / count
    else:
        phases, distance = np.fft.irfft2(smeared, s=size)[None, None], 0.0
    phases = phases + slow / phases.shape[1]
    apart = free_flight(conditions.beam_energy, distance, conditions.convergence_angle)
    entrance = -0.5 * (phases.shape[1] - 1) * apart
    scan = BatchedScan(
        torch.from_numpy(phases.astype(np.float32)).to(device),
        apart,
        torch.from_numpy(_aperture(conditions, entrance)).to(device),
    )
    return SimulatedSpecimen(scan, smeared + np.fft.rfft2(slow), size)


def _grid(step: int, side: int = SIDE) -> int:
    """Pixels of the specimen along a side: all windows, and room for atoms at their edge."""
    needed = WINDOW + 2 + side * step / FRACTIONS
    return int(8 * np.ceil(needed / 8))


def _slices(atoms: Atoms, count: int) -> Iterator[Atoms]:
    index = np.clip((atoms.positions[:, 0] / atoms.cell[0] * count).astype(int), 0, count - 1)
    for number in range(count):
        yield atoms[index == number]


def _slow_field(size: tuple[int, int], rng: Generator) -> NDArray[np.float64]:
    """Thickness that changes, charge, fields: now and then a phase of long waves."""
    if rng.random() < 0.7:
        return np.zeros(size)
    noise = np.fft.rfft2(rng.normal(size=size))
    y, x = np.fft.fftfreq(size[0], PIXEL)[:, None], np.fft.rfftfreq(size[1], PIXEL)
    width = np.exp(rng.uniform(np.log(0.03), np.log(0.4)))
    field = np.fft.irfft2(noise * np.exp(-((y**2 + x**2) / (2 * width**2))), s=size)
    return (field - field.mean()) / max(field.std(), 1e-12) * rng.uniform(0.02, 0.4)


def _aperture(conditions: Conditions, entrance: float) -> NDArray[np.complex64]:
    """Wave in the aperture at the upper face, angle zero first."""
    y = np.fft.fftfreq(WINDOW, PIXEL)[:, None] + np.zeros(WINDOW)
    x = y.T
    disc = np.clip((1 - np.hypot(y, x)) / ANGLE + 0.5, 0, 1)
    chi = aberration_phase(y, x, conditions.aberrations) + np.pi * entrance * (y**2 + x**2)
    return (disc * np.exp(-1j * chi)).astype(np.complex64)


def scan_places(step: int, side: int) -> torch.Tensor:
    """Places of a square of positions as `BatchedScan` takes them, (side², 2)."""
    line = WINDOW // 2 * FRACTIONS + FRACTIONS + step * np.arange(side)
    y, x = np.meshgrid(line, line, indexing="ij")
    return torch.from_numpy(np.stack([y, x], -1).reshape(-1, 2))


def _cells_of_scan(
    scan: BatchedScan, conditions: Conditions, rng: Generator
) -> NDArray[np.float32]:
    """Sum patterns over cells."""
    device = scan.phases.device
    places = scan_places(conditions.step, SIDE).to(device)
    kinds = torch.from_numpy(rng.integers(len(scan.phases), size=SIDE**2)).to(device)
    offset = torch.tensor([one / ANGLE for one in conditions.offset], device=device)
    found = sum_over_cells(scan.patterns(places, kinds, offset), conditions.distortion)
    return found.T.reshape(CELLS + SECTORS, SIDE, SIDE).cpu().numpy()


def _label(
    spectrum: NDArray[np.complexfloating], size: tuple[int, int], conditions: Conditions
) -> NDArray[np.float32]:
    """Projected phase at the positions and between them, without what no pattern shows."""
    y, x = np.fft.fftfreq(size[0], PIXEL), np.fft.rfftfreq(size[1], PIXEL)
    half = 0.5 * LABEL_POINTS / conditions.scan_step
    radius = np.hypot(y[:, None], x)
    fade = 0.5 * (1 + np.cos(np.pi * np.clip((radius - FADE) / (CUTOFF - FADE), 0, 1)))
    kept = spectrum * fade * (np.abs(y)[:, None] < half) * (x < half)
    kept[0, 0] = 0
    first = (WINDOW // 2 + 1) * PIXEL
    points = first + np.arange(LABEL_POINTS * SIDE) * conditions.scan_step / LABEL_POINTS
    rows = np.exp(2j * np.pi * np.outer(points, y))
    columns = np.exp(2j * np.pi * np.outer(x, points))
    columns[1:] *= 2  # the other half of the spectrum
    phase = (rows @ kept @ columns).real / np.prod(size)
    return (phase - phase.mean()).astype(np.float32)
