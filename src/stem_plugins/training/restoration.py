"""Train the row-aware restoration network on patches made on the fly.

The loop runs for a given time, keeps a checkpoint that it resumes from, and can be run again and
again: every run warms up, holds its learning rate, and lets it fall to nothing at the end, so that
what it exports is at its best and the next run continues from there.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import multiprocessing
import os
import pickle
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stem_plugins.models import check_tensors, load_weights, save_weights
from stem_plugins.restoration.local_fourier import local_fourier_filter
from stem_plugins.restoration.row_aware_network import (
    DESIGN,
    DESIGN_VERSION,
    RestorationNetwork,
    Restored,
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


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Parameters
    ----------
    step
        Steps in all runs so far.
    seconds
        Time of all runs so far [s].
    share
        Of this run, 0 to 1.
    loss
        Mean since the last report.
    validation
        PSNR [dB] of the validation images by name, where it was just measured.
    """

    step: int
    seconds: float
    share: float
    loss: float
    validation: dict[str, float] | None = None


@dataclasses.dataclass
class _State:
    network: RestorationNetwork
    averaged: RestorationNetwork
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


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
    try:
        yield from _steps(state, folder, minutes, settings)
    finally:
        _keep(state, folder)
        _export(state, folder, settings)


def _steps(
    state: _State, folder: Path, minutes: float, settings: RestorationTraining
) -> Iterator[Progress]:
    begin = last_report = last_kept = time.monotonic()
    before, losses = state.seconds, []
    validate_every = max(120.0, 60 * minutes / 12)
    next_validation = validate_every
    batches = _batches(state.step, settings)
    while (elapsed := time.monotonic() - begin) < 60 * minutes:
        share = elapsed / (60 * minutes)
        for group in state.optimizer.param_groups:
            group["lr"] = settings.learning_rate * _learning_rate(share, settings)
        losses.append(_one_step(state, next(batches), settings))
        state.seconds = before + time.monotonic() - begin
        if time.monotonic() - last_report > 5:
            validation = None
            if elapsed > next_validation:
                validation, next_validation = validate(state.averaged), elapsed + validate_every
            progress = Progress(
                state.step, state.seconds, share, float(np.mean(losses)), validation
            )
            _log(folder, progress)
            yield progress
            losses, last_report = [], time.monotonic()
        if time.monotonic() - last_kept > 300:
            _keep(state, folder)
            _export(state, folder, settings)
            last_kept = time.monotonic()
    batches.close()
    progress = Progress(state.step, state.seconds, 1.0, math.nan, validate(state.averaged))
    _log(folder, progress)
    yield progress


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


def _learning_rate(share: float, settings: RestorationTraining) -> float:
    """Share of the learning rate at a share of the run: up, held, down along a cosine."""
    if share < settings.warm_up:
        return share / settings.warm_up
    left = (1 - share) / settings.cool_down
    return 1.0 if left >= 1 else 0.5 - 0.5 * math.cos(math.pi * left)


def _one_step(state: _State, batch: Batch, settings: RestorationTraining) -> float:
    batch = Batch(*(part.to(settings.device) for part in batch))
    loss = restoration_loss(state.network(batch.distorted), batch)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), 2.0)
    state.step += 1
    # One patch in thousands gives a gradient without measure; it teaches nothing.
    if bool(torch.isfinite(norm)) and float(norm) < 100:
        state.optimizer.step()
    _average(state, settings.average)
    return float(loss.detach())


def _average(state: _State, memory: float) -> None:
    memory = min(memory, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for kept, new in zip(state.averaged.parameters(), state.network.parameters(), strict=True):
            kept.lerp_(new, 1 - memory)


def _start(folder: Path, settings: RestorationTraining, start_from: str | Path | None) -> _State:
    torch.manual_seed(settings.seed)
    network, averaged = RestorationNetwork(), RestorationNetwork()
    for one in (network, averaged):
        one.to(settings.device)
        one.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    state = _State(network, averaged, optimizer)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        _resume(state, checkpoint, settings.device)
        return state
    if start_from is not None:
        weights = load_weights(start_from, designs={DESIGN: DESIGN_VERSION})
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        check_tensors(weights, shapes)
        tensors = {name: np.asarray(value, "f4") for name, value in weights.tensors.items()}
        network.load_state_dict({name: torch.from_numpy(v) for name, v in tensors.items()})
        state.step = int(weights.details.get("steps", 0))
        state.seconds = float(weights.details.get("seconds", 0))
    averaged.load_state_dict(network.state_dict())
    return state


def _resume(state: _State, checkpoint: Path, device: str) -> None:
    try:
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        state.network.load_state_dict(saved["network"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.averaged.load_state_dict(saved["averaged"])
        state.step, state.seconds = saved["step"], saved["seconds"]
    # Torch has an error of its own for every way in which a file can be damaged.
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise ValueError(
            f"{checkpoint} cannot be resumed: it is damaged, or of another version of "
            "stem-plugins. Train in another folder; --start-from the weights in this one keeps "
            "what they have learned."
        ) from error


def _keep(state: _State, folder: Path) -> None:
    unfinished = folder / "checkpoint.pt.unfinished"
    torch.save(
        {
            "network": state.network.state_dict(),
            "averaged": state.averaged.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "seconds": state.seconds,
        },
        unfinished,
    )
    os.replace(unfinished, folder / "checkpoint.pt")


def _export(state: _State, folder: Path, settings: RestorationTraining) -> None:
    tensors = {
        name: value.detach().cpu().contiguous().numpy().astype(np.float16)
        for name, value in state.averaged.state_dict().items()
    }
    details: dict[str, Any] = {
        "steps": state.step,
        "seconds": round(state.seconds),
        **dataclasses.asdict(settings),
        "trained_on": dataclasses.asdict(TRAINED_ON),
        "licence": "GPL-3.0-or-later",
    }
    save_weights(
        folder / "restore.safetensors",
        tensors,
        design=DESIGN,
        version=DESIGN_VERSION,
        details=details,
        overwrite=True,
    )


def _log(folder: Path, progress: Progress) -> None:
    path = folder / "log.csv"
    names = ["raw", "fft", "columns", "others"]
    new = not path.exists()
    with path.open("a") as file:
        if new:
            file.write(",".join(["step", "seconds", "loss", *names]) + "\n")
        values = progress.validation or {}
        shown = [f"{values[name]:.2f}" if name in values else "" for name in names]
        file.write(
            ",".join(
                [str(progress.step), f"{progress.seconds:.0f}", f"{progress.loss:.4f}", *shown]
            )
            + "\n"
        )


def validate(network: RestorationNetwork, *, count: int = 12, size: int = 160) -> dict[str, float]:
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
