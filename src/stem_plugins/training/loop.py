"""The loop in which networks are trained, in runs that add up.

A run lasts a given time, keeps a checkpoint that the next one goes on from, and lets the learning
rate rise, hold and fall to nothing, so that the moving average that it exports is at its best.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
import os
import pickle
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stem_plugins.models import load_weights, save_weights
from stem_plugins.models.network_weights import fill_network

__all__ = [
    "Pace",
    "Progress",
    "State",
    "export_average",
    "load_checkpoint",
    "save_checkpoint",
    "start_from_weights",
    "train",
]

#: Between two reports, and between two checkpoints [s].
REPORT, KEEP = 5.0, 300.0

#: Gradients are cut to the first, and those beyond the second teach nothing.
LARGEST_GRADIENT, ABSURD_GRADIENT = 2.0, 100.0


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast is learned.

    Parameters
    ----------
    learning_rate
        While it is held.
    warm_up, cool_down
        Shares of the run in which the learning rate rises and falls.
    average
        Memory of the moving average of the weights, which is what is exported.
    """

    learning_rate: float = 1e-3
    warm_up: float = 0.03
    cool_down: float = 0.4
    average: float = 0.998

    def part_at(self, share: float) -> float:
        """Part of the learning rate at a share of the run: up, held, down along a cosine.

        Examples
        --------
        >>> [round(Pace().part_at(share), 3) for share in (0.015, 0.5, 0.8, 1.0)]
        [0.5, 1.0, 0.5, 0.0]
        """
        if share < self.warm_up:
            return share / self.warm_up
        left = (1 - share) / self.cool_down
        return 1.0 if left >= 1 else 0.5 - 0.5 * math.cos(math.pi * left)


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
        Figures of the validation by name, where it was just done.
    """

    step: int
    seconds: float
    share: float
    loss: float
    validation: dict[str, float] | None = None


@dataclasses.dataclass
class State:
    """A network on its way.

    Parameters
    ----------
    network
        That is trained.
    averaged
        The moving average of its weights.
    optimizer
        With the network's parameters.
    step, seconds
        In all runs so far.
    best, lowest
        The average where a validation was best, and its figure there; of no use where nothing
        says what is best.
    """

    network: torch.nn.Module
    averaged: torch.nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best: dict[str, torch.Tensor] | None = None
    lowest: float = math.inf


def train(
    state: State,
    folder: Path,
    batches: Generator[Any, None, None],
    loss_of: Callable[[torch.nn.Module, Any], torch.Tensor],
    *,
    minutes: float,
    pace: Pace,
    figures: Sequence[str],
    validate: Callable[[torch.nn.Module], dict[str, float]],
    export: Callable[[State], None],
    lowest: str | None = None,
) -> Iterator[Progress]:
    """Train for some minutes.

    Parameters
    ----------
    state
        Where it begins; changed in place.
    folder
        Of ``checkpoint.pt`` and ``log.csv``.
    batches
        From the present step on.
    loss_of
        Loss of a network for a batch.
    minutes
        Length of this run.
    pace
        How fast is learned.
    figures
        Names of the figures of the validation, columns of the log.
    validate
        Figures of a network; done a dozen times.
    export
        Called with every checkpoint.
    lowest
        The figure that is lowest where the average is best: that one is exported.

    Yields
    ------
    Progress
        Every few seconds; closing the generator keeps the checkpoint and exports.
    """
    try:
        with contextlib.closing(batches):
            for progress in _steps(state, batches, loss_of, minutes, pace, validate):
                if isinstance(progress, Progress):
                    if lowest is not None and progress.validation is not None:
                        _keep_best(state, progress.validation[lowest])
                    _log(folder, progress, figures)
                    yield progress
                else:
                    save_checkpoint(state, folder)
                    export(state)
    finally:
        save_checkpoint(state, folder)
        export(state)


def _keep_best(state: State, figure: float) -> None:
    if figure < state.lowest:
        state.lowest = figure
        state.best = {
            name: value.detach().clone() for name, value in state.averaged.state_dict().items()
        }


def _steps(
    state: State,
    batches: Iterator[Any],
    loss_of: Callable[[torch.nn.Module, Any], torch.Tensor],
    minutes: float,
    pace: Pace,
    validate: Callable[[torch.nn.Module], dict[str, float]],
) -> Iterator[Progress | None]:
    """Do steps; now and then yield a report, or `None` where it is time to keep what there is."""
    begin = reported = kept = time.monotonic()
    before, losses = state.seconds, []
    between = max(120.0, 60 * minutes / 12)
    next_validation = between
    while (elapsed := time.monotonic() - begin) < 60 * minutes:
        share = elapsed / (60 * minutes)
        for group in state.optimizer.param_groups:
            group["lr"] = pace.learning_rate * pace.part_at(share)
        losses.append(_one_step(state, next(batches), loss_of, pace))
        state.seconds = before + time.monotonic() - begin
        if time.monotonic() - reported > REPORT:
            found = None
            if elapsed > next_validation:
                found, next_validation = validate(state.averaged), elapsed + between
            yield Progress(state.step, state.seconds, share, float(np.mean(losses)), found)
            losses, reported = [], time.monotonic()
        if time.monotonic() - kept > KEEP:
            yield None
            kept = time.monotonic()
    yield Progress(state.step, state.seconds, 1.0, math.nan, validate(state.averaged))


def _one_step(
    state: State, batch: Any, loss_of: Callable[[torch.nn.Module, Any], torch.Tensor], pace: Pace
) -> float:
    loss = loss_of(state.network, batch)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), LARGEST_GRADIENT)
    state.step += 1
    # One example in thousands gives a gradient without measure; it teaches nothing.
    if bool(torch.isfinite(norm)) and float(norm) < ABSURD_GRADIENT:
        state.optimizer.step()
    memory = min(pace.average, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        pairs = zip(state.averaged.parameters(), state.network.parameters(), strict=True)
        for slow, new in pairs:
            slow.lerp_(new, 1 - memory)
        # What batch normalisation has seen belongs to the weights that it was seen with.
        seen = zip(state.averaged.buffers(), state.network.buffers(), strict=True)
        for kept, latest in seen:
            if kept.is_floating_point():
                kept.lerp_(latest, 1 - memory)
    return float(loss.detach())


def _log(folder: Path, progress: Progress, figures: Sequence[str]) -> None:
    path = folder / "log.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["step", "seconds", "loss", *figures])
        found = progress.validation or {}
        shown = [f"{found[name]:.4g}" if name in found else "" for name in figures]
        writer.writerow([progress.step, f"{progress.seconds:.0f}", f"{progress.loss:.4f}", *shown])


def save_checkpoint(state: State, folder: Path) -> None:
    """Keep all that is needed to go on.

    Parameters
    ----------
    state
        To be kept.
    folder
        Gets a ``checkpoint.pt``, in place of an older one once it is whole.
    """
    unfinished = folder / "checkpoint.pt.unfinished"
    torch.save(
        {
            "network": state.network.state_dict(),
            "averaged": state.averaged.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "seconds": state.seconds,
            "best": state.best,
            "lowest": state.lowest,
        },
        unfinished,
    )
    os.replace(unfinished, folder / "checkpoint.pt")


def export_average(
    state: State, path: Path, *, design: str, version: int, details: Mapping[str, Any]
) -> None:
    """Write the moving average of the weights, or its best, as half-precision ``.safetensors``.

    Parameters
    ----------
    state
        What is exported.
    path
        Of the file; an older one is replaced.
    design, version
        Of the network.
    details
        Of the training, written into the file beside steps, seconds and licence.
    """
    tensors = {
        name: value.detach().cpu().contiguous().numpy().astype(np.float16)
        for name, value in (state.best or state.averaged.state_dict()).items()
        if value.is_floating_point()  # counts of batches are of no use to anybody
    }
    told = {"steps": state.step, "seconds": round(state.seconds), **details}
    told["licence"] = "GPL-3.0-or-later"
    save_weights(path, tensors, design=design, version=version, details=told, overwrite=True)


def start_from_weights(state: State, name: str | Path, designs: Mapping[str, int]) -> None:
    """Begin with weights that were trained before.

    Parameters
    ----------
    state
        Changed in place; steps and seconds are those of the weights.
    name
        Of a model, or the path of a file.
    designs
        Design that the weights must have, and its version.

    Raises
    ------
    ValueError
        They are of another design, or damaged.
    FileNotFoundError
        They are not there.
    """
    weights = load_weights(name, designs=dict(designs))
    fill_network(state.network, weights)
    state.averaged.load_state_dict(state.network.state_dict())
    state.step = int(weights.details.get("steps", 0))
    state.seconds = float(weights.details.get("seconds", 0))


def load_checkpoint(state: State, folder: Path, device: str) -> bool:
    """Go on from a folder's checkpoint.

    Parameters
    ----------
    state
        Changed in place.
    folder
        Where it is looked for.
    device
        Torch's name of the device.

    Returns
    -------
    bool
        Whether there was one.

    Raises
    ------
    ValueError
        It is damaged, or of another network.
    """
    path = folder / "checkpoint.pt"
    if not path.exists():
        return False
    try:
        saved: Mapping[str, Any] = torch.load(path, map_location=device, weights_only=True)
        state.network.load_state_dict(saved["network"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.averaged.load_state_dict(saved["averaged"])
        state.step, state.seconds = saved["step"], saved["seconds"]
        state.best, state.lowest = saved.get("best"), saved.get("lowest", math.inf)
    # Torch has an error of its own for every way in which a file can be damaged.
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be resumed: it is damaged, or of another version of stem-plugins. "
            "Train in another folder; --start-from the weights in this one keeps what they have "
            "learned."
        ) from error
    return True
