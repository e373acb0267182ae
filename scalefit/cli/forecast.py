"""`scalefit forecast`: the rest of a run, the chance of a loss, and when to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import DECIDE, Json, Resource, Runs, add_command, open_runs, print_json, print_table
from scalefit.units import format_quantity, parse_quantity

if TYPE_CHECKING:
    from scalefit.prediction.forecast import Forecast


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, forecast, DECIDE, "scalefit forecast runs.parquet --run base-7B --loss 0.65")


def forecast(
    runs: Runs,
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
    if as_json:
        print_json(vars(found))
    else:
        _print(found)


def _print(found: Forecast) -> None:
    now = found.now[found.resource]
    print(
        f"{found.run} ({found.series}, {format_quantity(found.params)}): {found.points} evaluations, "
        f"{format_quantity(now)} {found.resource} spent, expected loss there {found.now['loss']:.3f}"
    )
    rows = [[found.resource, "loss", "50 % low", "high", "95 % low", "high", "new eval 95 % low", "high"]]
    names = ("loss", "low50", "high50", "low95", "high95", "new_low95", "new_high95")
    for point in found.curve[::4]:
        rows.append([format_quantity(point[found.resource]), *(f"{point[name]:.3f}" for name in names)])
    print_table(rows)
    if found.chance is not None:
        where = found.chance[f"expected_{found.resource}"]
        expected = (
            f"the expected curve is there at {format_quantity(where)}"
            if where
            else "the expected curve is not there by then"
        )
        by = format_quantity(found.chance[f"by_{found.resource}"])
        print(
            f"  loss {found.chance['loss']:g} by {by} {found.resource}: chance {found.chance['probability']:.0%}; {expected}"
        )
    if found.stop is not None:
        per, gain = format_quantity(found.stop[f"per_{found.resource}"]), found.stop["gain_now"]
        where = found.stop[found.resource]
        said = (
            "already"
            if found.stop["already"]
            else f"from {format_quantity(where)} on"
            if where
            else "not within the forecast"
        )
        print(f"  another {per} {found.resource} is worth {gain:.4f} now; less than {found.stop['min_gain']:g} {said}")
    print("  forms: " + ", ".join(f"{name} {weight:.2f}" for name, weight in found.weights.items()))
    print(f"  band: calibrated on forecasts of {found.calibrated_on}")
    for warning in found.warnings:
        print(f"  warning: {warning}")
