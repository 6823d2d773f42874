"""Names that the options of a reconstruction can have; importing them loads nothing."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = [
    "EARLIER",
    "FIRST_GUESSES",
    "LOSSES",
    "OBJECT_TYPES",
    "PRIORS",
    "PROBE_PRIORS",
    "REFINABLE",
    "REFINABLE_OF_SLICES",
    "FirstGuess",
    "Loss",
    "ObjectType",
    "Prior",
    "ProbePrior",
]

Prior = Literal["dgp", "pixelated"]
ProbePrior = Literal["dgp", "pixelated", "parametric", "fixed"]
ObjectType = Literal["phase", "potential", "complex"]
Loss = Literal["poisson", "amplitude"]
FirstGuess = Literal["pixelated", "direct", "icom", "none"]

#: What settings say where the object of an earlier result was the first guess.
EARLIER = "earlier"

PRIORS: tuple[Prior, ...] = get_args(Prior)
PROBE_PRIORS: tuple[ProbePrior, ...] = get_args(ProbePrior)
OBJECT_TYPES: tuple[ObjectType, ...] = get_args(ObjectType)
LOSSES: tuple[Loss, ...] = get_args(Loss)
FIRST_GUESSES: tuple[FirstGuess, ...] = get_args(FirstGuess)

#: What can be refined beside object and probe: where there are several slices only, and always.
REFINABLE_OF_SLICES = ("tilt", "slice_thickness")
REFINABLE = ("positions", "background", "descan", *REFINABLE_OF_SLICES)
