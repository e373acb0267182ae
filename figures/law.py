"""The README's picture: curves, the fitted law, k(N), and a size predicted without having been seen."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
sys.path.insert(0, str(Path(__file__).parent))

import matplotlib.pyplot as plt
from style import set_style

import scalefit as sf
from scalefit.table.prepare import prepare
from scalefit.units import format_quantity
from scalefit.validation.ensemble import average_offsets

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Draw `figures/law.png`."""
    runs = sf.read_runs(ROOT / "data" / "paper" / "runs.parquet")
    (data,) = prepare(runs, "samples", {"series": "base"})
    fit = sf.fit(runs, where={"series": "base"})
    colours = set_style(len(data.sizes))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6), constrained_layout=True)
    for row, size in enumerate(data.params):
        x, y = data.resource[0, row][data.present[row]], data.loss[row][data.present[row]]
        left.plot(x, y, ".", ms=2.5, color=colours[row], alpha=0.6)
        left.plot(x, fit.predict(size, samples=x)["loss"], color=colours[row], lw=1.4)
        left.annotate(
            format_quantity(size), (x[-1] * 1.08, y[-10:].mean()), color=colours[row], va="center", fontsize=8
        )
    left.set(
        xscale="log",
        yscale="log",
        xlim=(450, 1.2e5),
        xlabel="D [prompts]",
        ylabel="test loss 1 − pass@1",
        title="The law, fitted (base models)",
    )
    left.set_yticks([0.4, 0.5, 0.6, 0.8, 1.0], ["0.4", "0.5", "0.6", "0.8", "1.0"])
    left.minorticks_off()
    grid = np.geomspace(4e8, 3e11, 60)
    slopes = [fit.k(size) for size in grid]
    middle.fill_between(grid, [k.low for k in slopes], [k.high for k in slopes], color="0.8", label="95 % interval")
    inside = grid <= data.sizes[-1]
    middle.plot(grid[inside], np.array([k.value for k in slopes])[inside], color="0.2", label="fitted")
    middle.plot(grid[~inside], np.array([k.value for k in slopes])[~inside], "--", color="0.2", label="extrapolated")
    alone = sf.fit(runs, "power", where={"series": "base"})
    for row, size in enumerate(data.sizes):
        k = alone.k(size)
        middle.errorbar(size, k.value, [[k.value - k.low], [k.high - k.value]], fmt="o", ms=4, color=colours[row])
    middle.set(xscale="log", xlabel="N [parameters]", ylabel="k(N)", title="Its slope k(N); points: each size alone")
    middle.legend(frameon=False, fontsize=8, loc="upper left")
    top = data.sizes[-1]
    here = data.keep(data.params == top)
    x, y = here.resource[0][here.present], here.loss[here.present]
    found = average_offsets(data.keep(data.params < top)).predict(top, x[None], eval_size=float(here.eval_size[0]))
    right.fill_between(x, found["new_low"], found["new_high"], color="0.9", label="95 %, a new evaluation")
    right.fill_between(x, found["low"], found["high"], color="0.75", label="95 %, the curve")
    right.plot(x, found["loss"], "--", color="0.2", label="predicted from 0.5B–32B")
    right.plot(x, y, ".", ms=3, color=colours[-1], label=f"{format_quantity(top)}, measured")
    right.set(
        xscale="log",
        xlabel="D [prompts]",
        ylabel="test loss 1 − pass@1",
        title=f"{format_quantity(top)}, predicted without having seen it",
    )
    right.legend(frameon=False, fontsize=8)
    figure.savefig(ROOT / "figures" / "law.png", metadata={"Software": "scalefit"})


if __name__ == "__main__":
    main()
