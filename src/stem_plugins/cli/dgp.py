"""``stem-plugins dgp``: phase and probe of a scan by iterative ptychography."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.cli.options import (
    add_acquisition_options,
    add_reading_options,
    add_scan_and_folder,
    open_scan,
    positive_number,
    whole_number,
)
from stem_plugins.ptychography.vocabulary import (
    FIRST_GUESSES,
    OBJECT_TYPES,
    PRIORS,
    PROBE_PRIORS,
    REFINABLE,
    REFINABLE_OF_SLICES,
)

if TYPE_CHECKING:
    from stem_plugins.io.scan import Scan
    from stem_plugins.optics.acquisition import Acquisition
    from stem_plugins.ptychography import Progress, PtychographyResult

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "dgp",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="phase of a specimen by iterative ptychography",
        usage="stem-plugins dgp FILE -o FOLDER [options]",
        description=(
            "Reconstruct the phase of a specimen and the probe from a 4D-STEM scan, by iterative\n"
            "ptychography with a deep generative prior (a network that draws the object) or by\n"
            "pixels. A calibrated scan needs no options; what is chosen is said. The phase is\n"
            "saved with its scale as .zspy (HyperSpy), .tif and .png, everything else as .zspy\n"
            "and .h5, next to a record of all parameters. Ctrl-C ends it and keeps what there is."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins dgp scan.mib -o phase\n"
            "  stem-plugins dgp scan.mib -o phase --beam-energy 300 --convergence-angle 20 \\\n"
            "      --scan-step 0.4 --diffraction-step 1.0 --defocus 100 --rotation auto\n"
            "  stem-plugins dgp scan.mib -o phase --prior pixelated --slices 5 \\\n"
            "      --slice-thickness 20 --refine positions\n"
            "  stem-plugins dgp scan.mib -o phase --resume --iterations 200"
        ),
    )
    add_scan_and_folder(parser)
    _add_model_options(parser)
    _add_run_options(parser)
    add_reading_options(parser)
    add_acquisition_options(parser, can_estimate=True)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("object and probe")
    group.add_argument(
        "--prior",
        choices=PRIORS,
        help="who draws the object: dgp, a network, or pixelated, every pixel for itself (dgp)",
    )
    group.add_argument(
        "--probe-prior",
        choices=PROBE_PRIORS,
        help="how the probe may change: by a network, by pixels, by its aberrations, or not at all "
        "(pixelated or parametric, by the dose)",
    )
    group.add_argument(
        "--object-type",
        choices=OBJECT_TYPES,
        help="phase, potential (a phase nowhere below zero) or complex (absorbs, too) (phase)",
    )
    group.add_argument(
        "--slices", type=whole_number(1), metavar="N", help="slices of a thick specimen (1)"
    )
    group.add_argument(
        "--slice-thickness",
        type=positive_number("a number of Å"),
        metavar="Å",
        help="distance of the slices, in Å: 20",
    )
    group.add_argument(
        "--probe-modes",
        type=whole_number(1),
        metavar="N",
        help="modes of a partially coherent probe (1)",
    )
    group.add_argument(
        "--refine",
        action="append",
        choices=REFINABLE,
        metavar="NAME",
        help=f"also refine {', '.join(REFINABLE)} (the last {len(REFINABLE_OF_SLICES)} of several "
        "slices); can be repeated",
    )
    group.add_argument(
        "--first-guess",
        choices=FIRST_GUESSES,
        help="the object to begin with: a few pixelated iterations, direct ptychography, the "
        "integrated centre of mass, or nothing (pixelated)",
    )
    group.add_argument(
        "--vacuum",
        type=Path,
        metavar="FILE",
        help="a scan without specimen by the same detector, or one pattern, whose mean takes the "
        "place of the ideal aperture",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reconstruction")
    group.add_argument(
        "--iterations",
        type=whole_number(1),
        metavar="N",
        help="passes over the patterns, at most (100, or 40 by pixels)",
    )
    group.add_argument(
        "--seed", type=whole_number(0), metavar="N", help="of the random numbers (0)"
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda (auto)")
    group.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="processor threads (all)"
    )
    group.add_argument(
        "--parameters",
        type=Path,
        metavar="FILE.toml",
        help="these and all other parameters from a TOML file: lines such as slices = 3, loss = "
        '"amplitude", held_out = 0.05, and a table [regularization]; or the record of an earlier '
        "run. Options win over it",
    )
    group.add_argument(
        "--checkpoint-minutes",
        type=positive_number("a number of minutes"),
        default=10.0,
        metavar="M",
        help="how often the state is kept in FOLDER, to go on from (10)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on from the state that is kept in FOLDER; --iterations may be given anew",
    )


def run(arguments: argparse.Namespace) -> None:
    """Reconstruct and save, as the parsed options say."""
    from stem_plugins.cli.restore import check_torch

    check_torch("Ptychography")
    from stem_plugins.lazy.processors import torch_device
    from stem_plugins.ptychography.processes import joined

    # Only where torchrun has started several processes is there anybody to join.
    with joined(torch_device(arguments.device)) as device:
        _reconstruct_and_save(arguments, device)


def _reconstruct_and_save(arguments: argparse.Namespace, device: str) -> None:
    from stem_plugins.cli.dgp_files import check_outputs, save_results
    from stem_plugins.cli.dgp_parameters import chosen_parameters
    from stem_plugins.cli.dgp_vacuum import about_vacuum, vacuum_pattern
    from stem_plugins.cli.messages import InterruptedAndKept, say
    from stem_plugins.cli.result_folder import check_folder, folder_for_results
    from stem_plugins.ptychography import load_ptychography
    from stem_plugins.ptychography.processes import is_first

    check_folder(arguments.output)
    scan = open_scan(arguments)
    stem = f"{arguments.file.stem}_dgp"
    state = arguments.output / f"{stem}.h5"
    if arguments.resume and not state.exists():
        raise FileNotFoundError(
            f"There is no {state} to go on from. Without --resume a new reconstruction begins."
        )
    before = load_ptychography(state) if arguments.resume else None
    parameters = chosen_parameters(arguments, before)
    check_outputs(arguments.output, stem, replace=arguments.overwrite or arguments.resume)
    inputs = {"vacuum": vacuum_pattern(arguments.vacuum, scan), "resume": before}
    acquisition, notes = _calibration(arguments, scan, before)
    for note in notes if is_first() else ():
        say(note)
    options = {**parameters, **inputs, "device": device, "largest_count": scan.largest_count}
    with folder_for_results(arguments.output), about_vacuum(arguments.vacuum):
        result = _reconstruct(arguments, scan.data, acquisition, state, options)
    _check_finished(result)
    if not is_first():
        return
    found = _notes(result)
    for note in found:
        say(note)
    say(save_results(arguments, stem, result, [*notes, *found]))
    if result.stopped == "stopped by Ctrl-C":
        say(f"{state} is kept; the same command with --resume goes on from it.")
        raise InterruptedAndKept


def _calibration(
    arguments: argparse.Namespace, scan: Scan, before: PtychographyResult | None
) -> tuple[Acquisition, list[str]]:
    """Complete what the scan knows by what can be found in it, after checking that it can be."""
    from stem_plugins.cli.one_pass import check_center, rotation_of_scan
    from stem_plugins.ptychography.geometry import scan_geometry

    acquisition = scan.acquisition
    if arguments.center == "auto":
        acquisition = acquisition.replace(center=None)
    rows, columns, *detector = scan.data.shape
    check_center(acquisition.center, tuple(detector))
    scan_geometry((rows, columns), (detector[0], detector[1]), acquisition)
    estimate = arguments.scan_rotation == "auto"
    if before is not None and (estimate or acquisition.scan_rotation is None):
        used = before.acquisition
        return acquisition.replace(scan_rotation=used.scan_rotation, flip_y=used.flip_y), []
    return rotation_of_scan(scan, acquisition, estimate=estimate)


def _reconstruct(
    arguments: argparse.Namespace,
    data: Any,
    acquisition: Acquisition,
    state: Path,
    options: dict[str, Any],
) -> PtychographyResult:
    from tqdm import tqdm

    from stem_plugins.cli.messages import bar_style
    from stem_plugins.ptychography import iterative_ptychography
    from stem_plugins.ptychography.processes import is_first

    silent = {} if is_first() else {"disable": True}
    with tqdm(**bar_style("reconstructing") | silent) as bar, _interruption() as interrupted:

        def show(progress: Progress) -> bool:
            bar.total = progress.iterations
            bar.set_description_str(str(progress), refresh=False)
            bar.update(max(0.0, progress.done - bar.n))
            return interrupted()

        result = iterative_ptychography(
            data,
            acquisition,
            threads=arguments.threads,
            callback=show,
            checkpoint=state,
            checkpoint_minutes=arguments.checkpoint_minutes,
            # Existing results were looked at before.
            overwrite_checkpoint=arguments.overwrite or arguments.resume,
            **options,
        )
    if interrupted():
        result = dataclasses.replace(result, stopped="stopped by Ctrl-C")
    return result


@contextlib.contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, where it must not break into what processes do together."""
    from stem_plugins.ptychography.processes import process_count

    pressed: list[int] = []
    if process_count() == 1:
        # Alone, it ends the reconstruction wherever it is.
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _check_finished(result: PtychographyResult) -> None:
    """Refuse to save what is only a first guess."""
    if len(result.losses):
        return
    if result.stopped == "stopped by Ctrl-C":
        raise KeyboardInterrupt
    raise ValueError(
        f"No iteration was finished ({result.stopped or 'it ended early'}), so there is no phase "
        "to save; ask for more by --iterations."
    )


def _notes(result: PtychographyResult) -> list[str]:
    """Say what was chosen, why it ended, and how far to trust it."""
    notes = [f"chosen: {words}" for words in result.settings["chosen"]]
    loss = f"loss {result.losses[-1]:.4g}"
    if len(result.held_out_losses):
        loss += f", held out {result.held_out_losses[-1]:.4g}"
    count = len(result.losses)
    iterations = "1 iteration" if count == 1 else f"{count} iterations"
    notes.append(f"{iterations}, {loss}: {result.stopped}")
    try:
        limit = result.information_limit.resolution
    except ValueError as error:
        # Too small a field, or a constant phase.
        return [*notes, f"information limit unknown: {error}"]
    if math.isfinite(limit):
        return [*notes, f"information limit {limit:.3g} Å: the finest period above the noise"]
    return [*notes, "information limit: no period stands out of the noise"]
