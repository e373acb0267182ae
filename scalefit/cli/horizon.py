"""`scalefit horizon`: what depth costs, and whether it costs more where the logic is more expressive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.cli.options import (
    STUDY,
    Json,
    Resource,
    Runs,
    Where,
    add_command,
    open_runs,
    parse_where,
    print_json,
    print_table,
)
from scalefit.units import format_quantity

if TYPE_CHECKING:
    from scalefit.studies.horizon import Horizon


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, horizon, STUDY, "scalefit horizon runs.parquet --target 0.8")


def horizon(
    runs: Runs,
    target: Annotated[float, typer.Option(help="Accuracy that counts as learnt.")] = 0.9,
    order: Annotated[
        str | None,
        typer.Option(
            help="Classes from less to more expressive, with commas; by default as in the table.", show_default=False
        ),
    ] = None,
    x: Resource = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Fit T = a h^gamma, the resource until a target accuracy by proof depth, in every class of the column `fragment`."""
    from scalefit.studies.horizon import study_horizon

    classes = [name.strip() for name in order.split(",")] if order else None
    found = study_horizon(open_runs(runs), target=target, x=x, order=classes, where=parse_where(where))
    if as_json:
        print_json([vars(one) for one in found])
        return
    for one in found:
        _print(one)


def _print(found: Horizon) -> None:
    print(
        f"{found.series}, {format_quantity(found.params)}, {found.resource} until {found.target:g} accuracy: {found.verdict}"
    )
    depths = sorted({row["depth"] for row in found.crossings})
    rows = [["class", "reached", *(f"h = {depth:g}" for depth in depths), "gamma [95 %]", "doubling costs"]]
    for row in found.classes:
        mine = [one for one in found.crossings if one["class"] == row["class"]]
        cells = [_cell([one for one in mine if one["depth"] == depth]) for depth in depths]
        gamma = _said(row["gamma"], row)
        doubling = "" if row["doubling"] is None else f"{row['doubling']:.2f}x"
        rows.append([row["class"], f"{row['reached']}/{row['runs']}", *cells, gamma, doubling])
    print_table(rows)
    for step in found.steps:
        print(f"  gamma of {step['to']} minus {step['from']}: {_said(step['difference'], step)}")
    if found.p_equal is not None:
        print(f"  one gamma for all: p = {found.p_equal:.2g}; scatter between runs {found.scatter:.2f} decades")
    for warning in found.warnings:
        print(f"  warning: {warning}")


def _cell(runs: list[dict[str, Any]]) -> str:
    """Return the median crossing of the runs of a depth, with > where it is not reached."""
    if not runs:
        return ""
    ordered = sorted(runs, key=lambda row: (row["status"] == "censored", row["value"]))
    middle = ordered[(len(ordered) - 1) // 2]
    mark = {"censored": ">", "from the start": "<"}.get(middle["status"], "")
    return mark + format_quantity(middle["value"])


def _said(value: float | None, row: dict[str, Any]) -> str:
    """Return an estimate with its interval, or the bound there is, or that there is none."""
    low, high = row["low"], row["high"]
    if value is not None:
        return f"{value:.2f} [{low:.2f}, {high:.2f}]"
    if low is None and high is None:
        return "not determined"
    return f"at least {low:.2f}" if high is None else f"at most {high:.2f}"
