"""`scalefit design` and `scalefit difference`: what to run next, and what it takes to see a difference."""

from __future__ import annotations

from typing import Annotated

import typer

from scalefit.cli.options import DECIDE, Json, Runs, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress
from scalefit.units import parse_quantity


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, design, DECIDE, "scalefit design runs.parquet --budget 1e21 --target 72B --where series=base")
    add_command(app, difference, DECIDE, "scalefit difference 0.02 --loss 0.4 --run-sd 0.005 --pairing 0.5")


def design(
    runs: Runs,
    *,
    budget: Annotated[str, typer.Option(help="Compute for new runs [FLOPs].", show_default=False)],
    target: Annotated[str, typer.Option(help="Size to be predicted, such as 72B.", show_default=False)],
    sizes: Annotated[
        str | None, typer.Option(help="Sizes that can be run; by default those measured but the target.")
    ] = None,
    run_sd: Annotated[
        float | None,
        typer.Option(
            help="Spread of runs' levels over seeds; by default what the table's runs say.", show_default=False
        ),
    ] = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Design the next runs: those that narrow a prediction most for a budget."""
    from scalefit.studies.design import design as compute

    with progress("designing"):
        designs = compute(
            open_runs(runs),
            parse_quantity(budget, "--budget"),
            parse_quantity(target, "--target"),
            where=parse_where(where),
            sizes=[parse_quantity(size, "--sizes") for size in sizes.split(",")] if sizes else None,
            run_sd=run_sd,
        )
    show(designs, as_json)


def difference(
    difference: Annotated[float, typer.Argument(help="Difference of loss to be seen.", show_default=False)],
    *,
    loss: Annotated[float, typer.Option(help="The loss there.")] = 0.5,
    run_sd: Annotated[float, typer.Option(help="Standard deviation of the end loss over seeds.", min=0)] = 0.0,
    pairing: Annotated[float, typer.Option(help="Correlation of the two arms on a problem.")] = 0.0,
    power: Annotated[float, typer.Option(help="Chance to see it.")] = 0.8,
    as_json: Json = False,
) -> None:
    """Say how many evaluation problems and seeds show a difference between two arms."""
    from scalefit.studies.resolution import resolve_difference

    show(resolve_difference(difference, loss, run_sd=run_sd, pairing=pairing, power=power), as_json)
