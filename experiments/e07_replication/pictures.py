"""The study's pictures: curves of both arms with what ends them, slopes against size, and where curves lie by how they start."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from questions import MAIN, main_arms  # noqa: E402
from tables import TARGET, NotMade, arm  # noqa: E402

import scalefit as sf  # noqa: E402
from experiments.study import save  # noqa: E402
from scalefit.plotting.style import LOSS, Colour, log_ticks, new_figure, ordered_colours, size_colours, styled  # noqa: E402
from scalefit.units import format_quantity, resource_label  # noqa: E402


def draw_arm(axes: Axes, frame: pd.DataFrame, title: str, colours: Mapping[float, Colour]) -> None:
    """Draw every run thin and the mean of a size's seeds thick; sizes that are held out are dashed."""
    trained = frame[frame["samples"] > 0]
    for params, mine in trained.groupby("params"):
        colour = colours[params]
        for _, one in mine.groupby("run_id"):
            axes.plot(one["samples"], one["loss"], lw=0.6, alpha=0.5, color=colour)
        mean = mine.groupby("samples")["loss"].mean()
        style = "--" if params > TARGET else "-"
        axes.plot(mean.index, mean, style, lw=1.8, color=colour, label=format_quantity(params))
    log_ticks(axes, "x", trained["samples"])
    axes.set_xlabel(resource_label("samples"))
    axes.set_title(title, loc="left")


def draw_ceiling(axes: Axes, forced: pd.DataFrame, colours: Mapping[float, Colour]) -> None:
    """Mark where the best forced way of each size ends, at the right edge."""
    ends = forced.sort_values("step").groupby(["params", "way"])["loss"].last().groupby("params").min()
    for params, end in ends.items():
        axes.axhline(end, xmin=0.95, lw=2.5, color=colours[params])
    axes.plot([], [], lw=2.5, color="grey", label="at the edge: end,\nforced into its best way")


def draw_slopes(axes: Axes) -> None:
    """Draw k of each size, the mean of its runs with 95 % between them, in both arms."""
    (level,) = sf.study_level(*main_arms().values(), "samples")
    arms = list(dict.fromkeys(row["arm"] for row in level.sizes))
    for which, (name, colour) in enumerate(zip(arms, ordered_colours(2), strict=True)):
        mine = [row for row in level.sizes if row["arm"] == name]
        x = np.array([row["params"] for row in mine]) * 1.06 ** (2 * which - 1)
        label = list(MAIN)[which]
        axes.plot(x, [row["k"] for row in mine], "os"[which] + "-", ms=5, lw=1, color=colour, label=label)
        axes.vlines(x, [row["low"] for row in mine], [row["high"] for row in mine], lw=1, color=colour)
    log_ticks(axes, "x", [row["params"] for row in level.sizes])
    axes.set(xlabel="N [parameters]", ylabel="k_D of a run")
    axes.set_title("c  slopes, means of runs with 95 % between them", loc="left")
    axes.legend(loc="upper left", frameon=False)


@styled()
def main() -> None:
    """Draw both arms and the slopes in them."""
    both = main_arms()
    colours = size_colours(pd.concat(both.values())["params"])
    figure, panels = new_figure(3, height=4.0)
    for letter, axes, (title, frame) in zip("ab", panels, both.items(), strict=False):
        draw_arm(axes, frame, f"{letter}  {title}, and means of the seeds", colours)
    lowest = min(frame["loss"].min() for frame in both.values())
    for axes in panels[:2]:
        log_ticks(axes, "y", [max(lowest, 1e-3), 1.0])
        axes.set_ylim(0.8 * max(lowest, 1e-3), 1.05)
    try:
        draw_ceiling(panels[0], arm("ceiling"), colours)
    except NotMade:
        pass
    panels[0].set_ylabel(LOSS)
    panels[0].legend(title="N", loc="lower left", frameon=False)
    draw_slopes(panels[2])
    save(figure, "replication.png")


if __name__ == "__main__":
    main()
