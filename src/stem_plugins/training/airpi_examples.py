"""Examples that AIRPI's spatial network is taught with: clean scans, noise, symmetries, errors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from stem_plugins.rapid_phase_imaging.detector_cells import (
    CELLS,
    RINGS,
    SECTORS,
    SECTORS_PER_RING,
    cell_of,
    fine_angles,
)
from stem_plugins.rapid_phase_imaging.inputs import (
    ABERRATIONS,
    ScanConditions,
    ScanInputs,
    scan_inputs,
)
from stem_plugins.training.airpi_library import read_scans
from stem_plugins.training.airpi_scans import CleanScan

__all__ = ["Example", "draw_example", "examples", "noisy_inputs", "turned"]

Generator = np.random.Generator

#: Electrons per (λ/α)², from and to; and how often there is no noise.
DOSES, NOISELESS = (40.0, 3e6), 0.12

#: How often the dose is drawn about where this specimen begins to be seen; and electrons per (λ/α)²
#: times its mean squared phase [rad²] there, from and to.
AT_THE_LIMIT, LIMIT = 0.5, (0.15, 6.0)

#: Errors of the calibration: of the step and of aberration phases [rad].
STEP_ERROR, ABERRATION_ERROR = 0.01, 0.12


#: Mean from which on counts are drawn from the normal distribution; and most counts below it.
NORMAL_FROM, MOST_COUNTS = 12.0, 200


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """What the network sees, and what it is to find.

    Parameters
    ----------
    inputs
        What it sees.
    phase
        What it is to find [rad], (2 y, 2 x); the last row and column are not to be looked at.
    """

    inputs: ScanInputs
    phase: NDArray[np.float32]


def examples(
    folder: Path,
    rng: Generator,
    *,
    first: int = 0,
    last: int | None = None,
    doses: tuple[float, float] = DOSES,
) -> Iterator[Example]:
    """Draw examples without end from the files of a library.

    Parameters
    ----------
    folder
        From `stem_plugins.training.airpi_library.grow_library`; it may grow meanwhile.
    rng
        Source of the order, noise, symmetries and errors.
    first, last
        Numbers of the files that are used, as of a slice.
    doses
        Electrons per (λ/α)², from and to; one scan of eight is without noise.
    """
    while True:
        files = sorted(folder.glob("scans-*.npz"))[first:last]
        if not files:
            raise ValueError(f"{folder} holds no training scans: simulate some first.")
        for scan in rng.permutation(np.array(read_scans(files[rng.integers(len(files))]), object)):
            yield draw_example(scan, rng, doses)


def draw_example(scan: CleanScan, rng: Generator, doses: tuple[float, float] = DOSES) -> Example:
    """Draw an example of a clean scan.

    Parameters
    ----------
    scan
        Of the library.
    rng
        Source of random numbers.
    doses
        Electrons per (λ/α)², from and to.
    """
    cells, phase, aberrations = turned(scan, int(rng.integers(4)), bool(rng.integers(2)))
    dose = math.inf
    if rng.random() > NOISELESS:
        dose = max(1.0, _random_dose(phase, rng, doses) * scan.conditions.scan_step**2)
    step = scan.conditions.scan_step * np.exp(rng.normal(0, STEP_ERROR))
    errors = rng.normal(0, ABERRATION_ERROR, (len(aberrations), 2)) * rng.choice([0, 1])
    believed = tuple(
        value + complex(y, x if fold else 0.0)
        for value, (y, x), fold in zip(aberrations, errors, ABERRATIONS.values(), strict=True)
    )
    conditions = ScanConditions((step, step), dose, scan.conditions.unit, believed)
    return Example(noisy_inputs(cells, conditions, rng), phase)


def _random_dose(phase: NDArray[np.float32], rng: Generator, doses: tuple[float, float]) -> float:
    """Electrons per (λ/α)²: anything alike, or where it is hard to tell specimen and noise apart.

    Strong specimens come there only at the lowest doses, weak ones at doses where others are seen
    well: drawn alike, a single layer of light atoms would hardly ever teach how it looks there.
    """
    low, high = doses
    if rng.random() < AT_THE_LIMIT:
        power = max(float(phase.var()), 1e-12)
        low, high = np.clip([edge / power for edge in LIMIT], *doses)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def noisy_inputs(
    cells: NDArray[np.float32], conditions: ScanConditions, rng: Generator
) -> ScanInputs:
    """Count electrons in expected cells, and make of them what the network sees.

    Parameters
    ----------
    cells
        Expected parts of the beam, (cells + sectors, y, x).
    conditions
        With the electrons of a pattern; infinite: no noise.
    rng
        Source of the noise.
    """
    if math.isfinite(conditions.electrons):
        expected = cells * np.float32(conditions.electrons)
        counts = poisson_counts(expected, rng)
        cells = counts / max(float(counts.sum(axis=0).mean()), 1e-3)
    else:
        cells = cells / cells.sum(axis=0).mean()
    return scan_inputs(cells, conditions)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(expected: NDArray[np.float32], rng: Generator, counts: NDArray[np.float32]) -> None:
    for index in range(len(expected)):
        mean = expected[index]
        if mean > NORMAL_FROM:
            drawn = mean + math.sqrt(mean) * rng.standard_normal()
            counts[index] = max(0.0, round(drawn))
            continue
        # Where the running sum of the distribution passes a random number.
        left, chance, count = rng.random(), math.exp(-mean), 0
        while left > chance and count < MOST_COUNTS:
            left -= chance
            count += 1
            chance *= mean / count
        counts[index] = count


def poisson_counts(expected: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    """Draw Poisson counts, five times as fast as NumPy; above 12 they are rounded normal numbers.

    Parameters
    ----------
    expected
        Means, any shape.
    rng
        Source of the random numbers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = poisson_counts(np.full((100, 100), 3.0, np.float32), rng)
    >>> abs(counts.mean() - 3) < 0.1, abs(counts.var() - 3) < 0.2
    (np.True_, np.True_)
    """
    counts = np.empty_like(expected)
    _count(expected.reshape(-1), rng, counts.reshape(-1))
    return counts


def turned(
    scan: CleanScan, quarters: int, mirrored: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[complex, ...]]:
    """Turn specimen, patterns and lens together.

    Parameters
    ----------
    scan
        To be turned.
    quarters
        By so many quarter turns.
    mirrored
        Whether x is reversed afterwards.

    Returns
    -------
    tuple
        Cells, phase and aberrations. The last row and column of the phase are of no use: points
        halfway between positions lie on the other side of them now.
    """
    cells, phase = scan.cells.astype(np.float32), scan.phase
    aberrations = scan.conditions.aberrations
    folds = list(ABERRATIONS.values())
    for _ in range(quarters):
        # Points (y, x) come from (x, -y).
        cells = np.rot90(cells, axes=(1, 2))[_from_quarter_turn()]
        phase = np.roll(np.rot90(phase), -1, axis=0)
        aberrations = tuple(
            value * (-1j) ** fold for value, fold in zip(aberrations, folds, strict=True)
        )
    if mirrored:
        cells = cells[:, :, ::-1][_from_mirror()]
        phase = np.roll(phase[:, ::-1], -1, axis=1)
        aberrations = tuple(
            (-1) ** fold * value.conjugate() for value, fold in zip(aberrations, folds, strict=True)
        )
    return np.ascontiguousarray(cells), np.ascontiguousarray(phase), aberrations


def _middles() -> NDArray[np.float64]:
    """A place in every cell and sector, in parts of α."""
    radii = (np.array((1.3, *RINGS[:-1])) + np.array(RINGS)) / 2
    turn = (np.arange(SECTORS_PER_RING) + 0.5) * 2 * np.pi / SECTORS_PER_RING
    places = radii[:, None, None] * np.stack([np.sin(turn), np.cos(turn)], -1)
    return np.concatenate([fine_angles(), places.reshape(SECTORS, 2)])


def _from_quarter_turn() -> NDArray[np.int64]:
    y, x = _middles().T
    return cell_of(np.column_stack([x, -y]))


def _from_mirror() -> NDArray[np.int64]:
    y, x = _middles().T
    found = cell_of(np.column_stack([y, -x]))
    assert len(found) == CELLS + SECTORS
    return found
