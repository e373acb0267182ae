"""`scalefit plan`: which size and how much data for a budget."""

from __future__ import annotations

from typing import Annotated

import typer

from scalefit.cli.options import DECIDE, Json, Runs, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress
from scalefit.units import parse_quantity


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, plan, DECIDE, "scalefit plan runs.parquet --flops 2e19 --where series=base")


def plan(
    runs: Runs,
    *,
    flops: Annotated[
        str | None, typer.Option(help="Compute [FLOPs], 6 x parameters x tokens, as in the table.", show_default=False)
    ] = None,
    samples: Annotated[str | None, typer.Option(help="Prompts, such as 50k.", show_default=False)] = None,
    loss: Annotated[float | None, typer.Option(help="The loss to reach.", show_default=False)] = None,
    hours: Annotated[
        str | None, typer.Option("--gpu-hours", help="GPU-hours, every pass counted.", show_default=False)
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Sizes one can have, such as 7B,14B,32B; by default those measured.")
    ] = None,
    gpu: Annotated[str, typer.Option(help="a100, h100, h200, b200, l40s or rtx4090.")] = "h100",
    mfu: Annotated[float, typer.Option(help="Share of the bf16 peak that is reached.")] = 0.35,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Plan a budget: the best size, the compute-optimal frontier, crossovers, and the price of one size off."""
    from scalefit.studies.budget import plan as compute

    table = open_runs(runs)
    with progress("planning"):
        found = compute(
            table,
            flops=parse_quantity(flops, "--flops") if flops else None,
            samples=parse_quantity(samples, "--samples") if samples else None,
            loss=loss,
            hours=parse_quantity(hours, "--gpu-hours") if hours else None,
            sizes=[parse_quantity(size, "--sizes") for size in sizes.split(",")] if sizes else None,
            gpu=gpu,
            mfu=mfu,
            where=parse_where(where),
        )
    show(found, as_json)
