"""``stem-plugins airpi``: the phase of a thin specimen by AI-assisted rapid phase imaging."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.cli.options import (
    add_acquisition_options,
    add_reading_options,
    add_scan_and_folder,
    open_scan,
    whole_number,
)

if TYPE_CHECKING:
    from stem_plugins.io.scan import Scan
    from stem_plugins.optics.acquisition import Acquisition
    from stem_plugins.rapid_phase_imaging import AirpiResult

__all__ = ["add_parser", "run"]

#: How images are saved.
FORMATS = ("zspy", "tif", "png")


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "airpi",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="phase of a thin specimen in one pass, by a network",
        usage="stem-plugins airpi FILE -o FOLDER [options]",
        description=(
            "Image a thin specimen by AI-assisted rapid phase imaging (AIRPI): a network corrects\n"
            "direct ptychography by what the single patterns say, while the file is read once.\n"
            "The scan must be calibrated. The phase is saved with its scale as .zspy (HyperSpy),\n"
            ".tif and .png, next to a record of all parameters."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins airpi scan.mib -o phase\n"
            "  stem-plugins airpi scan.mib -o phase --beam-energy 300 --convergence-angle 20 \\\n"
            "      --scan-step 0.2 --diffraction-step 1.9 --rotation auto\n"
            "  stem-plugins airpi scan.mib -o phase --evidence\n"
            "  stem-plugins airpi scan.mib -o phase --design exit-wave"
        ),
    )
    add_scan_and_folder(parser)
    _add_image_options(parser)
    add_reading_options(parser)
    add_acquisition_options(parser, can_estimate=True)
    return parser


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("image")
    group.add_argument(
        "--model",
        default="default",
        help="default, exit-wave, or a file of stem-plugins train airpi (default)",
    )
    group.add_argument(
        "--design",
        choices=("spatial", "exit-wave"),
        help="spatial: a network over the scan; exit-wave: the published one, which draws the wave "
        "behind each position, with an amplitude, and is hundreds of times slower (that of the "
        "weights; by default spatial)",
    )
    group.add_argument(
        "--box",
        type=whole_number(1),
        metavar="N",
        help="sum the patterns of N × N scan positions to one (1, or as the scan step needs it)",
    )
    group.add_argument(
        "--oversample",
        type=whole_number(1),
        default=2,
        metavar="N",
        help="pixels of the image per scan step (2)",
    )
    group.add_argument(
        "--evidence",
        action="store_true",
        help="also a map of how far the patterns are from those that the image predicts",
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="go on where the step is too large or the lens too far outside the network's range",
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda (auto)")
    group.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="processor threads (all)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Image and save, as the parsed options say."""
    from stem_plugins.cli.messages import say
    from stem_plugins.cli.restore import check_torch
    from stem_plugins.cli.result_folder import check_folder, folder_for_results
    from stem_plugins.io.output_files import check_output

    check_torch("AIRPI")
    from stem_plugins.rapid_phase_imaging.networks import EXIT_WAVE, find_network

    folder, stem = arguments.output, f"{arguments.file.stem}_airpi"
    check_folder(folder)
    scan = open_scan(arguments)
    _, design = find_network(arguments.model, arguments.design)
    wanted = {"phase": True, "amplitude": design == EXIT_WAVE, "consistency": arguments.evidence}
    names = [name for name, made in wanted.items() if made]
    record = folder / f"{stem}_record.toml"
    plan = [(name, folder / f"{stem}_{name}.{suffix}") for name in names for suffix in FORMATS]
    if folder.is_dir():
        for path in (record, *(path for _, path in plan)):
            check_output(path, overwrite=arguments.overwrite)
    acquisition, notes = _calibration(arguments, scan)
    result = _image(arguments, scan, acquisition)
    notes += result.notes
    for note in notes:
        say(note)
    with folder_for_results(folder):
        _save(arguments, plan, record, result, acquisition, notes)
    sizes = " × ".join(f"{edge:.3g}" for edge in result.sampling)
    say(f"{folder}: {stem}_… {', '.join(names)}, pixels of {sizes} Å")


def _calibration(arguments: argparse.Namespace, scan: Scan) -> tuple[Acquisition, list[str]]:
    """Look at the scan before a pass over it, and find the rotation where it is unknown."""
    from stem_plugins.cli.one_pass import check_center, rotation_of_scan
    from stem_plugins.rapid_phase_imaging.checks import NEEDED

    acquisition = scan.acquisition.require(*NEEDED)
    if arguments.center == "auto":
        acquisition = acquisition.replace(center=None)
    check_center(acquisition.center, scan.data.shape[2:])
    return rotation_of_scan(scan, acquisition, estimate=arguments.scan_rotation == "auto")


def _image(arguments: argparse.Namespace, scan: Scan, acquisition: Acquisition) -> AirpiResult:
    from tqdm import tqdm

    from stem_plugins.cli.messages import bar_style
    from stem_plugins.rapid_phase_imaging import airpi

    with tqdm(total=1.0, **bar_style("imaging")) as bar:
        return airpi(
            scan.data,
            acquisition,
            model=arguments.model,
            design=arguments.design,
            repeat=arguments.box,
            oversample=arguments.oversample,
            device=arguments.device,
            threads=arguments.threads,
            force=arguments.force,
            return_evidence=arguments.evidence,
            lazy_output=False,
            callback=lambda share: bar.update(share - bar.n),
        )


def _save(
    arguments: argparse.Namespace,
    plan: list[tuple[str, Path]],
    record: Path,
    result: AirpiResult,
    acquisition: Acquisition,
    notes: list[str],
) -> None:
    from stem_plugins.cli.record import earlier_images, record_text, run_record, warn_of_earlier
    from stem_plugins.io.images import plain_values, save_image
    from stem_plugins.io.output_files import complete_or_nothing

    made_by, chosen = run_record(arguments), plain_values(result.parameters)
    pixels = result.parameters["oversample"] * result.repeat
    coarse = tuple(pixels * edge for edge in result.sampling)
    kinds = {
        "phase": (result.phase, result.sampling, "AIRPI phase", "rad"),
        "amplitude": (result.amplitude, result.sampling, "AIRPI amplitude", ""),
        "consistency": (result.consistency, coarse, "AIRPI consistency", "expected noise"),
    }
    paths = [path for _, path in plan]
    earlier = earlier_images(record, [*paths, record], FORMATS)
    with complete_or_nothing(*paths, record, overwrite=arguments.overwrite) as parts:
        for (name, _), part in zip(plan, parts[:-1], strict=True):
            image, sampling, title, unit = kinds[name]
            save_image(
                part,
                image,
                scan_step=(sampling[0], sampling[1]),
                title=title,
                quantity_units=unit,
                parameters={**made_by, **chosen, "acquisition": acquisition.to_dict()},
            )
        units = {name: kinds[name][3] for name, _ in plan}
        text = record_text(made_by, notes, acquisition, units, earlier=earlier, parameters=chosen)
        parts[-1].write_text(text, encoding="utf-8")
    warn_of_earlier(record, earlier, "images")
