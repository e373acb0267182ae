"""`scalefit clocks`: whether runs of several tables keep one time, and in what it ticks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import STUDY, Json, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress

Tables = Annotated[list[Path], typer.Argument(help="Runs tables, one a group.", show_default=False)]
By = Annotated[
    str | None,
    typer.Option("--by", help="Compare by a column's values instead, for instance group_size.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, clocks, STUDY, "scalefit clocks a.parquet b.parquet")


def clocks(tables: Tables, *, by: By = None, where: Where = None, as_json: Json = False) -> None:
    """Say whether half-way point and steepness agree between tables, in steps, prompts, tokens or FLOPs."""
    from scalefit.studies.clocks import study_clocks

    opened, wanted = [open_runs(path) for path in tables], parse_where(where)
    with progress("comparing clocks"):
        found = study_clocks(*opened, by=by, where=wanted)
    show(found, as_json)
