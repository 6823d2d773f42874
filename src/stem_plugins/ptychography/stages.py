"""The stages of a reconstruction, and what finds object and probe in each."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from stem_plugins.optics.probe import probe_radius
from stem_plugins.ptychography.choices import Choices
from stem_plugins.ptychography.generative_solver import GenerativeSolver, GeneratorSettings
from stem_plugins.ptychography.objective import Objective, Parts
from stem_plugins.ptychography.pixelated_solver import PixelatedSolver
from stem_plugins.ptychography.solvers import Solver

__all__ = ["Stage", "solver_of", "stages_of"]

#: Steps of the first guess where counts are high, and where they are low.
STEPS, STEPS_WITH_SPECTRUM = 16, 14

#: Radii of the probe around the scan within which networks draw the object.
REACH = 1.5

#: Learning rate of networks whose guess is near the answer, and of those whose guess is not, which
#: also take so many times more steps, all of the same rate: from iCOM at infinite dose a rate that
#: falls ended at a similarity of 0.59 where one that stays reached 0.68.
NEAR_RATE, FAR_RATE, FAR_STEPS = 3e-3, 5e-3, 4

#: How often the rate falls while nothing improves, where the guess is near the answer.
DECAYS = 2

#: Pixels of patterns whose model takes as long as one pixel of a network with 8 filters.
PATTERN_PIXELS_PER_PIXEL = 70.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """Iterations of one kind.

    Parameters
    ----------
    name
        As progress is told.
    iterations
        At most.
    drawn
        Whether object and probe are drawn by networks.
    expected
        Whether the expected spectrum of the object is asked for.
    """

    name: str
    iterations: int
    drawn: bool = False
    expected: bool = False


def stages_of(choices: Choices) -> list[Stage]:
    """Return what is done in turn.

    Parameters
    ----------
    choices
        Complete ones.
    """
    assert choices.iterations is not None
    if choices.prior == "pixelated" and choices.probe_prior != "dgp":
        return [Stage("pixelated", choices.iterations)]
    found = [Stage("dgp", choices.iterations, drawn=True)]
    if choices.first_guess == "pixelated":
        few = choices.loss == "poisson"
        steps = STEPS_WITH_SPECTRUM if few else STEPS
        found = [Stage("first guess", steps, expected=few), *found]
    if choices.polish:
        found.append(Stage("polish", choices.polish))
    return found


def solver_of(
    stage: Stage, choices: Choices, objective: Objective, start: Parts, fitted: NDArray[np.bool_]
) -> Solver:
    """Make what finds object and probe in a stage.

    Parameters
    ----------
    stage
        Of `stages_of`.
    choices
        Complete ones.
    objective
        What is minimised.
    start
        Object, probe and what else is refined.
    fitted
        Positions that count.
    """
    learn = ["object"]
    if choices.probe_prior in ("pixelated", "dgp"):
        learn.append("probe")
    if choices.probe_prior in ("pixelated", "parametric"):
        learn.append("aberrations")
    if not stage.drawn:
        return PixelatedSolver(
            objective, start, fitted, tuple(learn), choices.regularization, stage.expected
        )
    drawn = [
        name
        for name, prior in (("object", choices.prior), ("probe", choices.probe_prior))
        if prior == "dgp"
    ]
    field = _field(objective)
    return GenerativeSolver(
        objective,
        start,
        fitted,
        (*learn, *choices.refine),
        tuple(drawn),
        _generator_settings(choices, objective, field),
        field,
        choices.regularization,
        choices.seed,
    )


def _generator_settings(
    choices: Choices, objective: Objective, field: tuple[slice, slice]
) -> GeneratorSettings:
    """As many positions per step as take about the time of the network."""
    filters = choices.filters or 8
    pixels = np.prod([part.stop - part.start for part in field])
    balanced = PATTERN_PIXELS_PER_PIXEL * (filters / 8) ** 1.5 * pixels
    per_step = balanced / np.prod(objective.geometry.window)
    far = choices.is_far
    return GeneratorSettings(
        filters=filters,
        rate=FAR_RATE if far else NEAR_RATE,
        decays=0 if far else DECAYS,
        positions_per_step=int(np.clip(per_step / (FAR_STEPS if far else 1), 32, 16384)),
        mixed_precision=bool(choices.mixed_precision),
    )


def _field(objective: Objective) -> tuple[slice, slice]:
    """Rows and columns of the object that the probe lights."""
    geometry = objective.geometry
    reach = REACH * probe_radius(objective.acquisition)
    parts = []
    for axis in (0, 1):
        places, pixels = geometry.positions[:, axis], reach / geometry.sampling[axis]
        first = max(0, math.floor(places.min() - pixels))
        last = min(geometry.shape[axis], math.ceil(places.max() + pixels) + 1)
        parts.append(slice(first, last))
    return parts[0], parts[1]
