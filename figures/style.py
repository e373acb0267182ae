"""One visual style for every figure: sizes in an ordered, colour-blind-safe palette."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes

from scalefit.units import format_quantity

STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.dpi": 160,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def set_style(sizes: int) -> list[tuple[float, float, float]]:
    """Apply the style and return one colour a size, light to dark."""
    sns.set_theme(context="paper", style="ticks")
    plt.rcParams.update(STYLE)
    return list(sns.color_palette("viridis_r", sizes + 1))[1:]


def log_ticks(axes: Axes, which: str, values: Sequence[float] | Any, most: int = 7) -> None:
    """Make an axis logarithmic, with as many of 1, 2, 5 times powers of ten as fit, written out."""
    low, high = float(min(values)), float(max(values))
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        ticks = [tick for tick in ticks if 0.8 * low <= tick <= 1.25 * high]
        if len(ticks) <= most:
            break
    text = [f"{tick:.3g}" if tick < 10 else format_quantity(tick) for tick in ticks]
    axes.set(**{f"{which}scale": "log"})
    getattr(axes, f"set_{which}ticks")(ticks, text)
    axes.minorticks_off()
