"""Directive ``command-line-help``: the help texts of all commands, as the shell shows them."""

import argparse
import os
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandLineHelp(SphinxDirective):
    """One section per command, from the parser itself, so that it is never out of date."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        os.environ["COLUMNS"] = "88"
        from stem_plugins.cli.command_line import build_parser

        parser = build_parser()
        sections = [_section("stem-plugins", parser)]
        sections += [
            _section(f"stem-plugins {name}", command) for name, command in _commands(parser)
        ]
        return sections


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield name, command
                for inner, nested in _commands(command):
                    yield f"{name} {inner}", nested


def _section(title: str, parser: argparse.ArgumentParser) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(title)], names=[title])
    section += nodes.title("", "", nodes.literal("", title))
    section += nodes.literal_block(
        "", parser.format_help(), language="none", classes=["command-line-help"]
    )
    return section


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-line-help", CommandLineHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
