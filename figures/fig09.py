"""Figure 9, how data are reused, as a schematic of this project's runner: the same number of prompts from ever fewer distinct ones."""

from __future__ import annotations

import numpy as np
from common import save

from scalefit.plotting.style import new_figure, ordered_colours, styled

PROMPTS = 24
TAUS = (1, 2, 4, 8)


@styled()
def main() -> None:
    """Draw one row of boxes a tau."""
    figure, (axes,) = new_figure()
    figure.set_size_inches(7.5, 2.9)
    colours = ordered_colours(PROMPTS)
    schedule = {}
    for row, tau in enumerate(TAUS):
        distinct = np.linspace(0, PROMPTS - 1, PROMPTS // tau).round().astype(int)
        order = schedule[f"tau {tau}"] = np.tile(distinct, tau)
        axes.bar(np.arange(PROMPTS), 0.7, 0.9, bottom=-row - 0.35, color=[colours[prompt] for prompt in order])
        axes.text(PROMPTS + 0.2, -row, f"{len(distinct)} distinct", va="center", fontsize=8)
    axes.set_yticks(-np.arange(len(TAUS)), [f"τ = {tau}" for tau in TAUS])
    axes.set(
        xlabel="order of training → (each box a batch of prompts)",
        xlim=(-0.7, PROMPTS + 4),
        ylim=(0.6 - len(TAUS), 0.6),
    )
    axes.set_xticks([])
    axes.grid(False)
    axes.set_title("The same number of prompts in all: τ passes, each from easy (light) to hard (dark)", loc="left")
    save(__file__, figure, {"schematic": True, "schedule": schedule})


if __name__ == "__main__":
    main()
