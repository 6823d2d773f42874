"""How well the fast-scan tail of a detector is found in the noise of an image.

The images of restoration.py, with the distortions of thesis table 2.2 and tails of several
lengths. Error: how far the tail that was found moves a wave of 10 px too far, or not far enough
[px]; beside it how far the tail itself moves it.

    python benchmarks/detector_tail.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dataclasses

import numpy as np
from restoration import DISTORTIONS
from restoration_breadth import scenes
from restoration_images import DOSES, specimens

from stem_plugins.restoration import Tail, distort, estimate_tail, tail_weights

DECAYS = (0.0, 1.0, 2.0, 4.0, 8.0)


def moved(tail: Tail, period: float = 10.0) -> float:
    """How far a tail moves a wave [px]."""
    weights = tail_weights(tail.decay, 1024, tail.profile)
    angle = np.angle(weights @ np.exp(-2j * np.pi * np.arange(1024) / period))
    return float(-angle * period / (2 * np.pi))


def errors(image: np.ndarray, dose: float, pixel_size: float, seed: list[int]) -> list[float]:
    """Errors at all decays [px]."""
    found = []
    for decay in DECAYS:
        distorted = distort(
            image,
            pixel_size=pixel_size,
            dose=dose,
            rng=np.random.default_rng(seed),
            distortions=dataclasses.replace(DISTORTIONS, tail=decay),
        )
        found.append(moved(estimate_tail(distorted)) - moved(Tail(decay)))
    return found


def table(rows: dict[str, list[list[float]]]) -> None:
    """Print mean absolute and largest errors."""
    for name, values in rows.items():
        error = np.abs(values)
        line = "".join(
            f"{mean:8.3f} {most:6.3f}"
            for mean, most in zip(error.mean(axis=0), error.max(axis=0), strict=True)
        )
        print(f"{name:<26}{line}")


def main() -> None:
    print(f"{'decay [px]':<26}" + "".join(f"{decay:15g}" for decay in DECAYS))
    print(f"{'moves a wave by [px]':<26}" + "".join(f"{moved(Tail(d)):15.3f}" for d in DECAYS))
    print(f"{'error [px]':<26}" + "    mean   most" * len(DECAYS))
    by_dose: dict[str, list[list[float]]] = {}
    for index, specimen in enumerate(specimens()):
        for step, dose in enumerate(DOSES):
            found = errors(specimen.image, dose, specimen.pixel_size, [2029, index, step])
            by_dose.setdefault(f"columns, {dose:.0e} e/Å²", []).append(found)
    table(by_dose)
    by_kind: dict[str, list[list[float]]] = {}
    for index, scene in enumerate(scenes()):
        found = errors(scene.image, scene.counts / scene.image.mean(), 1.0, [2030, index])
        by_kind.setdefault(scene.name.rsplit(" ", 1)[0], []).append(found)
    table(by_kind)


if __name__ == "__main__":
    main()
