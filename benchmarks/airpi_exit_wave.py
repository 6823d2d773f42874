"""The exit-wave design of AIRPI beside the default one and direct ptychography.

    OMP_NUM_THREADS=1 python benchmarks/airpi_exit_wave.py [--keep FOLDER] [--model FILE]

The middle 32 × 32 positions of the five specimens of airpi_specimens.py, which no network was
taught; correlation of the image with the projected phase at half the step, and its slope, inside of
a frame of four positions. One draw of the noise at each dose. Boxes: patterns of so many positions
along an edge are summed into one. What stitching gives back of waves that are known exactly stands
in airpi_ceiling.txt.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from airpi import DOSES, compared, print_rows
from airpi_specimens import ACQUISITION, MATERIALS, SIDE, specimen

import stem_plugins as stem

#: Positions along a side, and of the frame that is not looked at.
PART, FRAME = 32, 4


def inside(image: np.ndarray) -> np.ndarray:
    """An image at half the step without its frame."""
    edge = FRAME * len(image) // PART
    return image[edge:-edge, edge:-edge]


def methods(model: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    def waves(repeat: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda data: (
            stem.airpi(
                data, ACQUISITION, design="exit-wave", model=model, repeat=repeat, threads=1
            ).phase
        )

    return {
        "direct, from the noise": lambda data: np.angle(stem.ssb(data, ACQUISITION)),
        "AIRPI": lambda data: stem.airpi(data, ACQUISITION, threads=1).phase,
        "exit waves": waves(1),
        "exit waves, boxes of 2 × 2": waves(2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder where the simulated patterns stay")
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    everything: list[dict[str, list[np.ndarray]]] = []
    spent = 0.0
    first = (SIDE - PART) // 2
    part = slice(first, first + PART)
    for name in MATERIALS:
        scan = specimen(name, arguments.keep)
        truth = scan.truth[2 * first : 2 * (first + PART), 2 * first : 2 * (first + PART)]
        found: dict[str, list[np.ndarray]] = {}
        for dose in DOSES:
            data = scan.counts(dose, np.random.default_rng(5))[part, part]
            for method, image in methods(arguments.model).items():
                start = time.process_time()
                made = image(data)
                if method == "exit waves":
                    spent += time.process_time() - start
                # Images of boxes have as many pixels, half a step further on.
                if "boxes" in method:
                    made = np.roll(made, (1, 1), axis=(0, 1))
                found.setdefault(method, []).append(compared(inside(made), inside(truth)))
        print_rows(name, found)
        everything.append(found)
    mean = {
        name: [np.mean([one[name][i] for one in everything], axis=0) for i in range(len(DOSES))]
        for name in everything[0]
    }
    print_rows("mean of the materials", mean)
    count = PART**2 * len(DOSES) * len(MATERIALS)
    print(f"\nexit waves: {count / spent:.0f} positions per CPU-second")


if __name__ == "__main__":
    main()
