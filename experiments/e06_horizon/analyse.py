"""Does a proof of depth h cost T = a h^gamma to learn, and does gamma rise with the fragment? Numbers and a picture.

Draws `figures/horizon.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from study import DATA, put_result, save, section

import scalefit as sf
from scalefit.plotting.studies import draw_horizon
from scalefit.plotting.style import new_figure, styled

ORDER = ("implication", "conjunction", "disjunction")
TARGETS = (0.9, 0.8)


def limits(row: dict[str, float | None]) -> str:
    """Return an interval as text."""
    return " to ".join("no limit" if row[end] is None else f"{row[end]:.2f}" for end in ("low", "high"))


@styled()
def main() -> None:
    """Print the tables and draw."""
    runs = sf.read_runs(DATA / "e06.parquet")
    frame = runs.frame.assign(accuracy=1 - runs.frame["loss"]).sort_values("step")
    ends = frame.groupby(["fragment", "depth", "seed"], sort=False)["accuracy"].agg(["first", "last"])
    levels = ends.groupby(level=[0, 1]).mean().unstack().sort_index(axis=1)
    said = [section("accuracy before and after, mean of seeds", levels)]
    figure, panels = new_figure(2)
    for axes, x in zip(panels, ("samples", "flops"), strict=True):
        for target in TARGETS:
            (found,) = sf.study_horizon(runs, target=target, x=x, order=ORDER)
            crossings = (
                pd.DataFrame(found.crossings).groupby(["class", "depth"], sort=False)["value"].median().unstack()
            )
            about = {
                row["class"]: [f"{row['reached']}/{row['runs']}", row["gamma"], limits(row)] for row in found.classes
            }
            whole = crossings.join(pd.DataFrame(about, index=["reached", "gamma", "95 %"]).T)
            said.append(section(f"{x} until {target:g}: median crossing or end of the run, gamma", whole, digits=2))
            steps = [f"{row['to']} minus {row['from']}: {limits(row)}" for row in found.steps]
            said.append("\n".join([found.verdict, *steps, *found.warnings]))
            if target == TARGETS[0]:
                draw_horizon(axes, vars(found), f"until {target:g} accuracy")
                axes.legend(frameon=False, fontsize=7)
    put_result(__file__, "\n\n".join(said))
    save(figure, "horizon.png")


if __name__ == "__main__":
    main()
