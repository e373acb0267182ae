"""Pictures of runs side by side: one curve an arm of an experiment, or a size, over its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from scalefit.plotting.style import LOSS, log_ticks, ordered_colours
from scalefit.units import resource_label

SMOOTHED = 15
"""Evaluations in the running means that are drawn of long runs, as in figure 7 of the paper's reproduction."""


def window_of(frame: pd.DataFrame) -> int:
    """Return how many evaluations a line is to be the mean of: several, where runs are too long for single ones to be told apart."""
    return SMOOTHED if frame.groupby("run_id").size().median() > 4 * SMOOTHED else 1


def draw_arms(
    axes: Axes,
    frame: pd.DataFrame,
    arm: str,
    x: str,
    labels: Mapping[Any, str],
    *,
    y: str = "loss",
    window: int = 1,
) -> list[dict[str, Any]]:
    """Draw each arm's mean over its runs against a resource, with the runs' range; return the numbers drawn.

    Parameters
    ----------
    frame : DataFrame
        Rows of a runs table, of one size where `arm` is not the size.
    arm : str
        Column that tells arms apart; `labels` names those to be drawn, in order.
    window : int
        Evaluations in a running mean; above 1, the line is that mean and single evaluations are dots.
    """
    colours, drawn = ordered_colours(len(labels)), []
    frame = frame[(frame[x] > 0) & frame[y].notna()]
    for colour, (name, label) in zip(colours, labels.items(), strict=True):
        steps = frame[frame[arm] == name].groupby("step")
        at, found = steps[x].mean(), steps[y]
        mean, low, high = found.mean(), found.min(), found.max()
        if window > 1:
            axes.plot(at, mean, ".", ms=2, color=colour, alpha=0.35)
            mean = mean.rolling(window, center=True, min_periods=window // 2).mean()
        else:
            axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
        axes.plot(at, mean, color=colour, lw=1.4, label=label)
        drawn.append({arm: name, x: at.to_numpy(), y: mean.to_numpy(), "low": low.to_numpy(), "high": high.to_numpy()})
    log_ticks(axes, "x", frame[x], resource=x)
    axes.set_xlabel(resource_label(x))
    spec = axes.get_subplotspec()
    if spec is None or spec.is_first_col():
        axes.set_ylabel(LOSS if y == "loss" else f"{y.replace('_', ' ')} [tokens]" if y == "response_length" else y)
    return drawn
