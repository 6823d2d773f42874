"""What a way to find object and probe can do, and how its state is written down.

Each goes on from a dictionary of tensors and can be written to one, so that a run that was cut off
goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from stem_plugins.ptychography.objective import Objective, Parts

__all__ = ["Solver", "Watch", "entries_under"]


class Watch(Protocol):
    """Hears how far an iteration is; what it raises ends the run."""

    def __call__(self, share: float) -> None:
        """Take the share that is done, 0 to 1."""


class Solver(Protocol):
    """Makes an object and a probe better, iteration by iteration."""

    #: What is minimised; another of the same patterns may take its place.
    objective: Objective

    @property
    def rate(self) -> float:
        """How far the last iteration went."""

    def iterate(self, watch: Watch) -> float:
        """Go through the patterns once and return the mean loss."""

    def parts(self) -> Parts:
        """Return object, probe and what else was refined, as they are to be shown."""

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that is needed to go on."""

    def keep(self) -> Callable[[], None]:
        """Return what brings the present state back, at most once."""

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from there."""


def entries_under(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Entries whose name starts with a prefix, without it."""
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
