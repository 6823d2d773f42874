"""``stem-plugins info``: what a file holds, and what is known of its calibration."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.cli.options import add_acquisition_options, add_reading_options, open_scan

if TYPE_CHECKING:
    from stem_plugins.io.scan import Scan

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "info",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="what is in a file, and what is known of its calibration",
        usage="stem-plugins info FILE [options]",
        description=(
            "Show what a 4D-STEM file holds: scan, detector, type and size of the data, what its\n"
            "headers say, which calibration is known and how to give what is missing. Reads only\n"
            "headers, so it answers at once for files of any size."
        ),
        epilog="Example:\n  stem-plugins info scan.mib",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="any 4D-STEM file")
    parser.add_argument("--json", action="store_true", help="as JSON, for other programs")
    add_reading_options(parser)
    add_acquisition_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Print what a file holds, as the parsed options say."""
    from stem_plugins.cli.messages import say

    scan, unknown = _open(arguments)
    if arguments.json:
        facts = _facts(scan, arguments.file, unknown)
        say(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
    else:
        lines = [*_description(scan, arguments.file, unknown), "", *_calibration(scan)]
        say("\n".join(lines))


def _open(arguments: argparse.Namespace) -> tuple[Scan, str | None]:
    """Open the file; as a line of all its frames, and say why, where its scan shape is unknown."""
    from stem_plugins.io.merlin_layout import UnknownScanShapeError

    try:
        return open_scan(arguments), None
    except UnknownScanShapeError as error:
        arguments.scan = (1, error.frames)
        return open_scan(arguments), error.reason


def _facts(scan: Scan, path: Path, unknown: str | None) -> dict[str, Any]:
    from stem_plugins.io.scan_date import scan_date

    return {
        "file": str(path),
        "format": _format(scan, path),
        "scan_shape": None if unknown else list(scan.data.shape[:2]),
        "detector_shape": list(scan.data.shape[2:]),
        "dtype": scan.data.dtype.str,
        "bytes": scan.data.nbytes,
        "taken": scan_date(scan.metadata),
        "acquisition": scan.acquisition.to_dict(),
        "metadata": dict(scan.metadata),
    }


def _format(scan: Scan, path: Path) -> str:
    header = scan.metadata.get("mq1")
    if header is None:
        return path.suffix.lower().removeprefix(".")
    raw = ", raw" if header["pixel_type"] == "R64" else ""
    return f"Merlin, {header['counter_depth']}-bit counters{raw}, chips {header['layout']}"


def _description(scan: Scan, path: Path, unknown: str | None) -> list[str]:
    """Lines on the data and the headers."""
    from stem_plugins.io.scan_date import scan_date

    ny, nx, ky, kx = scan.data.shape
    positions = f"{ny} × {nx} positions (down, across)"
    if unknown is not None:
        positions = f"unknown: --scan ROWS COLUMNS ({unknown})"
    lines = [
        str(path),
        _line("format", _format(scan, path)),
        _line("scan", positions),
        _line("detector", f"{ky} × {kx} px (down, across)"),
        _line("numbers", _type(scan.data.dtype)),
        _line("size", f"{_bytes(int(scan.data.nbytes))} uncompressed"),
    ]
    header, taken = scan.metadata.get("mq1"), scan_date(scan.metadata)
    if taken is not None or header is not None:
        lines += [_line("first frame taken", taken or "not known: the file has no date of it")]
    if header is not None:
        lines += [_line("frames in the file", str(scan.metadata["frames"]))]
        lines += [_line("exposure", f"{header['exposure']:g} s")] if header["exposure"] else []
        thresholds = ", ".join(f"{value:g}" for value in header["thresholds"] if value)
        lines += [_line("thresholds", f"{thresholds} keV")] if thresholds else []
    return lines


def _calibration(scan: Scan) -> list[str]:
    """Lines on each field of the calibration, with the option that sets it."""
    from stem_plugins.optics.acquisition import FIELDS

    known = scan.acquisition.to_dict()
    lines = ["calibration" if known else "calibration: nothing is known"]
    lines += [_line(FIELDS[name][0], _value(value), width=44) for name, value in known.items()]
    middle = " ".join(f"{(side - 1) / 2:g}" for side in scan.data.shape[-2:])
    examples = {name: example for name, (_, example) in FIELDS.items()}
    examples["center"] = f"--center {middle}"
    missing = [name for name in FIELDS if name not in known]
    if missing:
        lines += ["", "not known (and how to give it)"]
        lines += [_line(FIELDS[name][0], examples[name], width=44) for name in missing]
    return lines


def _line(name: str, value: str, *, width: int = 20) -> str:
    return f"  {name:<{width}}{value}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} = {number:g}" for name, number in value.items())
    if isinstance(value, list):
        first, second = value
        return f"{first:g}" if first == second else f"{first:g} (down), {second:g} (across)"
    return f"{value:g}"


def _type(dtype: Any) -> str:
    kind = {"u": "unsigned integers", "i": "integers", "f": "floating point", "b": "yes or no"}
    order = ", big-endian" if dtype.str.startswith(">") else ""
    return f"{8 * dtype.itemsize}-bit {kind[dtype.kind]}{order}"


def _bytes(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
