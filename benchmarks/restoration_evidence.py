"""Do the maps of evidence know where a restored image is wrong?

On the held-out columns and the images that are no bright columns of restoration.py, whose truth is
known: Spearman's rank correlation of the maps with the true error, over all images together, in
squares of 16 px and pixel by pixel. The maps of consistency are in units of the expected noise, and
so is the error they are compared with (averaged over the same Gaussian); spread and error relative
to the range of the true image are compared, too. That the map of what stays unexplained is
calibrated is shown by the truth in place of a restored image: its root mean square should be 1.

    python benchmarks/restoration_evidence.py [--model NAME] [--every N] [--realisation N]

The definition of the maps was settled on every fourth image of realisation 0.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import dataclasses
import time
import warnings

import numpy as np
import scipy.ndimage
from restoration import breadth, columns
from restoration_peers import Task
from scipy.stats import spearmanr

from stem_plugins.restoration import restore
from stem_plugins.restoration.evidence import FEATURE, examine

SQUARE = 16


@dataclasses.dataclass(frozen=True)
class Found:
    """Maps of one image: errors, and what the evidence says; all (y, x)."""

    error_in_noise: np.ndarray
    relative_error: np.ndarray
    consistency: np.ndarray
    unexplained: np.ndarray
    relative_spread: np.ndarray


def examined(task: Task, model: str) -> Found:
    """Restore an image with its evidence, and compare with the truth."""
    restored, evidence = restore(task.image, model=model, return_evidence=True, threads=1)
    error = restored.astype(float) - task.truth
    noise = examine(task.image, restored).noise
    averaged = scipy.ndimage.gaussian_filter(error, FEATURE)
    # What averaging leaves of noise that is white.
    sigma = np.sqrt(scipy.ndimage.gaussian_filter(noise.variance(restored.astype(float)), FEATURE))
    in_noise = averaged / (sigma / (2 * FEATURE * np.sqrt(np.pi)))
    span = np.ptp(task.truth)
    return Found(
        in_noise, error / span, evidence.consistency, evidence.unexplained, evidence.spread / span
    )


def _levels(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Root mean squares of the image, of its squares, and every seventh pixel."""
    square = np.square(image.astype(float))
    height, width = (side // SQUARE * SQUARE for side in image.shape)
    parts = square[:height, :width].reshape(height // SQUARE, SQUARE, width // SQUARE, SQUARE)
    roots = np.sqrt(parts.mean(axis=(1, 3))).ravel()
    return np.sqrt([square.mean()]), roots, np.abs(image.ravel()[::7])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--every", type=int, default=1, help="use every N-th image")
    parser.add_argument("--realisation", type=int, default=1, help="of specimens, noise, jitter")
    options = parser.parse_args()
    every = [*columns(options.realisation + 1)]
    last = every[options.realisation * len(every) // (options.realisation + 1) :]
    tasks = [*last, *breadth(options.realisation)][:: options.every]
    warnings.simplefilter("ignore")
    found = [examined(task, options.model) for task in tasks]

    print(f"Realisation {options.realisation}: {len(found)} images, model {options.model}")
    print("Spearman's ρ of")
    print(f"{'':44}{'images':>8}{'squares':>9}{'pixels':>8}")
    pairs = (
        ("consistency and error, in expected noise", "consistency", "error_in_noise"),
        ("unexplained and error, in expected noise", "unexplained", "error_in_noise"),
        ("spread and error, relative to the range", "relative_spread", "relative_error"),
    )
    for title, evidence, error in pairs:
        values = [
            [
                np.concatenate(parts)
                for parts in zip(*(_levels(getattr(f, n)) for f in found), strict=True)
            ]
            for n in (evidence, error)
        ]
        rho = [spearmanr(one, other).statistic for one, other in zip(*values, strict=True)]
        print(f"{title:44}{rho[0]:8.2f}{rho[1]:9.2f}{rho[2]:8.2f}")

    calibration = []
    for task in tasks:
        unexplained = examine(task.image, task.truth).unexplained
        calibration.append(float(np.sqrt(np.mean(np.square(unexplained)))))
    low, middle, high = np.percentile(calibration, [10, 50, 90])
    print(
        f"\nUnexplained, rms, of the truth itself: median {middle:.2f} (10 % below {low:.2f}, "
        f"10 % above {high:.2f})"
    )
    print(f"{time.process_time():.0f} CPU-s in all.")


if __name__ == "__main__":
    main()
