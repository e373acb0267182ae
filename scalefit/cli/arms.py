"""`scalefit compare-recipes`, `reuse` and `rollouts`: runs that differ in one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import DECIDE, Json, Resource, Runs, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress

Margin = Annotated[float, typer.Option(help="What still counts as the same loss.", min=0)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(
        app, compare_recipes, DECIDE, "scalefit compare-recipes a.parquet b.parquet --margin 0.01", "compare-recipes"
    )
    add_command(app, reuse, DECIDE, "scalefit reuse runs.parquet --where params=7B")
    add_command(app, rollouts, DECIDE, "scalefit rollouts runs.parquet")


def compare_recipes(
    first: Annotated[Path, typer.Argument(help="Runs table of recipe A.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Runs table of recipe B.", show_default=False)],
    *,
    loss: Annotated[
        float | None, typer.Option(help="Reference loss of the compute multiplier; by default what both reach.")
    ] = None,
    margin: Margin = 0.02,
    x: Resource = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Say whether A is better than B: differences of slope, level, asymptote and end, and a verdict with a margin."""
    from scalefit.studies.recipes import compare_recipes as compute

    tables, wanted, names = (open_runs(first), open_runs(second)), parse_where(where), (first.stem, second.stem)
    with progress("comparing recipes"):
        found = compute(*tables, names=names, x=x, loss=loss, margin=margin, where=wanted)
    show(found, as_json)


def reuse(runs: Runs, margin: Margin = 0.02, where: Where = None, as_json: Json = False) -> None:
    """Say what repeating data costs, and whether to buy or to repeat."""
    from scalefit.studies.reuse import study_reuse

    table, wanted = open_runs(runs), parse_where(where)
    with progress("comparing reuse"):
        found = study_reuse(table, margin=margin, where=wanted)
    show(found, as_json)


def rollouts(runs: Runs, where: Where = None, as_json: Json = False) -> None:
    """Say how many rollouts a prompt are best for a budget of prompts or of compute."""
    from scalefit.studies.rollouts import study_rollouts

    table, wanted = open_runs(runs), parse_where(where)
    with progress("comparing rollouts"):
        found = study_rollouts(table, where=wanted)
    show(found, as_json)
