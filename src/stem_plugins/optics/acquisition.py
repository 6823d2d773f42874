"""The calibration of one 4D-STEM experiment, in the field's units.

`Acquisition` is the one object that carries what a method must know beside the counts. Readers
fill it from headers, HyperSpy from axes and metadata, napari from layer metadata, the command
line from options; every method reads it through `Acquisition.require`.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from os import PathLike
from types import MappingProxyType
from typing import Any, Self

import numpy as np

__all__ = ["Acquisition", "MissingCalibrationError", "check_acquisition"]

#: What each field means to a reader of an error message, and how the command line spells it.
FIELDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "beam_energy": ("beam energy [keV]", "--beam-energy 200"),
        "convergence_angle": ("convergence semi-angle [mrad]", "--convergence-angle 20"),
        "scan_step": ("scan step [Å]", "--scan-step 0.2"),
        "diffraction_step": ("detector pixel [mrad]", "--diffraction-step 1.0"),
        "center": ("centre of the undiffracted beam [px] (y, x)", "--center 127.5 127.5"),
        "scan_rotation": ("rotation from detector to scan frame [deg]", "--rotation 30"),
        "flip_y": ("mirroring of the detector's y axis", "--flip-y"),
        "defocus": ("defocus [Å], positive is underfocus", "--defocus 100"),
        "aberrations": ("aberration coefficients [Å, rad]", "--acquisition FILE.toml"),
        "dwell_time": ("dwell time [s]", "--dwell-time 1e-3"),
        "dose": ("dose [electrons per Å²]", "--dose 1e4"),
    }
)

_POSITIVE = ("beam_energy", "convergence_angle", "dwell_time", "dose")
_POSITIVE_PAIRS = ("scan_step", "diffraction_step")
_FINITE = ("scan_rotation", "defocus")


class MissingCalibrationError(ValueError):
    """A method needs calibration values that nobody has given yet.

    Attributes
    ----------
    fields : tuple of str
        Names of the missing `Acquisition` fields.
    """

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = tuple(fields)
        missing = "; ".join(f"{name}: {FIELDS[name][0]}" for name in self.fields)
        arguments = ", ".join(f"{name}=..." for name in self.fields)
        options = " ".join(FIELDS[name][1] for name in self.fields)
        super().__init__(
            f"Missing calibration: {missing}.\n"
            f"  in Python:     Acquisition({arguments})\n"
            f"  in HyperSpy:   signal.set_acquisition({arguments})\n"
            "  in napari:     Calibration, in the panel\n"
            f"  in the shell:  {options}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Acquisition:
    """Everything that a method needs to know about a 4D-STEM experiment.

    Every field is optional; ``None`` means unknown, never zero.

    Parameters
    ----------
    beam_energy
        Energy of the electrons [keV].
    convergence_angle
        Convergence semi-angle of the probe [mrad].
    scan_step
        Distance between scan positions [Å], as (y, x) or one number for both.
    diffraction_step
        Angle that one detector pixel covers [mrad per px], as (ky, kx) or one number for both.
    center
        Place of the undiffracted beam on the detector [px], (ky, kx), pixel centres at integers.
    scan_rotation
        Angle θ [deg] that turns detector vectors into the scan frame, after the flip:
        ``x' = cos θ x - sin θ y``, ``y' = sin θ x + cos θ y`` (y points down).
    flip_y
        Whether the y component of detector vectors changes sign before the rotation.
    defocus
        Defocus [Å]; positive is underfocus, so the aberration coefficient C10 is ``-defocus``.
    aberrations
        Further polar aberration coefficients by name (``{"C30": 1.3e7, "phi12": 0.3}``, lengths
        in Å, angles in rad).
    dwell_time
        Time per scan position [s].
    dose
        Electrons per area [e/Å²].

    Raises
    ------
    ValueError
        A value is not finite, or not positive where it must be.

    Examples
    --------
    >>> acquisition = Acquisition(beam_energy=200, scan_step=0.2)
    >>> acquisition.scan_step
    (0.2, 0.2)
    >>> acquisition.replace(convergence_angle=20).convergence_angle
    20.0
    >>> acquisition.require("scan_step") is acquisition
    True
    >>> acquisition.require("center")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    MissingCalibrationError: Missing calibration: center: ...
    """

    beam_energy: float | None = None
    convergence_angle: float | None = None
    scan_step: tuple[float, float] | None = None
    diffraction_step: tuple[float, float] | None = None
    center: tuple[float, float] | None = None
    scan_rotation: float | None = None
    flip_y: bool | None = None
    defocus: float | None = None
    aberrations: Mapping[str, float] = dataclasses.field(default_factory=dict)
    dwell_time: float | None = None
    dose: float | None = None

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            self._set(name, _number(name, getattr(self, name), positive=True))
        for name in _FINITE:
            self._set(name, _number(name, getattr(self, name), positive=False))
        for name in _POSITIVE_PAIRS:
            self._set(name, _pair(name, getattr(self, name), positive=True))
        self._set("center", _pair("center", self.center, positive=False))
        if self.flip_y is not None:
            if self.flip_y not in (False, True):
                raise ValueError(f"flip_y must be True or False, not {self.flip_y!r}.")
            self._set("flip_y", bool(self.flip_y))
        aberrations = {
            str(name): _required_number(f"aberrations[{name!r}]", value)
            for name, value in self.aberrations.items()
        }
        self._set("aberrations", aberrations)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def require(self, *names: str) -> Self:
        """Return this acquisition, or raise an error that names every field missing from it.

        Parameters
        ----------
        *names
            Field names that the caller cannot do without.

        Raises
        ------
        MissingCalibrationError
            At least one of the fields is ``None``.
        """
        missing = tuple(name for name in names if getattr(self, name) is None)
        if missing:
            raise MissingCalibrationError(missing)
        return self

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes
            New values by field name.
        """
        return dataclasses.replace(self, **_known(changes))

    def to_dict(self) -> dict[str, Any]:
        """Return the known fields as plain numbers, lists and dictionaries.

        The result can be stored in any metadata format and read back by `from_dict`.
        """
        known = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or (field.name == "aberrations" and not value):
                continue
            known[field.name] = list(value) if isinstance(value, tuple) else value
            if field.name == "aberrations":
                known[field.name] = dict(value)
        return known

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build an acquisition from a mapping of field names to values.

        Parameters
        ----------
        values
            As written by `to_dict`.

        Raises
        ------
        ValueError
            A name is not a field of `Acquisition`, or a value is not usable.
        """
        return cls(**_known(dict(values)))

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> Self:
        """Read an acquisition from a TOML file whose keys are the field names.

        Parameters
        ----------
        path
            The file, for example with the lines ``beam_energy = 200`` and
            ``scan_step = [0.2, 0.2]``; or with these in a table ``[acquisition]`` beside others,
            such as the record that ``stem-plugins ricom`` keeps of a run.

        Raises
        ------
        ValueError
            The file is no TOML, names an unknown field, or holds an unusable value.
        """
        with open(path, "rb") as file:
            try:
                values = tomllib.load(file)
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"{path} is not a TOML file: {error}") from error
        table = values.get("acquisition", values)
        if not isinstance(table, dict):
            raise ValueError(f"{path}: acquisition must be a table of field names and values.")
        return cls.from_dict(table)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(values) - set(FIELDS))
    if unknown:
        raise ValueError(
            f"Unknown acquisition field {', '.join(map(repr, unknown))}; "
            f"the fields are {', '.join(FIELDS)}."
        )
    return values


def _required_number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, not {value!r}.") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, not {value!r}.")
    return number


def _number(name: str, value: Any, *, positive: bool) -> float | None:
    if value is None:
        return None
    number = _required_number(name, value)
    if positive and number <= 0:
        raise ValueError(f"{name} must be above zero ({FIELDS[name][0]}), not {value!r}.")
    return number


def _pair(name: str, value: Any, *, positive: bool) -> tuple[float, float] | None:
    if value is None:
        return None
    values = [value] * 2 if np.ndim(value) == 0 else list(value)
    if len(values) != 2 or (name == "center" and np.ndim(value) == 0):
        raise ValueError(f"{name} must be two numbers, (y, x), not {value!r}.")
    y, x = (_required_number(name, number) for number in values)
    if positive and min(y, x) <= 0:
        raise ValueError(f"{name} must be above zero ({FIELDS[name][0]}), not {value!r}.")
    return y, x


def check_acquisition(acquisition: object) -> Acquisition:
    """Return the calibration if it is one.

    Parameters
    ----------
    acquisition
        What a caller has given.

    Raises
    ------
    TypeError
        It is something else.
    """
    if isinstance(acquisition, Acquisition):
        return acquisition
    raise TypeError(
        "acquisition must be an Acquisition, such as Acquisition(beam_energy=200, ...), not "
        f"{type(acquisition).__name__}; Acquisition.from_dict() makes one of a dict."
    )
