"""``stem-plugins weights``: the trained networks that are there, others to import, averages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stem_plugins.models.weights_file import Weights

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser of ``stem-plugins``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "weights",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="trained networks: which are there, and how to get more",
        usage="stem-plugins weights list | import PATH | average MODEL MODEL ... -o FILE",
        description=(
            "The weights of a network are what it has learnt. One set comes with stem-plugins;\n"
            "the published ones for restoring STEM, TEM and SEM images can be imported."
        ),
        epilog=(
            "Examples:\n"
            "  stem-plugins weights list\n"
            "  pip download --no-deps --no-binary :all: tk-r-em==1.0.4\n"
            "  stem-plugins weights import tk_r_em-1.0.4.tar.gz\n"
            "  stem-plugins weights average airpi:default mine.safetensors -o both.safetensors"
        ),
    )
    actions = parser.add_subparsers(
        title="what to do",
        metavar="ACTION",
        dest="action",
        required=True,
        prog="stem-plugins weights",
    )
    listing = actions.add_parser(
        "list",
        allow_abbrev=False,
        help="the models that are there, and those that are not yet",
        description="Show each model by the name that other commands take, and where it is from.",
    )
    importing = actions.add_parser(
        "import",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="take over the six published models of tk_r_em 1.0.4",
        description=(
            "Import the published networks that restore electron microscopy images (tk_r_em\n"
            "1.0.4 by Ivan Lobato, GPL-3, arXiv:2303.17025) from your own copy of that package.\n"
            "TensorFlow is not needed. They take 170 MB in your data folder; set the environment\n"
            "variable STEM_PLUGINS_DATA to choose another folder."
        ),
        epilog=(
            "To get the package (189 MB):\n"
            "  pip download --no-deps --no-binary :all: tk-r-em==1.0.4"
        ),
    )
    importing.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="tk_r_em-1.0.4.tar.gz, a .whl or .zip, or the folder where it is unpacked",
    )
    importing.add_argument(
        "--overwrite", action="store_true", help="replace models that were imported before"
    )
    averaging = actions.add_parser(
        "average",
        allow_abbrev=False,
        help="average the weights of networks that were trained from one another",
        description=(
            "Average networks of which one was trained from the other: often better than either "
            "on what both know."
        ),
    )
    averaging.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a file of weights, 'default' (of restore) or 'airpi:default'",
    )
    averaging.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the new .safetensors"
    )
    averaging.add_argument("--overwrite", action="store_true", help="replace an existing file")
    for action, function in ((listing, _list), (importing, _import), (averaging, _average)):
        action.add_argument(
            "--verbose",
            action="store_true",
            default=argparse.SUPPRESS,
            help="show the full traceback of an error",
        )
        action.set_defaults(act=function)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """List, import or average weights, as the parsed options say."""
    arguments.act(arguments)


def _list(_: argparse.Namespace) -> None:
    from stem_plugins.cli.messages import say, warning
    from stem_plugins.models import data_folder, list_weights

    models = list_weights()
    for name, found in models.items():
        if isinstance(found, str):
            say(f"{name:<18}cannot be used")
            warning(found)
        else:
            say(f"{name:<18}{_origin(found) if found else 'not there'}")
    say()
    say(f"Imported models lie in {data_folder() / 'models'}.")
    if any(found is None for name, found in models.items() if name != "default"):
        say("To import the published ones: stem-plugins weights import --help")


def _origin(weights: Weights) -> str:
    source = weights.details.get("source", f"made with stem-plugins {weights.package}")
    return f"{weights.design} version {weights.version}, {source}"


def _import(arguments: argparse.Namespace) -> None:
    from stem_plugins.cli.messages import follow, say
    from stem_plugins.models import data_folder, iter_import_published_restoration
    from stem_plugins.models.registry import PUBLISHED

    follow(
        iter_import_published_restoration(arguments.path, overwrite=arguments.overwrite),
        "importing",
    )
    say(f"Imported to {data_folder() / 'models'}:")
    for name in PUBLISHED:
        say(f"  {name}")


def _average(arguments: argparse.Namespace) -> None:
    from stem_plugins.cli.messages import say
    from stem_plugins.models import average_weights

    path = average_weights(arguments.models, arguments.output, overwrite=arguments.overwrite)
    say(f"Saved {path}")
