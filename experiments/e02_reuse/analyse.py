"""Is repeated data free? `scalefit reuse` with what it left of entropy and reward; draws `figures/reuse.png`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from study import DATA, put_result, save, section

import scalefit as sf
from scalefit.plotting.runs import draw_arms
from scalefit.plotting.style import new_figure, styled


@styled()
def main() -> None:
    """Print the table and draw."""
    table = sf.read_runs(DATA / "e02.parquet")
    runs, answers = table.frame, sf.study_reuse(table)
    ends = runs[runs["step"] == runs["step"].max()].groupby("reuse")
    found = ends[["entropy", "reward"]].mean()
    samples = int(runs["samples"].max())
    found.insert(0, "distinct problems", [samples // int(reuse) for reuse in found.index])
    put_result(__file__, f"{answers.summary()}\n\n{section('at the end', found, digits=4)}")
    figure, (axes,) = new_figure()
    labels = {reuse: f"τ = {reuse:g}: {samples // int(reuse)} problems" for reuse in found.index}
    draw_arms(axes, runs, "reuse", "samples", labels)
    axes.legend(frameon=False, fontsize=7)
    axes.set_title("Reuse of problems, 200k parameters; band: three seeds")
    save(figure, "reuse.png")


if __name__ == "__main__":
    main()
