"""`scalefit predict`: what a size would do, from fit.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.cli.options import START, Json, Verbose, Where, add_command, open_runs, parse_where, show
from scalefit.cli.screen import complain
from scalefit.cli.standard_input import is_piped
from scalefit.units import parse_quantity

if TYPE_CHECKING:
    from scalefit.answer import Answers
    from scalefit.fitting.fit import Fit
    from scalefit.prediction.ensemble import Anchor
    from scalefit.prediction.predictor import SeriesFit


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, predict, START, "scalefit predict --params 100B --samples 50k")


def predict(
    *,
    params: Annotated[str, typer.Option(help="Model size, such as 100B.", show_default=False)],
    fit: Annotated[Path, typer.Argument(help="The fit; or a runs table, which is then fitted first.")] = Path(
        "fit.json"
    ),
    samples: Annotated[
        list[str] | None, typer.Option(help="Values of D [prompts], such as 50k; may be repeated.", show_default=False)
    ] = None,
    flops: Annotated[
        list[str] | None, typer.Option(help="Values of C [FLOPs]; may be repeated.", show_default=False)
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(help="Values of whatever the fit is in; may be repeated.", show_default=False),
    ] = None,
    loss: Annotated[float | None, typer.Option(help="What reaches this loss?", show_default=False)] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="A runs table with the first steps of this size.", show_default=False)
    ] = None,
    start: Annotated[
        float | None, typer.Option(help="Loss of the untrained model of this size, such as 0.78.", show_default=False)
    ] = None,
    level: Annotated[float, typer.Option(help="Share that the intervals hold.")] = 0.95,
    where: Where = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Predict k(N) and the curve of a model size, with intervals and what they rest on."""
    from scalefit.answer import Answers
    from scalefit.errors import UsageError

    size = parse_quantity(params, "--params")
    if start is not None and anchor is not None:
        raise UsageError("--start and --anchor both say where the size starts; give the run that was begun, --anchor.")
    if start is not None and not 0 < start <= 1:
        raise UsageError(f"--start {start:g}: a loss is 1 - pass@1, above 0 and at most 1.")
    fits = _fits(fit, *_chosen(parse_where(where)))
    asked = {
        name: [parse_quantity(value, f"--{name}") for value in values]
        for name, values in (("samples", samples), ("flops", flops), ("at", at))
        if values
    }
    begun = _untrained(size, start) if start is not None else None
    found = [
        one.predict_size(
            size, **asked, level=level, loss=loss, anchor=read_anchor(anchor, one.fit, size) if anchor else begun
        )
        for one in fits
    ]
    show(Answers(found), as_json, verbose)


def _fits(path: Path, series: str | None, evaluation: str | None) -> Answers[SeriesFit]:
    """Load the fits of a file; to a table, where one is given, fit them for this answer."""
    from scalefit.fitting.record import is_table
    from scalefit.prediction.predictor import fit_series, load_fits

    if not is_piped(path) and not is_table(path):
        return load_fits(path, series, evaluation)
    wanted = {name: value for name, value in (("series", series), ("eval", evaluation)) if value is not None}
    fits = fit_series(open_runs(path), where=wanted)
    complain(
        f"scalefit: {path} is a runs table: the law {fits[0].law.name!r} was fitted to it for this answer; "
        "`scalefit fit` keeps a fit, and has other laws.",
    )
    return fits


def _chosen(where: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return which series and which evaluation of a file of fits are meant."""
    from scalefit.errors import UsageError

    for name, value in where.items():
        if name not in ("series", "eval") or isinstance(value, list):
            raise UsageError(
                f"--where {name}={value}: a file of fits is chosen from by one series or eval, as in series=base."
            )
    return where.get("series"), where.get("eval")


def _untrained(params: float, loss: float) -> Anchor:
    """Return the untrained model of a size as an anchor."""
    import numpy as np

    from scalefit.prediction.ensemble import Anchor

    return Anchor(params, np.zeros((1, 1)), np.array([loss]))


def read_anchor(path: Path, fit: Fit, params: float) -> Anchor:
    """Read the first steps of the size to be predicted; of an untrained model alone, its loss."""
    from scalefit.errors import FitError
    from scalefit.prediction.ensemble import first_points
    from scalefit.table.prepare import prepare
    from scalefit.table.select import select

    runs = open_runs(path, size=fit.data.size_name)
    where: dict[str, str | float] = {"params": params}
    if fit.data.series in set(runs.frame["series"]):
        where["series"] = fit.data.series
    if fit.data.record["eval"] in set(runs.frame["eval"]):
        where["eval"] = fit.data.record["eval"]
    rows = select(runs, where).frame
    if len(rows) and not rows[fit.data.resources[0]].fillna(0).any():
        return _untrained(params, float(rows["loss"].mean()))
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
