"""What is in a runs table: series, sizes, steps, seeds and ranges."""

from __future__ import annotations

from typing import Any

from scalefit.table.io import RunTable
from scalefit.table.resources import find_growing, unit_of


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
