"""`scalefit level`: how much of "larger models learn faster" is where they start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import STUDY, Json, Resource, Runs, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, level, STUDY, "scalefit level runs.parquet")


def level(
    runs: Runs,
    other: Annotated[
        Path | None,
        typer.Argument(
            help="A second table, in which sizes start where they do; the first then holds runs of equal start.",
            show_default=False,
        ),
    ] = None,
    *,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Two series of one table instead, that of equal start first: equal-start,equal-tokens.",
            show_default=False,
        ),
    ] = None,
    x: Resource = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Say how much of "larger models learn faster" is where they start: k on the start within sizes, and what is left of it at equal start."""
    from scalefit.studies.level import study_level

    second = open_runs(other) if other else None
    named = tuple(part.strip() for part in arms.split(",")) if arms else ()
    table, wanted = open_runs(runs), parse_where(where)
    with progress("comparing levels"):
        found = study_level(table, second, x, wanted, arms=named)
    show(found, as_json)
