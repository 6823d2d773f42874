"""What AIRPI shows and what it does not: single atoms, no false ones, wrong calibration.

    OMP_NUM_THREADS=1 python benchmarks/airpi_evidence.py [--keep FOLDER] [--model FILE]

Atoms: ten elements in vacuum, 300 kV, 20 mrad, no noise; peaks of the phase against true ones.
Resolution: likeness to the true phase in rings of spatial frequency, beyond 2α too, which no linear
method passes. Nothing there: maxima that are no atoms, on vacuum and on an amorphous film, by AIRPI
and by direct ptychography. Calibration: loss of correlation where one of its values is wrong.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import dataclasses
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.stats
import torch
from airpi import compared
from airpi_specimens import ACQUISITION, MATERIALS, MOTION, SIDE, STEP, Specimen, specimen
from numpy.typing import NDArray

import stem_plugins as stem
from stem_plugins.optics import interaction_constant, wavelength
from stem_plugins.rapid_phase_imaging import airpi
from stem_plugins.simulation import Atoms, simulate_scan, single_atoms
from stem_plugins.simulation.specimen import potential_on_grid

ELEMENTS = (6, 8, 14, 22, 29, 40, 50, 60, 74, 92)
DOSES = (None, 1e5, 1e4, 500.0)

#: Edge of the places of single atoms, and of the margin around them [Å].
APART, MARGIN = 4.8, 2.4


def ours(data: np.ndarray, model: str, **calibration: object) -> NDArray[np.float32]:
    acquisition = dataclasses.replace(ACQUISITION, **calibration)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return airpi(data, acquisition, model=model, threads=1, device="cpu").phase


def direct(data: np.ndarray) -> NDArray[np.float64]:
    """Direct ptychography on the grid of AIRPI."""
    image = np.angle(stem.ssb(data, ACQUISITION))
    return finer(image)


def finer(image: np.ndarray) -> NDArray[np.float64]:
    spectrum = scipy.fft.fftshift(scipy.fft.fft2(image))
    padded = np.pad(spectrum, [(size // 2, size // 2) for size in image.shape])
    return scipy.fft.ifft2(scipy.fft.ifftshift(padded)).real * 4


def recorded(atoms: Atoms, positions: tuple[int, int], origin: float) -> Specimen:
    """Expected patterns and the true phase, simulated as in airpi_specimens."""
    data = simulate_scan(
        atoms,
        ACQUISITION,
        scan_shape=positions,
        detector_shape=(64, 64),
        scan_origin=(origin, origin),
        slice_thickness=2.0,
        phonon_configurations=16,
        phonons_per_position=3,
        oversample=2,
        seed=1,
    ).data
    shape = (2 * positions[0], 2 * positions[1])
    truth = potential_on_grid(atoms, shape, (STEP / 2,) * 2, (origin, origin))
    return Specimen(np.asarray(data, np.float32), interaction_constant(300) * truth)


def limited(truth: np.ndarray, semi_angles: float) -> NDArray[np.float64]:
    """The truth without what lies beyond so many semi-angles."""
    y, x = (scipy.fft.fftfreq(size, STEP / 2) for size in truth.shape)
    unit = wavelength(300) / 0.02
    kept = np.hypot(y[:, None], x) * unit <= semi_angles
    return scipy.fft.ifft2(scipy.fft.fft2(truth) * kept).real


def atoms_in_vacuum(elements: Sequence[int]) -> tuple[Specimen, list[list[float]]]:
    """A scan over single atoms in two rows, without noise, and their places [Å]."""
    rows, columns = 2, len(elements) // 2
    places = [
        [MARGIN + APART * row, MARGIN + APART * column]
        for row in range(rows)
        for column in range(columns)
    ]
    atoms = single_atoms(elements, places, extent=(rows * APART, columns * APART))
    atoms = dataclasses.replace(atoms, displacements=np.full(len(atoms), MOTION))
    shape = (round(rows * APART / STEP), round(columns * APART / STEP))
    return recorded(atoms, shape, 0.0), places


def print_atoms(model: str) -> None:
    scan, places = atoms_in_vacuum(ELEMENTS)
    print("\nsingle atoms, 300 kV, 20 mrad: peak of the phase over its surroundings [rad]")
    print("Z         " + "".join(f"{number:7d}" for number in ELEMENTS) + "   Spearman  worst")
    peaks = {}
    for name, image in (
        ("true", scan.truth),
        ("true, to 3 α", limited(scan.truth, 3.0)),
        ("AIRPI", ours(scan.patterns, model)),
        ("direct", direct(scan.patterns)),
        ("iCOM", finer(icom(scan.patterns))),
    ):
        peaks[name] = np.array([peak(image, place) for place in places])
        rank = scipy.stats.spearmanr(peaks[name], peaks["true"])[0]
        off = peaks[name] / peaks["true" if name.startswith("true") else "true, to 3 α"] - 1
        values = "".join(f"{one:7.3f}" for one in peaks[name])
        print(f"{name:12}{values}   {rank:8.3f}  {off[np.abs(off).argmax()]:+.0%}")


def icom(data: np.ndarray) -> np.ndarray:
    com = stem.center_of_mass(data, center=ACQUISITION.center)
    return stem.icom(stem.vector_field(com, ACQUISITION).vectors, scan_step=STEP)


def peak(image: np.ndarray, place: list[float]) -> float:
    """Height of an atom over its surroundings."""
    row, column = (round(one / (STEP / 2)) for one in place)
    reach = round(APART / STEP)
    part = image[max(0, row - reach) : row + reach, max(0, column - reach) : column + reach]
    return float(image[row - 2 : row + 3, column - 2 : column + 3].max() - np.median(part))


def print_rings(scans: dict[str, Specimen], model: str) -> None:
    edges = (0, 0.5, 1, 1.5, 2, 2.25, 2.5)
    print("\nlikeness to the true phase in rings of spatial frequency [α/λ], no noise")
    print(" " * 34 + "".join(f"{a:g}–{b:g}".rjust(10) for a, b in itertools.pairwise(edges)))
    for name, scan in scans.items():
        window = np.outer(np.hanning(2 * SIDE), np.hanning(2 * SIDE))
        truth = scipy.fft.fft2((scan.truth - scan.truth.mean()) * window)
        y = scipy.fft.fftfreq(2 * SIDE, STEP / 2) * wavelength(300) / 0.02
        radius = np.hypot(y[:, None], y)
        for method, image in (
            ("AIRPI", ours(scan.patterns, model)),
            ("direct", direct(scan.patterns)),
        ):
            found = scipy.fft.fft2((image - image.mean()) * window)
            row = []
            for low, high in itertools.pairwise(edges):
                ring = (radius > low) & (radius <= high)
                power = np.sum(np.abs(found[ring]) ** 2) * np.sum(np.abs(truth[ring]) ** 2)
                shared = np.sum(found[ring] * np.conj(truth[ring])).real
                row.append(shared / np.sqrt(power) if power > 0 else 0.0)
            print(f"{name:24}{method:10}" + "".join(f"{one:10.3f}" for one in row))


def columns_of_oxygen(scans: dict[str, Specimen], model: str) -> None:
    """Contrast of the lightest columns of strontium titanate, beside the heavy ones."""
    scan = scans["SrTiO₃ [001], 16 Å"]
    pixel, cell = STEP / 2, 3.905
    corner = (26.0 - SIDE * STEP) / 2
    print("\noxygen columns of SrTiO₃ over the lowest place beside them [rad]")
    for dose in DOSES:
        counts = scan.counts(dose, np.random.default_rng(3))
        row = []
        for image in (scan.truth, ours(counts, model), direct(counts)):
            heights = []
            for y, x in _oxygen(cell, corner, scan.truth.shape[0] * pixel):
                at = [round((y - corner) / pixel), round((x - corner) / pixel)]
                around = image[at[0] - 8 : at[0] + 9, at[1] - 8 : at[1] + 9]
                heights.append(
                    image[at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2].max() - around.min()
                )
            row.append((np.mean(heights), np.std(heights)))
        label = "no noise" if dose is None else f"{dose:g} e/Å²"
        words = zip(("true", "AIRPI", "direct"), row, strict=True)
        print(f"  {label:12}" + "   ".join(f"{name} {m:.3f} ± {s:.3f}" for name, (m, s) in words))


def _oxygen(cell: float, corner: float, size: float) -> list[tuple[float, float]]:
    """Columns of oxygen alone: halfway between titanium columns, inside the field."""
    from stem_plugins.simulation import strontium_titanate

    unit = strontium_titanate(1)
    places = unit.positions[:, 1:]
    alone = [
        place
        for place, number in zip(places, unit.numbers, strict=True)
        if number == 8
        and not any(
            other != 8 and np.linalg.norm(place - at) < 0.5
            for at, other in zip(places, unit.numbers, strict=True)
        )
    ]
    found = [
        (float(y + i * cell), float(x + j * cell))
        for y, x in alone
        for i in range(8)
        for j in range(8)
    ]
    return [
        (y, x)
        for y, x in found
        if corner + 1.2 < y < corner + size - 1.2 and corner + 1.2 < x < corner + size - 1.2
    ]


def print_false_atoms(model: str) -> None:
    size = 20.0
    vacuum = Atoms([6], [[1.0, -30.0, -30.0]], (2.0, size, size), 0.0, periodic=False)
    rng = np.random.default_rng(4)
    film = rng.random((2400, 3)) * [10.0, size, size]
    kept: list[int] = []
    for index in range(len(film)):
        near = np.linalg.norm(film[kept] - film[index], axis=1) if kept else np.array([9.0])
        if near.min() > 1.35:
            kept.append(index)
    kept = kept[: round(0.1 * 10 * size**2)]
    carbon = Atoms(np.full(len(kept), 6), film[kept], (10.0, size, size), MOTION, periodic=False)
    height = _carbon_peak()
    corner = (size - SIDE * STEP) / 2
    area = (SIDE * STEP / 10) ** 2
    print(
        f"\nmaxima that stand out by half a carbon atom ({height / 2:.3f} rad), per nm², and those "
        "of them without a maximum of the true phase within 0.5 Å"
    )
    for name, atoms in (("vacuum", vacuum), ("amorphous carbon, 10 Å", carbon)):
        scan = recorded(atoms, (SIDE, SIDE), corner)
        there = _maxima(scan.truth, height / 4, apart=0.2)
        print(f"  {name}: {len(_maxima(scan.truth, height / 2)) / area:.1f} in the true phase")
        for dose in DOSES:
            rng = np.random.default_rng(6)
            draws = [scan.counts(dose, rng) for _ in range(1 if dose is None else 5)]
            row = []
            for make in (lambda one: ours(one, model), direct):
                counted = [_found_and_false(make(one), there, height / 2) for one in draws]
                found, wrong = np.mean(counted, axis=0) / area
                row.append(f"{found:.1f}, {wrong:.1f} false")
            label = "no noise" if dose is None else f"{dose:g} e/Å²"
            print(f"    {label:12} AIRPI {row[0]}   direct {row[1]}", flush=True)


def _carbon_peak() -> float:
    atom = single_atoms([6], [[3.0, 3.0]], extent=(6.0, 6.0))
    atom = dataclasses.replace(atom, displacements=np.full(1, MOTION))
    phase = interaction_constant(300) * potential_on_grid(
        atom, (60, 60), (STEP / 2,) * 2, (0.0, 0.0)
    )
    return float(phase.max())


def _maxima(image: np.ndarray, height: float, *, apart: float = 0.7) -> NDArray[np.float64]:
    """Places [px] of maxima, so far apart [Å], that stand out of the median around them."""
    highest = scipy.ndimage.maximum_filter(image, 2 * round(apart / (STEP / 2)) + 1)
    around = scipy.ndimage.median_filter(image, 29)
    return np.argwhere((image == highest) & (image - around > height)).astype(float)


def _found_and_false(image: np.ndarray, there: np.ndarray, height: float) -> tuple[int, int]:
    found = _maxima(image, height)
    if not len(found) or not len(there):
        return len(found), len(found)
    apart = np.linalg.norm(found[:, None] - there[None], axis=-1).min(axis=1)
    return len(found), int(np.sum(apart > 0.5 / (STEP / 2)))


def print_calibration(scans: dict[str, Specimen], model: str) -> None:
    angle, unit = 0.02, wavelength(300)
    assert ACQUISITION.diffraction_step is not None
    assert not ACQUISITION.scan_rotation
    pixel = ACQUISITION.diffraction_step[0]
    center = ACQUISITION.center
    assert center is not None
    wrong = {
        "centre off by 1 px": {"center": (center[0] + 1, center[1])},
        "step 5 % too large": {"scan_step": (1.05 * STEP, 1.05 * STEP)},
        "step 5 % too small": {"scan_step": (0.95 * STEP, 0.95 * STEP)},
        "defocus +0.4 rad": {"defocus": 0.4 * unit / (np.pi * angle**2)},
        "defocus -0.4 rad": {"defocus": -0.4 * unit / (np.pi * angle**2)},
        "rotation off by 2°": {"scan_rotation": 2.0},
        "rotation off by 5°": {"scan_rotation": 5.0},
        "patterns 3 % wider in y": {"diffraction_step": (1.03 * pixel, pixel)},
    }
    print("\nloss of correlation by wrong calibration, mean of the materials (largest)")
    print(" " * 24 + "".join(f"{'no noise' if d is None else f'{d:g} e/Å²':>20}" for d in DOSES))
    right = {
        (name, dose): compared(
            ours(scan.counts(dose, np.random.default_rng(8)), model), scan.truth
        )[0]
        for name, scan in scans.items()
        for dose in DOSES
    }
    for words, calibration in {**wrong, "counts of 3 for 1": {}}.items():
        row = []
        for dose in DOSES:
            losses = []
            for name, scan in scans.items():
                counts = scan.counts(dose, np.random.default_rng(8))
                if not calibration:
                    counts = 3 * counts
                found = compared(ours(counts, model, **calibration), scan.truth)[0]
                losses.append(right[name, dose] - found)
            row.append(f"{np.mean(losses):+.3f} ({max(losses):+.3f})")
        print(f"{words:24}" + "".join(f"{one:>20}" for one in row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder where the simulated patterns stay")
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scans = {name: specimen(name, arguments.keep) for name in MATERIALS}
    print_atoms(arguments.model)
    columns_of_oxygen(scans, arguments.model)
    print_rings(scans, arguments.model)
    print_false_atoms(arguments.model)
    print_calibration(scans, arguments.model)


if __name__ == "__main__":
    main()
