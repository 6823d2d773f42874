"""Every public name has its place in the reference."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def documented(page: str) -> set[str]:
    """Last parts of the names that autosummary and autodoc directives of a page list."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    listed = re.findall(r"^   ([\w.]+)$", text, re.MULTILINE)
    directives = re.findall(r"^\.\. auto\w+:: ([\w.]+)$", text, re.MULTILINE)
    return {name.rsplit(".", 1)[-1] for name in [*listed, *directives]}


@pytest.mark.parametrize(
    "module",
    [
        *("", "imaging", "io", "optics", "simulation", "lazy", "models", "restoration"),
        "ptychography",
    ],
)
def test_array_functions_are_in_the_reference(module):
    names = importlib.import_module(f"stem_plugins.{module}".rstrip(".")).__all__
    assert set(names) <= documented("api.rst")


def test_signals_are_in_the_reference():
    pytest.importorskip("hyperspy")
    names = set(importlib.import_module("stem_plugins.hyperspy").__all__)
    # A lazy class is the eager one, read later; the table of classes names it.
    eager = {name for name in names if not name.startswith("Lazy")}
    assert eager <= documented("hyperspy.rst")
    table = (REFERENCE / "hyperspy.rst").read_text(encoding="utf-8")
    assert all(f"``{name}``" in table for name in names - eager)


def test_everything_in_the_reference_exists():
    text = (REFERENCE / "api.rst").read_text(encoding="utf-8")
    module = "stem_plugins"
    for current, name in re.findall(
        r"^\.\. currentmodule:: ([\w.]+)$|^   ([\w.]+)$", text, re.MULTILINE
    ):
        if current:
            module = current
        elif name:
            *parents, last = f"{module}.{name}".split(".")
            assert hasattr(importlib.import_module(".".join(parents)), last), name
