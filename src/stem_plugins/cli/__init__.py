"""The command line, ``stem-plugins``.

One module per command. Each has ``add_parser``, which only describes options, and ``run``, which
imports what it needs when it is called: ``stem-plugins --help`` answers at once.
"""

from stem_plugins.cli.command_line import main

__all__ = ["main"]
