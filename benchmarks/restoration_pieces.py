"""Restoration in pieces: what cuts change in an image, and what a large image needs.

Platinum columns along [001] with an edge to vacuum, thesis table 2.2 distortions. Every model
restores the image in pieces and as a whole; the root mean square of the difference is given
relative to the standard deviation of the image restored as a whole. Then a process of its own
restores an image of 8192 × 8192 16-bit pixels with one thread, and says what it took.

The published network (``--models tk_r_em:hrstem``) needs its weights, from ``stem-plugins weights
import``, and sees a smaller image.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from restoration_images import PLATINUM, column_cross_section, render

import stem_plugins as stem
from stem_plugins.restoration import pieces
from stem_plugins.restoration.image_models import load_model

PIXEL = 0.15  # Å
DOSES = (1e3, 1e4, 1e5)  # electrons per Å²
DISTORTIONS = stem.Distortions(tail=4.0)
MODELS = ("default", "fft", "tk_r_em:hrstem")

#: Sizes of images and pieces, (y, x) and side [px], for a model. Rows are cut where an image is
#: wider than 2304 px; the height of the strips is then chosen by memory.
CASES: dict[str, tuple[tuple[tuple[int, int], int | None], ...]] = {
    "default": (((1024, 768), 192), ((1024, 768), 480), ((960, 3072), None)),
    "fft": (((1024, 768), 192), ((1024, 768), None)),
    "tk_r_em:hrstem": (((512, 384), 128), ((512, 384), 256)),
}

#: Largest difference that is asked for, and peak memory [GB].
ASKED_DIFFERENCE, ASKED_MEMORY = 0.005, 2.0

LARGE = 8192

#: Peak memory is that of the process as Linux counts it, the image and the result included.
RESTORE_LARGE = """
import re, sys, time
import numpy as np
import stem_plugins as stem

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024

path, model = sys.argv[1:]
image = np.load(path)
stem.restore(image[:256, :256], model=model, threads=1)
before, start = peak(), time.process_time()
restored = stem.restore(image, model=model, threads=1)
print(before, peak(), time.process_time() - start, float(restored.mean() / image.mean()))
"""


@functools.cache
def clean_image(shape: tuple[int, int]) -> np.ndarray:
    """Columns that end along a slanted line, in the fraction of the beam."""
    half = int(np.ceil(1.5 * max(shape) * PIXEL / PLATINUM))
    steps = np.arange(-half, half + 1) * PLATINUM / 2
    lattice = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    turn = np.deg2rad(11)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    extent = np.array(shape) * PIXEL
    places = lattice @ rotation.T + extent / 2
    inside = ((places > -4) & (places < extent + 4)).all(axis=1)
    inside &= places[:, 1] + 0.3 * places[:, 0] < 0.9 * extent[1] + 0.15 * extent[0]
    places = places[inside]
    return render(places, np.full(len(places), column_cross_section(20)), shape, PIXEL)


def recorded(shape: tuple[int, int], dose: float) -> np.ndarray:
    rng = np.random.default_rng((2029, int(dose)))
    return stem.distort(
        clean_image(shape), pixel_size=PIXEL, dose=dose, rng=rng, distortions=DISTORTIONS
    )


def difference(image: np.ndarray, model: str, tile: int | None) -> tuple[float, tuple[int, int]]:
    """Relative difference between an image in pieces and as a whole; the size of the pieces."""
    cut = stem.restore(image, model=model, tile=tile, threads=1)
    with mock.patch.object(pieces, "WIDEST", max(image.shape)):
        whole = stem.restore(image, model=model, tile=2 * max(image.shape), threads=1)
    sizes = pieces.piece_sizes((image.shape[0], image.shape[1]), load_model(model), tile)
    return float(np.sqrt(np.mean((cut.astype(float) - whole) ** 2)) / whole.std()), sizes


def report_differences(models: list[str]) -> float:
    """Print the first table; return the largest difference."""
    print("pieces against whole image, rms difference / standard deviation\n")
    print(
        f"{'model':16}{'image':>12}{'piece':>12}{'halo':>6}"
        + "".join(f"{dose:>10.0e}" for dose in DOSES)
        + "   e/Å²"
    )
    largest = 0.0
    for model in models:
        for shape, tile in CASES.get(model, CASES["default"]):
            found = [difference(recorded(shape, dose), model, tile) for dose in DOSES]
            piece = found[0][1]
            print(
                f"{model:16}{shape[0]:7}×{shape[1]:<4}{piece[0]:7}×{piece[1]:<4}"
                f"{load_model(model).halo:6}"
                + "".join(f"{100 * value:8.2f} %" for value, _ in found),
                flush=True,
            )
            largest = max(largest, *(value for value, _ in found))
    return largest


def report_large(model: str, folder: Path) -> float:
    """Print what a large image needs; return the peak memory [GB]."""
    path = folder / "large.npy"
    part = recorded((1024, 1024), 1e4)
    part = np.clip(np.rint(part / part.max() * 20000), 0, 65535).astype(np.uint16)
    np.save(path, np.tile(part, (LARGE // 1024, LARGE // 1024)))
    del part
    command = [sys.executable, "-c", RESTORE_LARGE, str(path), model]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before, peak, seconds, mean = (float(word) for word in printed.split())
    print(f"\n{LARGE} × {LARGE} px of 16 bit, model {model}, one thread")
    print(f"  peak memory           {peak / 1e9:6.2f} GB (asked < {ASKED_MEMORY:.0f})")
    print(f"    before the image    {before / 1e9:6.2f} GB: program, weights, measured image")
    print(f"    the restored image  {4 * LARGE**2 / 1e9:6.2f} GB")
    print(f"  CPU-s per megapixel   {seconds / (LARGE**2 / 1e6):6.2f}")
    print(f"  mean, restored/measured {mean:.4f}", flush=True)
    return peak / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="names or files")
    parser.add_argument("--large", default="default", help="model for the large image")
    parser.add_argument("--only", choices=["pieces", "large"], help="one of the two parts")
    options = parser.parse_args()
    if options.only != "large":
        largest = report_differences(options.models)
        print(f"\nlargest: {100 * largest:.2f} % (asked <= {100 * ASKED_DIFFERENCE:.1f} %)")
    if options.only != "pieces":
        with tempfile.TemporaryDirectory() as folder:
            report_large(options.large, Path(folder))


if __name__ == "__main__":
    main()
