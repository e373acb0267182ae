"""`python -m scalefit`."""

from scalefit.cli.main import run

run()
