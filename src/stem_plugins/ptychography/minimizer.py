"""Minimise a function of several tensors with few evaluations (L-BFGS with a preconditioner).

J. Nocedal and S. J. Wright, Numerical Optimization (2006), algorithm 7.4; the preconditioner takes
the place of its scaled unit matrix.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from stem_plugins.ptychography.objective import Parts, Value

__all__ = ["Minimizer"]

#: Steps that are remembered.
MEMORY = 8

#: Shorter steps that are tried where a step made things worse.
TRIALS = 6


@dataclasses.dataclass
class Minimizer:
    """A point, its value, and what the last steps have taught about the curvature.

    Parameters
    ----------
    point
        Where to begin.
    evaluate
        Returns the value and the gradients at a point.
    precondition
        Divides gradients by the expected curvature.
    project
        Brings a point back to what is allowed.
    length
        Part of a full step that the last one was; 0: none made it better.
    """

    point: Parts
    evaluate: Callable[[Parts], Value]
    precondition: Callable[[Parts], Parts]
    project: Callable[[Parts], Parts] = lambda point: point
    value: Value | None = None
    steps: list[Parts] = dataclasses.field(default_factory=list)
    changes: list[Parts] = dataclasses.field(default_factory=list)
    length: float = 1.0

    def step(self) -> Value:
        """Go one step; the value never rises, and the point stays where no step lowers it.

        Where the value is no finite number, whatever the step, that is what is returned.
        """
        if self.value is None:
            self.value = self.evaluate(self.point)
        before = self.value
        direction = self._direction(before.gradients)
        slope = _dot(before.gradients, direction)
        length = 1.0
        somewhere = False
        for _ in range(TRIALS):
            point = self.project(_sum(self.point, direction, length))
            value = self.evaluate(point)
            somewhere = somewhere or math.isfinite(value.loss)
            if value.loss <= before.loss:
                break
            # The lowest point of the parabola through both values and the slope.
            bend = value.loss - before.loss - slope * length
            length *= min(0.5, max(0.1, -slope * length / (2 * bend)))
        else:
            self.steps, self.changes = [], []
            self.length = 0.0
            return before if somewhere else value
        self.length = length
        self._remember(_sum(point, self.point, -1), _sum(value.gradients, before.gradients, -1))
        self.point, self.value = point, value
        return value

    def _remember(self, step: Parts, change: Parts) -> None:
        # A step along which the gradient does not grow would turn the next one uphill.
        if _dot(step, change) > 1e-12 * _dot(step, step):
            self.steps = [*self.steps, step][-MEMORY:]
            self.changes = [*self.changes, change][-MEMORY:]

    def _direction(self, gradients: Parts) -> Parts:
        rest = gradients
        pairs = list(zip(self.steps, self.changes, strict=True))
        shares = []
        for step, change in reversed(pairs):
            share = _dot(step, rest) / _dot(step, change)
            rest = _sum(rest, change, -share)
            shares.append(share)
        found = self.precondition(rest)
        if pairs:
            step, change = pairs[-1]
            scale = _dot(step, change) / _dot(change, self.precondition(change))
            found = {name: scale * value for name, value in found.items()}
        for (step, change), share in zip(pairs, reversed(shares), strict=True):
            found = _sum(found, step, share - _dot(change, found) / _dot(step, change))
        return {name: -value for name, value in found.items()}


def _dot(first: Parts, second: Parts) -> float:
    return sum(
        float((first[name].double() * second[name].double()).sum())
        for name in first
        if name in second
    )


def _sum(first: Parts, second: Parts, factor: float) -> Parts:
    """``first + factor · second``; parts that only the first has stay as they are."""
    return {
        name: value + factor * second[name] if name in second else value
        for name, value in first.items()
    }
