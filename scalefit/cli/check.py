"""`scalefit check`: what is in a table, or all that is wrong with it."""

from __future__ import annotations

import typer

from scalefit.cli.options import START, Json, Runs, add_command, print_json, print_table
from scalefit.units import format_quantity


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, check, START, "scalefit check runs.parquet")


def check(runs: Runs, as_json: Json = False) -> None:
    """Print what is in a runs table, or every fault at once."""
    from scalefit.table.io import read_runs
    from scalefit.table.summary import summarise

    found = summarise(read_runs(runs))
    if as_json:
        print_json(found)
        return
    seeds = ", ".join(map(str, found["seeds"])) or "not given"
    print(f"{runs}: {found['rows']} rows, {len(found['groups'])} sizes and series, seeds {seeds}")
    rows = [["series / eval", "params", "runs", "rows", "steps", "samples", "flops", "loss"]]
    for group in found["groups"]:
        spans = [
            "-".join(format_quantity(end) for end in group[name]) if name in group else ""
            for name in ("step", "samples", "flops")
        ]
        low, high = group["loss"]
        rows.append(
            [
                f"{group['series']} / {group['eval']}",
                format_quantity(group["params"]),
                str(group["runs"]),
                str(group["rows"]),
                *spans,
                f"{low:.3f}-{high:.3f}",
            ]
        )
    print_table(rows)
    for name, value in found["metadata"].items():
        if name.endswith("convention") or name == "origin":
            print(f"  {name}: {value}")
    for warning in found["warnings"]:
        print(f"  warning: {warning}")
