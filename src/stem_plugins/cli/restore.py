"""``stem-plugins restore``: images without noise and scan distortion, from files and folders."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.cli.options import whole_number

if TYPE_CHECKING:
    from stem_plugins.io.image_files import MeasuredImages

__all__ = ["add_parser", "check_torch", "run"]

FORMATS = ("tif", "zspy", "hspy", "npy")


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "restore",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="remove noise and scan distortion from STEM images",
        usage="stem-plugins restore FILE... -o FOLDER [options]",
        description=(
            "Remove noise, row jitter and the fast-scan tail from STEM images. Files may hold an\n"
            "image, several, or a stack; of folders, all images in them are taken, and one that\n"
            "cannot be restored does not stop the others. Each result is saved with the\n"
            "calibration and metadata of its image."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins restore image.dm4 -o restored\n"
            "  stem-plugins restore session/ -o restored --evidence --figure\n"
            "  stem-plugins restore image.ser -o restored --model fft\n"
            "  stem-plugins restore image.tif -o restored --scan-axis y --pixel-size 0.1"
        ),
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=".dm3, .dm4, .ser, .emd, .tif, .mrc, .hspy, .zspy, .h5, .npy, …, or a folder of them",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="where results go"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=["tif", "zspy"],
        metavar="FORMAT",
        help=f"how to save each result: {' '.join(FORMATS)} (tif zspy)",
    )
    parser.add_argument(
        "--figure",
        action="store_true",
        help="also a .png of the image before and after, with the maps of --evidence",
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="which image or array, where a file holds several (all)"
    )
    _add_scan_options(parser)
    _add_model_options(parser)
    return parser


def _add_scan_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how the image was scanned")
    group.add_argument(
        "--scan-axis",
        choices=("x", "y"),
        default="x",
        help="along which axis the beam scans fast: x, along rows, or y, along columns (x)",
    )
    group.add_argument(
        "--scan-direction",
        type=int,
        choices=(1, -1),
        default=1,
        help="1: to the right (down with y); -1: to the left (up), as in mirrored images (1)",
    )
    group.add_argument(
        "--pixel-size",
        type=_pixel_size,
        metavar="Å",
        help="Å per pixel, where the file does not say or is wrong: 0.1, or down and across: "
        "0.1 0.12",
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("restoration")
    group.add_argument(
        "--model",
        default="default",
        metavar="MODEL",
        help="default, fft (a filter, no network), an imported one such as tk_r_em:hrstem, or a "
        ".safetensors file (default); see `stem-plugins weights list`",
    )
    group.add_argument(
        "--evidence",
        action="store_true",
        help="also save where the result contradicts the image (consistency; unexplained, if rows "
        "may shift) and where it is unsure (spread); about seven times the time",
    )
    group.add_argument(
        "--ensemble",
        action="store_true",
        help="average with the mirrored image: twice the time, a little less noise",
    )
    group.add_argument(
        "--remove-pedestal",
        action="store_true",
        help="take off the detector's constant background, where the image shows it",
    )
    group.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="processor threads (all)"
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda (auto)")


def _pixel_size(text: str) -> tuple[float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0 < number < float("inf") for number in numbers):
        raise argparse.ArgumentTypeError(f"expected a length in Å above zero, not {text!r}")
    return numbers[0], numbers[-1]


def run(arguments: argparse.Namespace) -> None:
    """Restore images, as the parsed options say."""
    from stem_plugins.cli.image_inputs import image_inputs, prepare_folder
    from stem_plugins.cli.messages import error, explain, say
    from stem_plugins.io.image_files import NoImageError

    check_torch()
    inputs = image_inputs(arguments.files, arguments.output)
    _load_model(arguments)
    prepare_folder(arguments.output)
    failed = []
    for number, item in enumerate(inputs, 1):
        title = item.path.name if len(inputs) == 1 else f"{item.path.name} ({number}/{len(inputs)})"
        with _warnings_of(item.path if len(inputs) > 1 else None):
            try:
                for line in _restore_file(item.path, item.stem, arguments, title):
                    say(line)
            except Exception as problem:
                if len(inputs) == 1:
                    raise
                if isinstance(problem, NoImageError) and item.found_in_folder:
                    warnings.warn(f"left out: {problem}", UserWarning, stacklevel=1)
                    continue
                if arguments.verbose:
                    traceback.print_exc()
                text = explain(problem)
                error(text if item.path.name in text else f"{item.path}: {text}")
                failed.append(item.path.name)
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(inputs)} files were not restored: {', '.join(failed)}."
        )


def check_torch(what: str = "Restoration") -> None:
    """Say how to install PyTorch where it is missing.

    Parameters
    ----------
    what
        Needs it.
    """
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise ImportError(
            f"{what} needs PyTorch. Install it by: python -m pip install 'stem-plugins[torch]'"
        )


def _load_model(arguments: argparse.Namespace) -> None:
    """Say what is wrong with the model before anything is read; it stays in memory."""
    import numpy as np

    from stem_plugins.restoration import restore

    # A constant image is returned as it is, once model and device have been found to be usable.
    constant = np.zeros((32, 32))
    restore(constant, model=arguments.model, device=arguments.device, threads=arguments.threads)


@contextlib.contextmanager
def _warnings_of(path: Path | None) -> Iterator[None]:
    """Say each kind of warning once; put the name of the file before it, where there are several.

    In a stack, the next image has the same fault with other numbers.
    """
    from stem_plugins.cli.messages import in_shell_words, warning

    title = "" if path is None else f"{path.name}: "
    said: dict[str, int] = {}

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = in_shell_words(str(message))
        kind = re.sub(r"\d+(\.\d+)?", "#", text)
        said[kind] = said.get(kind, 0) + 1
        if said[kind] == 1:
            warning(f"{title}{text}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
    for count in said.values():
        if count > 1:
            warning(f"{title}the same of {count - 1} more images in this file.")


@dataclasses.dataclass(frozen=True)
class _Result:
    """One kind of result: the restored images, or a map of evidence."""

    name: str
    title: str
    quantity: str


RESTORED = _Result("restored", "Restored", "Intensity")
EVIDENCE = (
    _Result("consistency", "Consistency", "Difference (expected noise)"),
    _Result("unexplained", "Unexplained", "Difference (expected noise)"),
    _Result("spread", "Spread", "Spread of intensity"),
)


def _restore_file(
    path: Path, stem: str, arguments: argparse.Namespace, title: str
) -> Iterator[str]:
    """Restore all images of a file; yields a line on each."""
    from stem_plugins.cli.image_inputs import file_stems
    from stem_plugins.io.image_files import read_images

    images = read_images(path, dataset=arguments.dataset)
    stems = file_stems(stem, [image.title for image in images])
    for image, name in zip(images, stems, strict=True):
        if arguments.pixel_size is not None:
            image = image.with_pixel_size(arguments.pixel_size)
        yield _restore_images(path, image, name, arguments, title)


def _restore_images(
    path: Path, images: MeasuredImages, stem: str, arguments: argparse.Namespace, title: str
) -> str:
    """Restore an image or stack, save what was asked for, and say what lies where."""
    from tqdm import tqdm

    from stem_plugins.cli.image_inputs import room
    from stem_plugins.cli.messages import bar_style
    from stem_plugins.io.image_files import save_like
    from stem_plugins.io.output_files import complete_or_nothing

    kinds = (RESTORED, *EVIDENCE) if arguments.evidence else (RESTORED,)
    folder = arguments.output
    places = [
        (kind, folder / f"{stem}_{kind.name}.{suffix}")
        for kind in kinds
        for suffix in dict.fromkeys(arguments.format)
    ]
    pictures = [folder / f"{stem}_restored.png"] if arguments.figure else []
    outputs = [place for _, place in places] + pictures
    with (
        complete_or_nothing(*outputs, overwrite=arguments.overwrite) as parts,
        room(len(kinds), images.data.shape, folder) as results,
        tqdm(total=1.0, **bar_style(f"restoring {title}")) as bar,
    ):
        _fill(results, images, arguments, lambda share: bar.update(share - bar.n))
        provenance = _provenance(path, arguments)
        for (kind, _), part in zip(places, parts, strict=False):
            data = results[kinds.index(kind)]
            name = f"{kind.title} {images.title or path.stem}"
            save_like(part, data, images, title=name, quantity=kind.quantity, provenance=provenance)
        for part in parts[len(places) :]:
            _draw(part, images, results)
    names = ", ".join(f"{stem}_{kind.name}" for kind in kinds)
    formats = " ".join(dict.fromkeys(place.suffix for place in outputs))
    return f"{path}: {names} in {folder}, as {formats}"


def _fill(
    results: Sequence[Any],
    images: MeasuredImages,
    arguments: argparse.Namespace,
    report: Callable[[float], object],
) -> None:
    """Restore images one after another into arrays of the shape of the stack."""
    import numpy as np

    from stem_plugins.restoration import restore

    places = list(np.ndindex(images.data.shape[:-2]))
    for done, place in enumerate(places):

        def tell(share: float, done: int = done) -> None:
            report((done + share) / len(places))

        outcome = restore(
            np.asarray(images.data[place]),
            model=arguments.model,
            scan_axis=-1 if arguments.scan_axis == "x" else -2,
            scan_direction=arguments.scan_direction,
            ensemble=arguments.ensemble,
            device=arguments.device,
            threads=arguments.threads,
            remove_pedestal=arguments.remove_pedestal,
            return_evidence=arguments.evidence,
            callback=tell,
        )
        restored, evidence = outcome if arguments.evidence else (outcome, None)
        results[0][place] = restored
        for kind, result in zip(EVIDENCE, results[1:], strict=False):
            result[place] = getattr(evidence, kind.name)


def _provenance(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    import stem_plugins

    options = ("model", "scan_axis", "scan_direction", "ensemble", "remove_pedestal")
    return {
        "method": "restore",
        "parameters": {name: getattr(arguments, name) for name in options},
        "source": path.name,
        "version": stem_plugins.__version__,
    }


def _draw(path: Path, images: MeasuredImages, results: Sequence[Any]) -> None:
    """Draw before and after (of a stack, the first image) side by side."""
    import numpy as np

    from stem_plugins.cli.restore_figure import evidence_panels, image_panels, save_panels

    first = (0,) * (len(images.data.shape) - 2)
    restored, *evidence = (result[first] for result in results)
    panels = image_panels(np.asarray(images.data[first]), restored)
    save_panels(path, [*panels, *evidence_panels(*evidence)], images.pixel_size)
