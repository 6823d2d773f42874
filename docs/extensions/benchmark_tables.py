"""Directive ``benchmark-tables``: the printed tables beside the page, as the scripts wrote them."""

import ast
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class BenchmarkTables(SphinxDirective):
    """One section per ``NAME.txt`` in the folder of the page, made by ``benchmarks/NAME.py``."""

    def run(self) -> list[nodes.Node]:
        """Return the sections, in the order of their names."""
        page = Path(self.env.doc2path(self.env.docname))
        self.env.note_dependency(str(page.parent))
        return [self._section(path) for path in sorted(page.parent.glob("*.txt"))]

    def _section(self, path: Path) -> nodes.section:
        self.env.note_dependency(str(path))
        title = path.stem.replace("_", " ").capitalize()
        section = nodes.section(ids=[nodes.make_id(title)], names=[title])
        section += nodes.title("", title)
        script = path.parents[2] / "benchmarks" / f"{path.stem}.py"
        self.env.note_dependency(str(script))
        section += self._told(script)
        section += nodes.literal_block("", path.read_text(encoding="utf-8"), language="none")
        return section

    @staticmethod
    def _told(script: Path) -> list[nodes.Node]:
        """What a script says of itself: paragraphs, and commands, which are indented."""
        words = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
        found: list[nodes.Node] = []
        for part in words.split("\n\n"):
            if part.startswith("    "):
                found.append(nodes.literal_block("", textwrap.dedent(part), language="none"))
            else:
                found.append(nodes.paragraph("", " ".join(part.split())))
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("benchmark-tables", BenchmarkTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
