"""`scalefit offsets`: whether the untrained model of a size says where its curve lies."""

from __future__ import annotations

from typing import Annotated

import typer

from scalefit.cli.options import STUDY, Json, Resource, Runs, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, offsets, STUDY, "scalefit offsets runs.parquet --x samples")


def offsets(
    runs: Runs,
    *,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            help="A size that is predicted from those below, such as 3M; of several, the largest ones, together. By default the largest.",
            show_default=False,
        ),
    ] = None,
    x: Resource = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Say where E(N) comes from: offsets and gains that read the untrained model (pass@1, pass@k, its loss on right answers), against closed ones, on sizes left out."""
    from scalefit.studies.offsets import study_offsets

    table, wanted = open_runs(runs), parse_where(where)
    with progress("comparing forms"):
        found = study_offsets(table, x, wanted, hold_out=hold_out or ())
    show(found, as_json)
