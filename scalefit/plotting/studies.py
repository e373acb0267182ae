"""Pictures of the relations beside the law: pass@k before and after training, what depth costs, and what the untrained model tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scalefit.laws.relations import HORIZON, PASS_AT_K
from scalefit.plotting.style import log_ticks, ordered_colours
from scalefit.units import format_quantity, resource_label

Numbers = Mapping[str, Any]
ENDS = {"before": "0.55", "after": "0.1"}


def draw_passes(axes: Axes, passes: Sequence[Numbers], law: Numbers | None, title: str) -> None:
    """Draw pass@k before and after training, with the fitted laws as lines.

    Parameters
    ----------
    passes, law : sequence of mappings, mapping
        From `Sharpening`.
    """
    k = np.array([row["k"] for row in passes], float)
    colour = ordered_colours(1)[0]
    for name, grey in ENDS.items():
        shade = colour if name == "after" else grey
        axes.plot(k, [row[name] for row in passes], "o", ms=4, color=shade, label=name)
        if law and law.get(name):
            fine = np.geomspace(k[0], k[-1], 50)
            p = {one: np.asarray(law[name][one]["value"]) for one in ("a", "b")}
            axes.plot(fine, PASS_AT_K.value(p, fine), lw=1, color=shade)
    log_ticks(axes, "x", k)
    axes.set(xlabel="k [answers a problem]", title=title, ylim=(-0.02, 1.02))
    spec = axes.get_subplotspec()
    if spec is None or spec.is_first_col():
        axes.set_ylabel("pass@k")


def draw_horizon(axes: Axes, found: Numbers, title: str) -> None:
    """Draw each run's crossing against depth, censored ones as arrows, and the fitted law of every class.

    Parameters
    ----------
    found : mapping
        `vars` of a `Horizon`.
    """
    names = [row["class"] for row in found["classes"]]
    shown = []
    for at, (row, colour) in enumerate(zip(found["classes"], ordered_colours(len(names)), strict=True)):
        mine = [one for one in found["crossings"] if one["class"] == row["class"]]
        # Side by side, or runs of the same depth hide one another.
        aside = 1.03 ** (at - (len(names) - 1) / 2)
        for status, mark in (("reached", "o"), ("censored", "^"), ("from the start", "v")):
            some = [one for one in mine if one["status"] == status]
            x, y = [one["depth"] * aside for one in some], [one["value"] for one in some]
            axes.plot(x, y, mark, ms=5, color=colour, mfc=colour if status == "reached" else "none")
            shown += y
            if status == "reached":
                for one, place in zip(some, x, strict=True):
                    axes.plot([place] * 2, [one["low"], one["high"] or one["value"]], lw=1, color=colour)
        label = row["class"]
        if row["gamma"] is not None:
            depth = np.array([min(one["depth"] for one in mine), max(one["depth"] for one in mine)])
            p = {"a": np.asarray(10 ** row["log10_a"]), "gamma": np.asarray(row["gamma"])}
            axes.plot(depth, HORIZON.value(p, depth), lw=1.2, color=colour)
            label = f"{label}: γ = {row['gamma']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        elif row["low"] is not None:
            label = f"{label}: γ ≥ {row['low']:.2f}"
        axes.plot([], [], "o", ms=5, color=colour, label=label)
    if any(one["status"] == "censored" for one in found["crossings"]):
        axes.plot([], [], "^", ms=5, color="0.3", mfc="none", label="not reached by the end of the run")
    depths = sorted({one["depth"] for one in found["crossings"]})
    axes.set(xscale="log", xlim=(0.85 * depths[0], 1.18 * depths[-1]), title=title, xlabel="proof depth h [steps]")
    axes.set_xticks(depths, [f"{depth:g}" for depth in depths])
    axes.minorticks_off()
    log_ticks(axes, "y", shown)
    axes.set_ylabel(f"{resource_label(found['resource'])} until {found['target']:g} accuracy")


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
