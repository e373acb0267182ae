"""`scalefit crossval` and `scalefit compare`: how well laws predict what they have not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.cli.options import (
    TEST,
    Json,
    Resource,
    Runs,
    Size,
    Verbose,
    Where,
    add_command,
    open_runs,
    parse_where,
    print_json,
)
from scalefit.cli.progress import progress
from scalefit.cli.screen import tell
from scalefit.said import Said, Table
from scalefit.units import format_quantity

if TYPE_CHECKING:
    import pandas as pd

SHARES = ("cover50", "cover95", "run95")
NAMES = {
    "rmse": "error",
    "end_bias": "at the end",
    "cover50": "in 50 %",
    "cover95": "in 95 %",
    "run95": "run in 95 %",
    "runs": "runs",
    "rmse_nearest_size": "the nearest size",
    "rmse_last_value": "the last value",
    "rmse_own_power": "its own power law",
}
"""Columns and what they are called: the root of the mean square of what is missed in loss, then of what needs no law."""
RANKS = {
    "held_out_rmse": "error left out",
    "largest_rmse": "of the largest",
    "end_bias": "at its end",
    "cover95": "in 95 %",
}
DESCRIBED = {"aic": "AIC", "bic": "BIC", "r2": "R²", "left_lag1": "lag 1", "white_p": "chance"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, crossval, TEST, "scalefit crossval runs.parquet --mode anchored --where series=base")
    add_command(
        app,
        compare,
        TEST,
        "scalefit compare runs.parquet --law saturating-linear --law power-k-linear --where series=base",
    )


def crossval(
    runs: Runs,
    *,
    mode: Annotated[str, typer.Option(help="zero-shot, anchored or prefix.")] = "zero-shot",
    law: Annotated[
        str | None,
        typer.Option(
            help="A law, also your own as module:NAME, or average (default; saturating for prefix).", show_default=False
        ),
    ] = None,
    x: Resource = None,
    size: Size = None,
    where: Where = None,
    points: Annotated[int, typer.Option(help="First points that anchored may see.", min=1)] = 10,
    share: Annotated[float, typer.Option(help="Part of every run that prefix may see.")] = 0.25,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Hold sizes (or the rest of runs) out, predict them and score the prediction."""
    from scalefit.prediction.crossval import AVERAGE, cross_validate

    table, wanted = open_runs(runs, size=size), parse_where(where)
    with progress("cross-validating"):
        found = cross_validate(table, law or AVERAGE, x, mode, wanted, points=points, share=share)
    left_out = _said(found)
    if as_json:
        print_json(found.to_dict("records"), warnings=left_out)
        return
    names = {**NAMES, **({"r2": "R² within"} if verbose else {})}
    if "runs" not in found or not (found["runs"] > 1).any():
        del names["runs"]
    parts: list[str] = []
    for (series, evaluation), mine in found.groupby(["series", "eval"], sort=False):
        parts.append(f"{series} on {evaluation}: {_sentence(mine, mode)}")
        for fold, part in mine.groupby("fold", sort=False):
            parts += [f"  {part['law'].iloc[0]}, {mode}, {fold}:", _table(part, names)]
    tell(Said([*parts, *left_out]))


def _sentence(found: pd.DataFrame, mode: str) -> str:
    """Say by how much the loss is missed, whether that beats what needs no law, and whether the bands held."""
    found = found[found["fold"] == found["fold"].iloc[0]]
    worst = found.iloc[int(found["rmse"].to_numpy().argmax())]
    what = "the rest of a run" if mode == "prefix" else "a size that is left out"
    said = f"{what} is missed by {_mean(found['rmse']):.3f} in loss"
    if len(found) > 1:
        said += f" ({format_quantity(worst['params'])} by {worst['rmse']:.3f})"
    name = "rmse_last_value" if mode == "prefix" else "rmse_nearest_size"
    if name in found and found[name].notna().any():
        said += f"; taking {NAMES[name]} instead misses it by {_mean(found[name]):.3f}"
    return f"{said}; {found['cover95'].mean():.0%} of its evaluations lie in the bands for 95 %"


def _mean(errors: pd.Series[Any]) -> float:
    return float((errors**2).mean() ** 0.5)


def _said(found: pd.DataFrame) -> list[str]:
    """Return how sizes were held out where that is not one by one, and what could not be answered."""
    return [
        *found.attrs["notes"],
        *(f"{name}: not answered: {why}" for name, why in found.attrs["unanswered"].items()),
    ]


def _table(part: pd.DataFrame, names: dict[str, str]) -> Table:
    shown = [name for name in names if name in part and part[name].notna().any()]
    rows = [
        [
            "size" if "rmse_last_value" in shown and "rmse_nearest_size" not in shown else "size left out",
            *(names[name] for name in shown),
        ]
    ]
    form = {**dict.fromkeys(SHARES, ".0%"), "runs": ".0f", "end_bias": "+.4f"}
    for _, row in part.iterrows():
        rows.append([_size(row), *(f"{row[name]:{form.get(name, '.4f')}}" for name in shown)])
    return Table(rows)


def _size(row: pd.Series[Any]) -> str:
    """Return the size of a row, or the first and the last of a group."""
    last = row.get("params_high", row["params"])
    first = format_quantity(row["params"])
    return first if last == row["params"] else f"{first} to {format_quantity(last)}"


def compare(
    runs: Runs,
    *,
    law: Annotated[
        list[str] | None,
        typer.Option(
            help="A law to compare; may be repeated. Laws of your own, module:NAME, stand beside the shipped ones unless some are named.",
            show_default=False,
        ),
    ] = None,
    x: Resource = None,
    size: Size = None,
    where: Where = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Rank laws by their error on sizes left out; `--verbose` adds what each leaves of the curves it was fitted to.

    Lag 1 is the correlation of neighbouring residuals, and the chance that of what is left if it were noise without
    memory: a small one says that the law misses the shape of the curves (or the level of sizes).
    """
    from scalefit.prediction.crossval import COMPARED, compare_series

    asked = tuple(law or ())
    if asked and all(":" in name for name in asked):
        asked += COMPARED
    opened, wanted = open_runs(runs, size=size), parse_where(where)
    with progress("comparing laws"):
        found = compare_series(opened, asked, x, wanted)
    left_out = _said(found)
    if as_json:
        print_json(found.to_dict("records"), warnings=left_out)
        return
    names = {**RANKS, **(DESCRIBED if verbose else {})}
    parts: list[str] = []
    for (series, evaluation), table in found.groupby(["series", "eval"], sort=False):
        best = table.iloc[0]
        said = f"{series} on {evaluation}: {best['law']} predicts sizes left out best, missing them by {best['held_out_rmse']:.4f} in loss"
        others = (
            f"; the next, {table['law'].iloc[1]}, by {table['held_out_rmse'].iloc[1]:.4f}" if len(table) > 1 else ""
        )
        rows = [["law", *names.values()]]
        rows += [[str(row["law"]), *(_cell(row, name) for name in names)] for _, row in table.iterrows()]
        parts += [said + others, Table(rows)]
    tell(Said([*parts, *left_out]))


def _cell(row: pd.Series[Any], name: str) -> str:
    if name not in row or row[name] != row[name]:
        return ""
    return f"{row[name]:{'.1f' if name in ('aic', 'bic') else '.0%' if name in SHARES else '.4f'}}"
