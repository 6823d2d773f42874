"""``stem-plugins convert``: a scan from one file format to another, with its calibration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stem_plugins.cli.options import (
    add_acquisition_options,
    add_reading_options,
    check_is_file,
    given_acquisition,
    reading_options,
)

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "convert",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="write a scan in another file format",
        usage="stem-plugins convert SOURCE TARGET [options]",
        description=(
            "Write a 4D-STEM scan in another file format, with its calibration. Counts are not\n"
            "changed, and scans may be larger than the memory."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins convert scan.mib scan.zspy --beam-energy 200 --scan-step 0.2\n"
            "  stem-plugins convert frames.h5 scan.mib --dataset data --scan 128 128"
        ),
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="SOURCE",
        help=".mib or .hdr (Merlin), .hspy, .zspy, .h5, .npz, .npy, .emd, .dm4, .blo, .tvips, …",
    )
    parser.add_argument(
        "target", type=Path, metavar="TARGET", help="the new file: .mib, .hspy or .zspy"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing target")
    parser.add_argument(
        "--counter-depth",
        type=int,
        choices=(1, 6, 12, 24),
        help="bits per count in a .mib; otherwise the fewest that leave room above all counts",
    )
    add_reading_options(parser)
    add_acquisition_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Convert a file, as the parsed options say."""
    from stem_plugins.cli.messages import follow, say
    from stem_plugins.io.scan_writer import iter_convert

    check_is_file(arguments.file)
    given = given_acquisition(arguments)
    steps = iter_convert(
        arguments.file,
        arguments.target,
        acquisition=given,
        overwrite=arguments.overwrite,
        counter_depth=arguments.counter_depth,
        beam_energy=given.beam_energy,
        **reading_options(arguments),
    )
    follow(steps, "converting")
    say(f"{arguments.target} written.")
