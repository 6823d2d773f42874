"""Iterative ptychography by quantem 0.1.10, for a script of ours which starts this one.

Runs with the Python of an environment that has quantem and nothing of ours, on one thread. SOURCE
(.npz) holds `counts` (scan_y, scan_x, ky, kx), `beam_energy` [keV], `convergence_angle` [mrad],
`defocus` [Å, positive = underfocus], `scan_step` [Å], `diffraction_step` [mrad] and, where the beam
does not go through the middle of the detector, its `center` (y, x) [px]. After each iteration
TARGET (.npz) gets:

phase     (iterations, y, x): phase of the object over the scanned area [rad]
seconds   (iterations,): CPU-seconds so far, preprocessing, first guess and pre-training included;
          without imports and without reading, keeping and writing results
loss      (iterations,): quantem's loss
sampling  (y, x): pixel of the object [Å]; pixel (0, 0) lies on scan position (0, 0), and pixel
          (i, j) i · sampling along +y and j · sampling along +x of the scan

The object of `pure_phase` has zero mean over quantem's padded grid: compare without means.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import os
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from quantem.core.datastructures import Dataset4dstem
from quantem.core.ml import CNN2d
from quantem.diffractive_imaging import (
    DetectorPixelated,
    ObjectDIP,
    ObjectPixelated,
    ProbeDIP,
    ProbePixelated,
    Ptychography,
    PtychographyDatasetRaster,
    real_space_probe,
)

torch.set_num_threads(1)

#: Half a pattern of 64 pixels: no patch reaches over the edge of the object.
PADDING = 32
#: Patterns to a step, and Adam's rate of the object, found on another specimen than the one
#: compared on; quantem's own rates of pixels are 5e-3 and for the probe 1e-3, of networks 1e-3.
BATCH = 192
RATES = {"pixelated": 0.05, "dgp": 2e-3}
#: Of the probe, in parts of the rate of the object (and, for pixels, of the highest amplitude):
#: it is nearly right from the start, and moving it as fast as the object costs both.
PROBE_RATE = 0.1
#: Pixelated iterations that make the input of the networks, and their rate.
GUESS_ITERATIONS, GUESS_RATE = 15, 0.05
PRETRAINING_STEPS, PRETRAINING_RATE = 100, 1e-3
#: Electrons in a pattern that the networks are shown. Their step sizes and quantem's input noise
#: are in units of the array, so the scale of the data matters.
ELECTRONS = 1e4
LOSSES = {"amplitude": "l2_amplitude", "poisson": "poisson"}


@dataclasses.dataclass
class Clock:
    """CPU-seconds of the reconstruction alone."""

    begin: float = dataclasses.field(default_factory=time.process_time)
    idle: float = 0.0

    def seconds(self) -> float:
        return time.process_time() - self.begin - self.idle

    @contextlib.contextmanager
    def stopped(self) -> Any:
        begin = time.process_time()
        yield
        self.idle += time.process_time() - begin


def main() -> None:
    arguments = parse()
    with np.load(arguments.source) as source:
        given = {name: source[name] for name in source.files}
    warm_up()
    torch.manual_seed(arguments.seed)
    clock = Clock()
    if arguments.method == "dgp":
        ptychography = with_networks(given, arguments)
    else:
        ptychography = pixelated(given, arguments)
    optimizers = rates(ptychography, arguments)
    kept: dict[str, list[Any]] = {"phase": [], "seconds": [], "loss": []}
    for number in range(arguments.iterations):
        iterate(ptychography, arguments, 1, optimizers if number == 0 else None)
        kept["seconds"].append(clock.seconds())
        with clock.stopped():
            kept["phase"].append(phase(ptychography))
            kept["loss"].append(ptychography.iter_losses[-1])
            write(arguments.target, kept, ptychography.sampling)
        if kept["seconds"][-1] >= arguments.seconds:
            break


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--method", choices=RATES, default="pixelated")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument(
        "--seconds", type=float, default=np.inf, help="stop after these CPU-seconds"
    )
    parser.add_argument("--rate", type=float, help=f"of the object {RATES}")
    parser.add_argument("--probe-rate", type=float, help="as set in quantem")
    parser.add_argument("--batch-size", type=int, default=BATCH, help="patterns to a step")
    parser.add_argument("--loss", choices=LOSSES, default="amplitude")
    parser.add_argument(
        "--object-type", choices=("pure_phase", "potential", "complex"), default="pure_phase"
    )
    parser.add_argument("--start-filters", type=int, default=16)
    parser.add_argument("--guess-iterations", type=int, default=GUESS_ITERATIONS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.rate is None:
        arguments.rate = RATES[arguments.method]
    return arguments


def warm_up() -> None:
    """Let torch import what it imports at the first step of an optimizer."""
    number = torch.nn.Parameter(torch.zeros(1))
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        optimizer = kind([number])
        number.square().sum().backward()
        optimizer.step()
    # quantem collects garbage after each call, 0.1 s on what the imports left.
    gc.freeze()


def pixelated(given: dict[str, Any], arguments: argparse.Namespace) -> Ptychography:
    counts = given["counts"].astype(np.float32)
    if arguments.method == "dgp":
        counts *= ELECTRONS / counts.sum((2, 3)).mean()
    step = np.broadcast_to(given["scan_step"], 2)
    diffraction_step = np.broadcast_to(given["diffraction_step"], 2)
    data = PtychographyDatasetRaster.from_dataset4dstem(
        Dataset4dstem.from_array(
            counts, sampling=[*step, *diffraction_step], units=["A", "A", "mrad", "mrad"]
        ),
        verbose=0,
        learn_descan=False,
        learn_scan_positions=False,
    )
    data.preprocess(
        com_fit_function="no_shift",
        force_com_rotation=0.0,
        force_com_transpose=False,
        plot_rotation=False,
        plot_com=False,
        probe_energy=1e3 * float(given["beam_energy"]),
    )
    object_model = ObjectPixelated.from_uniform(obj_type=arguments.object_type, rng=arguments.seed)
    return assemble(data, object_model, first_probe(given, data), arguments.seed)


def first_probe(given: dict[str, Any], data: PtychographyDatasetRaster) -> ProbePixelated:
    """The probe of aperture and defocus, tilted to where the beam goes through the detector.

    quantem counts angles from pixel n/2 and would move patterns there by Fourier interpolation of
    amplitudes. By half a pixel that rings and costs it quality; a ramp on the probe is exact.
    """
    shape = given["counts"].shape[2:]
    center = given.get("center", (np.array(shape) - 1) / 2)
    energy, angle = 1e3 * float(given["beam_energy"]), float(given["convergence_angle"])
    probe = real_space_probe(
        gpts=shape,
        sampling=tuple(data.obj_sampling),
        energy=energy,
        semiangle_cutoff=angle,
        aberration_coefs={"C10": -float(given["defocus"])},
    )
    for axis, (size, middle) in enumerate(zip(shape, center, strict=True)):
        turns = torch.fft.fftfreq(size) * float(middle - size // 2)
        ramp = torch.exp(2j * torch.pi * turns)
        probe = probe * (ramp[:, None] if axis == 0 else ramp)
    # The energy stands in the parameters because propagators of several slices need it.
    return ProbePixelated.from_array(probe, probe_params={"energy": energy})


def assemble(data: Any, object_model: Any, probe_model: Any, seed: int) -> Ptychography:
    ptychography = Ptychography.from_models(
        data, object_model, probe_model, DetectorPixelated(), device="cpu", verbose=0, rng=seed
    )
    return ptychography.preprocess(obj_padding_px=(PADDING, PADDING))


def with_networks(given: dict[str, Any], arguments: argparse.Namespace) -> Ptychography:
    """Two networks, taught to reproduce a few pixelated iterations."""
    guess = pixelated(given, arguments)
    probe_rate = PROBE_RATE * GUESS_RATE * highest(guess)
    iterate(guess, arguments, arguments.guess_iterations, adam(GUESS_RATE, probe_rate))
    complex_object = arguments.object_type == "complex"
    object_model = ObjectDIP.from_pixelated(
        network(arguments, torch.complex64 if complex_object else torch.float32), guess.obj_model
    )
    probe_model = ProbeDIP.from_pixelated(network(arguments, torch.complex64), guess.probe_model)
    for model in (object_model, probe_model):
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            model.pretrain(
                num_iters=PRETRAINING_STEPS,
                optimizer_params={"name": "adamw", "lr": PRETRAINING_RATE},
                scheduler_params={"name": "plateau", "factor": 0.5},
                show=False,
            )
    return assemble(guess.dset, object_model, probe_model, arguments.seed)


def network(arguments: argparse.Namespace, dtype: torch.dtype) -> CNN2d:
    return CNN2d(in_channels=1, start_filters=arguments.start_filters, dtype=dtype)


def rates(ptychography: Ptychography, arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.probe_rate is not None:
        return adam(arguments.rate, arguments.probe_rate)
    scale = highest(ptychography) if arguments.method == "pixelated" else 1.0
    return adam(arguments.rate, PROBE_RATE * arguments.rate * scale)


def adam(object_rate: float, probe_rate: float) -> dict[str, Any]:
    return {
        "object": {"name": "adam", "lr": object_rate},
        "probe": {"name": "adam", "lr": probe_rate},
    }


def highest(ptychography: Ptychography) -> float:
    return float(ptychography.probe_model.probe.detach().abs().max())


def iterate(
    ptychography: Ptychography,
    arguments: argparse.Namespace,
    iterations: int,
    optimizers: dict[str, Any] | None,
) -> None:
    """Go on; optimizers given replace those at work."""
    ptychography.reconstruct(
        num_iters=iterations,
        optimizer_params=optimizers,
        batch_size=arguments.batch_size,
        loss_type=LOSSES[arguments.loss],
    )


def phase(ptychography: Ptychography) -> np.ndarray:
    with torch.no_grad():
        picture = ptychography.obj_cropped[0]
    return (np.angle(picture) if np.iscomplexobj(picture) else picture).astype(np.float32)


def write(target: Path, kept: dict[str, list[Any]], sampling: np.ndarray) -> None:
    """Write beside the target, then rename: what is read there is whole."""
    beside = target.with_name(f"{target.name}.part")
    with beside.open("wb") as file:
        np.savez(file, sampling=sampling, **{name: np.array(kept[name]) for name in kept})
    beside.replace(target)


if __name__ == "__main__":
    main()
