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
    Where,
    add_command,
    open_runs,
    parse_where,
    print_json,
    print_table,
)
from scalefit.cli.progress import progress
from scalefit.units import format_quantity

if TYPE_CHECKING:
    import pandas as pd

SHARES = ("cover50", "cover95", "run95")


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
        str | None, typer.Option(help="A law, or average (default; saturating for prefix).", show_default=False)
    ] = None,
    x: Resource = None,
    size: Size = None,
    where: Where = None,
    points: Annotated[int, typer.Option(help="First points that anchored may see.", min=1)] = 10,
    share: Annotated[float, typer.Option(help="Part of every run that prefix may see.")] = 0.25,
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
    names = {
        "rmse": "RMSE",
        "r2": "R² within",
        "end_bias": "end bias",
        "cover50": "in 50 %",
        "cover95": "in 95 %",
        "run95": "run in 95 %",
        **({"runs": "runs"} if "runs" in found and (found["runs"] > 1).any() else {}),
        "rmse_nearest_size": "nearest size",
        "rmse_last_value": "last value",
        "rmse_own_power": "own power law",
    }
    for (series, evaluation, fold), part in found.groupby(["series", "eval", "fold"], sort=False):
        print(f"{series} on {evaluation}, {part['law'].iloc[0]}, {mode}: {fold}")
        _print(part, names)
    print("\n".join(left_out), end="\n" if left_out else "")


def _said(found: pd.DataFrame) -> list[str]:
    """Return how sizes were held out where that is not one by one, and what could not be answered."""
    return [
        *found.attrs["notes"],
        *(f"{name}: not answered: {why}" for name, why in found.attrs["unanswered"].items()),
    ]


def _print(part: pd.DataFrame, names: dict[str, str]) -> None:
    shown = [name for name in names if name in part and part[name].notna().any()]
    rows = [["size held out", *(names[name] for name in shown)]]
    form = {**dict.fromkeys(SHARES, ".0%"), "runs": ".0f"}
    for _, row in part.iterrows():
        rows.append([_size(row), *(f"{row[name]:{form.get(name, '.4f')}}" for name in shown)])
    print_table(rows)


def _size(row: pd.Series[Any]) -> str:
    """Return the size of a row, or the first and the last of a group."""
    last = row.get("params_high", row["params"])
    first = format_quantity(row["params"])
    return first if last == row["params"] else f"{first} to {format_quantity(last)}"


def compare(
    runs: Runs,
    law: Annotated[
        list[str] | None, typer.Option(help="A law to compare; may be repeated.", show_default=False)
    ] = None,
    x: Resource = None,
    size: Size = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Rank laws by their held-out score, with what each leaves of the curves it was fitted to.

    left_lag1 is the autocorrelation of neighbouring residuals, white_p the chance of what is left if it were noise
    without memory: a small one says that the law misses the shape of the curves (or the level of sizes).
    """
    from scalefit.prediction.crossval import compare_series

    opened, wanted = open_runs(runs, size=size), parse_where(where)
    with progress("comparing laws"):
        found = compare_series(opened, tuple(law or ()), x, wanted)
    left_out = _said(found)
    if as_json:
        print_json(found.to_dict("records"), warnings=left_out)
        return
    names = ["held_out_rmse", "largest_rmse", "end_bias", "cover95", "aic", "bic", "r2", "left_lag1", "white_p"]
    for (series, evaluation), table in found.groupby(["series", "eval"], sort=False):
        print(f"{series} on {evaluation}: ranked by the error on sizes held out")
        rows = [["law", *names]]
        for _, row in table.iterrows():
            rows.append(
                [
                    str(row["law"]),
                    *(
                        ""
                        if name not in row or row[name] != row[name]
                        else f"{row[name]:.1f}"
                        if name in ("aic", "bic")
                        else f"{row[name]:.4f}"
                        for name in names
                    ),
                ]
            )
        print_table(rows)
    print("\n".join(left_out), end="\n" if left_out else "")
