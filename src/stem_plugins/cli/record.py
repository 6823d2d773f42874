"""The record of a run: what made the images, as TOML."""

from __future__ import annotations

import argparse
import json
import shlex
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stem_plugins

if TYPE_CHECKING:
    from stem_plugins.optics.acquisition import Acquisition

__all__ = ["earlier_images", "record_text", "run_record", "warn_of_earlier"]

#: Key of a record under which images of earlier runs are kept.
EARLIER = "images_of_earlier_runs"


def run_record(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what made the images, beside the calibration.

    Parameters
    ----------
    arguments
        The parsed command line.
    """
    return {
        "program": f"stem-plugins {stem_plugins.__version__}",
        "command": shlex.join(["stem-plugins", *arguments.command_line]),
        "source": str(arguments.file.absolute()),
    }


def earlier_images(record: Path, written: Collection[Path], formats: Sequence[str]) -> list[str]:
    """Return the images of the same source that lie in the folder, but are not of this run.

    Parameters
    ----------
    record
        Where the record of this run goes; the record of an earlier one that lies there, or is
        nonsense, says what that one left.
    written
        What this run writes.
    formats
        Suffixes that images can have.

    Returns
    -------
    list of str
        Names of files.
    """
    try:
        earlier = tomllib.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    stem = record.name.removesuffix("_record.toml")
    units, kept = earlier.get("units"), earlier.get(EARLIER)
    images = units if isinstance(units, dict) else {}
    names = [f"{stem}_{image}.{suffix}" for image in images for suffix in formats]
    names += [str(name) for name in kept] if isinstance(kept, list) else []
    new = {path.name for path in written}
    return sorted(
        name
        for name in set(names) - new
        if Path(name).name == name and (record.parent / name).exists()
    )


def warn_of_earlier(record: Path, earlier: Sequence[str], what: str) -> None:
    """Say which files of an earlier run are left beside a record that does not describe them.

    Parameters
    ----------
    record
        Of this run.
    earlier
        From `earlier_images`; where there are none, nothing is said.
    what
        They are: ``"images"``, ``"results"``.
    """
    from stem_plugins.cli.messages import warning

    if earlier:
        warning(
            f"{record.parent} still holds {what} of an earlier run, which this one did not write "
            f"and {record.name} does not describe: {', '.join(earlier)}"
        )


def record_text(
    made_by: dict[str, Any],
    notes: list[str],
    acquisition: Acquisition,
    units: dict[str, str],
    *,
    earlier: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
) -> str:
    """Return the record of a run as TOML, which ``--acquisition`` can read.

    Parameters
    ----------
    made_by
        From `run_record`.
    notes
        What was said to the user.
    acquisition
        The calibration that was used.
    units
        Unit of each image by its name.
    earlier
        From `earlier_images`.
    parameters
        What a method was asked for and has chosen, where it has a table of its own.
    """
    left = {EARLIER: list(earlier)} if earlier else {}
    sections = [
        _toml({**made_by, "notes": notes, **left}),
        *([_toml_table("parameters", dict(parameters))] if parameters else []),
        _toml_table("acquisition", acquisition.to_dict()),
        _toml_table("units", units),
    ]
    return "\n".join(sections)


def _toml_table(name: str, values: dict[str, Any]) -> str:
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    nested = {key: value for key, value in values.items() if isinstance(value, dict)}
    tables = [f"[{name}]\n{_toml(plain)}"]
    tables += [_toml_table(f"{name}.{key}", value) for key, value in nested.items()]
    return "\n".join(tables)


def _toml(values: dict[str, Any]) -> str:
    """Write keys and values; JSON's numbers, text, lists, true and false are TOML's too."""
    return "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items()
    )
