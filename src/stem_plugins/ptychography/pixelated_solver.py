"""Find object and probe pixel by pixel."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from stem_plugins.ptychography.first_guess import expected_power
from stem_plugins.ptychography.minimizer import Minimizer
from stem_plugins.ptychography.objective import Objective, Parts, Value
from stem_plugins.ptychography.preconditioner import preconditioner
from stem_plugins.ptychography.regularizers import Regularization
from stem_plugins.ptychography.solvers import Watch, entries_under

__all__ = ["PixelatedSolver"]

#: Steps before the power spectrum of the object is first estimated, and between later estimates.
PLAIN_STEPS, STEPS_PER_SPECTRUM = 2, 3


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

    def keep(self) -> Callable[[], None]:
        """Return what brings the present state back; see `Solver`."""
        # No tensor or list is ever changed in place, so it is enough to know which they are.
        before = vars(self) | {"minimizer": copy.copy(self.minimizer)}
        return lambda: vars(self).update(before)

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
            parts, self._evaluate, preconditioner(self.objective, parts, regularity), self._project
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
        self._begin(entries_under(state, "begun."))
        self.minimizer.point = entries_under(state, "point.")
        for kind in ("step", "change"):
            kept: list[Parts] = []
            while found := entries_under(state, f"{kind}.{len(kept)}."):
                kept.append(found)
            setattr(self.minimizer, f"{kind}s", kept)
        if "loss" in state:
            self.minimizer.value = Value(float(state["loss"]), entries_under(state, "gradient."))

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
