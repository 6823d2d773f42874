"""How reconstructions converge: profiles on the way, how networks begin, and half precision.

    OMP_NUM_THREADS=1 python benchmarks/ptychography_convergence.py [--figure FILE] [--part PART]
        [--quantem PYTHON]

The figure has the phase's structural similarity over iterations and over CPU-seconds of one
thread, and profiles through the particle's middle after some iterations. The table of beginnings
compares the networks of this package, which begin at the first guess since the correction that
they draw is zero at first, with autoencoders that are taught to draw the guess first (100 steps of
AdamW, as A. McCray et al. do), and with random ones that draw from noise.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from ptychography import HEADER, QUANTEM, Curve, ours, quantem
from ptychography_specimens import Benchmark, gold_benchmark
from torch import nn

from stem_plugins.ptychography import generative_solver, stages
from stem_plugins.ptychography.generators import Generator

PARTS = ("figure", "beginnings", "precision")
PROFILES = (1, 2, 5, 20)
SEEDS = (0, 1)

#: Steps in which an autoencoder learns to draw the guess, and their rate.
PRETRAINING, PRETRAINING_RATE = 100, 1e-3


class Uncoded(Generator):
    """The same network without the fixed noise that tells places apart."""

    def __init__(self, guess: torch.Tensor, **options: object) -> None:
        super().__init__(guess, **options)
        self.codes.zero_()


class Autoencoder(Uncoded):
    """A network of which what it draws is the object, and not a correction of the guess."""

    def __init__(self, guess: torch.Tensor, **options: object) -> None:
        super().__init__(guess, **options)
        self.last.reset_parameters()
        self.mean = guess.mean(dim=(1, 2), keepdim=True)

    def forward(self, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Draw the channels, (channels, y, x)."""
        return super().forward(noise) - self.guess + self.mean


class Pretrained(Autoencoder):
    """An autoencoder that has been taught to draw the guess."""

    def __init__(self, guess: torch.Tensor, **options: object) -> None:
        super().__init__(guess, **options)
        optimizer = torch.optim.AdamW(self.parameters(), lr=PRETRAINING_RATE)
        for _ in range(PRETRAINING):
            optimizer.zero_grad()
            drawn = self(torch.randn(self.input.shape))
            nn.functional.mse_loss(drawn / self.scale, guess / self.scale).backward()
            optimizer.step()


def beginnings(scan: Benchmark) -> None:
    """Print how well each kind of network ends, with two seeds each."""
    kinds = (
        ("correction of the guess (default)", Generator, None, "pixelated"),
        ("  without fixed noise", Uncoded, None, "pixelated"),
        ("autoencoder taught the guess", Pretrained, 1e-3, "pixelated"),
        ("  not taught", Autoencoder, 1e-3, "pixelated"),
        ("correction of vacuum", Generator, None, "none"),
        ("  without fixed noise", Uncoded, None, "none"),
        ("correction of iCOM", Generator, None, "icom"),
        ("correction of direct ptychography", Generator, None, "direct"),
    )
    for dose in (None, 1e3):
        print(f"\n{'infinite dose' if dose is None else f'{dose:g} electrons per Å²'}\n{HEADER}")
        for name, kind, rate, guess in kinds:
            # The networks of this package have rates of their own.
            settings = functools.partial(_with_rate, rate)
            for seed in SEEDS:
                with (
                    mock.patch.object(generative_solver, "Generator", kind),
                    mock.patch.object(stages, "GeneratorSettings", settings),
                ):
                    options = {"first_guess": guess, "seed": seed, "iterations": 60}
                    print(ours(name, scan, scan.counts(dose), **options).row(), flush=True)


def _with_rate(asked: float | None, **options: Any) -> generative_solver.GeneratorSettings:
    return generative_solver.GeneratorSettings(
        **(options | ({} if asked is None else {"rate": asked}))
    )


def precision(scan: Benchmark) -> None:
    """Print what bfloat16 does to the result; its time says nothing on a processor."""
    for dose in (None, 1e3, 2e2):
        print(f"\n{'infinite dose' if dose is None else f'{dose:g} electrons per Å²'}\n{HEADER}")
        for guess in ("pixelated", "direct"):
            for half in (False, True):
                name = f"guess {guess}, {'bfloat16' if half else 'float32'}"
                options = {"mixed_precision": half, "first_guess": guess, "iterations": 30}
                print(ours(name, scan, scan.counts(dose), **options).row(), flush=True)


def figure(scan: Benchmark, python: str | None, target: Path) -> None:
    """Draw curves and profiles, and save them."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    counts = scan.counts(None)
    curves = [
        ours("pixelated", scan, counts, prior="pixelated"),
        ours("deep generative prior", scan, counts, iterations=40),
    ]
    if python is not None:
        curves += [quantem(python, scan, counts, *each) for each in QUANTEM[None].items()]
    print(f"infinite dose\n{HEADER}\n" + "\n".join(one.row() for one in curves))
    drawing = plt.figure(figsize=(3.0 * max(2, len(curves)), 6.4), constrained_layout=True)
    above, below = drawing.subfigures(2, 1)
    _similarities(above.subplots(1, 2), curves)
    axes = below.subplots(1, len(curves), sharey=True)
    for axis, one in zip(axes, curves, strict=True):
        _profiles(axis, one)
    axes[0].set_ylabel("Phase (rad)")
    for axis in axes:
        axis.legend(frameon=False, fontsize=6, loc="lower center")
    drawing.savefig(target, dpi=120)
    plt.close(drawing)


def _similarities(axes: Sequence[Any], curves: Sequence[Curve]) -> None:
    for one in curves:
        (line,) = axes[0].semilogx(np.arange(len(one.similarity)) + 1, one.similarity)
        axes[1].semilogx(one.seconds, one.similarity, label=one.name)
        if one.guess:
            last = one.guess - 1
            for axis, place in zip(axes, (one.guess, one.seconds[last]), strict=True):
                axis.plot(place, one.similarity[last], "o", color=line.get_color())
            axes[1].plot([], [], "o", color=line.get_color(), label="  the network takes over")
    axes[0].set(xlabel="Iteration", ylabel="Structural similarity")
    axes[1].set(xlabel="CPU time (s, one thread)", ylabel="Structural similarity")
    axes[1].legend(frameon=False)


def _profiles(axis: Any, one: Curve) -> None:
    """Phase along a line through the middle of the particle, after some iterations."""

    def line(phase: NDArray) -> NDArray:
        middle = len(phase) // 2
        along = phase[middle - 5 : middle + 6].mean(axis=0)
        return along - np.mean([along[:8], along[-8:]])

    place = np.arange(one.truth.shape[1]) * one.pixel / 10
    axis.plot(place, line(one.truth), "0.75", linewidth=4, label="specimen")
    shown = [number for number in PROFILES if number < len(one.phases)]
    for number, shade in zip(shown, np.linspace(0.85, 0.3, len(shown)), strict=True):
        phase = one.phases[number - 1]
        label = f"iteration {number}" + (" (guess)" if number <= one.guess else "")
        axis.plot(place, line(phase), color=(0.1, 0.3, shade), alpha=1.15 - shade, label=label)
    axis.set(title=one.name, xlabel="Place (nm)")


def main() -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantem", help="python of an environment with quantem")
    parser.add_argument("--seed", type=int, default=2026, help="of the specimen")
    parser.add_argument("--figure", type=Path, default=Path("ptychography-convergence.png"))
    parser.add_argument("--part", choices=PARTS, action="append", help="all, unless given")
    arguments = parser.parse_args()
    scan = gold_benchmark(arguments.seed)
    parts = arguments.part or PARTS
    print(f"gold on carbon, seed {arguments.seed}")
    if "figure" in parts:
        figure(scan, arguments.quantem, arguments.figure)
    if "beginnings" in parts:
        beginnings(scan)
    if "precision" in parts:
        precision(scan)


if __name__ == "__main__":
    main()
