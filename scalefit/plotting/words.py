"""Columns and numbers in words: what the report's tables say instead of the names that a frame has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scalefit.units import LABELS, format_quantity, resource_label

COLUMNS = {
    "params": "model size [parameters]",
    "series": "series",
    "eval": "evaluation",
    "loss": "loss",
    "solved": "solved of 100",
    "low": "mean curve, 95 % from",
    "high": "to",
    "run_low": "a new run, 95 % from",
    "run_high": "to",
    "eval_low": "one evaluation of it, 95 % from",
    "eval_high": "to",
    "low50": "half lie from",
    "high50": "to",
    "low95": "95 % lie from",
    "high95": "to",
    "eval_low50": "half of evaluations from",
    "eval_high50": "to",
    "eval_low95": "95 % of evaluations from",
    "eval_high95": "to",
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
    "repeat_is_worth_low": "from",
    "repeat_is_worth_high": "to",
    "group_size": "rollouts a prompt",
    "pass_rate": "pass rate",
    "uniform_at_mean_rate": "groups all alike, at that rate",
    "uniform_measured": "groups all alike, measured",
    "system": "system",
    "score": "score",
    "rank_low": "rank from",
    "rank_high": "to",
    "tied_with": "not told apart from",
    "better_than": "better than",
    "budget": "budget",
    "best": "likeliest best",
    "probability": "chance",
}
"""Words, with units where they have one, of the columns that results have."""
EXACT = {"group_size", "count", "rank_low", "rank_high", "best", "solved"}
MOST_NAMED = 3
"""Names that a cell lists."""


def column_words(name: str) -> str:
    """Return what a table says over a column: its words, or its name without underscores."""
    return COLUMNS.get(name) or LABELS.get(name) or name.replace("_", " ")


def axis_words(resource: str, units: Mapping[str, str] | None = None) -> str:
    """Return what an axis of a resource says."""
    return {"samples": "training [prompts]", "flops": "compute [FLOPs]"}.get(resource) or resource_label(resource, units)


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
        return amount(float(value), "flops")
    if column in LABELS or column in ("params", "budget", "tau"):
        return format_quantity(float(value))
    if abs(value) >= 1e4 or 0 < abs(value) < 1e-3:
        return amount(float(value), "flops" if abs(value) >= 1e15 or abs(value) < 1 else "")
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def amount(value: float, resource: str) -> str:
    """Return an amount of a resource: FLOPs as 1e18, anything else with a suffix."""
    if resource != "flops" or not math.isfinite(value) or value == 0:
        return format_quantity(value)
    mantissa, power = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(power)}"


def solved(loss: float) -> str:
    """Return a loss as people say it: how many of 100 problems are solved at the first try."""
    return f"{100 * (1 - loss):.0f} of 100 solved at the first try"
