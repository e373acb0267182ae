"""`scalefit horizon`: what depth costs, and whether it costs more where the logic is more expressive."""

from __future__ import annotations

from typing import Annotated

import typer

from scalefit.cli.options import STUDY, Json, Resource, Runs, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, horizon, STUDY, "scalefit horizon runs.parquet --target 0.8")


def horizon(
    runs: Runs,
    *,
    target: Annotated[float, typer.Option(help="Accuracy that counts as learnt.")] = 0.9,
    order: Annotated[
        str | None,
        typer.Option(
            help="Classes from less to more expressive, with commas; by default as in the table.", show_default=False
        ),
    ] = None,
    x: Resource = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Fit T = a h^gamma, the resource until a target accuracy by proof depth, in every class of the column `fragment`."""
    from scalefit.studies.horizon import study_horizon

    classes = [name.strip() for name in order.split(",")] if order else None
    table, wanted = open_runs(runs), parse_where(where)
    with progress("fitting depths"):
        found = study_horizon(table, target=target, x=x, order=classes, where=wanted)
    show(found, as_json)
