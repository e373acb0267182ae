"""One visual style for every figure: sizes in an ordered, colour-blind-safe palette."""

from __future__ import annotations

import matplotlib.pyplot as plt
import seaborn as sns

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
