"""Columns and numbers in words: what the report's tables say instead of the names that a frame has."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from scalefit.units import LABELS, format_amount, format_quantity, resource_label

COLUMNS = {
    "params": "model size [parameters]",
    "series": "series",
    "eval": "evaluation",
    "loss": "loss",
    "loss_measured": "loss, measured",
    "loss_by_law": "loss by the law",
    "solved": "solved of 100",
    "samples": "prompts",
    "flops": "compute [FLOPs]",
    "tokens": "tokens",
    "gpu_hours": "GPU-hours",
    "hours": "hours",
    "probability_best": "chance that it is best",
    "probability_best_run": "chance that one run of it wins",
    "outside": "times outside what was measured",
    "count": "runs",
    "tau": "times each prompt is seen",
    "difference": "difference in loss",
    "se": "standard error",
    "equivalent": "the same within the margin",
    "costs": "costs",
    "runs_differ": "scatter of runs is in the interval",
    "repeat_is_worth_value": "a repeat is worth, in fresh prompts",
    "group_size": "rollouts a prompt",
    "pass_rate": "pass rate",
    "uniform_at_mean_rate": "groups all alike, at that rate",
    "uniform_measured": "groups all alike, measured",
    "system": "system",
    "score": "score",
    "tied_with": "not told apart from",
    "better_than": "better than",
    "budget": "budget",
    "best": "likeliest best",
    "probability": "chance",
}
"""Words, with units where they have one, of the columns that results have."""
RANGES = {
    "low": "95 %",
    "run_low": "a new run, 95 %",
    "eval_low": "one evaluation of it, 95 %",
    "low50": "half lie in",
    "low95": "95 % lie in",
    "eval_low50": "half of evaluations lie in",
    "eval_low95": "95 % of evaluations lie in",
    "repeat_is_worth_low": "that, 95 %",
    "rank_low": "rank",
    "low90": "90 %",
}
"""Words over an interval, by the name of its lower end."""
EXACT = {"group_size", "count", "rank_low", "rank_high", "best", "solved"}
LOSSES = re.compile(r"(^|_)(low|high)\d*$")
"""Names of columns that are losses or differences of them, however small: the ends of bands."""
MOST_NAMED = 3
"""Names that a cell lists."""


def column_words(name: str) -> str:
    """Return what a table says over a column: its words, or its name without underscores."""
    return COLUMNS.get(name) or LABELS.get(name) or name.replace("_", " ")


def ranges(names: Sequence[str]) -> dict[str, str]:
    """Return which columns are the two ends of one interval: the lower one's name to the upper one's."""
    found = {name: re.sub(r"(^|_)low", r"\1high", name) for name in names if re.search(r"(^|_)low", name)}
    return {low: high for low, high in found.items() if high in names}


def range_words(low: str, names: Sequence[str]) -> str:
    """Return what a table says over an interval, by the name of its lower end."""
    if low == "low" and "run_low" in names:
        return "the law's mean curve, 95 %"
    return RANGES.get(low) or f"{column_words(low.removesuffix('_low'))}, 95 %"


def axis_words(resource: str, units: Mapping[str, str] | None = None) -> str:
    """Return what an axis of a resource says."""
    return {"samples": "training [prompts]", "flops": "compute [FLOPs]"}.get(resource) or resource_label(
        resource, units
    )


def number(value: Any, column: str = "") -> str:
    """Return a cell as the page shows it: losses with three decimals, sizes as 7B, FLOPs as 1e18."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - MOST_NAMED} more" if len(value) > MOST_NAMED else ""
        return ", ".join(map(str, value[:MOST_NAMED])) + more
    if isinstance(value, str):
        return value
    if column in EXACT:
        return f"{value:g}"
    if "flops" in column:
        return format_amount(float(value), "flops")
    if column in LABELS or column in ("params", "budget", "tau"):
        return format_quantity(float(value))
    if column.startswith("loss") or LOSSES.search(column):
        return f"{value:.3f}"
    if abs(value) >= 1e4 or 0 < abs(value) < 1e-3:
        return format_amount(float(value), "flops" if abs(value) >= 1e15 or abs(value) < 1 else "")
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"
