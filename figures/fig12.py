"""Figure 12, rollouts per prompt, from this project's own runs (100k parameters, arithmetic): the paper's data are not public."""

from __future__ import annotations

import numpy as np
from common import ROOT, save

import scalefit as sf
from scalefit.plotting.runs import draw_arms
from scalefit.plotting.style import new_figure, styled
from scalefit.units import format_quantity


@styled()
def main() -> None:
    """Draw the loss by prompts and by compute."""
    runs = sf.read_runs(ROOT / "data" / "study" / "e03.parquet").frame
    sizes = " and ".join(format_quantity(size) for size in sorted(runs["params"].unique()))
    labels = {group: f"G = {group}" for group in np.unique(runs["group_size"])}
    figure, axes = new_figure(2, sharey=True, height=4.0)
    numbers = {}
    for axis, letter, x, said in zip(axes, "ab", ("samples", "flops"), ("prompts", "compute"), strict=True):
        numbers[letter] = draw_arms(axis, runs, "group_size", x, labels)
        axis.set_title(f"{letter}  own runs, {sizes} parameters, by {said}", loc="left")
    axes[0].legend(frameon=False, fontsize=8, title="band: range of the seeds", title_fontsize=7)
    save(__file__, figure, numbers)


if __name__ == "__main__":
    main()
