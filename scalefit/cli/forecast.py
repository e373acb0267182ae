"""`scalefit forecast`: the rest of a run, the chance of a loss, and when to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from scalefit.cli.options import DECIDE, Json, Resource, Runs, add_command, open_runs, show
from scalefit.units import parse_quantity


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, forecast, DECIDE, "scalefit forecast runs.parquet --run base-7B --loss 0.65")


def forecast(
    runs: Runs,
    *,
    run: Annotated[str, typer.Option(help="run_id; its siblings in the table calibrate the band.", show_default=False)],
    loss: Annotated[float | None, typer.Option(help="How likely is this loss?", show_default=False)] = None,
    min_gain: Annotated[
        float | None, typer.Option(help="Stop where the loss falls by less than this ...", show_default=False)
    ] = None,
    per: Annotated[
        str | None, typer.Option(help="... for so much more of the resource; by default a tenth of what is spent.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="End of the forecast; by default four times what is spent.")] = None,
    evaluation: Annotated[
        str | None, typer.Option("--eval", help="The evaluation, where the run has several.", show_default=False)
    ] = None,
    x: Resource = None,
    as_json: Json = False,
) -> None:
    """Forecast how far a run will go, and when it is no longer worth it."""
    from scalefit.prediction.forecast import forecast as compute

    found = compute(
        open_runs(runs),
        run,
        x=x,
        evaluation=evaluation,
        until=parse_quantity(until, "--until") if until else None,
        loss=loss,
        min_gain=min_gain,
        per=parse_quantity(per, "--per") if per else None,
    )
    show(found, as_json)
