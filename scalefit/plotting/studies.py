"""Pictures of studies beside the law: pass@k before and after training, what depth costs, gates and signs of collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scalefit.laws.relations import HORIZON, PASS_AT_K
from scalefit.plotting.style import log_ticks, ordered_colours
from scalefit.units import resource_label

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
    log_ticks(axes, "y", shown, resource=found["resource"])
    axes.set_ylabel(f"{resource_label(found['resource'])} until {found['target']:g} accuracy")


def draw_looks(axes: Axes, looks: Sequence[Numbers], margin: float) -> None:
    """Draw what a gate said at each look: the difference with its interval, and the margin in grey.

    Parameters
    ----------
    looks : sequence of mappings
        From `Gate`.
    """
    x, value, low, high = (np.array([row[name] for row in looks]) for name in ("x", "difference", "low", "high"))
    colour = ordered_colours(1)[0]
    axes.axhspan(-margin, margin, color="0.92", lw=0, zorder=0)
    axes.axhline(0, color="0.4", lw=0.8)
    axes.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    axes.plot(x, value, lw=1.5, color=colour)
    wide = 1.3 * max(float(np.median(high - low)), 4 * margin)
    axes.set_ylim(max(float(low.min()), value[-1] - wide), min(float(high.max()), value[-1] + wide))
    log_ticks(axes, "x", x)


def draw_signs(axes: Axes, runs: Sequence[Numbers]) -> None:
    """Draw of each run how far its loss is above its best, and mark those that have a sign of collapse.

    Parameters
    ----------
    runs : sequence of mappings
        From `Signs`.
    """
    shown = [bool(row["sign"]) for row in runs]
    dark = ordered_colours(1)[0]
    axes.barh(range(len(runs)), [row["above_best"] for row in runs], color=[dark if one else "0.75" for one in shown])
    axes.set_yticks(range(len(runs)), [row["run"] + (f" ({row['sign']})" if row["sign"] else "") for row in runs])
    axes.set_ylim(len(runs) - 0.5, -0.5)
