"""Train AIRPI's spatial network on a library of simulated scans."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from stem_plugins.models.registry import find_airpi_weights
from stem_plugins.rapid_phase_imaging.spatial_network import DESIGN, DESIGN_VERSION, SpatialNetwork
from stem_plugins.training.airpi_examples import DOSES, Example, examples
from stem_plugins.training.airpi_validation import (
    ValidationScan,
    mean_dissimilarity,
    read_validation,
)
from stem_plugins.training.loop import (
    Pace,
    Progress,
    State,
    export_average,
    load_checkpoint,
    start_from_weights,
    train,
)

__all__ = ["AirpiTraining", "Batch", "airpi_loss", "train_airpi"]

#: Files of the library that are for validation, the first ones.
VALIDATION_FILES = 1

#: Power of the phase, in the unit of direct ptychography, below which no structure is looked for.
NOTHING = 0.03


#: How fast is learned, unless told otherwise.
PACE = Pace(learning_rate=1e-3, average=0.999)


@dataclasses.dataclass(frozen=True)
class AirpiTraining:
    """How to train.

    Parameters
    ----------
    batch
        Scans of a step.
    pace
        How fast is learned.
    seed
        Of the random numbers.
    device
        Torch's name of the device.
    threads
        Processor threads of torch.
    workers
        Processes that draw examples beside the training; 0: none.
    doses
        Electrons per (λ/α)², from and to.
    """

    batch: int = 4
    pace: Pace = dataclasses.field(default=PACE)
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    workers: int = 0
    doses: tuple[float, float] = DOSES


class Batch(NamedTuple):
    """Several examples."""

    channels: torch.Tensor
    conditions: torch.Tensor
    base: torch.Tensor
    phase: torch.Tensor


def airpi_loss(phase: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Loss of a batch: what cannot be explained, the correlation, and a part of the error.

    Parameters
    ----------
    phase, truth
        Found and true phases in any unit of the scan, (scans, y, x); offsets do not count.

    Returns
    -------
    torch.Tensor
        Mean over the scans of ``log(error)``, which weighs a decibel alike at every dose, less the
        correlation, which counts where there is little but noise.
    """
    found = phase - phase.mean(dim=(1, 2), keepdim=True)
    sought = truth - truth.mean(dim=(1, 2), keepdim=True)
    power, variance = found.square().mean(dim=(1, 2)), sought.square().mean(dim=(1, 2))
    common = (found * sought).mean(dim=(1, 2))
    unexplained = variance - common.square() / (power + 1e-9)
    error = (found - sought).square().mean(dim=(1, 2))
    share = (0.6 * unexplained + 0.4 * error) / (variance + NOTHING)
    correlation = common / torch.sqrt((power + 1e-6) * (variance + NOTHING))
    return (torch.log(share + 1e-3) - correlation).mean()


def _loss(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    device = next(network.parameters()).device
    channels, conditions, base, phase = (part.to(device) for part in batch)
    found = network(channels, conditions, base)
    # The last row and column of the truth are not what they seem.
    return airpi_loss(found[:, :-1, :-1], phase[:, :-1, :-1])


def train_airpi(
    folder: str | Path,
    library: str | Path,
    *,
    minutes: float,
    settings: AirpiTraining = AirpiTraining(),
    start_from: str | Path | None = None,
    validation: Path | None = None,
) -> Iterator[Progress]:
    """Train for some minutes, from the folder's checkpoint where there is one.

    Parameters
    ----------
    folder
        Where ``checkpoint.pt``, ``airpi.safetensors`` and ``log.csv`` are kept.
    library
        Folder of `stem_plugins.training.airpi_library.grow_library`.
    minutes
        Length of this run.
    settings
        How to train.
    start_from
        Weights to begin with, ``"default"`` or a file, where the folder holds no checkpoint;
        ``None``: random ones.
    validation
        File of `stem_plugins.training.airpi_validation.write_validation`: what is exported is the
        average where these scans came out best. ``None``: the last.

    Yields
    ------
    Progress
        Every few seconds; closing the generator keeps the checkpoint and exports.

    Raises
    ------
    ValueError
        The minutes are not above zero, the library is empty, the checkpoint is damaged, or the
        weights are of another design.
    """
    if not minutes > 0:
        raise ValueError(f"minutes must be above zero, not {minutes}.")
    torch.set_num_threads(settings.threads)
    folder, library = Path(folder), Path(library)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    network, averaged = (SpatialNetwork().to(settings.device) for _ in range(2))
    averaged.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.pace.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    state = State(network, averaged, optimizer)
    if not load_checkpoint(state, folder, settings.device) and start_from is not None:
        start_from_weights(state, find_airpi_weights(start_from), {DESIGN: DESIGN_VERSION})
    scans = None if validation is None else read_validation(validation)
    yield from train(
        state,
        folder,
        _batches(library, state.step, settings),
        _loss,
        minutes=minutes,
        pace=settings.pace,
        figures=("network", "direct") if scans is None else ("network", "direct", "unlike"),
        validate=lambda one: validate(one, library, scans),
        export=lambda state: _export(state, folder, settings),
        lowest=None if scans is None else "unlike",
    )


def _batches(library: Path, first: int, settings: AirpiTraining) -> Generator[Batch, None, None]:
    if not settings.workers:
        drawn = _examples(library, (settings.seed, first, 0), settings.doses)
        while True:
            yield _batch([next(drawn) for _ in range(settings.batch)])
    # Processes that are forked from one with threads may hang.
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(4 * settings.workers)
    workers = [
        context.Process(
            target=_work,
            args=(library, (settings.seed, first, number), settings.doses, queue),
            daemon=True,
        )
        for number in range(settings.workers)
    ]
    for worker in workers:
        worker.start()
    try:
        while True:
            yield _batch([Example(*queue.get()) for _ in range(settings.batch)])
    finally:
        for worker in workers:
            worker.terminate()


def _work(library: Path, seed: tuple[int, ...], doses: tuple[float, float], queue: Any) -> None:
    for example in _examples(library, seed, doses):
        queue.put((example.inputs, example.phase))


def _examples(
    library: Path, seed: tuple[int, ...], doses: tuple[float, float]
) -> Iterator[Example]:
    return examples(library, np.random.default_rng(seed), first=VALIDATION_FILES, doses=doses)


def _batch(drawn: list[Example]) -> Batch:
    def stacked(arrays: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))

    return Batch(
        stacked([one.inputs.channels for one in drawn]),
        stacked([one.inputs.conditions for one in drawn]),
        stacked([one.inputs.base for one in drawn]),
        stacked([one.phase / np.float32(one.inputs.scale) for one in drawn]),
    )


def validate(
    network: torch.nn.Module,
    library: Path,
    scans: list[ValidationScan] | None = None,
    *,
    count: int = 40,
) -> dict[str, float]:
    """Loss of scans that no step draws, and that of direct ptychography.

    Parameters
    ----------
    network
        To be tested.
    library
        Whose first files are kept for this.
    scans
        Of another simulation: how far the images are from the true ones.
    count
        Scans of the library.
    """
    drawn = examples(library, np.random.default_rng(2**31), last=VALIDATION_FILES)
    network.eval()
    ours, base = [], []
    for _ in range(count):
        batch = _batch([next(drawn)])
        with torch.inference_mode():
            ours.append(float(_loss(network, batch)))
        base.append(float(airpi_loss(batch.base[:, :-1, :-1], batch.phase[:, :-1, :-1])))
    found = {"network": float(np.mean(ours)), "direct": float(np.mean(base))}
    if scans is not None:
        found["unlike"] = mean_dissimilarity(network, scans)
    network.train()
    return found


def _export(state: State, folder: Path, settings: AirpiTraining) -> None:
    export_average(
        state,
        folder / "airpi.safetensors",
        design=DESIGN,
        version=DESIGN_VERSION,
        details=dataclasses.asdict(settings),
    )
