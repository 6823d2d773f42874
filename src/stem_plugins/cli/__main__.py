"""``python -m stem_plugins.cli`` is the same as ``stem-plugins``."""

import sys

from stem_plugins.cli.command_line import main

sys.exit(main())
