"""How many rollouts per prompt? Final loss by G, paired by seed, at equal prompts and at equal compute.

Draws `figures/rollouts.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from study import DATA, paired, put_result, save, section

from scalefit.plotting.arms import draw_arms
from scalefit.plotting.style import new_figure


def at_equal_compute(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep of every run what it did within the compute of the cheapest run."""
    budget = runs.groupby("run_id")["flops"].max().min()
    return runs[runs["flops"] <= budget * 1.0001]


def main() -> None:
    """Print the tables and draw."""
    runs = pd.read_parquet(DATA / "e03.parquet")
    tables = {"at equal prompts": runs, "within the compute of G = 4": at_equal_compute(runs)}
    said = [section(name, paired(part, "group_size", 8), digits=4) for name, part in tables.items()]
    put_result(__file__, "\n\n".join(said))
    figure, panels = new_figure(2, sharey=True)
    labels = {group: f"G = {group}" for group in np.unique(runs["group_size"])}
    for axes, x, title in zip(panels, ("samples", "flops"), ("by prompts", "by compute"), strict=True):
        draw_arms(axes, runs, "group_size", x, labels)
        axes.set_title(f"Rollouts per prompt, {title}")
    panels[0].legend(frameon=False, fontsize=8, title="band: three seeds", title_fontsize=7)
    save(figure, "rollouts.png")


if __name__ == "__main__":
    main()
