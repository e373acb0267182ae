"""What is in a runs table: series, sizes, steps, seeds and ranges."""

from __future__ import annotations

from typing import Any

import numpy as np

from scalefit.table.io import RunTable
from scalefit.table.resources import find_growing, unit_of
from scalefit.units import format_quantity

NAMED = 3
"""Series or evaluations that a sentence names."""


def summarise(runs: RunTable) -> dict[str, Any]:
    """Return the table's content as plain data, one entry a (series, eval, params)."""
    frame = runs.frame
    resources = find_growing(frame)
    groups = []
    for key, part in frame.groupby(["series", "eval", "params"], observed=True, sort=True):
        entry: dict[str, Any] = dict(zip(("series", "eval", "params"), key, strict=True))
        entry["params"] = float(entry["params"])
        entry["runs"] = int(part["run_id"].nunique())
        entry["rows"] = len(part)
        for name in ("step", *resources, "loss"):
            if name in part:
                entry[name] = [float(part[name].min()), float(part[name].max())]
        groups.append(entry)
    return {
        "path": runs.path,
        "rows": len(frame),
        "columns": [str(name) for name in frame.columns],
        "seeds": sorted({int(seed) for seed in frame["seed"].dropna().unique()}) if "seed" in frame else [],
        "single": not frame.duplicated(["run_id", "eval"]).any(),
        "metadata": runs.metadata,
        "resources": {name: unit_of(name, runs.metadata) for name in resources},
        "groups": groups,
        "warnings": [str(fault) for fault in runs.warnings],
    }


def describe_table(runs: RunTable) -> str:
    """Return in a sentence what a runs table is: sizes, series, runs, seeds, evaluations and how many rows."""
    frame = runs.frame
    sizes, series = np.sort(frame["params"].unique()), [str(name) for name in frame["series"].unique()]
    span = format_quantity(float(sizes[0])) + (f" to {format_quantity(float(sizes[-1]))}" if len(sizes) > 1 else "")
    each = frame.groupby(["series", "eval", "params"], observed=True)["run_id"].nunique()
    low, high = int(each.min()), int(each.max())
    repeats = f"{low} to {high} runs" if low < high else "one run" if low == 1 else f"{low} runs"
    evals = [str(name) for name in frame["eval"].unique()]
    return (
        f"{_counted(len(sizes), 'size')} ({span}) of {_listed(series)}, {repeats} each, evaluated on {_listed(evals)}: "
        f"{_counted(int(frame['run_id'].nunique()), 'run')}, {_counted(len(frame), 'evaluation')}."
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= NAMED else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
