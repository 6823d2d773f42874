"""Every code block of the documentation runs, on the file that ``stem-plugins demo`` makes.

Blocks that open with three backticks and ``python`` or ``shell`` are run, page by page in one
namespace and folder; ``{code-block}`` directives are shown only (other people's files, clusters).
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from stem_plugins.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```(python|shell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [
    # Dependencies warn of each other's names; a warning of ours about the data is an error here.
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("error::UserWarning"),
]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block that can be run."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(language, code) for language, code in found if language == "python" or commands(code)]


def commands(code: str) -> list[list[str]]:
    """The words behind ``stem-plugins`` of each line that starts with it."""
    lines = code.replace("\\\n", " ").splitlines()
    words = [shlex.split(line) for line in lines if line.startswith("stem-plugins ")]
    return [line[1:] for line in words if line[1:] != ["demo"]]


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documentation") / "stem-plugins-demo"
    assert main(["demo", "--quick", "-o", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_code_blocks_run(page, demo_folder, tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    code_blocks = blocks(page)
    if any("hyperspy" in code for _, code in code_blocks):
        pytest.importorskip("hyperspy")
        pytest.importorskip("pyxem")
    # Windows need not open; and those of Tk, once closed by another test, cannot be closed again.
    pyplot.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(demo_folder, tmp_path / demo_folder.name)
    namespace = {"__name__": "__main__"}
    for language, code in code_blocks:
        if language == "python":
            exec(compile(code, str(page), "exec"), namespace)
        else:
            for words in commands(code):
                assert main(words) == 0, words
    pyplot.close("all")
