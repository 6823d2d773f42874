"""What a reconstruction was asked for, and what it chooses where nothing was said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stem_plugins.ptychography.regularizers import Regularization
from stem_plugins.ptychography.vocabulary import (
    FIRST_GUESSES,
    LOSSES,
    OBJECT_TYPES,
    PRIORS,
    PROBE_PRIORS,
    REFINABLE,
    REFINABLE_OF_SLICES,
    FirstGuess,
    Loss,
    ObjectType,
    Prior,
    ProbePrior,
)

__all__ = ["Choices"]

#: Electrons per pixel of the disc below which counts are no longer nearly normal.
FEW_ELECTRONS = 100.0

#: Electrons per number of the probe, below which only its aberrations are refined.
ELECTRONS_PER_PROBE_PIXEL = 2000.0

ITERATIONS = {"dgp": 100, "pixelated": 40}

#: Iterations without improvement that are waited for, near the answer and far from it, where
#: networks at first make it worse.
PATIENCE, LONG_PATIENCE = 5, 15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """Everything that decides what a reconstruction does; see `iterative_ptychography`."""

    prior: Prior = "dgp"
    probe_prior: ProbePrior | None = None
    object_type: ObjectType = "phase"
    slices: int = 1
    slice_thickness: float | None = None
    probe_modes: int = 1
    loss: Loss | None = None
    first_guess: FirstGuess = "pixelated"
    refine: tuple[str, ...] = ()
    regularization: Regularization = dataclasses.field(default_factory=Regularization)
    iterations: int | None = None
    polish: int = 0
    held_out: float = 0.05
    patience: int | None = None
    filters: int | None = None
    batch: int | None = None
    mixed_precision: bool | None = None
    blur: float = 0.0
    snapshots: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("prior", PRIORS),
            ("probe_prior", (None, *PROBE_PRIORS)),
            ("object_type", OBJECT_TYPES),
            ("loss", (None, *LOSSES)),
            ("first_guess", FIRST_GUESSES),
        ):
            if getattr(self, name) not in allowed:
                known = ", ".join(repr(one) for one in allowed if one is not None)
                raise ValueError(f"{name} must be one of {known}, not {getattr(self, name)!r}.")
        _check_names(self.refine)
        for name in ("slices", "probe_modes", "iterations", "filters", "batch", "patience"):
            value = getattr(self, name)
            if value is not None and (value != int(value) or value < 1):
                raise ValueError(f"{name} must be a whole number from 1, not {value!r}.")
        least = min(self.polish, self.blur, self.snapshots)
        if not least >= 0 or not 0 <= self.held_out < 0.5:
            raise ValueError(
                "polish, blur and snapshots must be zero or above, and held_out a share from 0 to "
                "below 0.5."
            )
        if self.slices > 1 and not (self.slice_thickness and self.slice_thickness > 0):
            raise ValueError(
                f"{self.slices} slices need slice_thickness, their distance [Å]: the specimen's "
                "thickness over the number of slices."
            )
        of_slices = set(REFINABLE_OF_SLICES) & set(self.refine)
        if of_slices and self.slices == 1:
            raise ValueError(f"{of_slices.pop()} can be refined with several slices only.")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Choices:
        """Return the choices that a result was made with, from its `settings`."""
        known = {field.name for field in dataclasses.fields(cls)}
        kept = {name: value for name, value in settings.items() if name in known}
        kept["regularization"] = Regularization(**kept["regularization"])
        kept["refine"] = tuple(kept["refine"])
        return cls(**kept)

    def changes(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of some options that are chosen otherwise here."""
        return {name: value for name, value in options.items() if value != getattr(self, name)}

    def completed(
        self, *, electrons: float, positions: int, disc_pixels: float, window: int, device: str
    ) -> tuple[Choices, tuple[str, ...]]:
        """Fill in what was left open, and say in words what was chosen and why.

        Parameters
        ----------
        electrons
            Of a pattern; infinite where they are not known.
        positions
            Of the scan.
        disc_pixels
            Of the bright-field disc.
        window
            Pixels of a pattern.
        device
            Of torch.
        """
        chosen: dict[str, Any] = {}
        words = []
        if self.loss is None:
            few = electrons / disc_pixels < FEW_ELECTRONS
            chosen["loss"] = "poisson" if few else "amplitude"
            words.append(
                f"loss {chosen['loss']}: "
                + _of_electrons(electrons / disc_pixels, "electrons per pixel of the disc")
            )
        if self.probe_prior is None:
            per_pixel = electrons * positions / (2 * disc_pixels * self.probe_modes)
            enough = per_pixel > ELECTRONS_PER_PROBE_PIXEL
            why = _of_electrons(per_pixel, "electrons for each of its numbers")
            if "descan" in self.refine:
                # Patterns that move apart over the scan, and a wave that is curved, are the same.
                enough, why = False, "a probe of free pixels would take up descan as curvature"
            chosen["probe_prior"] = "pixelated" if enough else "parametric"
            words.append(f"probe {chosen['probe_prior']}: {why}")
        if self.iterations is None:
            chosen["iterations"] = ITERATIONS[self.prior]
        if self.patience is None:
            far = self.prior == "dgp" and self.first_guess != "pixelated"
            chosen["patience"] = LONG_PATIENCE if far else PATIENCE
        if self.filters is None:
            chosen["filters"] = 16 if device.startswith("cuda") else 8
            if self.prior == "dgp":
                words.append(f"{chosen['filters']} filters on {device}")
        if self.mixed_precision is None:
            chosen["mixed_precision"] = device.startswith("cuda")
        if self.batch is None:
            # Waves of a batch: about 64 MB on a processor, and 1 GB on a GPU.
            room = 2**30 if device.startswith("cuda") else 2**26
            each = 8 * window * self.probe_modes * (3 + 3 * self.slices)
            chosen["batch"] = int(np.clip(room // each, 1, 1024))
        return dataclasses.replace(self, **chosen), tuple(words)


def _of_electrons(number: float, what: str) -> str:
    if np.isfinite(number):
        return f"{number:.3g} {what}"
    return "the data are no whole counts and the dose is not known, so noise is taken as small"


def _check_names(refine: Sequence[str]) -> None:
    unknown = sorted(set(refine) - set(REFINABLE))
    if unknown:
        raise ValueError(
            f"{', '.join(map(repr, unknown))} cannot be refined; possible are "
            f"{', '.join(map(repr, REFINABLE))}."
        )
