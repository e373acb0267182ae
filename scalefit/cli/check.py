"""`scalefit check`: what is in a table, or all that is wrong with it."""

from __future__ import annotations

import typer

from scalefit.cli.options import START, Json, Runs, add_command, print_json, read_table
from scalefit.cli.screen import tell
from scalefit.said import Said, Table
from scalefit.units import format_amount, format_quantity

_SHOWN = 3
"""Resources whose ranges are printed; all are named."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, check, START, "scalefit check runs.parquet")


def check(runs: Runs, as_json: Json = False) -> None:
    """Print what is in a runs table, or every fault at once."""
    from scalefit.table.summary import summarise

    found = summarise(read_table(runs))
    if as_json:
        print_json(found)
        return
    held = {group["eval"] for group in found["groups"]}
    on = f" evaluated on {held.pop()}" if len(held) == 1 else ""
    seeds = ", ".join(map(str, found["seeds"])) or "not given"
    parts: list[str] = [
        f"{found['path']}: {found['rows']} rows, {len(found['groups'])} sizes and series{on}, seeds {seeds}"
    ]
    resources = list(found["resources"])[:_SHOWN]
    rows = [["series" if on else "series / eval", "params", "runs", "rows", "steps", *resources, "loss"]]
    for group in found["groups"]:
        spans = [
            "-".join(format_amount(end, name) for end in dict.fromkeys(group[name])) for name in ("step", *resources)
        ]
        low, high = group["loss"]
        rows.append(
            [
                group["series"] if on else f"{group['series']} / {group['eval']}",
                format_quantity(group["params"]),
                str(group["runs"]),
                str(group["rows"]),
                *spans,
                f"{low:.3f}-{high:.3f}",
            ]
        )
    parts.append(Table(rows))
    if found["single"]:
        parts.append("  one evaluation a run: nothing here tells the noise of an evaluation from the scatter of runs")
    units = [f"{name} [{unit}]" if unit else name for name, unit in found["resources"].items()]
    parts.append(f"  grow along its runs, so that a law can be in them: {', '.join(units) or 'no column'}")
    for name, value in found["metadata"].items():
        if name.endswith("convention") or name == "origin":
            parts.append(f"  {name}: {value}")
    for warning in found["warnings"]:
        parts.append(f"  warning: {warning}")
    tell(Said(parts))
