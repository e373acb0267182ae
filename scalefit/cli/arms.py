"""`scalefit compare-recipes`, `reuse` and `rollouts`: runs that differ in one thing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.cli.options import (
    DECIDE,
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
    from scalefit.studies.recipes import Comparison
    from scalefit.studies.reuse import Reuse
    from scalefit.studies.rollouts import Rollouts

Margin = Annotated[float, typer.Option(help="What still counts as the same loss.", min=0)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(
        app, compare_recipes, DECIDE, "scalefit compare-recipes a.parquet b.parquet --margin 0.01", "compare-recipes"
    )
    add_command(app, reuse, DECIDE, "scalefit reuse runs.parquet --where params=7B")
    add_command(app, rollouts, DECIDE, "scalefit rollouts runs.parquet")


def compare_recipes(
    first: Annotated[Path, typer.Argument(help="Runs table of recipe A.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Runs table of recipe B.", show_default=False)],
    loss: Annotated[
        float | None, typer.Option(help="Reference loss of the compute multiplier; by default what both reach.")
    ] = None,
    margin: Margin = 0.02,
    x: Resource = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Say whether A is better than B: differences of slope, level, asymptote and end, and a verdict with a margin."""
    from scalefit.studies.recipes import compare_recipes as compute

    found = compute(
        open_runs(first),
        open_runs(second),
        names=(first.stem, second.stem),
        x=x,
        loss=loss,
        margin=margin,
        where=parse_where(where),
    )
    _show(found, as_json, _print_comparison)


def reuse(runs: Runs, margin: Margin = 0.02, where: Where = None, as_json: Json = False) -> None:
    """Say what repeating data costs, and whether to buy or to repeat."""
    from scalefit.studies.reuse import study_reuse

    _show(study_reuse(open_runs(runs), margin=margin, where=parse_where(where)), as_json, _print_reuse)


def rollouts(runs: Runs, where: Where = None, as_json: Json = False) -> None:
    """Say how many rollouts a prompt are best for a budget of prompts or of compute."""
    from scalefit.studies.rollouts import study_rollouts

    _show(study_rollouts(open_runs(runs), where=parse_where(where)), as_json, _print_rollouts)


def _show(found: list[Any], as_json: bool, show: Any) -> None:
    if as_json:
        print_json([vars(one) for one in found])
        return
    for one in found:
        show(one)
        for warning in one.warnings:
            print(f"  warning: {warning}")


def _print_comparison(found: Comparison) -> None:
    print(
        f"{found.series} on {found.eval}, {found.first} minus {found.second}, at equal {found.resource}: {found.verdict}"
    )
    names = ("end_loss", "k", "E", "asymptote")
    rows = [["size", "runs", *(f"{name} [95 %]" for name in names)]]
    for row in found.sizes:
        cells = [_gap(row[name]) for name in names]
        rows.append([format_quantity(row["params"]), "+".join(map(str, row["runs"])), *cells])
    print_table(rows)
    overall = found.overall
    print(
        f"  end loss over all sizes: {overall['difference']:+.4f} (95 % {overall['low']:+.4f} to {overall['high']:+.4f}), {overall['pairs']} pairs"
    )
    for row in found.multiplier:
        print(
            f"  {format_quantity(row['params'])}: for loss {row['loss']:.3f} {found.second} needs {row['value']:.2f} times the {found.resource} "
            f"of {found.first} (95 % {row['low']:.2f} to {row['high']:.2f})"
        )
    if found.problems is not None:
        pairs = found.problems
        print(
            f"  on the same {pairs['problems']} problems: {pairs['difference']:+.4f} ({pairs['low']:+.4f} to {pairs['high']:+.4f}); "
            f"standard error {pairs['se']:.4f}, unpaired {pairs['se_unpaired']:.4f}"
        )


def _gap(cell: dict[str, float] | None) -> str:
    return "not determined" if cell is None else f"{cell['difference']:+.4f} [{cell['low']:+.4f}, {cell['high']:+.4f}]"


def _print_reuse(found: Reuse) -> None:
    print(
        f"{found.series} on {found.eval}, {format_quantity(found.params)}, at {format_quantity(found.samples)} samples: {found.advice}"
    )
    rows = [["tau", "difference", "95 % low", "high", f"within {found.margin:g}", "a repeat is worth", "low", "high"]]
    for arm in found.arms:
        said = "yes" if arm["equivalent"] else "costs" if arm["costs"] else "not shown"
        worth = [f"{arm['repeat_is_worth'][name]:.2f}" for name in ("value", "low", "high")]
        rows.append([f"{arm['tau']:g}", *(f"{arm[name]:+.4f}" for name in ("difference", "low", "high")), said, *worth])
    print_table(rows)
    high = found.r_star["high"]
    print(
        f"  effective data: R* = {found.r_star['value']:.3g} (95 % {found.r_star['low']:.3g} to {'no upper limit' if high is None else f'{high:.3g}'})"
    )


def _print_rollouts(found: Rollouts) -> None:
    print(f"{found.series} on {found.eval}, {format_quantity(found.params)}: {found.verdict}")
    for resource, budgets in found.frontier.items():
        if not budgets:
            continue
        rows = [[resource, *(f"G = {arm['group_size']}" for arm in budgets[0]["arms"]), "best", "probability"]]
        for row in budgets:
            rows.append(
                [
                    format_quantity(row["budget"]),
                    *(f"{arm['loss']:.3f} ±{arm['high'] - arm['loss']:.3f}" for arm in row["arms"]),
                    str(row["best"]),
                    f"{row['probability']:.2f}",
                ]
            )
        print_table(rows)
    rows = [["G", "pass rate", "uniform at it", "uniform measured"]]
    for arm in found.mechanism:
        measured = arm["uniform_measured"]
        rows.append(
            [
                str(arm["group_size"]),
                f"{arm['pass_rate']:.3f}",
                f"{arm['uniform_at_mean_rate']:.3f}",
                "" if measured is None else f"{measured:.3f}",
            ]
        )
    print_table(rows)
