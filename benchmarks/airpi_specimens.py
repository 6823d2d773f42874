"""Scans that AIRPI is measured on: five materials that it was not taught, by another simulation.

300 kV, 20 mrad, in focus at half the height; 64 × 64 positions of 0.2 Å, 64 × 64 detector pixels
to 60 mrad; multislice with 2 Å slices and frozen phonons, three of 32 configurations for each
position. The truth is the projected phase, smeared by thermal motion, on a grid of half the step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from direct_ptychography import ACQUISITION, DETECTOR, SIDE, STEP, bilayer
from numpy.typing import NDArray

from stem_plugins.optics import interaction_constant
from stem_plugins.simulation import Atoms, simulate_scan, strontium_titanate
from stem_plugins.simulation.random_crystals import Crystal, crystal_slab
from stem_plugins.simulation.specimen import potential_on_grid

EXTENT = 26.0  # of the specimens [Å]; the scan lies in their middle

#: Root mean square displacement [Å] where the literature was not asked.
MOTION = 0.08


@dataclasses.dataclass(frozen=True, eq=False)
class Specimen:
    """Expected patterns in parts of the beam, and what is to be found in them."""

    patterns: NDArray[np.float32]
    truth: NDArray[np.float64]

    def counts(self, dose: float | None, rng: np.random.Generator) -> np.ndarray:
        """Patterns of a dose [e/Å²]."""
        if dose is None:
            return self.patterns
        return rng.poisson(self.patterns * (dose * STEP**2)).astype(np.uint16)


def _moving(atoms: Atoms) -> Atoms:
    return dataclasses.replace(atoms, displacements=np.full(len(atoms), MOTION))


def _faces(edge: float, number: int, *, second: bool = False) -> Crystal:
    places = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    if second:
        places = np.concatenate([places, places + 0.25])
    return Crystal(edge * np.eye(3), places, np.full(len(places), number))


def boron_nitride() -> Atoms:
    """One layer with two vacancies."""
    hexagon = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1]]) * [[2.5], [2.5], [3.3]]
    places = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    sheet = crystal_slab(
        Crystal(hexagon, places, np.array([5, 7])),
        (0, 0, 1),
        angle=0.4,
        extent=(EXTENT, EXTENT),
        thickness=3.2,
    )
    for place in ((11.0, 10.0), (16.0, 15.5)):
        away = np.linalg.norm(sheet.positions[:, 1:] - place, axis=1)
        sheet = sheet[np.arange(len(sheet)) != away.argmin()]
    return _moving(sheet)


def silicon() -> Atoms:
    """[110], 12 Å thick."""
    crystal = _faces(5.431, 14, second=True)
    return _moving(
        crystal_slab(crystal, (1, 1, 0), angle=0.2, extent=(EXTENT, EXTENT), thickness=12.0)
    )


def strontium_titanate_slab() -> Atoms:
    """[001], four cells thick."""
    cell = strontium_titanate(4)
    count = int(np.ceil(EXTENT / 3.905))
    slab = cell.repeat(1, count, count)
    inside = (slab.positions[:, 1:] < EXTENT).all(axis=1)
    part = slab[inside]
    return dataclasses.replace(part, cell=(slab.cell[0], EXTENT, EXTENT), periodic=False)


def gold_on_carbon() -> Atoms:
    """A particle of gold on [110], up to 9 Å thick, on 15 Å of carbon; its edge is in the field."""
    rng = np.random.default_rng(11)
    count = int(0.1 * 15 * EXTENT**2)
    film = rng.random((4 * count, 3)) * [15.0, EXTENT, EXTENT]
    kept: list[int] = []
    for index in range(len(film)):
        near = np.linalg.norm(film[kept] - film[index], axis=1) if kept else np.array([9.0])
        if near.min() > 1.35:
            kept.append(index)
        if len(kept) == count:
            break
    carbon = film[kept]
    gold = crystal_slab(
        _faces(4.08, 79), (1, 1, 0), angle=0.7, extent=(EXTENT, EXTENT), thickness=9.0
    )
    middle = np.array([0.0, 11.0, 10.0])
    inside = np.linalg.norm((gold.positions - middle) * [0.75, 1, 1], axis=1) < 7.0
    particle = gold.positions[inside] + [16.5, 0, 0]
    numbers = np.r_[np.full(len(carbon), 6), np.full(len(particle), 79)]
    positions = np.concatenate([carbon, particle])
    height = float(positions[:, 0].max() + 0.5)
    return _moving(Atoms(numbers, positions, (height, EXTENT, EXTENT), periodic=False))


def _bilayer() -> Atoms:
    whole = bilayer()
    low = (whole.cell[1] - EXTENT) / 2
    positions = whole.positions - [0, low, low]
    inside = ((positions[:, 1:] > 0) & (positions[:, 1:] < EXTENT)).all(axis=1)
    return dataclasses.replace(
        whole[inside], positions=positions[inside], cell=(whole.cell[0], EXTENT, EXTENT)
    )


MATERIALS: dict[str, Callable[[], Atoms]] = {
    "MoS₂, twisted bilayer": _bilayer,
    "BN, one layer": boron_nitride,
    "Si [110], 12 Å": silicon,
    "SrTiO₃ [001], 16 Å": strontium_titanate_slab,
    "Au on carbon": gold_on_carbon,
}


def specimen(name: str, folder: Path | None = None) -> Specimen:
    """Simulate a scan, or read it from the folder where it was kept."""
    path = None if folder is None else folder / f"{list(MATERIALS).index(name)}.npz"
    if path is not None and path.exists():
        with np.load(path) as file:
            return Specimen(file["patterns"], file["truth"])
    atoms, corner = MATERIALS[name](), (EXTENT - SIDE * STEP) / 2
    truth = potential_on_grid(atoms, (2 * SIDE,) * 2, (STEP / 2,) * 2, (corner, corner))
    patterns = simulate_scan(
        atoms,
        ACQUISITION,
        scan_shape=(SIDE, SIDE),
        detector_shape=(DETECTOR, DETECTOR),
        scan_origin=(corner, corner),
        slice_thickness=2.0,
        phonon_configurations=32,
        phonons_per_position=3,
        oversample=2,
        seed=1,
    ).data
    made = Specimen(np.asarray(patterns, np.float32), interaction_constant(300) * truth)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, patterns=made.patterns, truth=made.truth)
    return made


if __name__ == "__main__":
    import sys

    for material in MATERIALS:
        print(material, specimen(material, Path(sys.argv[1])).truth.std(), flush=True)
