"""Two ways to find object and probe: pixel by pixel, or drawn by networks.

Both go on from a dictionary of tensors and can be written to one, so that a run that was cut off
goes on as if it had not been.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.ptychography.first_guess import expected_power
from stem_plugins.ptychography.generators import Generator
from stem_plugins.ptychography.minimizer import Minimizer
from stem_plugins.ptychography.objective import Objective, Parts, Value
from stem_plugins.ptychography.processes import add_up, process_count
from stem_plugins.ptychography.regularizers import Regularization

__all__ = ["GenerativeSolver", "PixelatedSolver", "Solver", "Watch"]


#: Steps before the power spectrum of the object is first estimated, and between later estimates.
PLAIN_STEPS, STEPS_PER_SPECTRUM = 2, 3


#: Bands of neighbouring rows that a step of the networks gets, at least.
BANDS_PER_STEP = 4


class Watch(Protocol):
    """Hears how far an iteration is; what it raises ends the run."""

    def __call__(self, share: float) -> None:
        """Take the share that is done, 0 to 1."""


class Solver(Protocol):
    """Makes an object and a probe better, iteration by iteration."""

    @property
    def rate(self) -> float:
        """How far the last iteration went."""

    def iterate(self, watch: Watch) -> float:
        """Go through the patterns once and return the mean loss."""

    def parts(self) -> Parts:
        """Return object, probe and what else was refined, as they are to be shown."""

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that is needed to go on."""

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from there."""


@dataclasses.dataclass(eq=False)
class PixelatedSolver:
    """Every pixel is a parameter; all patterns count in every step.

    Parameters
    ----------
    objective
        What is minimised.
    start
        Object, probe and what else is refined.
    chosen
        Positions that count.
    learn
        What changes.
    regularization
        What else is asked of it.
    expected
        Whether the object is taken to have a power spectrum, which is learnt on the way
        (`expected_power`): the best that can be done without knowing more about it, and needed
        where electrons are few.
    """

    objective: Objective
    start: Parts
    chosen: NDArray[np.bool_]
    learn: tuple[str, ...]
    regularization: Regularization = dataclasses.field(default_factory=Regularization)
    expected: bool = False

    def __post_init__(self) -> None:
        self._watch: Watch | None = None
        self._done = 0
        self._power: NDArray[np.float64] | None = None
        self._begin(self.start)

    def iterate(self, watch: Watch) -> float:
        """Go one step of the minimiser; see `Solver`."""
        self._watch = watch
        late = self._done - PLAIN_STEPS
        if self.expected and late >= 0 and late % STEPS_PER_SPECTRUM == 0:
            now = dict(self.parts())
            self._power = expected_power(self.objective, now, self._power)
            if late == 0:
                now["object"] = torch.zeros_like(now["object"])
            self._begin(now)
        self._done += 1
        return self.minimizer.step().loss

    @property
    def rate(self) -> float:
        """Part of a full step that the minimiser took last."""
        return self.minimizer.length

    def _begin(self, parts: Parts) -> None:
        """Minimise anew from here."""
        self._begun = parts
        regularity = self._regularity()
        self._weights = None
        if regularity is not None:
            # The power is that of all slices together, and each has an equal share of it.
            shared = regularity.astype(np.float32) * parts["object"].shape[1]
            weights = torch.from_numpy(shared)[:, None]
            self._weights = weights.to(self.objective.device)
        self.minimizer = Minimizer(
            parts, self._evaluate, self.objective.preconditioner(parts, regularity), self._project
        )

    def _regularity(self) -> NDArray[np.float64] | None:
        """Curvature of the penalty that the expected power gives."""
        if self._power is None:
            return None
        electrons = self.objective.electrons * len(self.objective.geometry.positions)
        return 1 / (electrons * self._power)

    def parts(self) -> Parts:
        """Return the present point."""
        return self.minimizer.point

    def also_learn(self, *names: str) -> None:
        """Refine more from now on."""
        self.learn = tuple(dict.fromkeys((*self.learn, *names)))
        self._begin(self.parts())

    def state(self) -> dict[str, torch.Tensor]:
        """Return the point and what the minimiser remembers."""
        state = {f"point.{name}": value for name, value in self.minimizer.point.items()}
        state |= {f"begun.{name}": value for name, value in self._begun.items()}
        state["done"] = torch.tensor(self._done)
        if self._power is not None:
            state["power"] = torch.from_numpy(self._power)
        for kind, kept in (("step", self.minimizer.steps), ("change", self.minimizer.changes)):
            for index, parts in enumerate(kept):
                state |= {f"{kind}.{index}.{name}": value for name, value in parts.items()}
        if self.minimizer.value is not None:
            state["loss"] = torch.tensor(self.minimizer.value.loss, dtype=torch.float64)
            gradients = self.minimizer.value.gradients
            state |= {f"gradient.{name}": value for name, value in gradients.items()}
        return state

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a state."""
        self._done = int(state["done"])
        if "power" in state:
            self._power = state["power"].cpu().numpy()
        self._begin(_under(state, "begun."))
        self.minimizer.point = _under(state, "point.")
        for kind in ("step", "change"):
            kept: list[Parts] = []
            while found := _under(state, f"{kind}.{len(kept)}."):
                kept.append(found)
            setattr(self.minimizer, f"{kind}s", kept)
        if "loss" in state:
            self.minimizer.value = Value(float(state["loss"]), _under(state, "gradient."))

    def _evaluate(self, parts: Parts) -> Value:
        value = self.objective.evaluate(parts, self.chosen, learn=self.learn, watch=self._watch)
        value = self.regularization.added(value, parts)
        if self._weights is None or "object" not in value.gradients:
            return value
        spectrum = torch.fft.fft2(parts["object"], norm="ortho")
        weighted = self._weights * spectrum
        penalty = 0.5 * float((weighted * spectrum.conj()).real.sum())
        pull = torch.fft.ifft2(weighted, norm="ortho").real
        gradients = dict(value.gradients, object=value.gradients["object"] + pull)
        return Value(value.loss + penalty, gradients)

    def _project(self, parts: Parts) -> Parts:
        return self.regularization.projected(parts, self.objective)


@dataclasses.dataclass(frozen=True)
class GeneratorSettings:
    """How networks draw, and how they learn.

    Parameters
    ----------
    filters
        Of the first level.
    rate
        Of the optimiser, AdamW.
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
        self._precondition = self.objective.preconditioner(self.start)

    def iterate(self, watch: Watch) -> float:
        """Go through all positions once, in several steps of the optimiser.

        What ends it in the middle, or a loss that is no number, leaves the state of before.
        """
        before = {name: value.clone() for name, value in self.state().items()}
        loss = math.nan
        try:
            loss = self._pass(watch)
        finally:
            if not math.isfinite(loss):
                self.load(before)
        return loss

    def _pass(self, watch: Watch) -> float:
        steps = self._deal()
        total = 0.0
        for index, subset in enumerate(steps):
            total += self._step(subset, watch, index, len(steps))
        self._done += 1
        return total / len(steps)

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
        """Of the optimiser."""
        return self.settings.rate

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
        return state

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a state."""
        self._direct, self._mean = _under(state, "direct."), _under(state, "mean.")
        for name, network in self._networks.items():
            network.load_state_dict(_under(state, f"{name}."))
        described: dict[str, Any] = self._optimizer.state_dict()
        described["state"] = {}
        while found := _under(state, f"moment.{len(described['state'])}."):
            described["state"][len(described["state"])] = found
        self._optimizer.load_state_dict(described)
        self._random.set_state(state["random"])
        self._done = int(state["done"])

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


def _under(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Entries whose name starts with a prefix, without it."""
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
