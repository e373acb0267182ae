"""`scalefit joint`: compute and data at once, over tables that move them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import STUDY, Json, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress

Tables = Annotated[list[Path], typer.Argument(help="Runs tables, whose runs are read together.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, joint, STUDY, "scalefit joint runs.parquet")


def joint(tables: Tables, *, where: Where = None, as_json: Json = False) -> None:
    """Say which parts of a law in compute and data the tables determine: k_C, k_D, their sum, and what repeats are worth."""
    from scalefit.studies.joint import study_joint

    opened, wanted = [open_runs(path) for path in tables], parse_where(where)
    with progress("comparing runs"):
        found = study_joint(*opened, where=wanted)
    show(found, as_json)
