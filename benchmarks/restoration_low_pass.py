"""Restoration of images that were smoothed along the rows after they were recorded.

    python benchmarks/restoration_low_pass.py [--published]

Columns at two doses, of a realisation that no other benchmark uses, and every fourth image of the
breadth set; smoothed with random low-passes, exp(-b f^s) with b from 3.5 to 6. Once all that was
recorded is smoothed, and the truth with it; once the noise alone, as where images are sums of many
filtered ones. PSNR by the FFT filter, by the default network with the low-pass left in the image,
by the default network as it is, which takes it off and puts it back, and with --published by
tk_r_em, imported by ``stem-plugins weights import``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

import numpy as np
from restoration import DISTORTIONS
from restoration_breadth import scenes
from restoration_images import specimens
from restoration_metrics import psnr

from stem_plugins.restoration import LowPass, apply_low_pass, distort, estimate_low_pass, restore

#: Tails are another matter.
WITHOUT_TAIL = dataclasses.replace(DISTORTIONS, tail=0.0)

REALISATION = 3
ESTIMATE = "stem_plugins.restoration.noise_colour.low_pass_of_noise"


class Case(NamedTuple):
    """What was smoothed, by what; the image, and what it should become."""

    name: str
    kind: str
    low_pass: LowPass
    image: np.ndarray
    truth: np.ndarray


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(77)
    clean = [(one.name, one.image, 1.0, one.counts / one.image.mean()) for one in scenes()]
    clean = clean[::4] + [
        (one.name, one.image, one.pixel_size, dose)
        for one in specimens(REALISATION)
        for dose in (1e3, 1e4)
    ]
    for name, truth, pixel_size, dose in clean:
        low_pass = LowPass(rng.uniform(3.5, 6), rng.choice([1.0, 1.5, 2.0]))

        def recorded(
            dose: float, image: np.ndarray = truth, size: float = pixel_size
        ) -> np.ndarray:
            return distort(image, pixel_size=size, dose=dose, rng=rng, distortions=WITHOUT_TAIL)

        smooth = apply_low_pass(recorded(dose), low_pass)
        yield Case(name, "all", low_pass, smooth, apply_low_pass(truth, low_pass))
        # The same jitter without noise, as bright as the noise that is added.
        still = recorded(1e9).astype(float)
        still *= smooth.mean() / still.mean()
        noise = rng.standard_normal(truth.shape) * np.sqrt(np.maximum(still, 1e-3))
        yield Case(name, "noise", low_pass, still + apply_low_pass(noise, low_pass), truth)


def left_in(image: np.ndarray) -> np.ndarray:
    with mock.patch(ESTIMATE, return_value=LowPass()):
        return restore(image, threads=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--published", action="store_true", help="tk_r_em, too")
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "fft": lambda image: restore(image, model="fft", threads=1),
        "left in": left_in,
        "ours": lambda image: restore(image, threads=1),
    }
    if parser.parse_args().published:
        methods["published"] = lambda image: restore(image, model="tk_r_em:hrstem", threads=1)
    print(
        f"{'PSNR [dB]':28} {'smoothed':>8}   b    s   found  "
        + "".join(f"{m:>10}" for m in methods)
    )
    found: dict[str, list[list[float]]] = {"all": [], "noise": []}
    for case in cases():
        image = case.image.astype(np.float32)
        row = [psnr(case.truth, method(image)) for method in methods.values()]
        found[case.kind].append(row)
        seen = estimate_low_pass(image)
        print(
            f"{case.name:28} {case.kind:>8} {case.low_pass.strength:4.1f} "
            f"{case.low_pass.steepness:4.1f} {seen.strength:5.2f} {seen.steepness:4.2f}"
            + "".join(f"{value:10.2f}" for value in row),
            flush=True,
        )
    for kind, rows in found.items():
        table = np.array(rows)
        print(f"\n{len(table)} images, smoothed: {kind}")
        for number, name in enumerate(methods):
            over = table[:, number] - table[:, 0]
            print(
                f"  {name:10} {table[:, number].mean():6.2f} dB, worst less fft {over.min():6.2f}"
            )


if __name__ == "__main__":
    main()
