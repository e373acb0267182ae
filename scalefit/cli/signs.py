"""`scalefit signs`: runs that are on their way to collapse."""

from __future__ import annotations

import typer

from scalefit.cli.options import DECIDE, Json, Resource, Runs, Where, add_command, open_runs, parse_where, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, signs, DECIDE, "scalefit signs runs.parquet")


def signs(runs: Runs, *, x: Resource = None, where: Where = None, as_json: Json = False) -> None:
    """Look for early signs of collapse: reward that rises while the evaluation does not, answers that grow or are cut."""
    from scalefit.studies.signs import find_signs

    show(find_signs(open_runs(runs), x=x, where=parse_where(where)), as_json)
