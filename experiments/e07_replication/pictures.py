"""The study's pictures: curves of both arms with what ends them, slopes against size, and where curves lie by how they start."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from questions import main_arms  # noqa: E402
from tables import TARGET, NotMade, arm  # noqa: E402

import scalefit as sf  # noqa: E402
from experiments.study import save  # noqa: E402
from scalefit.plotting.style import LOSS, log_ticks, new_figure, ordered_colours, size_colours, styled  # noqa: E402
from scalefit.units import format_quantity, resource_label  # noqa: E402


def draw_arm(axes: Axes, frame: pd.DataFrame, title: str) -> None:
    """Draw every run thin and the mean of a size's seeds thick; sizes that are held out are dashed."""
    trained = frame[frame["samples"] > 0]
    for params, colour in size_colours(frame["params"]).items():
        mine = trained[trained["params"] == params]
        style = "--" if params > TARGET else "-"
        for _, one in mine.groupby("run_id"):
            axes.plot(one["samples"], one["loss"], lw=0.5, alpha=0.4, color=colour)
        mean = mine.groupby("samples")["loss"].mean()
        axes.plot(mean.index, mean, style, lw=1.6, color=colour, label=format_quantity(params))
    axes.set(xscale="log", yscale="log", xlabel=resource_label("samples"), title=title)
    log_ticks(axes, "y", trained["loss"])


def draw_ceiling(axes: Axes, forced: pd.DataFrame) -> None:
    """Mark where the best forced way of each size ends, at the right edge."""
    ends = forced.sort_values("step").groupby(["params", "way"])["loss"].last().groupby("params").min()
    colours = size_colours(ends.index)
    for params, loss in ends.items():
        axes.axhline(loss, xmin=0.93, lw=2, color=colours[params])


@styled()
def curves() -> Figure:
    """Draw the curves of both arms."""
    both = main_arms()
    figure, panels = new_figure(len(both))
    for axes, (title, frame) in zip(panels, both.items(), strict=True):
        draw_arm(axes, frame, title)
    try:
        draw_ceiling(panels[0], arm("ceiling"))
    except NotMade:
        pass
    panels[0].set_ylabel(LOSS)
    panels[-1].legend(title="N", loc="lower left")
    return figure


@styled()
def slopes() -> Figure:
    """Draw k of each size, run by run and as a mean with 95 % between runs, in both arms."""
    (level,) = sf.study_level(*main_arms().values(), "samples")
    figure, (axes,) = new_figure(1)
    arms = list(dict.fromkeys(row["arm"] for row in level.sizes))
    for which, (name, colour) in enumerate(zip(arms, ordered_colours(2), strict=True)):
        mine = [row for row in level.sizes if row["arm"] == name]
        x = np.array([row["params"] for row in mine]) * 1.06 ** (2 * which - 1)
        label = "equal start" if which == 0 else "equal tokens"
        axes.plot(x, [row["k"] for row in mine], "os"[which] + "-", ms=5, lw=1, color=colour, label=label)
        axes.vlines(x, [row["low"] for row in mine], [row["high"] for row in mine], lw=1, color=colour)
    axes.set(xscale="log", xlabel="N [parameters]", ylabel="k [decades of loss a decade of samples]")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def main() -> None:
    """Draw what the tables there are allow."""
    for name, draw in {"replication_curves.png": curves, "replication_slopes.png": slopes}.items():
        try:
            save(draw(), name)
        except NotMade as missing:
            print(f"{name}: {missing} is not made yet")


if __name__ == "__main__":
    main()
