"""``stem-plugins train``: make the weights of a network, on data simulated on the fly."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stem_plugins.cli import train_airpi
from stem_plugins.cli.options import positive_number, whole_number

if TYPE_CHECKING:
    from stem_plugins.training.loop import Progress

__all__ = [
    "add_parser",
    "add_run_options",
    "follow_training",
    "given_settings",
    "prepare_training_folder",
    "run",
]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "train",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="train a network, or train it further",
        usage="stem-plugins train NETWORK FOLDER --minutes M [options]",
        description=(
            "Train a network as the one that comes with stem-plugins was trained, on data that\n"
            "are simulated on the fly. Nothing is downloaded, and no GPU is needed."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins train restore training --minutes 180\n"
            "  stem-plugins train airpi mine --minutes 15 --for scan.mib"
        ),
    )
    networks = parser.add_subparsers(
        title="networks",
        metavar="NETWORK",
        dest="network",
        required=True,
        prog="stem-plugins train",
    )
    restoration = networks.add_parser(
        "restore",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="the network of `stem-plugins restore`",
        usage="stem-plugins train restore FOLDER --minutes M [options]",
        description=(
            "Train the network that restores images. The folder keeps a checkpoint: run the same\n"
            "command again and training goes on from there. Stop it by Ctrl-C at any time; the\n"
            "checkpoint and the weights are kept. The learning rate falls towards the end of\n"
            "each run, so a run that comes to its end gives better weights than one cut short."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins train restore training --minutes 180\n"
            "  stem-plugins train restore mine --minutes 30 --start-from default\n"
            "  stem-plugins restore image.dm4 -o restored --model mine/restore.safetensors"
        ),
    )
    _add_options(restoration)
    restoration.set_defaults(train=_train_restoration)
    train_airpi.add_parser(networks)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_run_options(parser, "restore.safetensors")
    parser.add_argument(
        "--patch",
        type=whole_number(32),
        metavar="PX",
        help="edge of the patches, a multiple of 8 (128)",
    )


def add_run_options(parser: argparse.ArgumentParser, weights: str) -> None:
    """Add what the training of any network can be told.

    Parameters
    ----------
    parser
        Of the network.
    weights
        Name of the file that it makes.
    """
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help=f"keeps checkpoint.pt, {weights} (the weights) and log.csv",
    )
    parser.add_argument(
        "--minutes",
        type=positive_number("a number of minutes"),
        required=True,
        metavar="M",
        help="length of this run",
    )
    parser.add_argument(
        "--start-from",
        metavar="MODEL",
        help="weights to begin with: default, or a .safetensors file (random numbers); a "
        "checkpoint in the folder wins",
    )
    for name, least, unit, what in (
        ("batch", 1, "N", "examples per step (4)"),
        ("seed", 0, "N", "of the random numbers (0)"),
        ("threads", 1, "N", "processor threads (1)"),
        ("workers", 0, "N", "processes that draw examples beside the training (0)"),
    ):
        parser.add_argument(f"--{name}", type=whole_number(least), metavar=unit, help=what)
    parser.add_argument(
        "--learning-rate", type=_share, metavar="R", help="while it is held, up to 1 (0.001)"
    )
    parser.add_argument(
        "--cool-down", type=_share, metavar="S", help="share of the run in which it falls (0.4)"
    )
    parser.add_argument("--device", metavar="NAME", help="auto, cpu or cuda (cpu)")
    parser.add_argument(
        "--verbose",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show the full traceback of an error",
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to 1, not {text!r}")
    return share


def run(arguments: argparse.Namespace) -> None:
    """Train a network, as the parsed options say."""
    arguments.train(arguments)


def _train_restoration(arguments: argparse.Namespace) -> None:
    from stem_plugins.cli.restore import check_torch

    check_torch()
    from stem_plugins.training.restoration import train_restoration

    settings = _settings(arguments)
    folder = prepare_training_folder(arguments.folder)
    steps = train_restoration(
        folder, minutes=arguments.minutes, settings=settings, start_from=arguments.start_from
    )
    follow_training(steps, folder / "restore.safetensors", unit=" dB")


def prepare_training_folder(folder: Path) -> Path:
    """Refuse a folder that is none, and say whether training goes on.

    Parameters
    ----------
    folder
        Of the training.
    """
    from stem_plugins.cli.messages import say

    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder.")
    if (folder / "checkpoint.pt").exists():
        say(f"going on from {folder / 'checkpoint.pt'}")
    return folder


def follow_training(steps: Iterator[Progress], weights: Path, *, unit: str = "") -> None:
    """Train to the end, or to Ctrl-C, with a progress bar.

    Parameters
    ----------
    steps
        Of the training. Closed on Ctrl-C, it keeps the checkpoint and exports the weights.
    weights
        File that it makes.
    unit
        Of the figures of the validation.
    """
    from tqdm import tqdm

    from stem_plugins.cli.messages import bar_style, say

    try:
        with contextlib.closing(steps), tqdm(total=1.0, **bar_style("training")) as bar:
            for progress in steps:
                bar.update(progress.share - bar.n)
                bar.set_description(_short(progress))
                if progress.validation is not None:
                    bar.clear()
                    say(_validation(progress, unit))
    finally:
        if weights.is_file():
            say(f"{weights} and the checkpoint are kept.")


def _settings(arguments: argparse.Namespace) -> Any:
    import dataclasses

    from stem_plugins.training.restoration import RestorationTraining

    names = ("patch", "batch", "seed", "threads", "workers", "learning_rate", "cool_down")
    given = given_settings(arguments, names)
    if given.get("patch", 0) % 8:
        raise ValueError(f"--patch must be a multiple of 8, not {given['patch']}.")
    return dataclasses.replace(RestorationTraining(), **given)


def given_settings(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Return the settings that were given, and the device where it was.

    Parameters
    ----------
    arguments
        The parsed command line.
    names
        Of the settings.
    """
    chosen = {name: getattr(arguments, name) for name in names}
    chosen["device"] = _usable(arguments.device)
    return {name: value for name, value in chosen.items() if value is not None}


def _usable(device: str | None) -> str | None:
    """Return a device that torch can use; ``auto`` is a GPU if there is one."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device is not None:
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as problem:
            raise ValueError(
                f"The device {device!r} cannot be used here: {str(problem).splitlines()[0]}"
            ) from None
    return device


def _short(progress: Progress) -> str:
    if math.isnan(progress.loss):
        return f"step {progress.step}"
    return f"step {progress.step}, loss {progress.loss:.3f}"


def _validation(progress: Progress, unit: str) -> str:
    """One line: where training stands, and how good the network is on what it never sees."""
    values = progress.validation or {}
    digits = 2 if unit else 4
    figures = ", ".join(f"{name} {value:.{digits}f}" for name, value in values.items())
    hours = progress.seconds / 3600
    return f"step {progress.step}, {hours:.2f} h in all: {figures}{unit}"
