"""Parameters of ``stem-plugins dgp``: from a TOML file, from options, and of a run gone on with."""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.cli.messages import VerbatimError

if TYPE_CHECKING:
    from stem_plugins.ptychography import PtychographyResult

__all__ = ["chosen_parameters", "read_parameters"]

#: What a record says beside the parameters that can be given.
SAID = ("chosen", "device")

TEXTS = ("prior", "probe_prior", "object_type", "loss", "first_guess")
WHOLE_NUMBERS = (
    *("slices", "probe_modes", "iterations", "polish", "patience", "filters", "batch", "seed"),
    *("snapshots", "butterworth_order"),
)


def chosen_parameters(
    arguments: argparse.Namespace, before: PtychographyResult | None
) -> dict[str, Any]:
    """Return the fields of `Choices` that were given; options win over the file.

    Parameters
    ----------
    arguments
        The parsed command line.
    before
        The run to go on from. What is given as it was there is left out: the same command may go
        on from where it was stopped.

    Raises
    ------
    ValueError
        A name or value cannot be used.
    """
    from stem_plugins.ptychography import Choices

    in_file = read_parameters(arguments.parameters) if arguments.parameters else {}
    given = dict(in_file)
    for field in dataclasses.fields(Choices):
        option = getattr(arguments, field.name, None)
        if option is not None:
            given[field.name] = tuple(option) if field.name == "refine" else option
    if before is None:
        try:
            Choices(**given)
        except ValueError as error:
            if str(error) == _problem_of(in_file):
                raise VerbatimError(f"{arguments.parameters}: {error}") from error
            raise
        return given
    return Choices.from_settings(before.settings).changes(given)


def _problem_of(values: Mapping[str, Any]) -> str | None:
    """Say what is wrong with parameters by themselves, without any options."""
    from stem_plugins.ptychography import Choices

    try:
        Choices(**values)
    except ValueError as error:
        return str(error)
    return None


def read_parameters(path: Path) -> dict[str, Any]:
    """Read fields of `Choices` from a TOML file.

    Parameters
    ----------
    path
        With lines such as ``slices = 3`` and a table ``[regularization]``; or with these in a
        table ``[parameters]`` beside others, as the record of a run has them.

    Raises
    ------
    ValueError
        It is no TOML, a name is not known, or a value is of another kind.
    """
    from stem_plugins.ptychography import Choices, Regularization

    if path.is_dir():
        raise VerbatimError(f"--parameters {path} cannot be read: it is a folder; give a file.")
    with path.open("rb") as file:
        try:
            values = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise VerbatimError(f"{path} is not a TOML file: {error}") from error
    if "parameters" in values:
        values = _table(values["parameters"], f"{path}: parameters")
        values = {name: value for name, value in values.items() if name not in SAID}
    _check_known(values, Choices, f"{path}")
    given = {name: _value(name, value, path) for name, value in values.items()}
    if "regularization" in values:
        table = _table(values["regularization"], f"{path}: regularization")
        _check_known(table, Regularization, f"{path}: [regularization]")
        weights = {name: _value(name, value, path) for name, value in table.items()}
        try:
            given["regularization"] = Regularization(**weights)
        except ValueError as error:
            raise VerbatimError(f"{path}: [regularization]: {error}") from error
    return given


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise VerbatimError(f"{where} must be a table of names and values, not {value!r}.")
    return value


def _check_known(values: Mapping[str, Any], kind: Any, where: str) -> None:
    known: Collection[str] = [field.name for field in dataclasses.fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise VerbatimError(
            f"{where} has the unknown parameter {', '.join(map(repr, unknown))}; "
            f"known are {', '.join(known)}."
        )


def _value(name: str, value: Any, path: Path) -> Any:
    """Return a value of the kind that its name asks for."""
    if name == "regularization":
        return value
    if name == "refine":
        names = value if isinstance(value, list) else [value]
        if all(isinstance(one, str) for one in names):
            return tuple(names)
        expected = "a list of names"
    elif name in ("mixed_precision", "positivity"):
        if isinstance(value, bool):
            return value
        expected = "true or false"
    elif name in TEXTS:
        if isinstance(value, str):
            return value
        expected = "text in quotes"
    else:
        is_whole = name in WHOLE_NUMBERS
        allowed = int if is_whole else (int, float)
        if isinstance(value, allowed) and not isinstance(value, bool):
            return value
        expected = "a whole number" if is_whole else "a number"
    raise VerbatimError(f"{path}: {name} must be {expected}, not {value!r}.")
