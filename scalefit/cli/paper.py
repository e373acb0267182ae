"""`scalefit paper`: the reproduction of the paper, in a checkout of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import MAKE, add_command, require_plotting
from scalefit.cli.progress import progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, paper, MAKE, "scalefit paper --root .")


def paper(
    root: Annotated[Path, typer.Option(help="A checkout of scalefit's repository.")] = Path(),
) -> None:
    """Make every result, figure and table of arXiv:2509.25300 anew from data/ and write paper_repro.md."""
    import runpy

    from scalefit.errors import UsageError

    script = root / "experiments" / "paper" / "run.py"
    if not script.exists():
        raise UsageError(
            f"--root {root}: no checkout of scalefit's repository ({script} is not there); run it in one, or name one."
        )
    require_plotting()
    with progress("the paper"):
        runpy.run_path(str(script), run_name="__main__")
