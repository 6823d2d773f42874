"""What a reconstruction was asked for, and what it chooses where nothing was said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stem_plugins.ptychography.regularizers import Regularization, is_number
from stem_plugins.ptychography.vocabulary import (
    EARLIER,
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

__all__ = ["Choices", "checked_options"]

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
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, value in checked_options(given).items():
            # The one way to put a plain number where NumPy's was given: results go through JSON.
            object.__setattr__(self, name, value)
        if self.slices > 1 and self.slice_thickness is None:
            raise ValueError(
                f"{self.slices} slices need slice_thickness, their distance [Å]: the specimen's "
                "thickness over the number of slices."
            )
        if self.polish and "dgp" not in (self.prior, self.probe_prior):
            raise ValueError(
                "polish are pixelated iterations after those of a network; with "
                f"prior={self.prior!r} there is none. Give iterations."
            )
        of_slices = set(REFINABLE_OF_SLICES) & set(self.refine)
        if of_slices and self.slices == 1:
            raise ValueError(f"{of_slices.pop()} can be refined with several slices only.")

    @property
    def is_far(self) -> bool:
        """Whether networks begin far from the answer."""
        return self.first_guess not in ("pixelated", EARLIER)

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
            chosen["probe_prior"] = "pixelated" if enough else "parametric"
            if "descan" in self.refine:
                # Patterns that move apart over the scan, and a wave that is curved, are the same.
                chosen["probe_prior"] = "fixed"
                why = "one that changes would take up descan as defocus and astigmatism"
            words.append(f"probe {chosen['probe_prior']}: {why}")
        if self.iterations is None:
            chosen["iterations"] = ITERATIONS[self.prior]
            words.append(f"iterations {chosen['iterations']}: at most")
        if self.patience is None:
            far = self.prior == "dgp" and self.is_far
            chosen["patience"] = LONG_PATIENCE if far else PATIENCE
        if self.filters is None:
            on_gpu = device.startswith("cuda")
            chosen["filters"] = 16 if on_gpu else 8
            if "dgp" in (self.prior, self.probe_prior):
                why = (
                    "a GPU draws with many in no time" if on_gpu else "more are slow on a processor"
                )
                words.append(f"filters {chosen['filters']}: {why}")
        if self.mixed_precision is None:
            chosen["mixed_precision"] = device.startswith("cuda")
        if self.batch is None:
            # Waves of a batch: about 64 MB on a processor, and 1 GB on a GPU.
            room = 2**30 if device.startswith("cuda") else 2**26
            each = 8 * window * self.probe_modes * (3 + 3 * self.slices)
            batch = chosen["batch"] = int(np.clip(room // each, 1, 1024))
            words.append(f"batch {batch}: {max(1, round(batch * each / 2**20))} MB of waves")
        return dataclasses.replace(self, **chosen), tuple(words)


def _of_electrons(number: float, what: str) -> str:
    if np.isfinite(number):
        return f"{number:.3g} {what}"
    return "the data are no whole counts and the dose is not known, so noise is taken as small"


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as `Choices` keeps them, each looked at on its own.

    Parameters
    ----------
    options
        Fields of `Choices`, or some of them.

    Raises
    ------
    ValueError, TypeError
        A value cannot be used.

    Examples
    --------
    >>> checked_options({"slices": 2.0, "refine": "descan"})
    {'slices': 2, 'refine': ('descan',)}
    """
    return {name: _CHECKS[name](name, value) for name, value in options.items()}


#: Looks at the value of the option of a name, and returns it as it is kept.
_Check = Callable[[str, Any], Any]


def _one_of(*allowed: str) -> _Check:
    def check(name: str, value: Any) -> str:
        if not (isinstance(value, str) and value in allowed):
            raise ValueError(
                f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}."
            )
        return value

    return check


def _whole(least: int, most: float = math.inf) -> _Check:
    expected = f"a whole number from {least}"
    if math.isfinite(most):
        expected += f" to {most}"

    def check(name: str, value: Any) -> int:
        if not (is_number(value) and value == int(value) and least <= value <= most):
            raise ValueError(f"{name} must be {expected}, not {value!r}.")
        return int(value)

    return check


def _real(expected: str, fits: Callable[[float], bool]) -> _Check:
    def check(name: str, value: Any) -> float:
        if not (is_number(value) and fits(value)):
            raise ValueError(f"{name} must be {expected}, not {value!r}.")
        return float(value)

    return check


def _open(check: _Check) -> _Check:
    """Leave a value that is not given to be chosen."""
    return lambda name, value: None if value is None else check(name, value)


def _first_guess(name: str, value: Any) -> Any:
    """One of the names; what `prepare` puts in the place of an earlier result is one, too."""
    if isinstance(value, str) and value == EARLIER:
        return value
    if not (isinstance(value, str) and value in FIRST_GUESSES):
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, FIRST_GUESSES))}, or an earlier "
            f"PtychographyResult, not {value!r}."
        )
    return value


def _names(name: str, value: Any) -> tuple[str, ...]:
    possible = ", ".join(map(repr, REFINABLE))
    try:
        names = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        names = (None,)
    if not all(isinstance(one, str) for one in names):
        raise TypeError(f"{name} must be a tuple of names out of {possible}, not {value!r}.")
    unknown = sorted(set(names) - set(REFINABLE))
    if unknown:
        raise ValueError(
            f"{', '.join(map(repr, unknown))} cannot be refined; possible are {possible}."
        )
    return tuple(map(str, names))


def _regularization(name: str, value: Any) -> Regularization:
    if not isinstance(value, Regularization):
        raise TypeError(
            f"{name} must be a Regularization, such as Regularization(kz_filter=0.5), "
            f"not {value!r}."
        )
    return value


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True, False or None, not {value!r}.")
    return bool(value)


_CHECKS: Mapping[str, _Check] = {
    "prior": _one_of(*PRIORS),
    "probe_prior": _open(_one_of(*PROBE_PRIORS)),
    "object_type": _one_of(*OBJECT_TYPES),
    "slices": _whole(1, 2000),
    "slice_thickness": _open(
        _real("a length above zero, up to 10000 [Å]", lambda value: 0 < value <= 1e4)
    ),
    "probe_modes": _whole(1, 100),
    "loss": _open(_one_of(*LOSSES)),
    "first_guess": _first_guess,
    "refine": _names,
    "regularization": _regularization,
    "iterations": _open(_whole(1)),
    "polish": _whole(0),
    "held_out": _real("a share from 0 to below 0.5", lambda value: 0 <= value < 0.5),
    "patience": _open(_whole(1)),
    "filters": _open(_whole(1, 512)),
    "batch": _open(_whole(1)),
    "mixed_precision": _open(_switch),
    "blur": _real("from 0 to 20 [px]", lambda value: 0 <= value <= 20),
    "snapshots": _whole(0),
    # Torch takes no larger ones.
    "seed": _whole(0, 2**63 - 1),
}
