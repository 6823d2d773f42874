"""Options that several commands share: how a file is read, and what is known of its calibration.

Calibration comes from three places. Options win over the file given by ``--acquisition``, which
wins over what the data file itself says.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stem_plugins.io.scan import Scan
    from stem_plugins.optics.acquisition import Acquisition

__all__ = [
    "add_acquisition_options",
    "add_reading_options",
    "add_scan_and_folder",
    "attach_numbers",
    "given_acquisition",
    "open_scan",
    "positive_number",
    "reading_options",
    "whole_number",
]

#: Options that take one number, or a pair (down, across) of the scan or detector.
MOST_NUMBERS = {
    "--beam-energy": 1,
    "--convergence-angle": 1,
    "--scan-step": 2,
    "--pixel-size": 2,
    "--diffraction-step": 2,
    "--center": 2,
    "--rotation": 1,
    "--defocus": 1,
    "--dwell-time": 1,
    "--dose": 1,
}

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def attach_numbers(words: Sequence[str]) -> list[str]:
    """Tie numbers to the calibration option before them.

    argparse takes -1e3 for an option, and a file name behind one or two numbers for one more.

    Parameters
    ----------
    words
        The command line.

    Examples
    --------
    >>> attach_numbers(["--defocus", "-1e3", "--scan-step", "0.2", "scan.mib"])
    ['--defocus=-1e3', '--scan-step=0.2', 'scan.mib']
    """
    tied: list[str] = []
    room = 0
    for word in words:
        if room and _NUMBER.fullmatch(word):
            tied[-1] += ("," if "=" in tied[-1] else "=") + word
            room -= 1
        else:
            tied.append(word)
            room = MOST_NUMBERS.get(word, 0)
    return tied


def add_scan_and_folder(parser: argparse.ArgumentParser) -> None:
    """Add what is read, and where results go.

    Parameters
    ----------
    parser
        The parser of a command.
    """
    parser.add_argument(
        "file", type=Path, metavar="FILE", help=".mib, .hspy, .zspy, .h5, .npz, .dm4, .blo, …"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="where results go"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results of an earlier run"
    )


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add what a reader may have to be told about a file."""
    group = parser.add_argument_group("reading the file")
    group.add_argument(
        "--scan",
        nargs=2,
        type=int,
        metavar=("NY", "NX"),
        help="scan positions down and across, where the file does not say (a .mib without .hdr)",
    )
    for name, what in (
        ("rows", "recorded scan lines at the end of each scan that are flyback"),
        ("columns", "recorded patterns at the end of each scan line that are flyback"),
        ("frames", "patterns at the start of the file that belong to no scan"),
    ):
        group.add_argument(f"--skip-{name}", type=int, metavar="N", help=f"{what} (.mib)")
    group.add_argument(
        "--repeat",
        type=int,
        metavar="N",
        help="which scan to read, from 0, where the file holds several (.mib)",
    )
    group.add_argument(
        "--dataset", metavar="NAME", help="which array to read, where the file holds several"
    )


def add_acquisition_options(parser: argparse.ArgumentParser, *, can_estimate: bool = False) -> None:
    """Add one option for each field of `Acquisition`.

    Parameters
    ----------
    parser
        The parser of a command.
    can_estimate
        Whether rotation and centre may be ``auto``.
    """
    group = parser.add_argument_group(
        "calibration",
        "What the file does not know. Options win over --acquisition, which wins over the file.",
    )
    auto = " or auto" if can_estimate else ""
    number, pair = _number, _pair
    if can_estimate:
        number, pair = _or_auto(_number), _or_auto(_pair)
    group.add_argument(
        "--beam-energy", type=_number, metavar="KEV", help="energy of the electrons, in keV: 200"
    )
    group.add_argument(
        "--convergence-angle",
        type=_number,
        metavar="MRAD",
        help="convergence semi-angle of the probe, in mrad: 20",
    )
    group.add_argument(
        "--scan-step",
        type=_one_or_two,
        metavar="Å",
        help="distance of scan positions, in Å: 0.2, or down and across: 0.2 0.25",
    )
    group.add_argument(
        "--diffraction-step",
        type=_one_or_two,
        metavar="MRAD",
        help="angle that one detector pixel covers, in mrad: 1.0, or down and across: 1.0 1.1",
    )
    group.add_argument(
        "--center",
        type=pair,
        metavar="Y X",
        help=f"undiffracted beam on the detector, in px from 0: 127.5 127.5{auto}",
    )
    group.add_argument(
        "--rotation",
        type=number,
        metavar="DEG",
        dest="scan_rotation",
        help=f"angle from detector to scan, in degrees, clockwise on screen: 30{auto}",
    )
    group.add_argument(
        "--flip-y",
        action=argparse.BooleanOptionalAction,
        help="the detector's y axis is mirrored (undone before the rotation)",
    )
    group.add_argument(
        "--defocus", type=_number, metavar="Å", help="in Å, positive is underfocus: 100"
    )
    group.add_argument(
        "--dwell-time", type=_number, metavar="S", help="time per scan position, in s: 1e-3"
    )
    group.add_argument(
        "--dose", type=_number, metavar="E/Å²", help="electrons per square ångström: 1e4"
    )
    group.add_argument(
        "--acquisition",
        type=Path,
        metavar="FILE.toml",
        help="all of these (and aberrations) from a TOML file: lines such as beam_energy = 200, "
        "scan_step = [0.2, 0.2], scan_rotation = 30; or the record of an earlier run",
    )


def whole_number(least: int) -> Callable[[str], int]:
    """Return a type for argparse: whole numbers from the least one up.

    Parameters
    ----------
    least
        Smallest number that makes sense.
    """

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of {least} or more, not {text!r}"
            )
        return int(text)

    return convert


def positive_number(what: str) -> Callable[[str], float]:
    """Return a type for argparse: numbers above zero.

    Parameters
    ----------
    what
        Of what the number is, in a message: ``"a number of minutes"``.
    """

    def convert(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number < math.inf:
            raise argparse.ArgumentTypeError(f"expected {what} above zero, not {text!r}")
        return number

    return convert


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, not {text!r}") from None


def _one_or_two(text: str) -> float | tuple[float, float]:
    return _pair(text) if "," in text else _number(text)


def _pair(text: str) -> tuple[float, float]:
    numbers = [_number(part) for part in text.split(",")]
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"expected two numbers, Y X, not {text!r}")
    return numbers[0], numbers[1]


def _or_auto(convert: Any) -> Any:
    return lambda text: text if text == "auto" else convert(text)


def given_acquisition(arguments: argparse.Namespace) -> Acquisition:
    """Return the calibration that the user gave, by options or by ``--acquisition``."""
    from stem_plugins.optics.acquisition import FIELDS, Acquisition

    base = Acquisition()
    if arguments.acquisition is not None:
        base = Acquisition.from_toml(arguments.acquisition)
    options = {name: getattr(arguments, name, None) for name in FIELDS}
    return base.replace(
        **{name: value for name, value in options.items() if value not in (None, "auto")}
    )


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `add_reading_options` that were given, as `read_scan` names them."""
    options = {
        "scan_shape": arguments.scan,
        "dataset": arguments.dataset,
        "skip_rows": arguments.skip_rows,
        "skip_columns": arguments.skip_columns,
        "skip_frames": arguments.skip_frames,
        "repeat": arguments.repeat,
    }
    return {name: value for name, value in options.items() if value is not None}


def check_is_file(path: Path) -> None:
    """Refuse folders, except those that are files to HyperSpy."""
    if path.is_dir() and path.suffix.lower() != ".zspy":
        raise ValueError(f"{path} is a folder; give a file in it.")


def open_scan(arguments: argparse.Namespace) -> Scan:
    """Open ``arguments.file`` without reading the counts, calibrated as the user says.

    Returns
    -------
    Scan
        ``data`` is a dask array.
    """
    from stem_plugins.io.formats import read_scan

    check_is_file(arguments.file)
    given = given_acquisition(arguments)
    scan = read_scan(arguments.file, beam_energy=given.beam_energy, **reading_options(arguments))
    return dataclasses.replace(scan, acquisition=scan.acquisition.replace(**given.to_dict()))
