"""Curves with the fitted law, its slope k(N), and the largest size predicted from the smaller ones, of any runs table.

`python figures/law.py` draws the README's picture, of the paper's curves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
sys.path.insert(0, str(Path(__file__).parent))

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from style import log_ticks, set_style

import scalefit as sf
from scalefit.table.prepare import FitData, prepare
from scalefit.units import format_quantity
from scalefit.validation.ensemble import average_offsets

ROOT = Path(__file__).parents[1]
UNITS = {"samples": "D [prompts]", "flops": "C [FLOPs]"}


def draw_curves(axes: Axes, data: FitData, fit: sf.Fit, colours: list[tuple[float, float, float]]) -> None:
    """Draw measured points and the law, a colour a size."""
    name = data.resources[0]
    for row, size in enumerate(data.params):
        x, y = data.resource[0, row][data.present[row]], data.loss[row][data.present[row]]
        axes.plot(x, y, ".", ms=2.5, color=colours[row], alpha=0.6)
        curve = fit.predict(size, **{name: x})["loss"]
        axes.plot(x, curve, color=colours[row], lw=1.4, label=format_quantity(size))
    axes.set(xlabel=UNITS[name], ylabel="test loss 1 − pass@1")
    axes.set_title("The law, fitted" if not fit.drifts else "The law by least squares: residuals drift")
    log_ticks(axes, "x", data.resource[0][data.present])
    log_ticks(axes, "y", data.loss[data.present])
    axes.legend(frameon=False, fontsize=7, title="N", ncols=2, loc="best", handlelength=1.2, columnspacing=1)


def draw_slope(
    axes: Axes, data: FitData, fit: sf.Fit, alone: sf.Fit, colours: list[tuple[float, float, float]]
) -> None:
    """Draw k(N) with its interval, and every size's own slope."""
    grid = np.geomspace(0.8 * data.sizes[0], 4 * data.sizes[-1], 60)
    slopes = [fit.k(size) for size in grid]
    value, low, high = (np.array([getattr(k, name) for k in slopes]) for name in ("value", "low", "high"))
    inside = grid <= data.sizes[-1]
    known = bool(np.isfinite(low).all() and np.isfinite(high).all())
    axes.fill_between(grid, low, high, color="0.8", label="95 % interval" if known else "interval not determined")
    axes.plot(grid[inside], value[inside], color="0.2", label="fitted")
    axes.plot(grid[~inside], value[~inside], "--", color="0.2", label="extrapolated")
    for row, size in enumerate(data.sizes):
        k = alone.k(size)
        axes.errorbar(size, k.value, [[k.value - k.low], [k.high - k.value]], fmt="o", ms=4, color=colours[row])
    log_ticks(axes, "x", grid)
    axes.set(xlabel="N [parameters]", ylabel="k(N)", title="Its slope k(N); points: each size alone")
    axes.set_ylim(0, 1.35 * max(float(np.nanmax(value)), *(alone.k(size).high for size in data.sizes)))
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def draw_held_out(axes: Axes, data: FitData, colour: tuple[float, float, float]) -> None:
    """Draw the largest size as predicted from the others, and as measured."""
    top = data.sizes[-1]
    here, rest = data.keep(data.params == top), data.keep(data.params < top)
    x, y = here.resource[0][here.present], here.loss[here.present]
    found = average_offsets(rest).predict(top, x[None], eval_size=float(here.eval_size[0]))
    name, seen = format_quantity(top), f"{format_quantity(rest.sizes[0])}–{format_quantity(rest.sizes[-1])}"
    axes.fill_between(x, found["new_low"], found["new_high"], color="0.9", label="95 %, a new evaluation")
    axes.fill_between(x, found["low"], found["high"], color="0.75", label="95 %, the curve")
    axes.plot(x, found["loss"], "--", color="0.2", label=f"predicted from {seen}")
    axes.plot(x, y, ".", ms=3, color=colour, label=f"{name}, measured")
    error = float(np.sqrt(np.mean((found["loss"] - y) ** 2)))
    log_ticks(axes, "x", x)
    axes.set(xlabel=UNITS[data.resources[0]], title=f"{name}, predicted unseen: RMSE {error:.3f}")
    axes.set_ylabel("test loss 1 − pass@1")
    axes.set_ylim(top=1.35 * float(max(found["new_high"].max(), y.max())))
    axes.set_yticks([tick for tick in axes.get_yticks()[1:] if tick < 1.05])
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def main() -> None:
    """Draw one series."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=Path, default=ROOT / "data" / "paper" / "runs.parquet")
    parser.add_argument("--series", default="base")
    parser.add_argument("--x", default="samples", choices=list(UNITS))
    parser.add_argument("--out", type=Path, default=ROOT / "figures" / "law.png")
    arguments = parser.parse_args()
    runs, where = sf.read_runs(arguments.runs), {"series": arguments.series}
    (data,) = prepare(runs, arguments.x, where)
    fit, alone = (sf.fit(runs, law, arguments.x, where=where) for law in ("saturating", "power"))
    colours = set_style(len(data.sizes))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6), constrained_layout=True)
    draw_curves(left, data, fit, colours)
    draw_slope(middle, data, fit, alone, colours)
    draw_held_out(right, data, colours[-1])
    figure.savefig(arguments.out, metadata={"Software": "scalefit"})


if __name__ == "__main__":
    main()
