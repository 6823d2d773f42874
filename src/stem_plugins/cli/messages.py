"""What the commands print: results on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Generator
from typing import Any

__all__ = [
    "InterruptedAndKept",
    "VerbatimError",
    "allow_any_text",
    "bar_style",
    "error",
    "explain",
    "follow",
    "in_shell_words",
    "say",
    "warning",
]

#: How the array functions name their arguments in messages, and what a user of the shell types.
SHELL_WORDS = (
    (r"scan_shape=\((\w+), (\w+)\)", r"--scan \1 \2"),
    (r"for example \((\d+), (\d+)\)", r"for example --scan \1 \2"),
    (r"--scan rows columns", "--scan ROWS COLUMNS"),
    (r"\(overwrite=True in Python, --overwrite in the shell\)", "(--overwrite)"),
    (r"dataset=\.\.\.", "--dataset NAME"),
    (r"\b(model|device)='([\w:]+)'", r"--\1 \2"),
    (r" Leave them out with mask=, or replace them, for example by numpy\.nan_to_num\.", ""),
    (r": leave it out with mask=\.", ", which Python and HyperSpy can leave out by a mask."),
    (r"Pass beam_energy\.", "Give it: --beam-energy 200."),
    (r"\bscan_shape\b", "--scan"),
    (r"\brepeat=", "--repeat "),
    (r"\bforce=True\b", "--force"),
    (r"\bslice_thickness\b", "--slice-thickness"),
    (r"\bwithout resume\b", "without --resume"),
    (r"\b(skip|counter)_(frames|rows|columns|depth)=", r"--\1-\2 "),
    (r"\b(skip|counter)_(frames|rows|columns|depth)\b", r"--\1-\2"),
)


class InterruptedAndKept(KeyboardInterrupt):
    """Ctrl-C ended a command that has said itself what it kept."""


class VerbatimError(ValueError):
    """Bad input whose names are those of a file, not of options: they stay as they are."""


def _is_first_process() -> bool:
    """Whether no other process of ``torchrun`` says the same."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str = "") -> None:
    """Print a result."""
    print(text, flush=True)


def warning(text: str) -> None:
    """Print a warning, once where several processes work together."""
    if _is_first_process():
        print(f"warning: {text}", file=sys.stderr, flush=True)


def error(text: str) -> None:
    """Print an error, once where several processes work together."""
    if _is_first_process():
        print(f"error: {text}", file=sys.stderr, flush=True)


def in_shell_words(text: str) -> str:
    """Return a message on one line, with options in place of Python's arguments.

    Examples
    --------
    >>> in_shell_words("Pass scan_shape=(rows, columns), for example (8, 8).")
    'Pass --scan ROWS COLUMNS, for example --scan 8 8.'
    """
    text = " ".join(text.split())
    for pattern, replacement in SHELL_WORDS:
        text = re.sub(pattern, replacement, text)
    return text


def explain(problem: Exception) -> str:
    """Return what went wrong and what to do, on one line."""
    from stem_plugins.optics.acquisition import FIELDS, MissingCalibrationError

    if isinstance(problem, MissingCalibrationError):
        missing = " and ".join(f"the {FIELDS[name][0]}" for name in problem.fields)
        options = " ".join(FIELDS[name][1] for name in problem.fields)
        return f"{missing} must be known for this. Give, for example: {options}"
    if isinstance(problem, MemoryError):
        return f"the memory does not suffice: {in_shell_words(str(problem))}"
    if isinstance(problem, OSError) and problem.strerror and problem.filename:
        return f"{problem.filename}: {problem.strerror}."
    if isinstance(problem, VerbatimError):
        return " ".join(str(problem).split())
    text = in_shell_words(str(problem))
    if isinstance(problem, (ValueError, OSError, ImportError)) and text:
        return text
    return (
        f"{type(problem).__name__}: {text} This should not happen; "
        "please report it with the output of the same command with --verbose."
    )


def bar_style(title: str) -> dict[str, Any]:
    """Return the options of a tqdm progress bar on stderr, silent where that is no terminal.

    Parameters
    ----------
    title
        What is going on.
    """
    return {
        "desc": title,
        "disable": None,
        "leave": False,
        "bar_format": "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} to go",
    }


def follow(steps: Generator[tuple[int, int]], title: str) -> None:
    """Run a generator of (steps done, steps in all) to its end, with a progress bar.

    Parameters
    ----------
    steps
        As the writers of `stem_plugins.io` give it. It is closed, and so cleans up, on Ctrl-C.
    title
        What is going on.
    """
    from tqdm import tqdm

    with contextlib.closing(steps), tqdm(**bar_style(title)) as bar:
        for done, total in steps:
            bar.total = total
            bar.update(done - bar.n)


def allow_any_text() -> None:
    """Print Å and θ as well as the terminal can, instead of failing where it cannot."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
