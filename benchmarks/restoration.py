"""Restoration of images, side by side with its peers, on structures that no training has seen.

Three sets: five specimens of atom columns at the seven doses of thesis table 2.2 with its
distortions, forty-eight images that are no bright columns, and the published test pairs of tk_r_em.

    python benchmarks/restoration.py --published FOLDER             everything
    python benchmarks/restoration.py --quick --weights FILE         raw, FFT filter, one network
    python benchmarks/restoration.py --quick --function MODULE:NAME

FOLDER is the unpacked source distribution of tk_r_em 1.0.4, whose weights are imported by
``stem-plugins weights import``. Peers: see restoration_peers.py. A function takes a float32 image
with the fast scan along axis 1 and returns the restored one. The decay of the fast-scan tail is
not given in the thesis: 4 px (half width 0.64 px), with which raw columns are 11 pm off.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import restoration_tables as tables
from restoration_breadth import published_pairs, scenes
from restoration_images import DOSES, specimens
from restoration_metrics import quality
from restoration_peers import Method, Task, function_of, network, peers

from stem_plugins.restoration.distortions import Distortions, distort

#: Thesis table 2.2, and the tail.
DISTORTIONS = Distortions(tail=4.0)

#: Slow peers see the first realisation alone, and of it one image of so many. Noise2Void trains
#: for minutes on each image; the oracle runs BM3D four times.
ONE_OF = {"noise2void": 5, "bm3d oracle": 1}


def columns(realisations: int) -> Iterator[Task]:
    """Yield the specimens of columns at each dose."""
    for realisation in range(realisations):
        for index, specimen in enumerate(specimens(realisation)):
            for step, dose in enumerate(DOSES):
                rng = np.random.default_rng([2026, index, step, realisation])
                pixel = specimen.pixel_size
                image = distort(
                    specimen.image, pixel_size=pixel, dose=dose, rng=rng, distortions=DISTORTIONS
                )
                electrons = dose * pixel**2
                yield Task(
                    "columns", specimen.name, image, specimen.image, electrons, dose, specimen
                )


def breadth(realisation: int = 0) -> Iterator[Task]:
    """Yield the images that are no bright columns, with one realisation of noise and jitter."""
    for index, scene in enumerate(scenes()):
        # On pixels of 1 Å the dose is the number of electrons of the beam that visit a pixel.
        electrons = scene.counts / scene.image.mean()
        rng = np.random.default_rng([2027, index, realisation] if realisation else [2027, index])
        image = distort(
            scene.image, pixel_size=1.0, dose=electrons, rng=rng, distortions=DISTORTIONS
        )
        yield Task("breadth", scene.name, image, scene.image, electrons, scene.counts)


def published(folder: Path) -> Iterator[Task]:
    """Yield the published pairs, turned so that the fast scan runs along axis 1."""
    for model in ("hrstem", "lrstem"):
        for index, (distorted, true) in enumerate(published_pairs(folder, model)):
            yield Task(f"published {model}", f"{model} {index + 1}", distorted, true, None)


def pedestal() -> Iterator[Task]:
    """Yield the particles on vacuum, with half their maximum added by the electronics."""
    for index, specimen in enumerate(specimens()):
        if specimen.vacuum is None:
            continue
        rng = np.random.default_rng([2028, index])
        pixel, height = specimen.pixel_size, specimen.image.max() / 2
        image = distort(
            specimen.image, pixel_size=pixel, dose=1e4, rng=rng, distortions=DISTORTIONS
        )
        electrons = 1e4 * pixel**2
        yield Task(
            "pedestal", specimen.name, image + height, specimen.image, electrons, height, specimen
        )


def measured(task: Task, methods: dict[str, Method], keep: Path | None) -> list[tables.Row]:
    """Restore one image by every method."""
    rows = []
    for name, method in methods.items():
        restored, seconds = _restored(task, name, method, keep)
        megapixels = task.distorted.size / 1e6
        found = quality(task.truth, restored, task.specimen)
        rows.append(tables.Row(task, name, found, seconds / megapixels, restored))
    return rows


def _restored(task: Task, name: str, method: Method, keep: Path | None) -> tuple[np.ndarray, float]:
    """The restored image and the CPU time; both are kept, so that slow peers run once."""
    path = None
    if keep is not None and name not in ("raw", "ours"):
        checksum = zlib.crc32(task.distorted.tobytes())
        path = keep / f"{name.replace(' ', '_').replace('/', '_')}-{checksum:08x}.npz"
        if path.exists():
            with np.load(path) as kept:
                return kept["restored"], float(kept["seconds"])
    start = time.process_time()
    restored = np.asarray(method(task), np.float32)
    seconds = time.process_time() - start
    if path is not None:
        np.savez(path, restored=restored, seconds=seconds)
    return restored, seconds


def main() -> None:
    options = _options()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    methods = peers(quick=options.quick, published=options.published is not None)
    wanted = options.methods.split(",") if options.methods else [*methods, "ours"]
    methods = {name: method for name, method in methods.items() if name in wanted}
    if "ours" in wanted:
        methods["ours"] = (
            function_of(options.function)
            if options.function
            else network(options.weights or "default")
        )
    # Warm up: the first call compiles kernels, reads weights and makes threads.
    quick_methods = {
        name: methods[name] for name in ("fft", "published", "ours") if name in methods
    }
    warm = next(columns(1))
    for method in quick_methods.values():
        method(warm)

    rows: list[tables.Row] = []
    first = len(DOSES) * len(specimens())
    for number, task in enumerate(columns(1 if options.quick else options.realisations)):
        chosen = {
            name: method
            for name, method in methods.items()
            if name not in ONE_OF or (number < first and number % ONE_OF[name] == 0)
        }
        rows += measured(task, chosen, options.keep)
    tables.columns(rows)

    rows = []
    for task in breadth():
        rows += measured(task, quick_methods | {"raw": methods["raw"]}, options.keep)
    tables.breadth(rows)

    if options.published is not None:
        rows = []
        chosen = {name: method for name, method in methods.items() if name != "noise2void"}
        for task in published(options.published):
            rows += measured(task, chosen, options.keep)
        tables.pairs(rows)

    rows = []
    for task in pedestal():
        rows += measured(task, quick_methods | {"raw": methods["raw"]}, None)
    tables.pedestal(rows)
    print(f"\n{time.process_time():.0f} CPU-s in all.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one realisation, without slow peers")
    parser.add_argument("--realisations", type=int, default=3)
    parser.add_argument("--weights", help="file or name of the network; without: the default")
    parser.add_argument("--function", help="MODULE:NAME in place of the network")
    parser.add_argument("--published", type=Path, help="unpacked source distribution of tk_r_em")
    parser.add_argument("--methods", help="names of the rows, separated by commas")
    parser.add_argument("--keep", type=Path, help="folder that keeps what the peers restored")
    return parser.parse_args()


if __name__ == "__main__":
    main()
