"""`scalefit design`: what to run next, and what it takes to see a difference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import DECIDE, Json, Where, add_command, open_runs, parse_where, print_json, print_table
from scalefit.units import format_quantity, parse_quantity

if TYPE_CHECKING:
    from scalefit.studies.design import Design
    from scalefit.studies.resolution import Resolution


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, design, DECIDE, "scalefit design runs.parquet --budget 1e21 --target 72B --where series=base")


def design(
    runs: Annotated[Path | None, typer.Argument(help="Runs table, for --budget and --target.")] = None,
    budget: Annotated[str | None, typer.Option(help="Compute for new runs [FLOPs].", show_default=False)] = None,
    target: Annotated[str | None, typer.Option(help="Size to be predicted, such as 72B.", show_default=False)] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Sizes that can be run; by default those measured but the target.")
    ] = None,
    run_sd: Annotated[
        float | None, typer.Option(help="Spread over seeds; by default from the table's seeds.", show_default=False)
    ] = None,
    difference: Annotated[
        float | None, typer.Option(help="Instead: a difference of loss to be seen.", show_default=False)
    ] = None,
    loss: Annotated[float, typer.Option(help="... at this loss.")] = 0.5,
    pairing: Annotated[float, typer.Option(help="... arms correlated by so much on a problem.")] = 0.0,
    power: Annotated[float, typer.Option(help="... with this chance.")] = 0.8,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Design the next runs for a prediction, or say how many problems and seeds show a difference."""
    from scalefit.errors import UsageError
    from scalefit.studies.design import design as compute
    from scalefit.studies.resolution import resolve_difference

    if difference is not None:
        if budget or target:
            raise UsageError("give --difference, or --budget and --target; they are two questions.")
        found = resolve_difference(difference, loss, run_sd=run_sd or 0.0, pairing=pairing, power=power)
        if as_json:
            print_json(vars(found))
        else:
            _print_resolution(found)
        return
    if runs is None or not budget or not target:
        raise UsageError("a design needs RUNS, --budget and --target; or give --difference.")
    wanted = [parse_quantity(size, "--sizes") for size in sizes.split(",")] if sizes else None
    designs = compute(
        open_runs(runs),
        parse_quantity(budget, "--budget"),
        parse_quantity(target, "--target"),
        where=parse_where(where),
        sizes=wanted,
        run_sd=run_sd,
    )
    if as_json:
        print_json([vars(one) for one in designs])
        return
    for one in designs:
        _print(one)


def _print(found: Design) -> None:
    goal = found.target
    print(
        f"{found.series}: to predict {format_quantity(goal['params'])} at {format_quantity(goal['samples'])} samples by {found.law}, "
        f"{found.spent:.3g} of {found.budget:.3g} FLOPs"
    )
    rows = [["size", "samples", "runs", "flops"]]
    for run in found.runs:
        rows.append(
            [
                format_quantity(run["params"]),
                format_quantity(run["samples"]),
                f"{run['count']:g}",
                f"{run['flops']:.3g}",
            ]
        )
    print_table(rows)
    print(
        f"  width of the 95 % interval of the loss: now {found.width_now:.4f}, with these runs {found.width_after:.4f}, "
        f"the same budget spread evenly {found.width_even:.4f} (ratio {found.ratio:.2f})"
    )
    print(
        f"  simulated {found.simulated['simulations']:g} times: {found.simulated['after']:.4f} against {found.simulated['even']:.4f} "
        f"(ratio {found.simulated['ratio']:.2f}); run-to-run spread {found.run_sd:.4f} decades"
    )
    for warning in found.warnings:
        print(f"  warning: {warning}")


def _print_resolution(found: Resolution) -> None:
    print(
        f"to see a difference of {found.difference:g} at loss {found.loss:g} with chance {found.power:.0%} (two-sided 5 %), "
        f"seeds spread by {found.run_sd:g}, arms correlated by {found.pairing:g} on a problem:"
    )
    rows = [["problems", "seeds an arm"]]
    for row in found.table:
        seeds = row["seeds"]
        rows.append([f"{row['problems']:g}", "no number of seeds" if seeds is None else f"{seeds:g}"])
    print_table(rows)
