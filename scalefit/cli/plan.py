"""`scalefit plan`: which size and how much data for a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import (
    DECIDE,
    Json,
    Runs,
    Where,
    add_command,
    open_runs,
    parse_where,
    print_json,
    print_table,
)
from scalefit.units import format_quantity, parse_quantity

if TYPE_CHECKING:
    from scalefit.studies.budget import Plan


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, plan, DECIDE, "scalefit plan runs.parquet --flops 2e19 --where series=base")


def plan(
    runs: Runs,
    *,
    flops: Annotated[str | None, typer.Option(help="Compute, 6 N T as in the table.", show_default=False)] = None,
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

    found = compute(
        open_runs(runs),
        flops=parse_quantity(flops, "--flops") if flops else None,
        samples=parse_quantity(samples, "--samples") if samples else None,
        loss=loss,
        hours=parse_quantity(hours, "--gpu-hours") if hours else None,
        sizes=[parse_quantity(size, "--sizes") for size in sizes.split(",")] if sizes else None,
        gpu=gpu,
        mfu=mfu,
        where=parse_where(where),
    )
    if as_json:
        print_json([vars(one) for one in found])
        return
    for one in found:
        _print(one)


def _print(found: Plan) -> None:
    ((name, value),) = found.budget.items()
    print(f"{found.series}, {name} {format_quantity(value) if name != 'loss' else f'{value:g}'}: {found.verdict}")
    to_loss = "loss" in found.budget
    head = ["size", *(["flops", "95 % low", "high"] if to_loss else ["loss", "95 % low", "high", "flops"])]
    rows = [[*head, "samples", f"{found.assumptions['gpu']}-hours", "best", "outside"]]
    for row in found.sizes:
        keys = ("flops", "flops_low", "flops_high") if to_loss else ("loss", "low", "high", "flops")
        cells = [_cell(row[key], ".3f" if key in ("loss", "low", "high") else ".3g") for key in keys]
        away = "out of reach" if row["outside"] is None else f"{row['outside']:.2g}x" if row["outside"] > 1.02 else ""
        rows.append(
            [
                format_quantity(row["params"]) + ("" if row["measured"] else " (unseen)"),
                *cells,
                "" if row["samples"] is None else format_quantity(row["samples"]),
                _cell(row["gpu_hours"], ".3g"),
                f"{row['probability_best']:.2f}",
                away,
            ]
        )
    print_table(rows)
    if found.frontier is not None:
        front = found.frontier
        print(
            f"  compute-optimal size there: {format_quantity(front['params'])} (95 % {format_quantity(front['low'])} to {format_quantity(front['high'])}), loss {front['loss']:.3f}"
        )
    for row in found.one_size_off:
        price = (
            f"{row['price']:.2f} times the compute ({row['low']:.2f} to {row['high']:.2f})"
            if to_loss
            else f"{row['price']:+.3f} loss ({row['low']:+.3f} to {row['high']:+.3f})"
        )
        print(f"  {format_quantity(row['params'])} instead: {price}")
    for row in found.crossovers:
        pair = f"{format_quantity(row['larger'])} overtakes {format_quantity(row['smaller'])}"
        if row["settled"]:
            place = "" if row["measured"] else ", outside what both were measured at"
            print(f"  {pair} at {row['flops']:.3g} FLOPs (95 % {row['low']:.3g} to {row['high']:.3g}{place})")
        else:
            print(f"  {pair}: the data do not say where")
    said = found.assumptions
    print(
        f"  GPU-hours: {said['peak_flops'] / 1e12:g} TFLOP/s peak at {said['mfu']:.0%}; passes {said['passes']}, twice the paper's 6 N T"
    )
    for warning in found.warnings:
        print(f"  warning: {warning}")


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
