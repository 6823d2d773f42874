"""Scans on which AIRPI's training decides when it is best: real crystals, by another simulation.

They come from `stem_plugins.simulation.simulate_scan`: other windows and slices than in training,
three frozen-phonon configurations for each position, patterns of a camera, lattices as they are
known. Each is seen twice, as it is, and by a camera whose rotation and scale are not quite what the
calibration says. The network may have met such materials by chance, but none of
``benchmarks/airpi.py``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.io.output_files import complete_or_nothing
from stem_plugins.optics import Acquisition, interaction_constant
from stem_plugins.rapid_phase_imaging.inputs import conditions_of
from stem_plugins.rapid_phase_imaging.reduction import plan_reduction, reduce_patterns
from stem_plugins.simulation.crystals import Atoms
from stem_plugins.simulation.random_crystals import FACES, Crystal, crystal_slab
from stem_plugins.simulation.scan import simulate_scan
from stem_plugins.simulation.specimen import potential_on_grid
from stem_plugins.training.airpi_examples import noisy_inputs

__all__ = ["ValidationScan", "mean_dissimilarity", "read_validation", "write_validation"]

#: Positions along a side, and detector pixels.
SIDE, DETECTOR = 32, 64

#: Doses [e/Å²]; no noise at the first.
DOSES = (np.inf, 1e5, 1e4, 1e3)

#: What the camera has that the calibration does not know: a rotation [degrees], and stretching of
#: the patterns along y.
TURNED, STRETCHED = 2.5, 1.02

#: Root mean square thermal displacement [Å].
MOTION = 0.07


@dataclasses.dataclass(frozen=True, eq=False)
class ValidationScan:
    """A scan without noise, its calibration, and what is to be found in it.

    Parameters
    ----------
    cells
        Expected parts of the beam, (cells + sectors, `SIDE`, `SIDE`).
    phase
        Projected phase at the positions and halfway between them [rad].
    acquisition
        Under which it was recorded, as far as the network is told.
    """

    cells: NDArray[np.float32]
    phase: NDArray[np.float32]
    acquisition: Acquisition


def _magnesium_oxide(extent: float) -> Atoms:
    places = np.concatenate([FACES, np.add(FACES, 0.5)])
    crystal = Crystal(4.212 * np.eye(3), places, np.repeat([12, 8], 4))
    return _slab(crystal, (0, 0, 1), extent, 14.0)


def _gallium_arsenide(extent: float) -> Atoms:
    places = np.concatenate([FACES, np.add(FACES, 0.25)])
    crystal = Crystal(5.653 * np.eye(3), places, np.repeat([31, 33], 4))
    return _slab(crystal, (1, 1, 0), extent, 18.0)


def _tungsten_diselenide(extent: float) -> Atoms:
    hexagon = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1]]) * [[3.28], [3.28], [6.5]]
    places = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.242], [2 / 3, 1 / 3, 0.758]])
    return _slab(Crystal(hexagon, places, np.array([74, 34, 34])), (0, 0, 1), extent, 6.49)


def _graphene_with_adatoms(extent: float) -> Atoms:
    hexagon = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1]]) * [[2.46], [2.46], [3.4]]
    places = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    sheet = _slab(Crystal(hexagon, places, np.array([6, 6])), (0, 0, 1), extent, 3.39)
    middle = extent / 2
    adatoms = [[3.3, middle - 2.1, middle - 1.4], [3.3, middle + 1.7, middle + 2.0]]
    return dataclasses.replace(
        sheet,
        numbers=np.append(sheet.numbers, [14, 26]),
        positions=np.vstack([sheet.positions, adatoms]),
        displacements=np.full(len(sheet) + 2, MOTION),
    )


def _platinum_edge(extent: float) -> Atoms:
    """A crystal that ends in the field, in vacuum."""
    whole = _slab(Crystal(3.924 * np.eye(3), np.array(FACES), np.full(4, 78)), (1, 1, 0), extent, 8)
    return whole[whole.positions[:, 1] < extent / 2]


def _slab(crystal: Crystal, zone: tuple[int, int, int], extent: float, thickness: float) -> Atoms:
    slab = crystal_slab(crystal, zone, angle=0.35, extent=(extent, extent), thickness=thickness)
    return dataclasses.replace(slab, displacements=np.full(len(slab), MOTION))


#: Specimen, beam energy [keV], semi-angle [mrad], scan step [Å], defocus [Å].
SCANS: tuple[tuple[Callable[[float], Atoms], float, float, float, float], ...] = (
    (_magnesium_oxide, 200, 20, 0.25, 0),
    (_gallium_arsenide, 300, 15, 0.35, 20),
    (_tungsten_diselenide, 80, 25, 0.2, 0),
    (_graphene_with_adatoms, 80, 30, 0.3, 10),
    (_platinum_edge, 300, 25, 0.15, 0),
)


def write_validation(path: Path, *, side: int = SIDE) -> Iterator[tuple[int, int]]:
    """Simulate the scans, which takes some minutes.

    Parameters
    ----------
    path
        Of the file.
    side
        Positions along a side.

    Yields
    ------
    tuple of int
        Scans done, and of how many.
    """
    parts: dict[str, NDArray] = {}
    for number, (specimen, acquisition) in enumerate(_experiments()):
        cells, turned, phase = _simulated(specimen, acquisition, side)
        parts |= {f"cells{number}": cells, f"turned{number}": turned, f"phase{number}": phase}
        yield number + 1, len(SCANS)
    with complete_or_nothing(path, overwrite=True) as (temporary,), temporary.open("wb") as file:
        np.savez(file, **parts)  # type: ignore[arg-type]


def _experiments() -> Iterator[tuple[Callable[[float], Atoms], Acquisition]]:
    for specimen, energy, angle, step, defocus in SCANS:
        yield (
            specimen,
            Acquisition(
                beam_energy=energy,
                convergence_angle=angle,
                scan_step=(step, step),
                diffraction_step=(6.4 * angle / DETECTOR,) * 2,
                defocus=defocus,
                center=((DETECTOR - 1) / 2, (DETECTOR - 1) / 2),
            ),
        )


def _simulated(
    specimen: Callable[[float], Atoms], acquisition: Acquisition, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Cells of a scan as they are, those that a badly known camera gives, and the true phase."""
    assert acquisition.beam_energy is not None
    assert acquisition.scan_step is not None
    assert acquisition.diffraction_step is not None
    step, margin = acquisition.scan_step[0], 6.0
    atoms = specimen(2 * margin + side * step)
    scan = simulate_scan(
        atoms,
        acquisition,
        scan_shape=(side, side),
        detector_shape=(DETECTOR, DETECTOR),
        scan_origin=(margin, margin),
        slice_thickness=2.5,
        phonon_configurations=16,
        phonons_per_position=3,
        seed=5,
    )
    pixel_y, pixel_x = acquisition.diffraction_step
    misjudged = acquisition.replace(
        scan_rotation=TURNED, diffraction_step=(pixel_y / STRETCHED, pixel_x)
    )
    patterns = np.asarray(scan.data, np.float32)
    cells, turned = (
        np.moveaxis(reduce_patterns(patterns, plan_reduction((DETECTOR, DETECTOR), one)), -1, 0)
        for one in (acquisition, misjudged)
    )
    phase = interaction_constant(acquisition.beam_energy) * potential_on_grid(
        atoms, (2 * side, 2 * side), (step / 2, step / 2), (margin, margin)
    )
    return cells, turned, (phase - phase.mean()).astype(np.float32)


def read_validation(path: Path) -> list[ValidationScan]:
    """Read the scans that `write_validation` wrote.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    ValueError
        The file is of an earlier version.
    """
    with np.load(path) as file:
        if "turned0" not in file:
            raise ValueError(
                f"{path} was written by an earlier version. Delete it; it is made anew, in minutes."
            )
        return [
            ValidationScan(file[f"{seen}{number}"], file[f"phase{number}"], acquisition)
            for number, (_, acquisition) in enumerate(_experiments())
            for seen in ("cells", "turned")
        ]


def mean_dissimilarity(network: torch.nn.Module, scans: list[ValidationScan]) -> float:
    """1 - correlation with the true phase, mean over scans and doses.

    Parameters
    ----------
    network
        To be judged.
    scans
        From `read_validation`.
    """
    device = next(network.parameters()).device
    found = []
    for scan, dose in itertools.product(scans, DOSES):
        assert scan.acquisition.scan_step is not None
        electrons = dose * scan.acquisition.scan_step[0] ** 2
        conditions = conditions_of(scan.acquisition, 1, electrons)
        inputs = noisy_inputs(scan.cells, conditions, np.random.default_rng(7))
        arrays = (inputs.channels, inputs.conditions, inputs.base)
        with torch.inference_mode():
            phase = network(*(torch.from_numpy(one)[None].to(device) for one in arrays))[0]
        pair = phase.cpu().numpy()[:-1, :-1].ravel(), scan.phase[:-1, :-1].ravel()
        found.append(1 - np.corrcoef(*pair)[0, 1])
    return float(np.mean(found))
