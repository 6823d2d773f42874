"""What a reconstruction knows of its past: how far it came, what was chosen, how it began."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np

from stem_plugins.ptychography.progress import Progress
from stem_plugins.ptychography.result import PtychographyResult
from stem_plugins.ptychography.run import Run

__all__ = ["History", "provenance"]


def provenance(**given: object) -> dict[str, Any]:
    """Return what a result says of how it was made.

    Parameters
    ----------
    **given
        What the user may give beside the patterns, or ``None``.
    """
    import torch

    from stem_plugins import __version__

    return {
        "stem_plugins": __version__,
        "torch": str(torch.__version__),
        "begun": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        **{name: value is not None for name, value in given.items()},
    }


@dataclasses.dataclass(eq=False)
class History:
    """The past of a run.

    Parameters
    ----------
    run
        Ready to begin, or to go on.
    before
        The result that it goes on from.
    provenance
        For the result.
    done
        Iterations of each stage that were done; one that ended early counts as complete in
        ``run.place``.
    """

    run: Run
    before: PtychographyResult | None
    provenance: Mapping[str, Any]
    done: dict[str, int] = dataclasses.field(default_factory=dict)

    def take_up(self, options: Mapping[str, Any]) -> None:
        """Go on where the run before has ended, also where that was early.

        Parameters
        ----------
        options
            That were given anew.

        Raises
        ------
        ValueError
            All that is asked for is done.
        """
        if self.before is None:
            return
        stages, (number, reached) = self.run.stages(), self.run.place
        done = int(self.before.state.get("iterations", reached))
        last = number == len(stages) - 1
        # Who asks for a polish only has had enough of the stage before.
        if last or ("iterations" in options and number < len(stages)):
            self.run.place = (number, done)
        if number >= len(stages) or (last and done >= stages[number].iterations):
            raise ValueError(self._nothing_left(self.before, done))
        self.done = {stages[number].name: done}

    def _nothing_left(self, before: PtychographyResult, done: int) -> str:
        stages, (number, _) = self.run.stages(), self.run.place
        polishes = number >= len(stages) or stages[number].name == "polish"
        option = "polish" if polishes else "iterations"
        guess = stages[0].iterations if stages[0].name == "first guess" else 0
        counted = f" without the {guess} of the first guess" if guess else ""
        return (
            f"The reconstruction to resume has done {done} of the {before.settings[option]} "
            f"iterations that it was asked for ({before.stopped}), and is now asked for "
            f"{getattr(self.run.choices, option)}. {option} counts those of the last "
            f"stage{counted}, and those before the resume, too: ask for at least {done + 1}."
        )

    def count(self, progress: Progress) -> None:
        """Take note of a finished iteration."""
        self.done[progress.stage] = self.done.get(progress.stage, 0) + 1

    def told(self, progress: Progress) -> Progress:
        """Return progress whose result knows the past, too."""
        return dataclasses.replace(progress, result=self.result)

    def result(self) -> PtychographyResult:
        """Return object and probe as they are now, with the past."""
        found = self.run.result()
        number, reached = self.run.place
        done = min(reached, self.done.get(self.run.stages()[number].name, 0))
        settings = dict(found.settings)
        if self.before is not None:
            kept = self.before.settings.get("chosen", [])
            if self.before.settings["iterations"] != settings["iterations"]:
                kept = [words for words in kept if not words.startswith("iterations ")]
            settings["chosen"] = list(dict.fromkeys([*kept, *settings["chosen"]]))
        return dataclasses.replace(
            found,
            settings=settings,
            state={**found.state, "iterations": np.array(done)},
            provenance=self.provenance,
        )
