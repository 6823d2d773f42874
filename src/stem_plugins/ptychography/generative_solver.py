"""Find object and probe, either or both, as networks draw them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.ptychography.generators import Generator
from stem_plugins.ptychography.objective import Objective, Parts
from stem_plugins.ptychography.preconditioner import preconditioner
from stem_plugins.ptychography.processes import add_up, process_count
from stem_plugins.ptychography.regularizers import Regularization
from stem_plugins.ptychography.solvers import Watch, entries_under

__all__ = ["GenerativeSolver", "GeneratorSettings"]

#: Bands of neighbouring rows that a step of the networks gets, at least.
BANDS_PER_STEP = 4

#: By which the rate is multiplied where nothing improves, and the least part that it falls to.
DECAY, LEAST_PART = 0.5, 1 / 16


@dataclasses.dataclass(frozen=True)
class GeneratorSettings:
    """How networks draw, and how they learn.

    Parameters
    ----------
    filters
        Of the first level.
    rate
        Of the optimiser, AdamW, at the beginning.
    decays
        How often the rate is halved while nothing improves, before patience is at its end.
    average
        How much of its moving average an output keeps when the next one comes.
    positions_per_step
        Positions whose patterns make one step of the optimiser.
    direct_rate
        Part of a Newton step by which parts without a network change.
    mixed_precision
        Whether networks compute in bfloat16; their last layer, and the waves, do not.
    """

    filters: int = 8
    rate: float = 3e-3
    decays: int = 2
    average: float = 0.9
    positions_per_step: int = 192
    direct_rate: float = 0.3
    mixed_precision: bool = False


@dataclasses.dataclass(eq=False)
class GenerativeSolver:
    """Networks draw the object, the probe or both; the rest changes pixel by pixel.

    Parameters
    ----------
    objective
        What is minimised.
    start
        Object, probe and what else is refined; what networks draw begins there.
    chosen
        Positions that count.
    learn
        What changes.
    generated
        What is drawn by a network: ``"object"``, ``"probe"`` or both.
    settings
        Of the networks.
    field
        Rows and columns of the object that the network draws.
    regularization
        What else is asked.
    seed
        Of weights, noise and the order of positions.
    """

    objective: Objective
    start: Parts
    chosen: NDArray[np.bool_]
    learn: tuple[str, ...]
    generated: tuple[str, ...]
    settings: GeneratorSettings
    field: tuple[slice, slice]
    regularization: Regularization = dataclasses.field(default_factory=Regularization)
    seed: int = 0

    def __post_init__(self) -> None:
        device = self.objective.device
        self._random = torch.Generator().manual_seed(self.seed)
        self._direct = {name: value.clone() for name, value in self.start.items()}
        self._mean: Parts = {}
        self._done = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._networks = {
                name: Generator(self._channels(name), filters=self.settings.filters).to(device)
                for name in self.generated
            }
        self._optimizer = torch.optim.AdamW(
            [one for network in self._networks.values() for one in network.parameters()],
            lr=self.settings.rate,
            weight_decay=0.0,
        )
        self._precondition = preconditioner(self.objective, self.start)

    def iterate(self, watch: Watch) -> float:
        """Go through all positions once, in several steps of the optimiser."""
        steps = self._deal()
        total = 0.0
        for index, subset in enumerate(steps):
            total += self._step(subset, watch, index, len(steps))
        self._done += 1
        return total / len(steps)

    def keep(self) -> Callable[[], None]:
        """Return what brings the present state back; see `Solver`."""
        # The optimiser changes weights and moments in place.
        before = {name: value.clone() for name, value in self.state().items()}
        return functools.partial(self.load, before)

    def _deal(self) -> list[NDArray[np.bool_]]:
        """Deal the positions out to the steps of one pass, at random.

        Neighbouring rows of the scan stay together as far as each step still gets rows from all
        over it: patterns in a file are then read about once in a pass, and not once in each step.
        """
        random = np.random.default_rng((self.seed, self._done))
        rows, columns = self.objective.geometry.scan_shape
        count = max(1, round(self.chosen.sum() / self.settings.positions_per_step))
        height = rows // (BANDS_PER_STEP * count)
        if height:
            bands = random.permutation(-(-rows // height)) % count
            step = np.repeat(np.repeat(bands, height)[:rows], columns)
        else:
            step = random.permutation(rows * columns) % count
        dealt = [self.chosen & (step == index) for index in range(count)]
        return [subset for subset in dealt if subset.any()]

    def _step(self, subset: NDArray[np.bool_], watch: Watch, index: int, count: int) -> float:
        drawn = {name: self._drawn(name, network) for name, network in self._networks.items()}
        parts = dict(self._direct)
        for name, channels in drawn.items():
            parts[name] = self._placed(name, channels.detach())
        parts = self._allowed(parts)
        value = self.objective.evaluate(
            parts,
            subset,
            learn=self.learn,
            watch=lambda share: watch((index + share) / count),
        )
        value = self.regularization.added(value, parts)
        self._optimizer.zero_grad()
        for name, channels in drawn.items():
            channels.backward(self._cut(name, value.gradients[name]))
        self._agree_on_gradients()
        self._optimizer.step()
        steps = self._precondition(value.gradients)
        for name in self.learn:
            if name not in self._networks:
                self._direct[name] = self._direct[name] - self.settings.direct_rate * steps[name]
        self._keep({name: parts[name] for name in drawn})
        return value.loss

    @property
    def rate(self) -> float:
        """Of the optimiser, as it is now."""
        rate: float = self._optimizer.param_groups[0]["lr"]
        return rate

    def wait(self, waited: int, patience: int) -> None:
        """Take smaller steps, now and then, where nothing has improved for some iterations.

        Parameters
        ----------
        waited
            Iterations since the last that was better.
        patience
            After so many it ends.
        """
        if not self.settings.decays:
            return
        if waited % max(1, round(patience / (self.settings.decays + 1))) == 0:
            self._set_rate(max(self.rate * DECAY, self.settings.rate * LEAST_PART))

    def begin_anew(self) -> None:
        """Take steps as large as at the beginning."""
        self._set_rate(self.settings.rate)

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def parts(self) -> Parts:
        """Return the moving averages of what the networks drew, and the rest as it is."""
        return self._allowed({**self._direct, **self._mean})

    def state(self) -> dict[str, torch.Tensor]:
        """Return weights, the optimiser's moments, averages, and the state of the noise."""
        state = {f"direct.{name}": value for name, value in self._direct.items()}
        state |= {f"mean.{name}": value for name, value in self._mean.items()}
        for name, network in self._networks.items():
            state |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            state |= {f"moment.{index}.{key}": value for key, value in moments.items()}
        state["random"] = self._random.get_state()
        state["done"] = torch.tensor(self._done)
        state["rate"] = torch.tensor(self.rate, dtype=torch.float64)
        return state

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a state."""
        self._direct, self._mean = entries_under(state, "direct."), entries_under(state, "mean.")
        for name, network in self._networks.items():
            network.load_state_dict(entries_under(state, f"{name}."))
        described: dict[str, Any] = self._optimizer.state_dict()
        described["state"] = {}
        while found := entries_under(state, f"moment.{len(described['state'])}."):
            described["state"][len(described["state"])] = found
        self._optimizer.load_state_dict(described)
        self._random.set_state(state["random"])
        self._done = int(state["done"])
        self._set_rate(float(state["rate"]))

    def _agree_on_gradients(self) -> None:
        """Give all processes the same gradients: on GPUs equal sums may differ in rounding."""
        if process_count() > 1:
            gradients = [
                one.grad
                for network in self._networks.values()
                for one in network.parameters()
                if one.grad is not None
            ]
            add_up(gradients)
            for one in gradients:
                one /= process_count()

    def _drawn(self, name: str, network: Generator) -> torch.Tensor:
        # Drawn on the processor, so that the same seed gives the same on all devices.
        noise = torch.randn(network.input.shape, generator=self._random)  # type: ignore[arg-type]
        device = self.objective.device
        with torch.autocast(
            device.split(":")[0], torch.bfloat16, enabled=self.settings.mixed_precision
        ):
            drawn: torch.Tensor = network(noise.to(device))
        return drawn

    def _keep(self, drawn: Parts) -> None:
        keep = self.settings.average
        for name, value in drawn.items():
            mean = self._mean.get(name)
            self._mean[name] = value if mean is None else keep * mean + (1 - keep) * value

    def _allowed(self, parts: Parts) -> Parts:
        return self.regularization.projected(parts, self.objective)

    def _channels(self, name: str) -> torch.Tensor:
        """What a network begins with, (channels, y, x): slices, or both parts of each mode."""
        return self._cut(name, self.start[name])

    def _cut(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        if name == "probe":
            return whole.movedim(-1, 1).flatten(0, 1)
        return whole[:, :, self.field[0], self.field[1]].flatten(0, 1)

    def _placed(self, name: str, channels: torch.Tensor) -> torch.Tensor:
        start = self.start[name]
        if name == "probe":
            return channels.unflatten(0, (len(start), 2)).movedim(1, -1).contiguous()
        whole = start.clone()
        whole[:, :, self.field[0], self.field[1]] = channels.unflatten(0, start.shape[:2])
        return whole
