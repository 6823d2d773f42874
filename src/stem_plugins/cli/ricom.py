"""``stem-plugins ricom``: all images of a scan from one pass over its file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.cli.options import add_acquisition_options, add_reading_options, open_scan

if TYPE_CHECKING:
    import numpy as np

    from stem_plugins.cli.images import Recipe
    from stem_plugins.io.scan import Scan
    from stem_plugins.optics.acquisition import Acquisition

__all__ = ["add_parser", "run"]

#: Kernel size unless one is given, as for `stem_plugins.imaging.ricom`.
KERNEL_SIZE = 21

FORMATS = ("tif", "zspy", "png", "hspy", "npy")


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ricom",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="riCOM, centre of mass and virtual-detector images of a scan",
        usage="stem-plugins ricom FILE -o FOLDER [options]",
        description=(
            "Make images of a 4D-STEM scan, all from one pass over the file: riCOM (phase\n"
            "contrast by integrated centre of mass), and what else is asked for below. Each\n"
            "image is saved with its scale as .tif, .zspy (HyperSpy) and .png, next to a record\n"
            "of all parameters. What is not known is estimated or assumed, and said."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins ricom scan.mib -o images\n"
            "  stem-plugins ricom scan.mib -o images --kernel 21 --kernel 61 --icom \\\n"
            "      --beam-energy 200 --scan-step 0.2 --diffraction-step 1.0 \\\n"
            "      --convergence-angle 20 --rotation auto --adf 60 180 --bf\n"
            "  stem-plugins ricom other.mib -o images --acquisition images/scan_record.toml"
        ),
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help=".mib, .hspy, .zspy, .h5, .npz, .dm4, .blo, …"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="where images go"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace images of an earlier run")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=["tif", "zspy", "png"],
        metavar="FORMAT",
        help=f"how to save each image: {' '.join(FORMATS)} (tif zspy png)",
    )
    _add_image_options(parser)
    _add_detector_options(parser)
    add_reading_options(parser)
    add_acquisition_options(parser, can_estimate=True)
    return parser


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images")
    group.add_argument(
        "--kernel",
        type=int,
        action="append",
        metavar="N",
        help=f"side of the riCOM kernel in scan positions, odd ({KERNEL_SIZE}); small kernels show "
        "detail, large ones slow changes; repeat it for several images",
    )
    unit = "per Å (cycles per scan position without --scan-step)"
    group.add_argument(
        "--low", type=float, metavar="F", help=f"riCOM: remove frequencies below, {unit}"
    )
    group.add_argument(
        "--high", type=float, metavar="F", help=f"riCOM: remove frequencies above, {unit}"
    )
    group.add_argument("--icom", action="store_true", help="iCOM, integrated over the whole scan")
    group.add_argument(
        "--icom-high-pass",
        type=float,
        metavar="F",
        help=f"iCOM: soft filter that passes half at this frequency, {unit}",
    )
    group.add_argument(
        "--com", action="store_true", help="centre of mass: as colours, and down and right"
    )
    group.add_argument(
        "--field",
        action="store_true",
        help="projected electric field, in V when calibrated: as colours, and down and right",
    )
    group.add_argument(
        "--divergence", action="store_true", help="divergence of the centre of mass (dCOM)"
    )
    group.add_argument("--pacbed", action="store_true", help="mean pattern of the scan")
    group.add_argument("--total", action="store_true", help="all counts of each pattern")
    group.add_argument(
        "--descan",
        choices=("none", "plane", "parabola"),
        default="none",
        help="movement of the beam with the scan to take off the centre of mass (none)",
    )
    group.add_argument(
        "--descan-where",
        nargs=4,
        type=int,
        metavar=("TOP", "BOTTOM", "LEFT", "RIGHT"),
        help="scan rows and columns, counted from 0, from which --descan is learnt: vacuum beside "
        "the specimen (the whole scan); a crystal's edge would be taken for descan",
    )


def _add_detector_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "virtual detectors", "Radii are in mrad with --diffraction-step, else in detector px."
    )
    group.add_argument(
        "--adf",
        nargs=2,
        type=float,
        action="append",
        default=[],
        metavar=("INNER", "OUTER"),
        help="annular dark field from inner to outer radius: 60 180; can be repeated",
    )
    group.add_argument(
        "--detector",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "INNER", "OUTER"),
        help="an annulus or disc (inner radius 0) by a name of your own; can be repeated",
    )
    group.add_argument(
        "--bf", action="store_true", help="bright field: the disc of the convergence angle"
    )
    group.add_argument(
        "--abf", action="store_true", help="annular bright field: the outer half of that disc"
    )


def run(arguments: argparse.Namespace) -> None:
    """Make and save images, as the parsed options say."""
    from stem_plugins.cli.images import Results, image_paths, save_images
    from stem_plugins.cli.messages import say
    from stem_plugins.cli.one_pass import (
        beam_center,
        check_center,
        needs_dark_field,
        scan_moments,
        settle_rotation,
    )
    from stem_plugins.cli.record import earlier_images, record_text, run_record, warn_of_earlier
    from stem_plugins.imaging.detectors import dark_field_detector
    from stem_plugins.imaging.field import vector_field
    from stem_plugins.io.output_files import complete_or_nothing

    scan = open_scan(arguments)
    annuli = list(_annuli(arguments, scan.acquisition))
    recipes = _recipes(arguments, scan, annuli)
    stem = arguments.file.stem
    plan = image_paths(recipes, arguments.output, stem, list(dict.fromkeys(arguments.format)))
    record_path = arguments.output / f"{stem}_record.toml"
    paths = [*(path for _, path in plan), record_path]
    _check_outputs(paths, overwrite=arguments.overwrite)

    center = None if arguments.center == "auto" else scan.acquisition.center
    check_center(center, scan.data.shape[2:])
    settles_sign = needs_dark_field(scan.acquisition, estimate=arguments.scan_rotation == "auto")
    place = center
    if place is None and (annuli or settles_sign):
        place = beam_center(scan.data)
    masks, notes = _masks(scan, annuli, place, given=center is not None)
    dark_field = None
    if settles_sign and place is not None:
        dark_field = dark_field_detector(scan.data.shape[2:], scan.acquisition, center=place)
    where = _descan_where(arguments, scan.data.shape[:2])
    moments = scan_moments(
        scan,
        detectors=masks if dark_field is None else [*masks, dark_field],
        center=center,
        pattern=arguments.pacbed,
    )
    acquisition = scan.acquisition.replace(center=tuple(moments.center))
    acquisition, rotation_note = settle_rotation(
        moments.com,
        acquisition,
        estimate=arguments.scan_rotation == "auto",
        reference=None if dark_field is None else moments.images[-1],
    )
    descan = None if arguments.descan == "none" else arguments.descan
    field = vector_field(moments.com, acquisition, descan=descan, descan_where=where)
    notes = [_center_note(acquisition, given=center is not None), *notes, rotation_note]
    notes += _unit_notes(arguments, acquisition)

    made_by = {**run_record(arguments), "descan": descan or "none"}
    earlier = earlier_images(record_path, paths, FORMATS)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with complete_or_nothing(*paths, overwrite=arguments.overwrite) as parts:
        units = save_images(
            [(recipe, part) for (recipe, _), part in zip(plan, parts[:-1], strict=True)],
            Results(moments, field, acquisition),
            parameters={**made_by, "acquisition": acquisition.to_dict()},
        )
        record = record_text(made_by, notes, acquisition, units, earlier=earlier)
        parts[-1].write_text(record, encoding="utf-8")
    warn_of_earlier(record_path, earlier, "images")
    for note in notes:
        say(note)
    say(f"{arguments.output}: {stem}_… {', '.join(f'{n} [{unit}]' for n, unit in units.items())}")


Annulus = tuple[str, str, float, float]


def _annuli(arguments: argparse.Namespace, acquisition: Acquisition) -> Iterator[Annulus]:
    """Name, title, inner and outer radius of each virtual detector, in mrad or px."""
    unit = "px" if acquisition.diffraction_step is None else "mrad"
    if arguments.bf or arguments.abf:
        acquisition.require("convergence_angle", "diffraction_step")
        angle = acquisition.convergence_angle
        assert angle is not None
        if arguments.bf:
            yield "bf", f"BF, 0–{angle:g} mrad", 0.0, angle
        if arguments.abf:
            yield "abf", f"ABF, {angle / 2:g}–{angle:g} mrad", angle / 2, angle
    for inner, outer in arguments.adf:
        name = "adf" if len(arguments.adf) == 1 else f"adf-{inner:g}-{outer:g}"
        yield name, f"ADF, {inner:g}–{outer:g} {unit}", inner, outer
    for name, inner, outer in arguments.detector:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"A detector's name becomes part of file names; {name!r} cannot.")
        try:
            yield name, f"{name}, {inner}–{outer} {unit}", float(inner), float(outer)
        except ValueError:
            raise ValueError(
                f"--detector {name} needs two radii, not {inner!r} and {outer!r}."
            ) from None


def _recipes(arguments: argparse.Namespace, scan: Scan, annuli: list[Annulus]) -> list[Recipe]:
    """Return what to draw, after checking all that can be checked before the pass."""
    from stem_plugins.cli import images
    from stem_plugins.imaging.ricom import check_kernel_size, largest_kernel, ricom_kernel

    shape, step = scan.data.shape[:2], scan.acquisition.scan_step or 1.0
    sizes = arguments.kernel or [min(KERNEL_SIZE, largest_kernel(shape))]
    for size in sizes:
        check_kernel_size(size, shape)
        ricom_kernel(size, low=arguments.low, high=arguments.high, scan_step=step)
    if arguments.icom_high_pass is not None and not arguments.icom_high_pass > 0:
        raise ValueError(f"--icom-high-pass must be above zero, not {arguments.icom_high_pass}.")
    if arguments.divergence and min(shape) < 2:
        raise ValueError(f"A divergence needs two scan rows and columns, not {shape}.")
    recipes = [
        images.ricom_recipe(size, low=arguments.low, high=arguments.high)
        for size in dict.fromkeys(sizes)
    ]
    for index, (name, title, inner, outer) in enumerate(annuli):
        recipes.append(images.detector_recipe(index, name, title, inner=inner, outer=outer))
    if arguments.icom or arguments.icom_high_pass is not None:
        recipes.append(images.icom_recipe(high_pass=arguments.icom_high_pass))
    recipes += images.com_recipes() if arguments.com else ()
    recipes += images.electric_field_recipes() if arguments.field else ()
    recipes += [images.divergence_recipe()] if arguments.divergence else []
    recipes += [images.pattern_recipe()] if arguments.pacbed else []
    recipes += [images.total_recipe()] if arguments.total else []
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        raise ValueError(f"Two images would have the same name; they are {', '.join(names)}.")
    return recipes


def _check_outputs(paths: list[Path], *, overwrite: bool) -> None:
    """Refuse before the pass what would be refused after it."""
    from stem_plugins.io.output_files import check_output

    folder = paths[0].parent
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder for the images.")
    if folder.is_dir():
        for path in paths:
            check_output(path, overwrite=overwrite)


def _masks(
    scan: Scan, annuli: list[Annulus], place: tuple[float, float] | None, *, given: bool
) -> tuple[list[np.ndarray], list[str]]:
    """Return the detectors' masks around a place, and what was assumed for them."""
    from stem_plugins.imaging.detectors import annular_detector

    if not annuli or place is None:
        return [], []
    notes = []
    if not given:
        notes.append(
            f"detectors around {place[0]:.2f} {place[1]:.2f} px, the mean centre of some patterns"
        )
    step = scan.acquisition.diffraction_step
    notes.append(f"detector radii in {'px' if step is None else 'mrad'}")
    shape = scan.data.shape[2:]
    masks = [
        annular_detector(shape, inner, outer, center=place, pixel_size=step or 1.0)
        for _, _, inner, outer in annuli
    ]
    return masks, notes


def _descan_where(arguments: argparse.Namespace, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the scan positions from which the descan is learnt; ``None`` for all."""
    import numpy as np

    if arguments.descan_where is None:
        return None
    if arguments.descan == "none":
        raise ValueError("--descan-where needs --descan plane or --descan parabola.")
    top, bottom, left, right = arguments.descan_where
    if not (0 <= top <= bottom < shape[0] and 0 <= left <= right < shape[1]):
        raise ValueError(
            f"--descan-where {top} {bottom} {left} {right} is no part of a scan of {shape[0]} rows "
            f"and {shape[1]} columns: give first and last row, first and last column, from 0."
        )
    where = np.zeros(shape, bool)
    where[top : bottom + 1, left : right + 1] = True
    return where


def _center_note(acquisition: Acquisition, *, given: bool) -> str:
    assert acquisition.center is not None
    y, x = acquisition.center
    return f"centre {y:.3f} {x:.3f} px, {'as given' if given else 'the mean centre of mass'}"


def _unit_notes(arguments: argparse.Namespace, acquisition: Acquisition) -> list[str]:
    """Say what the lack of a calibration means for the images."""
    notes = []
    if arguments.low is not None or arguments.high is not None or arguments.icom_high_pass:
        unit = "cycles per scan position" if acquisition.scan_step is None else "per Å"
        notes.append(f"frequencies of the filters in {unit}")
    if acquisition.scan_step is None:
        notes.append("no scale: give --scan-step for images in nm")
    needed = {
        "--diffraction-step": acquisition.diffraction_step,
        "--beam-energy": acquisition.beam_energy,
    }
    missing = [option for option, value in needed.items() if value is None]
    if missing:
        notes.append(f"phases not calibrated: give {' and '.join(missing)} for rad")
    return notes
