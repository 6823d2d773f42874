"""Where a reconstruction is, for those who watch it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from stem_plugins.ptychography.result import PtychographyResult

__all__ = ["Progress"]


@dataclasses.dataclass(frozen=True, eq=False)
class Progress:
    """Where a reconstruction is.

    Parameters
    ----------
    stage
        ``"first guess"``, ``"dgp"``, ``"pixelated"`` or ``"polish"``.
    iteration
        Finished iterations, over all stages.
    iterations
        How many there are at most.
    share
        Of the present iteration that is done, 0 to 1.
    loss, held_out_loss
        Mean loss after the last iteration; NaN where there is none.
    result
        Object and probe as they are now; computed when it is called.
    """

    stage: str
    iteration: int
    iterations: int
    share: float
    loss: float
    held_out_loss: float
    result: Callable[[], PtychographyResult]

    def __str__(self) -> str:
        words = [self.stage]
        for name, loss in (("loss", self.loss), ("held out", self.held_out_loss)):
            if math.isfinite(loss):
                words.append(f"{name} {loss:.4g}")
        return ", ".join(words)

    @property
    def done(self) -> float:
        """Iterations that are done, with the part of the present one."""
        # After its last batch an iteration is not yet counted among the finished ones.
        return self.iteration + self.share % 1
