"""Iterative ptychography against quantem, on the scan of a gold particle on carbon.

    OMP_NUM_THREADS=1 python benchmarks/ptychography.py --quantem PYTHON [--seed N] [--part PART]

``PYTHON`` is that of an environment with quantem 0.1.10 and torch. Figures are CPU-seconds of one
thread, from the data in memory to the iteration whose phase reaches a structural similarity with
the projected potential (both without their means, over the scanned field), first guess and
pre-training included, imports and evaluation not; "guess" is how many of the iterations were the
first guess, by pixels, before a network drew anything. The bulk phase is the mean over the middle
of the particle less that of the corners, over its true value.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import dataclasses
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from ptychography_specimens import Benchmark, gold_benchmark, two_layers

import stem_plugins as stem
from stem_plugins.ptychography import cross_talk, structural_similarity
from stem_plugins.ptychography.forward import diffraction_patterns
from stem_plugins.simulation import Atoms

LEVELS = (0.85, 0.90, 0.94)
DOSES = (None, 1e3, 2e2)
PARTS = ("step", "quantem", "priors", "depth")

#: quantem's own rates of networks, instead of those found on another specimen.
OWN_RATES = ["--rate", "1e-3", "--probe-rate", "1e-3"]

#: quantem as it was tuned on another seed: at low doses a longer guess teaches its networks noise.
QUANTEM: dict[float | None, dict[str, list[str]]] = {
    None: {
        "pixelated": ["--iterations", "100"],
        "dgp": ["--seconds", "200", "--iterations", "400"],
        "dgp, its own rates": ["--seconds", "200", "--iterations", "400", *OWN_RATES],
    },
    1e3: {
        "pixelated": ["--iterations", "100"],
        "dgp": ["--guess-iterations", "2", "--iterations", "60"],
    },
    2e2: {
        "pixelated": ["--iterations", "100", "--loss", "poisson"],
        "dgp": ["--guess-iterations", "2", "--iterations", "60", "--loss", "poisson"],
        "dgp, its own rates": ["--iterations", "60", *OWN_RATES],
    },
}

#: Distances of two layers [Å], doses, and draws of the noise.
DEPTHS, DEPTH_DOSES, DEPTH_DRAWS = (100.0, 40.0), (None, 1e5, 1e4, 3e3), 3


@dataclasses.dataclass(frozen=True)
class Curve:
    """How good a reconstruction was after how much time."""

    name: str
    seconds: NDArray[np.float64]
    similarity: NDArray[np.float64]
    bulk: NDArray[np.float64]
    #: After each iteration, with the pixel [Å] and what they should be.
    phases: Sequence[NDArray[np.floating]]
    pixel: float
    truth: NDArray[np.floating]
    #: Iterations of the first guess, by pixels; 0 where it is no iterations of the curve.
    guess: int = 0

    def row(self) -> str:
        """Print as a line of the table."""
        reached = []
        for level in LEVELS:
            above = np.flatnonzero(self.similarity >= level)
            index = above[0] if len(above) else -1
            reached.append(
                f"{index + 1:4d} {self.seconds[index]:6.1f}" if len(above) else f"{'-':>11}"
            )
        return (
            f"{self.name:34}" + "  ".join(reached) + f"  {self.similarity.max():6.3f}"
            f"  {self.similarity[-1]:6.3f}  {self.bulk[-1]:6.3f}  {self.seconds[-1]:6.1f}"
            + (f"  {self.guess:5d}" if self.guess else "")
        )


HEADER = (
    f"{'':34}"
    + "  ".join(f"{f'to {level:.2f}: it, s':>11}" for level in LEVELS)
    + "    best     end    bulk       s  guess"
)


def bulk(phase: NDArray[np.floating]) -> float:
    """Mean in the middle of the particle less that of the corners [rad]."""
    middle = [size // 2 for size in phase.shape]
    inside = phase[middle[0] - 12 : middle[0] + 12, middle[1] - 12 : middle[1] + 12].mean()
    corners = [phase[rows, columns].mean() for rows in CORNERS for columns in CORNERS]
    return float(inside - np.mean(corners))


CORNERS = (slice(None, 8), slice(-8, None))


def curve(
    name: str,
    scan: Benchmark,
    phases: Sequence[NDArray],
    seconds: Sequence[float],
    pixel: float,
    guess: int = 0,
) -> Curve:
    """Judge every iteration."""
    truth = scan.phase(phases[0].shape, (pixel, pixel), (0, 0))
    return Curve(
        name,
        np.array(seconds),
        np.array([structural_similarity(phase.astype(float), truth) for phase in phases]),
        np.array([bulk(phase) / bulk(truth) for phase in phases]),
        phases,
        pixel,
        truth,
        guess,
    )


def ours(name: str, scan: Benchmark, counts: NDArray, **options: object) -> Curve:
    """Reconstruct with stem-plugins and keep the phase after every iteration."""
    phases: list[NDArray] = []
    seconds: list[float] = []
    stages: list[str] = []
    aside = 0.0
    start = time.process_time()

    def keep(progress: stem.ptychography.Progress) -> None:  # type: ignore[name-defined]
        nonlocal aside
        if progress.share < 1:
            return
        stages.append(progress.stage)
        before = time.process_time()
        seconds.append(before - start - aside)
        phases.append(progress.result().phase)
        aside += time.process_time() - before

    result = stem.iterative_ptychography(
        counts, scan.acquisition, threads=1, callback=keep, **options
    )
    # What is handed over in the end: the best by the patterns that were held out.
    phases.append(result.phase)
    seconds.append(time.process_time() - start - aside)
    return curve(name, scan, phases, seconds, result.sampling[0], stages.count("first guess"))


def quantem(
    python: str, scan: Benchmark, counts: NDArray, method: str, options: Sequence[str]
) -> Curve:
    """Reconstruct with quantem in its own environment."""
    acquisition = scan.acquisition
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "counts.npz", Path(folder) / "found.npz"
        np.savez(
            source,
            counts=counts,
            beam_energy=acquisition.beam_energy,
            convergence_angle=acquisition.convergence_angle,
            defocus=acquisition.defocus,
            scan_step=acquisition.scan_step[0],
            diffraction_step=acquisition.diffraction_step[0],
            center=acquisition.center,
        )
        script = Path(__file__).with_name("ptychography_quantem.py")
        command = [python, str(script), str(source), str(target)]
        command += ["--method", method.partition(",")[0], *options]
        subprocess.run(command, check=True, capture_output=True)
        with np.load(target) as found:
            phases, seconds = found["phase"], found["seconds"]
            sampling = float(np.ravel(found["sampling"])[0])
    return curve(f"quantem, {method}", scan, phases, seconds, sampling)


def against_quantem(scan: Benchmark, python: str | None) -> None:
    """Part 1: time to a quality, at three doses."""
    for dose in DOSES:
        counts = scan.counts(dose)
        print(f"\n{'infinite dose' if dose is None else f'{dose:g} electrons per Å²'}\n{HEADER}")
        for name, options in (
            ("ours, pixelated", {"prior": "pixelated"}),
            ("ours, DGP", {}),
            ("ours, DGP, two slices", {"slices": 2, "slice_thickness": 18.0}),
        ):
            print(ours(name, scan, counts, **options).row(), flush=True)
        if python is not None:
            for method, extra in QUANTEM[dose].items():
                print(quantem(python, scan, counts, method, extra).row(), flush=True)


def four_ways(scan: Benchmark) -> None:
    """Part 2: object and probe each by pixels or by a network, from vacuum and with a guess."""
    for dose in DOSES:
        counts = scan.counts(dose)
        print(f"\n{'infinite dose' if dose is None else f'{dose:g} electrons per Å²'}\n{HEADER}")
        for guess in ("none", "pixelated"):
            for prior in ("pixelated", "dgp"):
                for probe in ("pixelated", "dgp"):
                    name = f"object {prior}, probe {probe}, guess {guess}"
                    options = {"prior": prior, "probe_prior": probe, "first_guess": guess}
                    print(ours(name, scan, counts, iterations=40, **options).row(), flush=True)


def depth() -> None:
    """Part 3: two thin layers of gold clusters, and how much of each shows in the other's slice."""
    for distance in DEPTHS:
        scan, layers = two_layers(distance)
        print(f"\ntwo layers {distance:g} Å apart: part of the wrong layer in a slice, rms of both")
        print(f"{'electrons per Å²':>18}  {'pixelated':>16}  {'DGP':>16}  {'ratio':>7}")
        for dose in DEPTH_DOSES:
            draws = range(1 if dose is None else DEPTH_DRAWS)
            talks = np.array(
                [
                    [
                        _talk(scan, layers, scan.counts(dose, draw), prior, distance)
                        for draw in draws
                    ]
                    for prior in ("pixelated", "dgp")
                ]
            )
            found = np.sqrt(np.mean(talks**2, axis=(1, 2)))
            name = "infinite" if dose is None else f"{dose:g}"
            print(
                f"{name:>18}  {found[0]:16.3f}  {found[1]:16.3f}  {found[1] / found[0]:7.2f}",
                flush=True,
            )


def _talk(
    scan: Benchmark, layers: Sequence[Atoms], counts: NDArray, prior: str, distance: float
) -> NDArray[np.floating]:
    result = stem.iterative_ptychography(
        counts,
        scan.acquisition,
        prior=prior,
        slices=2,
        slice_thickness=distance,
        threads=1,
    )
    truth = [
        dataclasses.replace(scan, atoms=one).phase(result.phase.shape, result.sampling, (0, 0))
        for one in layers
    ]
    talk = cross_talk(result.slices.astype(float), np.stack(truth))
    return np.array([talk[0, 1], talk[1, 0]])


def bare_step(scan: Benchmark) -> None:
    """Part 4: model, loss and gradient of 64 patterns of 64 × 64 pixels."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    probe = torch.from_numpy(rng.standard_normal((1, 64, 64)).astype(np.complex64))
    phase = torch.zeros(1, 170, 170, requires_grad=True)
    corners = torch.from_numpy(rng.integers(0, 100, (64, 2)))
    fractions = torch.from_numpy(rng.uniform(-0.5, 0.5, (64, 2)).astype(np.float32))
    amplitudes = torch.from_numpy(rng.random((64, 64, 64)).astype(np.float32))
    spent = []
    for _ in range(60):
        start = time.process_time()
        patterns = diffraction_patterns(
            probe, torch.polar(torch.ones_like(phase), phase), corners, fractions
        )
        ((patterns + 1e-9).sqrt() - amplitudes).square().sum().backward()
        spent.append(time.process_time() - start)
    print(f"\n64 patterns of 64 × 64: {np.median(spent):.4f} CPU-s (least {min(spent):.4f})")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantem", help="python of an environment with quantem")
    parser.add_argument("--seed", type=int, default=2026, help="of the specimen")
    parser.add_argument("--part", choices=PARTS, action="append", help="all, unless given")
    arguments = parser.parse_args()
    scan = gold_benchmark(arguments.seed)
    parts = arguments.part or PARTS
    print(f"gold on carbon, seed {arguments.seed}")
    if "step" in parts:
        bare_step(scan)
    if "quantem" in parts:
        against_quantem(scan, arguments.quantem)
    if "priors" in parts:
        four_ways(scan)
    if "depth" in parts:
        depth()


if __name__ == "__main__":
    main()
