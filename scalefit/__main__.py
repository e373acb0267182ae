"""`python -m scalefit`."""

from scalefit.cli.entry import run

run()
