"""Pictures of what the untrained model tells: of offsets that read it, and of slopes by the level where runs start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from scalefit.plotting.style import ordered_colours
from scalefit.units import format_quantity

Numbers = Mapping[str, Any]


def draw_readings(axes: Axes, readings: Sequence[Numbers], top: str) -> None:
    """Draw what each form misses of sizes that were left out, one a line: forms that read the untrained model dark.

    Parameters
    ----------
    readings : sequence of mappings
        From `OffsetStudy`.
    top : str
        The sizes that were held out together.
    """
    known = [row for row in readings if row["left_out"] is not None]
    colour = ordered_colours(1)[0]
    for at, row in enumerate(known):
        shade = colour if row["reads"] else "0.6"
        axes.plot([row["left_out"], row["top"]], [at, at], lw=1, color=shade, alpha=0.5)
        axes.plot(row["left_out"], at, "o", ms=5, color=shade)
        axes.plot(row["top"], at, "D", ms=4, color=shade, mfc="white")
    for of in range(1, len(known)):
        if known[of]["of"] != known[of - 1]["of"] and known[of - 1]["of"] in ("offset", "gain"):
            axes.axhline(of - 0.5, lw=0.8, color="0.8")
    axes.plot([], [], "o", ms=5, color="0.3", label="every size left out in turn")
    axes.plot([], [], "D", ms=4, color="0.3", mfc="white", label=f"{top} from those below")
    axes.set_yticks(range(len(known)), [row["law"] for row in known])
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("missed by [loss, root mean square]")
    axes.grid(axis="y", visible=False)


def draw_level(axes: Axes, sizes: Sequence[Numbers]) -> None:
    """Draw the slope of each size against where it starts, a line an arm, with 95 % over runs.

    Parameters
    ----------
    sizes : sequence of mappings
        From `Level`.
    """
    arms = list(dict.fromkeys(row["arm"] for row in sizes))
    for arm, mark, colour in zip(arms, "os", ordered_colours(2), strict=False):
        mine = [row for row in sizes if row["arm"] == arm]
        start = [10 ** row["start"] for row in mine]
        axes.plot(start, [row["k"] for row in mine], mark + "-", ms=5, lw=1, color=colour, label=arm)
        for x, row in zip(start, mine, strict=True):
            if row["low"] is not None:
                axes.plot([x, x], [row["low"], row["high"]], lw=1, color=colour)
            axes.annotate(format_quantity(row["params"]), (x, row["k"]), (5, 4), textcoords="offset points", fontsize=7)
    axes.invert_xaxis()
    axes.set(xlabel="loss of the untrained model", ylabel="k [decades of loss a decade of X]")
