"""AIRPI against all that images a scan in one pass, on five materials that it was not taught.

    OMP_NUM_THREADS=1 python benchmarks/airpi.py [--keep FOLDER] [--model FILE] [--draws N]

Figures are the correlation of the image with the projected phase at half the step, and its slope
against it (1: quantitative), means over draws of the noise. The regularisation of all the others is
the best of several against the truth, for each material and dose; AIRPI has nothing to be chosen.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.ndimage
import torch
from airpi_specimens import ACQUISITION, MATERIALS, SIDE, STEP, Specimen, specimen
from direct_ptychography import likeness, written_out

import stem_plugins as stem
from stem_plugins.rapid_phase_imaging.reconstruct import airpi

DOSES = (None, 1e5, 1e4, 500.0)
Image = Callable[[np.ndarray], np.ndarray]

#: Wiener terms, high-pass frequencies [1/Å] and kernels of which the best one counts.
TERMS = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
HIGH_PASS = (None, 0.05, 0.1, 0.15, 0.2, 0.3)
KERNELS = (11, 21, 41, 61)


def fields(data: np.ndarray) -> np.ndarray:
    com = stem.center_of_mass(data, center=ACQUISITION.center)
    return stem.vector_field(com, ACQUISITION).vectors


def methods() -> dict[str, Sequence[Image]]:
    """Images by name, each in several variants."""
    dark = 1.0 * stem.annular_detector((64, 64), 30 / 1.875, 60 / 1.875, center=ACQUISITION.center)

    def direct(term: float | None) -> Image:
        return lambda data: np.angle(stem.ssb(data, ACQUISITION, regularization=term))

    return {
        "single side band, normalised": [lambda data: written_out(data, ACQUISITION, "normalised")],
        "single side band, sum": [lambda data: written_out(data, ACQUISITION, "sum")],
        "direct ptychography, best ε": [direct(term) for term in TERMS],
        "iCOM, best high pass": [
            lambda data, low=low: stem.icom(fields(data), scan_step=STEP, high_pass=low)
            for low in HIGH_PASS
        ],
        "riCOM, best kernel": [
            lambda data, size=size: stem.ricom(fields(data), size, scan_step=STEP)
            for size in KERNELS
        ],
        "dark field, 30–60 mrad": [lambda data: stem.virtual_image(data, dark)],
        "ours, direct, from the noise": [direct(None)],
    }


def compared(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Correlation and slope of an image of any grid."""
    if image.shape != truth.shape:
        return likeness(image, truth)
    image, truth = image - image.mean(), truth - truth.mean()
    together = np.sum(image * truth)
    return np.array(
        [together / np.sqrt(np.sum(image**2) * np.sum(truth**2)), together / np.sum(truth**2)]
    )


def iterative(data: np.ndarray) -> np.ndarray:
    """Ten iterations by pixels, at the points of the truth."""
    found = stem.iterative_ptychography(
        data, ACQUISITION, prior="pixelated", iterations=10, threads=1
    )
    points = [np.arange(2 * SIDE) * STEP / 2 / pixel for pixel in found.sampling]
    grid = np.meshgrid(*points, indexing="ij")
    return scipy.ndimage.map_coordinates(found.phase, grid, order=3, mode="nearest")


def rows(scan: Specimen, model: str, draws: int) -> dict[str, list[np.ndarray]]:
    """Correlation and slope of every method at every dose."""
    found: dict[str, list[np.ndarray]] = {}
    for dose in DOSES:
        rng = np.random.default_rng(5)
        counts = [scan.counts(dose, rng) for _ in range(1 if dose is None else draws)]
        for name, variants in methods().items():
            judged = [
                np.mean([compared(image(one), scan.truth) for one in counts], axis=0)
                for image in variants
            ]
            found.setdefault(name, []).append(max(judged, key=lambda one: one[0]))
        own = [airpi(one, ACQUISITION, model=model, threads=1).phase for one in counts]
        judged = [compared(one, scan.truth) for one in own]
        found.setdefault("AIRPI", []).append(np.mean(judged, axis=0))
        judged = [compared(iterative(one), scan.truth) for one in counts[:1]]
        found.setdefault("iterative, 10 iterations", []).append(np.mean(judged, axis=0))
    return found


def print_rows(title: str, found: dict[str, list[np.ndarray]]) -> None:
    heads = ["infinite" if dose is None else f"{dose:g} e/Å²" for dose in DOSES]
    print(f"\n{title:30}" + "".join(f"{head:>15}" for head in heads))
    for name, cells in found.items():
        cells_of = "".join(f"{one:9.3f} ({slope:4.2f})" for one, slope in cells)
        print(f"{name:30}{cells_of}", flush=True)


def print_table(title: str, found: dict[str, list[np.ndarray]]) -> None:
    print_rows(title, found)
    one_pass = [name for name in found if not name.startswith(("AIRPI", "ours", "iterative"))]
    ahead = [
        found["AIRPI"][index][0] - max(found[name][index][0] for name in one_pass)
        for index in range(len(DOSES))
    ]
    print(
        f"{'AIRPI over the best':30}" + "".join(f"{one:+9.3f}       " for one in ahead), flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder where the simulated patterns stay")
    parser.add_argument("--model", default="default")
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    everything = []
    start = time.process_time()
    for name in MATERIALS:
        found = rows(specimen(name, arguments.keep), arguments.model, arguments.draws)
        print_table(name, found)
        everything.append(found)
    mean = {
        name: [
            np.mean([one[name][index] for one in everything], axis=0) for index in range(len(DOSES))
        ]
        for name in everything[0]
    }
    print_table("mean of the materials", mean)
    print(f"\n{time.process_time() - start:.0f} CPU-s in all.")


if __name__ == "__main__":
    main()
