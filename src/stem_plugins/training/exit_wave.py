"""Train AIRPI's exit-wave network on scans that are simulated on the fly."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stem_plugins.models.registry import find_airpi_weights
from stem_plugins.rapid_phase_imaging.exit_wave_network import (
    EXIT_WAVE_DESIGN,
    EXIT_WAVE_VERSION,
    ExitWaveNetwork,
)
from stem_plugins.rapid_phase_imaging.networks import EXIT_WAVE
from stem_plugins.rapid_phase_imaging.stitching import DARK
from stem_plugins.training.exit_wave_examples import WaveExamples, exit_wave_examples
from stem_plugins.training.loop import (
    Pace,
    Progress,
    State,
    export_average,
    load_checkpoint,
    start_from_weights,
    train,
)

__all__ = ["ExitWaveTraining", "WaveBatch", "exit_wave_loss", "train_exit_wave"]

#: Weight of the wave's direction in Fourier space.
IN_FOURIER_SPACE = 3.0

#: Squared phase of an object [rad²] that is as good as none.
VACUUM = 0.02

#: Examples of one scan are alike: so many scans are mixed.
MIXED = 16

#: How fast is learned, unless told otherwise.
PACE = Pace(learning_rate=1e-3, average=0.998)


@dataclasses.dataclass(frozen=True)
class ExitWaveTraining:
    """How to train.

    Parameters
    ----------
    batch
        Examples of a step.
    filters
        Channels of the first level.
    pace
        How fast is learned.
    seed
        Of the random numbers.
    device
        Torch's name of the device.
    threads
        Processor threads of torch.
    """

    batch: int = 16
    filters: int = 16
    pace: Pace = dataclasses.field(default=PACE)
    seed: int = 0
    device: str = "cpu"
    threads: int = 1


class WaveBatch(NamedTuple):
    """Several examples, of several scans."""

    channels: torch.Tensor
    probes: torch.Tensor
    waves: torch.Tensor


def exit_wave_loss(found: torch.Tensor, sought: torch.Tensor, probes: torch.Tensor) -> torch.Tensor:
    """Compare waves in real and Fourier space, and the phases of the object that they give.

    Parameters
    ----------
    found, sought, probes
        Waves, (n, y, x) complex.

    Returns
    -------
    Tensor
        After eq. 4.11 of the thesis: squared differences of intensities and of directions (sine and
        cosine of the phase) in both spaces, of the object's phase under the probe, and its
        cross-correlation. Here directions count where there is intensity, and everything is in
        parts of what the probe has; the object's phase is so in parts of itself, without which
        weak objects come out far too weak.
    """
    loss = torch.zeros((), device=found.device)
    for transform, weight in ((_same, 1.0), (_spectrum, IN_FOURIER_SPACE)):
        one, other, probe = (transform(part) for part in (found, sought, probes))
        size = probe.abs().square().square().mean(dim=(1, 2)) + 1e-12
        apart = (one.abs().square() - other.abs().square()).square().mean(dim=(1, 2)) / size
        amplitude = other.abs()
        direction = (_direction(one) - _direction(other)).abs().square() * amplitude
        turned = direction.sum(dim=(1, 2)) / (amplitude.sum(dim=(1, 2)) + 1e-12)
        loss = loss + (apart + weight * turned).mean()
    light = probes.abs().square()
    lit = (light > DARK * light.amax(dim=(1, 2), keepdim=True)).float()
    phases = [torch.angle(part * probes.conj()) for part in (found, sought)]
    power = (phases[1].square() * lit).sum(dim=(1, 2)) + VACUUM * lit.sum(dim=(1, 2))
    error = ((phases[0] - phases[1]).square() * lit).sum(dim=(1, 2)) / power
    alike = _correlation(phases[0], phases[1], lit)
    return loss + (error + (1 - alike) / 2).mean()


def _same(wave: torch.Tensor) -> torch.Tensor:
    return wave


def _spectrum(wave: torch.Tensor) -> torch.Tensor:
    return torch.fft.fft2(torch.fft.ifftshift(wave, dim=(1, 2)), norm="ortho")


def _direction(wave: torch.Tensor) -> torch.Tensor:
    return wave / (wave.abs() + 1e-6)


def _correlation(one: torch.Tensor, other: torch.Tensor, lit: torch.Tensor) -> torch.Tensor:
    count = lit.sum(dim=(1, 2), keepdim=True)
    one, other = (
        (part - (part * lit).sum(dim=(1, 2), keepdim=True) / count) * lit for part in (one, other)
    )
    power = one.square().sum(dim=(1, 2)) * other.square().sum(dim=(1, 2))
    return (one * other).sum(dim=(1, 2)) / (power + 1e-9).sqrt()


def train_exit_wave(
    folder: str | Path,
    *,
    minutes: float,
    settings: ExitWaveTraining = ExitWaveTraining(),
    start_from: str | Path | None = None,
) -> Iterator[Progress]:
    """Train for some minutes, from the folder's checkpoint where there is one.

    Parameters
    ----------
    folder
        Where ``checkpoint.pt``, ``exit_wave.safetensors`` and ``log.csv`` are kept.
    minutes
        Length of this run.
    settings
        How to train.
    start_from
        Weights to begin with, ``"default"`` or a file, where the folder holds no checkpoint;
        ``None``: random ones.

    Yields
    ------
    Progress
        Every few seconds; closing the generator keeps the checkpoint and exports.

    Raises
    ------
    ValueError
        The minutes are not above zero, the checkpoint is damaged, or the weights are of another
        design or have another number of filters.
    """
    if not minutes > 0:
        raise ValueError(f"minutes must be above zero, not {minutes}.")
    torch.set_num_threads(settings.threads)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    network, averaged = (ExitWaveNetwork(settings.filters).to(settings.device) for _ in range(2))
    averaged.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.pace.learning_rate)
    state = State(network, averaged, optimizer)
    if not load_checkpoint(state, folder, settings.device) and start_from is not None:
        path = find_airpi_weights(start_from, EXIT_WAVE)
        start_from_weights(state, path, {EXIT_WAVE_DESIGN: EXIT_WAVE_VERSION})
    yield from train(
        state,
        folder,
        _batches(state.step, settings),
        _loss,
        minutes=minutes,
        pace=settings.pace,
        figures=("network", "probe"),
        validate=lambda one: validate(one, settings),
        export=lambda state: export_average(
            state,
            folder / "exit_wave.safetensors",
            design=EXIT_WAVE_DESIGN,
            version=EXIT_WAVE_VERSION,
            details=dataclasses.asdict(settings),
        ),
    )


def _loss(network: torch.nn.Module, batch: WaveBatch) -> torch.Tensor:
    device = next(network.parameters()).device
    channels, probes, waves = (part.to(device) for part in batch)
    return exit_wave_loss(network(channels, probes), waves, probes)


def _batches(first: int, settings: ExitWaveTraining) -> Generator[WaveBatch, None, None]:
    """Mix examples of several scans, which are drawn anew one after the other."""
    rng = np.random.default_rng((settings.seed, first))
    drawn = exit_wave_examples(rng, device=settings.device)
    pool = [next(drawn) for _ in range(MIXED)]
    for number in itertools.count():
        # Each scan is left after about as many examples as it has.
        if number % max(1, len(pool[0].waves) // settings.batch) == 0:
            pool[rng.integers(MIXED)] = next(drawn)
        yield _batch(pool, rng, settings.batch)


def _batch(pool: list[WaveExamples], rng: np.random.Generator, size: int) -> WaveBatch:
    chosen = [
        (pool[index], rng.integers(len(pool[index].waves)))
        for index in rng.integers(len(pool), size=size)
    ]
    return WaveBatch(
        torch.from_numpy(np.stack([one.channels[index] for one, index in chosen])),
        torch.from_numpy(np.stack([one.probe for one, _ in chosen])),
        torch.from_numpy(np.stack([one.waves[index] for one, index in chosen])),
    )


def validate(
    network: torch.nn.Module, settings: ExitWaveTraining, *, scans: int = 8, each: int = 8
) -> dict[str, float]:
    """Loss of examples that no step draws, and that of the probe in place of the wave.

    Parameters
    ----------
    network
        To be tested.
    settings
        Say on which device scans are simulated.
    scans, each
        How many scans, and examples of each.
    """
    drawn = exit_wave_examples(np.random.default_rng(2**31), device=settings.device)
    network.eval()
    ours, probe = [], []
    for _ in range(scans):
        batch = _batch([next(drawn)], np.random.default_rng(0), each)
        with torch.inference_mode():
            ours.append(float(_loss(network, batch)))
            probe.append(float(exit_wave_loss(batch.probes, batch.waves, batch.probes)))
    network.train()
    return {"network": float(np.mean(ours)), "probe": float(np.mean(probe))}
