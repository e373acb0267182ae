"""Pictures of whole systems: scores against size or cost, and one benchmark against another."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from scalefit.plotting.style import log_ticks, set_style

AXES = {"params": "N [parameters]", "cost": "cost [the table's unit]"}
MOST_NAMED = 12
"""Systems named at their points; with more, names overlap and the numbers beside the picture say which is which."""


def draw_scores(axes: Axes, frame: pd.DataFrame, x: str, title: str) -> list[dict[str, Any]]:
    """Draw the scores of a benchmark's systems against their size or cost, with exact 95 % intervals."""
    colour = set_style(1)[0]
    frame = frame[frame[x].notna()].sort_values(x)
    error = [(frame["score"] - frame["low"]).clip(lower=0), (frame["high"] - frame["score"]).clip(lower=0)]
    axes.errorbar(frame[x], frame["score"], yerr=error, fmt="o", ms=4, lw=1, color=colour)
    log_ticks(axes, "x", frame[x])
    axes.set(xlabel=AXES[x], title=title)
    _frame(axes, "y", frame)
    _names(axes, frame["system"], frame[x], frame["score"])
    spec = axes.get_subplotspec()
    if spec is None or spec.is_first_col():
        axes.set_ylabel("score, 95 % binomial interval")
    return _records(frame[["system", x, "score", "low", "high", "n"]])


def draw_transfer(
    axes: Axes, source: pd.DataFrame, target: pd.DataFrame, names: tuple[str, str], title: str
) -> list[dict[str, Any]]:
    """Draw one benchmark's scores against another's, over the systems that have both, with exact 95 % intervals."""
    colour = set_style(1)[0]
    both = source.merge(target, on="system", suffixes=("_source", "_target"))
    across, along = (
        [
            (both[f"score_{side}"] - both[f"low_{side}"]).clip(lower=0),
            (both[f"high_{side}"] - both[f"score_{side}"]).clip(lower=0),
        ]
        for side in ("source", "target")
    )
    x, y = both["score_source"], both["score_target"]
    axes.errorbar(x, y, xerr=across, yerr=along, fmt="o", ms=4, lw=1, color=colour)
    for which, side in (("x", "source"), ("y", "target")):
        _frame(axes, which, both.rename(columns={f"low_{side}": "low", f"high_{side}": "high"}))
    axes.set(xlabel=f"{names[0]}, score", ylabel=f"{names[1]}, score", title=title)
    _names(axes, both["system"], x, y)
    columns = ["system", *(f"{what}_{side}" for side in ("source", "target") for what in ("score", "low", "high"))]
    return _records(both[columns])


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _frame(axes: Axes, which: str, frame: pd.DataFrame) -> None:
    """Leave room around the intervals for names, within 0 and 1."""
    low, high = float(frame["low"].min()), float(frame["high"].max())
    room = 0.12 * max(high - low, 0.05)
    getattr(axes, f"set_{which}lim")(max(low - room, -0.02), min(high + room, 1.02))


def _names(axes: Axes, names: pd.Series, x: pd.Series, y: pd.Series) -> None:
    """Write the names beside their points, to the left in the right half, clear of the one below."""
    if len(names) > MOST_NAMED:
        return
    axes.figure.canvas.draw()
    at = sorted(
        zip(axes.transData.transform(list(zip(x, y, strict=True))), names, x, y, strict=True), key=lambda one: one[0][1]
    )
    left, right = axes.bbox.intervalx
    placed: list[tuple[bool, float, float]] = []
    step = 0.11 * axes.figure.dpi
    for (px, py), name, one_x, one_y in at:
        to_left = px > (left + right) / 2
        height = py
        while any(
            side == to_left and abs(height - other) < step and abs(px - where) < 0.45 * (right - left)
            for side, where, other in placed
        ):
            height += 0.25 * step
        placed.append((to_left, px, height))
        axes.annotate(
            name,
            (one_x, one_y),
            xytext=(-5 if to_left else 5, 72 * (height - py) / axes.figure.dpi + 2),
            textcoords="offset points",
            ha="right" if to_left else "left",
            va="bottom",
            fontsize=7,
        )
