"""Train the row-aware restoration network on patches made on the fly.

The loop runs for a given time, keeps a checkpoint that it resumes from, and can be run again and
again: every run warms up, holds its learning rate, and lets it fall to nothing at the end, so that
what it exports is at its best and the next run continues from there.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from stem_plugins.restoration.local_fourier import local_fourier_filter
from stem_plugins.restoration.row_aware_network import (
    DESIGN,
    DESIGN_VERSION,
    RestorationNetwork,
    Restored,
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
from stem_plugins.training.restoration_pairs import (
    TRAINED_ON,
    Batch,
    draw_batch,
    draw_pair,
)

__all__ = ["Progress", "RestorationTraining", "restoration_loss", "train_restoration", "validate"]


@dataclasses.dataclass(frozen=True)
class RestorationTraining:
    """How to train.

    Parameters
    ----------
    patch
        Edge of the patches [px], a multiple of 8.
    batch
        Patches per step.
    learning_rate
        While it is held.
    warm_up, cool_down
        Shares of the run in which the learning rate rises and falls.
    average
        Memory of the moving average of the weights, which is what is exported.
    seed
        Of the random numbers; step n of any run draws the same patches.
    device
        Torch's name of the device.
    threads
        Processor threads of torch.
    workers
        Processes that draw patches beside the training; 0: none. One keeps up with about one
        processor core of training; a GPU wants as many as there are cores.
    """

    patch: int = 128
    batch: int = 4
    learning_rate: float = 1e-3
    warm_up: float = 0.03
    cool_down: float = 0.4
    average: float = 0.998
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    workers: int = 0


def restoration_loss(restored: Restored, batch: Batch) -> torch.Tensor:
    """Loss of a batch: decibels of the image and its slopes, shifts of the rows, mean.

    The mean of ``log(error)`` over the patches weighs a decibel alike at every dose. Shifts count
    where the clean image has slopes that show them.

    Parameters
    ----------
    restored
        From the network.
    batch
        What went in, and what should have come out.

    Returns
    -------
    torch.Tensor
        One number.
    """
    error, clean = restored.image - batch.clean, batch.clean
    variance = clean.var(dim=(1, 2, 3)).clamp_min(1e-4)
    image = torch.log(error.square().mean(dim=(1, 2, 3)) / variance + 2e-5).mean()
    slope = torch.log(_steepness(error) / (_steepness(clean) + 1e-4) + 1e-4).mean()
    mean = (error.mean(dim=(1, 2, 3)).abs() / variance.sqrt()).mean()
    return 0.5 * image + 0.15 * slope + 0.3 * _shift_loss(restored.shifts, batch) + 0.2 * mean


def _steepness(image: torch.Tensor) -> torch.Tensor:
    """Mean square of the slopes of each image."""
    return image.diff(dim=2).square().mean(dim=(1, 2, 3)) + image.diff(dim=3).square().mean(
        dim=(1, 2, 3)
    )


def _shift_loss(shifts: torch.Tensor, batch: Batch) -> torch.Tensor:
    steep_y, steep_x = torch.gradient(batch.clean[:, 0], dim=(1, 2))
    weight = torch.stack([steep_y.square().mean(2), steep_x.square().mean(2)], dim=2)
    weight = weight / (weight.mean(dim=(1, 2), keepdim=True) + 1e-3)
    return (weight * (shifts - batch.shifts).abs()).mean()


def train_restoration(
    folder: str | Path,
    *,
    minutes: float,
    settings: RestorationTraining = RestorationTraining(),
    start_from: str | Path | None = None,
) -> Iterator[Progress]:
    """Train for some minutes, from the folder's checkpoint where there is one.

    Parameters
    ----------
    folder
        Where ``checkpoint.pt``, ``restore.safetensors`` and ``log.csv`` are kept.
    minutes
        Length of this run.
    settings
        How to train.
    start_from
        Weights to begin with (a name or a file, as for `stem_plugins.restore`) where the folder
        holds no checkpoint; ``None``: random ones.

    Yields
    ------
    Progress
        Every few seconds; closing the generator keeps the checkpoint and exports.

    Raises
    ------
    ValueError
        The minutes are not above zero, or the weights are of another design.
    """
    if not minutes > 0:
        raise ValueError(f"minutes must be above zero, not {minutes}.")
    torch.set_num_threads(settings.threads)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = _start(folder, settings, start_from)
    yield from train(
        state,
        folder,
        _batches(state.step, settings),
        _loss,
        minutes=minutes,
        pace=Pace(settings.learning_rate, settings.warm_up, settings.cool_down, settings.average),
        figures=("raw", "fft", "columns", "others"),
        validate=lambda network: validate(network),
        export=lambda state: _export(state, folder, settings),
    )


def _loss(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    device = next(network.parameters()).device
    batch = Batch(*(part.to(device) for part in batch))
    return restoration_loss(network(batch.distorted), batch)


def _batches(first: int, settings: RestorationTraining) -> Generator[Batch, None, None]:
    """Draw the batches of the steps from the first on, whoever draws them."""
    if not settings.workers:
        for step in itertools.count(first):
            yield _batch(_draw(step, settings))
    # Processes that are forked from one with threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.workers, mp_context=context) as pool:
        waiting: deque[Future[list[np.ndarray]]] = deque()
        try:
            for step in itertools.count(first):
                waiting.append(pool.submit(_draw, step, settings))
                if len(waiting) > 2 * settings.workers:
                    yield _batch(waiting.popleft().result())
        finally:
            for drawn in waiting:
                drawn.cancel()


def _draw(step: int, settings: RestorationTraining) -> list[np.ndarray]:
    """Draw a batch; tensors would travel between processes as file handles, of which few exist."""
    rng = np.random.default_rng((settings.seed, step))
    return [part.numpy() for part in draw_batch(settings.batch, settings.patch, rng)]


def _batch(arrays: list[np.ndarray]) -> Batch:
    return Batch(*(torch.from_numpy(array) for array in arrays))


def _start(folder: Path, settings: RestorationTraining, start_from: str | Path | None) -> State:
    torch.manual_seed(settings.seed)
    network, averaged = RestorationNetwork(), RestorationNetwork()
    for one in (network, averaged):
        one.to(settings.device)
        one.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    state = State(network, averaged, optimizer)
    if load_checkpoint(state, folder, settings.device):
        return state
    averaged.load_state_dict(network.state_dict())
    if start_from is not None:
        start_from_weights(state, start_from, {DESIGN: DESIGN_VERSION})
    return state


def _export(state: State, folder: Path, settings: RestorationTraining) -> None:
    export_average(
        state,
        folder / "restore.safetensors",
        design=DESIGN,
        version=DESIGN_VERSION,
        details={**dataclasses.asdict(settings), "trained_on": dataclasses.asdict(TRAINED_ON)},
    )


def validate(network: torch.nn.Module, *, count: int = 12, size: int = 160) -> dict[str, float]:
    """Mean PSNR [dB] on patches that no training step draws.

    Parameters
    ----------
    network
        To be tested.
    count
        Patches of columns, and of other content.
    size
        Their edge [px], a multiple of 8.

    Returns
    -------
    dict
        ``"raw"`` and ``"fft"`` (the filter without training) over all, and the network's
        ``"columns"`` and ``"others"``.
    """
    # Training draws from (seed, step) with steps from 0 up.
    rngs = [np.random.default_rng((2**31, index)) for index in range(2 * count)]
    device = next(network.parameters()).device
    results: dict[str, list[float]] = {name: [] for name in ("raw", "fft", "columns", "others")}
    for index, rng in enumerate(rngs):
        kind = "columns" if index < count else "others"
        pair = draw_pair(size, rng, content="columns" if kind == "columns" else _other(index))
        image = torch.from_numpy(pair.distorted)[None, None].to(device)
        with torch.inference_mode():
            restored = network(image).image[0, 0].cpu().numpy()
            filtered = local_fourier_filter(image)[0, 0].cpu().numpy()
        results[kind].append(_psnr(restored, pair.clean))
        results["raw"].append(_psnr(pair.distorted, pair.clean))
        results["fft"].append(_psnr(filtered, pair.clean))
    return {name: float(np.mean(values)) for name, values in results.items()}


def _other(index: int) -> str:
    from stem_plugins.training.restoration_images import CONTENTS

    others = [name for name in CONTENTS if name != "columns"]
    return others[index % len(others)]


def _psnr(image: np.ndarray, clean: np.ndarray) -> float:
    error = np.mean((image.astype(float) - clean) ** 2)
    return float(10 * np.log10(np.ptp(clean).astype(float) ** 2 / error))
