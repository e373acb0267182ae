"""`scalefit fit`: fit a law to every series, say what it is worth, write fit.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.cli.options import (
    Json,
    Resource,
    Runs,
    Where,
    open_runs,
    parse_where,
    print_json,
    print_table,
    said_beside,
)
from scalefit.units import format_quantity

if TYPE_CHECKING:
    from scalefit.fitting.fit import Fit
    from scalefit.prediction.saturation import Saturation

COLUMNS = ("run_id", "series", "params", "step", "samples", "flops", "reuse", "group_size", "eval", "eval_size", "loss")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fit")(fit)


def fit(
    runs: Runs,
    law: Annotated[str, typer.Option(help="A law; `scalefit laws` lists them.")] = "saturating",
    x: Resource = None,
    where: Where = None,
    out: Annotated[Path, typer.Option(help="Where to write the fit.")] = Path("fit.json"),
    weights: Annotated[str, typer.Option(help="uniform, size (the paper's) or binomial.")] = "uniform",
    noise: Annotated[str, typer.Option(help="ar1, or independent (ordinary least squares, as in the paper).")] = "ar1",
    objective: Annotated[str, typer.Option(help="Residual of loss or of log10-loss.")] = "loss",
    huber: Annotated[
        float | None,
        typer.Option(
            help="Huber loss of this width, in units of the residual; else squared error.", show_default=False
        ),
    ] = None,
    clip: Annotated[int, typer.Option(help="Drop evaluations with step <= clip.", min=0)] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the fit of another table, or a file that is no fit.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fit a law, one fit a series; print a summary and write fit.json."""
    from scalefit.errors import FitError
    from scalefit.fitting.record import origin_of, save_fits, what_would_be_lost
    from scalefit.laws import get_law
    from scalefit.places import check_writable
    from scalefit.prediction.predictor import fit_series
    from scalefit.prediction.saturation import weigh_saturation

    get_law(law)
    place = check_writable(out, stream=True)
    wanted = parse_where(where)
    table = open_runs(runs, columns=[*COLUMNS, *wanted])
    origin = origin_of(runs, out)
    lost = None if force else what_would_be_lost(out, origin)
    if lost:
        raise FitError(f"--out {out} holds {lost}; name another file, or replace it with --force.")
    fits = fit_series(table, law, x, wanted, weights=weights, objective=objective, noise=noise, huber=huber, clip=clip)
    verdicts = [
        weigh_saturation(found) if found.law.name == "saturating" and len(found.data.sizes) > 2 and not huber else None
        for found in fits
    ]
    save_fits(fits, out, origin)
    with said_beside(place):
        _say(fits, verdicts, out, as_json)


def _say(fits: Sequence[Fit], verdicts: Sequence[Saturation | None], out: Path, as_json: bool) -> None:
    from scalefit.fitting.record import as_record

    if as_json:
        print_json(
            [
                {
                    **{key: value for key, value in as_record(found).items() if key != "data"},
                    "saturation": verdict and vars(verdict),
                }
                for found, verdict in zip(fits, verdicts, strict=True)
            ]
        )
        return
    for found, verdict in zip(fits, verdicts, strict=True):
        _summary(found, verdict)
    print(f"written: {out}")


def _summary(found: Fit, verdict: Saturation | None) -> None:
    data = found.data
    print(
        f"{data.series} on {data.record['eval']}: {found.law.name} in {', '.join(data.resources)}, {len(data.sizes)} sizes, {data.points} points"
    )
    print(f"  {found.law.formula}")
    print(
        f"  status {found.status}; R² {found.r2:.5f} (mostly between sizes; see crossval); noise correlation {found.noise.rho:.2f}"
    )
    for note in found.notes:
        print(f"  note: {note}")
    rows: list[list[str]] = [["parameter", "value", "95 % low", "high"]]
    for name, estimate in found.params.items():
        rows.append([name, *_cells(estimate)])
    print_table(rows)
    if found.law.line is not None:
        print_table(
            [
                ["k(N)", "value", "95 % low", "high"],
                *([format_quantity(size), *_cells(found.k(size))] for size in data.sizes),
            ]
        )
    if verdict is not None:
        print(f"  {verdict.sentence}")


def _cells(estimate: Any) -> list[str]:
    if estimate.low != estimate.low or abs(estimate.se) == float("inf"):
        return ["not determined", "", ""]

    def text(value: float) -> str:
        if abs(value) == float("inf"):
            return "no bound"
        return format_quantity(value) if abs(value) >= 1e4 else f"{value:.4g}"

    return [text(estimate.value), text(estimate.low), text(estimate.high)]
