"""How well the rows of a distorted 4D scan are put back, and what becomes of the counts.

The demo's crystal (SrTiO3, 20 Å thick, with an edge to vacuum; steps of 0.2 Å) is simulated
without noise, given the jitter of thesis table 2.2 and counted. The annular dark field of the
distorted scan (26 mrad and more, about 3 % of the beam) is compared with the restored one, and the
4D data are put back. ``--restored clean`` takes the noise-free image for the restored one and so
measures the correction alone; any other word is the model with which `restore` makes it.

Residual: difference between estimated and true shift of each row, its mean over the scan removed
(the mean is no jitter, and a restored image can be displaced as a whole), root mean square. Bound:
no estimate from this image alone, and the prior that rows are as far from their place as the
jitter puts them, can do better (Cramér and Rao), coupling of rows left aside.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time

import numpy as np

import stem_plugins as stem
from stem_plugins import Distortions
from stem_plugins.restoration import row_jitter
from stem_plugins.simulation import demo_scan

STEP = 0.2
DOSES = (3e3, 1e4, 3e4, 1e5, 1e6)  # electrons per Å²
SEEDS = 3
INNER = 26  # mrad
ENOUGH = 10_000  # counts in a detector pixel, from which on 1 % is more than its shot noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restored", default="clean", help="'clean', or a model of restore")
    parser.add_argument("--side", type=int, nargs="+", default=[128], help="scan positions")
    options = parser.parse_args()
    print(f"restored image: {options.restored}; {SEEDS} realisations of each dose\n")
    print(
        "                     counts   jitter y, x    residual y, x    bound y, x   "
        "ADF error   sums of detector pixels       CPU s"
    )
    print(
        "     scan  dose/Å²   /px ADF      px rms          px rms        px rms     "
        "raw  after  worst   in shot noises     find  apply"
    )
    for side in options.side:
        clean, detector = specimen(side)
        for dose in DOSES:
            runs = [one_run(clean, detector, dose, seed, options.restored) for seed in range(SEEDS)]
            mean = {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}
            worst = max(run["sum"] for run in runs)
            print(
                f"{side:5}×{side:<4}{dose:8.0f}{mean['counts']:9.1f}"
                "      {:5.2f} {:5.2f}".format(*mean["jitter"])
                + "      {:6.3f} {:6.3f}".format(*mean["residual"])
                + "  {:6.3f} {:6.3f}".format(*mean["bound"])
                + f"   {mean['before']:5.2f}{mean['after']:6.2f}{100 * worst:6.2f} %"
                f"{max(run['shot'] for run in runs):12.2f}"
                f"{mean['find']:14.2f}{mean['apply']:7.2f}",
                flush=True,
            )
    print(
        "\nADF error: against the noise-free scan, in its standard deviation, noise included; "
        "rows within\n4 px of the edge left out. Sums over the scan, recorded against put back: "
        f"worst of the detector\npixels with at least {ENOUGH} counts; and, of all, the largest "
        "difference in units of the\nshot noise of the sum."
    )


def specimen(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected patterns on 24 × 24 detector pixels, and which of these are dark field."""
    scan = demo_scan((side, side), dose=None, seed=0, workers=1)
    center = np.array(scan.acquisition.center)
    step = scan.acquisition.diffraction_step[0]
    data = scan.data.reshape(side, side, 24, 2, 24, 2).sum(axis=(3, 5))
    ky, kx = np.indices((24, 24)) * 2 + 0.5
    return data, np.hypot(ky - center[0], kx - center[1]) * step >= INNER


def one_run(
    clean: np.ndarray, detector: np.ndarray, dose: float, seed: int, restored: str
) -> dict[str, np.ndarray | float]:
    rng = np.random.default_rng((seed, int(dose)))
    jitter = row_jitter(len(clean), rng=rng)
    counted = Distortions(beam_energy=None, tail=0)
    options = {"pixel_size": STEP, "dose": dose, "rng": rng, "distortions": counted}
    recorded = np.rint(stem.distort(clean, shifts=jitter, **options) * dose * STEP**2)
    image, truth = (np.sum(d * detector, axis=(2, 3)) for d in (recorded, clean * dose * STEP**2))
    reference = truth if restored == "clean" else stem.restore(image, model=restored)
    start = time.process_time()
    shifts = stem.scan_shifts(image, reference)
    found = time.process_time()
    put_back = stem.apply_scan_shifts(recorded.astype(np.uint32), shifts)
    applied = time.process_time()
    error = shifts.mean(axis=1) - jitter
    inner = slice(4, -4)
    after = np.sum(put_back * detector, axis=(2, 3))
    sums, sums_after = recorded.sum(axis=(0, 1)), put_back.sum(axis=(0, 1), dtype=float)
    change = np.abs(sums_after - sums)
    many = sums >= ENOUGH
    return {
        "counts": truth.mean(),
        "jitter": jitter.std(axis=0),
        "residual": error.std(axis=0),
        "bound": bound(truth, jitter.std(axis=0)),
        "before": (image - truth)[inner].std() / truth.std(),
        "after": (after - truth)[inner].std() / truth.std(),
        "sum": (change[many] / sums[many]).max() if many.any() else np.nan,
        "shot": (change / np.sqrt(np.maximum(sums, 1))).max(),
        "find": found - start,
        "apply": applied - found,
    }


def bound(counts: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Cramér–Rao bound of the shifts of rows under Poisson statistics and a normal prior."""
    slopes = np.gradient(counts)
    information = np.einsum("ajx,bjx->jab", slopes, np.array(slopes) / np.maximum(counts, 1e-9))
    variance = np.linalg.inv(information + np.diag(1 / spread**2))
    return np.sqrt(np.diagonal(variance, axis1=1, axis2=2).mean(axis=0))


if __name__ == "__main__":
    main()
