"""The command as it is installed: it loads the rest, so that Ctrl-C while that loads ends without a traceback too."""

from __future__ import annotations

import sys


def run() -> None:
    """Load the command line and run it; see `scalefit.cli.main.run`."""
    try:
        from scalefit.cli.main import run as run_command
    except KeyboardInterrupt:
        print("scalefit: stopped; nothing was begun.", file=sys.stderr)
        sys.exit(130)
    run_command()
