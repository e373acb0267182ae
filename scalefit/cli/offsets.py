"""`scalefit offsets`: whether the untrained model of a size says where its curve lies."""

from __future__ import annotations

from typing import Annotated

import typer

from scalefit.cli.options import STUDY, Json, Resource, Runs, Where, add_command, open_runs, parse_where, show


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

    show(study_offsets(open_runs(runs), x, parse_where(where), hold_out=hold_out or ()), as_json)
