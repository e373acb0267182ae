"""Do the advantage and the normalisation matter? What `scalefit compare-recipes` says of each against GRPO, at equal prompts.

Draws `figures/advantage.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from study import DATA, put_result, save

import scalefit as sf
from scalefit.plotting.runs import draw_arms
from scalefit.plotting.style import new_figure, styled

RECIPES = {
    "grpo_token": "GRPO, per token",
    "grpo_sequence": "GRPO, per sequence",
    "dr-grpo_dr-grpo": "Dr. GRPO",
    "rloo_token": "RLOO, per token",
}


@styled()
def main() -> None:
    """Print the table and draw."""
    tables = {name: sf.read_runs(DATA / f"e04_{name}.parquet") for name in RECIPES}
    runs = pd.concat([table.frame.assign(recipe=name) for name, table in tables.items()], ignore_index=True)
    base, *others = tables
    found = [
        sf.compare_recipes(tables[name], tables[base], names=(name, base), x="samples")[0].summary() for name in others
    ]
    put_result(__file__, "\n\n".join(found))
    figure, panels = new_figure(2, sharey=True)
    for axes, size in zip(panels, ("100k", "450k"), strict=True):
        draw_arms(axes, runs[runs["size"] == size], "recipe", "samples", RECIPES)
        axes.set_title(f"{size} parameters; band: two seeds")
    panels[0].legend(frameon=False, fontsize=8)
    save(figure, "advantage.png")


if __name__ == "__main__":
    main()
