"""The ``stem-plugins`` command: its parser, its exit codes, and how it reports errors."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence

import stem_plugins
from stem_plugins.cli import (
    airpi,
    convert,
    demo,
    dgp,
    info,
    messages,
    restore,
    ricom,
    train,
    weights,
)
from stem_plugins.cli.options import attach_numbers

__all__ = ["build_parser", "main"]

#: Exit codes: bad input or data, and an interruption by Ctrl-C. argparse uses 2 for usage.
FAILED = 1
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands and their options."""
    parser = argparse.ArgumentParser(
        prog="stem-plugins",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Images from 4D-STEM data: riCOM, centre of mass, virtual detectors, ptychography. "
            "Restoration of STEM images."
        ),
        epilog=(
            "First steps:\n"
            "  stem-plugins demo                      simulate a scan and see all images\n"
            "  stem-plugins info scan.mib             what is in this file?\n"
            "  stem-plugins ricom scan.mib -o images  images of it, as .tif, .zspy and .png\n"
            "  stem-plugins ricom --help              all options, with units\n"
            "  stem-plugins airpi scan.mib -o phase   its phase in one pass, by a network\n"
            "  stem-plugins dgp scan.mib -o phase     its phase by iterative ptychography\n"
            "  stem-plugins restore adf.dm4 -o clean  an image without noise and scan jitter\n\n"
            "Exit codes: 0 done, 1 bad input or data, 2 wrong usage, 130 interrupted."
        ),
    )
    parser.add_argument(
        "--version", action="version", version=f"stem-plugins {stem_plugins.__version__}"
    )
    traceback_help = "show the full traceback of an error"
    parser.add_argument("--verbose", action="store_true", help=traceback_help)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for module in (demo, info, convert, ricom, airpi, dgp, restore, train, weights):
        command = module.add_parser(commands)
        # Without a default of its own, so that it may also stand before the command.
        command.add_argument(
            "--verbose", action="store_true", default=argparse.SUPPRESS, help=traceback_help
        )
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``stem-plugins`` with some arguments.

    Parameters
    ----------
    arguments
        The words behind ``stem-plugins``; by default those of this process.

    Returns
    -------
    int
        Exit code: 0 done, 1 bad input or data, 130 interrupted.

    Raises
    ------
    SystemExit
        With code 2 for wrong usage, with code 0 after ``--help`` and ``--version``.

    Examples
    --------
    >>> main(["info", "missing.mib"])
    1
    """
    messages.allow_any_text()
    parser = build_parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(attach_numbers(words))
    if chosen.command is None:
        parser.print_help(sys.stderr)
        return 2
    chosen.command_line = words
    with _warnings_as_messages(), _terminated_cleanly():
        code = _run(chosen)
    if code == INTERRUPTED and arguments is None:
        # Python would wait for threads that work on blocks, for ever if Ctrl-C came while one of
        # them was being started. Files are cleaned up by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(chosen: argparse.Namespace) -> int:
    try:
        chosen.run(chosen)
    except messages.InterruptedAndKept:
        return INTERRUPTED
    except KeyboardInterrupt:
        messages.error("interrupted; nothing half-written was left behind.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has had enough, as head has. Nothing is left to be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if chosen.verbose:
            traceback.print_exc()
        messages.error(messages.explain(error))
        return FAILED
    return 0


@contextlib.contextmanager
def _warnings_as_messages() -> Iterator[None]:
    """Show what concerns the user's data as one line each; leave out what concerns programmers."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        text = messages.in_shell_words(str(message))
        if text not in shown:
            shown.add(text)
            messages.warning(text)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module="stem_plugins")
        warnings.filterwarnings("always", category=RuntimeWarning, module="stem_plugins")
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _terminated_cleanly() -> Iterator[None]:
    """Let a polite kill (a cluster's time limit) remove temporary files as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
