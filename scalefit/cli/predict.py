"""`scalefit predict`: what a size would do, from fit.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import Json, Where, open_runs, parse_where, print_json, print_table
from scalefit.units import format_quantity, parse_quantity

if TYPE_CHECKING:
    from scalefit.fitting.fit import Fit
    from scalefit.prediction.ensemble import Anchor
    from scalefit.prediction.predict import Prediction


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict)


def predict(
    params: Annotated[str, typer.Option(help="Model size, such as 100B.", show_default=False)],
    fit: Annotated[Path, typer.Argument(help="The fit.")] = Path("fit.json"),
    samples: Annotated[
        list[str] | None, typer.Option(help="Values of D [prompts], such as 50k; may be repeated.", show_default=False)
    ] = None,
    flops: Annotated[
        list[str] | None, typer.Option(help="Values of C [FLOPs]; may be repeated.", show_default=False)
    ] = None,
    loss: Annotated[float | None, typer.Option(help="What reaches this loss?", show_default=False)] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="A runs table with the first steps of this size.", show_default=False)
    ] = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Predict k(N) and the curve of a model size, with intervals and what they rest on."""
    import numpy as np

    from scalefit.errors import UsageError
    from scalefit.fitting.record import load_fits, pick_series
    from scalefit.prediction.predict import predict_size

    size = parse_quantity(params, "--params")
    fits = load_fits(fit)
    series = parse_where(where).get("series")
    chosen = fits if series is None else [pick_series(fits, str(series), fit)]
    given = {"samples": samples, "flops": flops}
    predictions = []
    for found in chosen:
        resource = found.data.resources[0]
        for name, values in given.items():
            if values and name != resource:
                raise UsageError(f"--{name}: {fit} is in {resource}; give --{resource}, or fit with --x {name}.")
        values = given[resource]
        at = np.array([parse_quantity(value, f"--{resource}") for value in values]) if values else None
        predictions.append(
            predict_size(found, size, at, loss=loss, anchor=read_anchor(anchor, found, size) if anchor else None)
        )
    if as_json:
        print_json([{**vars(made), "k": made.k and vars(made.k)} for made in predictions])
        return
    for prediction in predictions:
        _print(prediction)


def read_anchor(path: Path, fit: Fit, params: float) -> Anchor:
    """Read the first steps of the size to be predicted."""
    from scalefit.errors import FitError
    from scalefit.prediction.ensemble import first_points
    from scalefit.table.prepare import prepare

    runs = open_runs(path)
    where: dict[str, str | float] = {"params": params}
    if fit.data.series in set(runs.frame["series"]):
        where["series"] = fit.data.series
    prepared = prepare(runs, fit.data.resources[0], where)
    if len(prepared) != 1:
        raise FitError(f"{path}: {len(prepared)} series of this size; the anchor must be one.")
    data = prepared[0]
    shortest = int(fit.data.present.sum(1).min())
    if data.points >= shortest:
        raise FitError(
            f"{path}: {data.points} points, no shorter than the runs fitted ({shortest}); an anchor is the start of a run. Fit it with the others instead."
        )
    return first_points(data, params, data.points)


def _print(found: Prediction) -> None:
    print(f"{found.series}: {format_quantity(found.params)}, fitted on {found.fitted_on}")
    if found.k is not None:
        print(
            f"  k({format_quantity(found.params)}) = {found.k.value:.4f}  (95 % {found.k.low:.4f} to {found.k.high:.4f}, if the law holds there)"
        )
    rows = [[found.resource, "loss", "95 % low", "high", "new eval low", "high"]]
    for point in found.curve:
        rows.append(
            [
                format_quantity(point[found.resource]),
                *(f"{point[name]:.3f}" for name in ("loss", "low", "high", "new_low", "new_high")),
            ]
        )
    print_table(rows)
    if found.reach is not None and found.reach["value"] is not None:
        ends = [
            format_quantity(found.reach[end]) if found.reach[end] is not None else "not within reach"
            for end in ("low", "high")
        ]
        print(
            f"  loss {found.reach['loss']:g} is reached at {found.resource} {format_quantity(found.reach['value'])} (95 % {ends[0]} to {ends[1]})"
        )
    rows = [["offset form", "weight", "held-out RMSE", "loss at the end"]]
    rows += [
        [member["law"], f"{member['weight']:.2f}", f"{member['held_out_rmse']:.4f}", f"{member['loss_at_end']:.3f}"]
        for member in found.members
    ]
    print_table(rows)
    for warning in found.warnings:
        print(f"  warning: {warning}")
