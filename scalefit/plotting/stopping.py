"""The picture of a stopping rule: what is saved against how many runs give up too much."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from scalefit.plotting.style import ordered_colours, shade
from scalefit.studies.replay import WANTED, TradeOff


def draw_trade_off(axes: Axes, found: TradeOff) -> None:
    """Draw the share of runs within the tolerance against what is saved, a point a risk; the rule in use is filled."""
    beside: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "ha": "right"}
    colour = shade(ordered_colours(1)[0])
    saved = [100 * row["saved"] for row in found.by_risk]
    within = [100 * row["within"] for row in found.by_risk]
    axes.plot(saved, within, "o-", ms=4, lw=1.2, color=colour, mfc="white")
    apart, last = (max(saved) - min(saved)) / 16, -float("inf")
    for row, x, y in zip(found.by_risk, saved, within, strict=True):
        used = row["risk"] == found.risk
        if x - last > apart or used:  # names of points that lie closer would run into each other
            named = (
                f"risk {row['risk']:g}, in use" if used else f"{row['risk']:g}" if last > 0 else f"risk {row['risk']:g}"
            )
            axes.annotate(named, (x, y), (4, 3) if used else (-5, -11), **beside | {"ha": "left" if used else "right"})
            last = x
        if used:
            axes.plot([x], [y], "o", ms=6, color=colour)
    axes.axhline(100 * WANTED, color="0.4", lw=0.8)
    axes.annotate(
        f"{100 * WANTED:g} % of runs",
        (0, 100 * WANTED),
        (4, 2),
        xycoords=("axes fraction", "data"),
        **beside | {"ha": "left"},
    )
    axes.axvline(100 * found.possible, color="0.4", lw=0.8, ls=":")
    axes.annotate(
        "who knew the end",
        (100 * found.possible, min(within)),
        (-4, 2),
        **beside,
    )
    axes.set_xlim(min(0.0, *saved) - apart)
    axes.set_ylim(min(within) - 4, 101)
    axes.set(xlabel="saved [% of a run, mean]", ylabel=f"runs that give up no more than {found.tolerance:g} [%]")
    axes.set_title(f"{found.runs} runs, by the risk of the rule", loc="left")
