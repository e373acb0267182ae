"""Is repeated data free? Final loss by reuse, paired by seed; draws `figures/reuse.png`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from study import DATA, paired, put_result, save

from scalefit.plotting.arms import draw_arms
from scalefit.plotting.style import new_figure, styled


@styled()
def main() -> None:
    """Print the table and draw."""
    runs = pd.read_parquet(DATA / "e02.parquet")
    samples = int(runs["samples"].max())
    found = paired(runs, "reuse", 1.0)
    found.insert(0, "distinct problems", [samples // int(reuse) for reuse in found.index])
    ends = runs[runs["step"] == runs["step"].max()].groupby("reuse")
    found["entropy"], found["training reward"] = ends["entropy"].mean(), ends["reward"].mean()
    put_result(__file__, found.round(4).to_string())
    figure, (axes,) = new_figure()
    labels = {reuse: f"τ = {reuse:g}: {samples // int(reuse)} problems" for reuse in found.index}
    draw_arms(axes, runs, "reuse", "samples", labels)
    axes.legend(frameon=False, fontsize=7)
    axes.set_title("Reuse of problems, 200k parameters; band: three seeds")
    save(figure, "reuse.png")


if __name__ == "__main__":
    main()
