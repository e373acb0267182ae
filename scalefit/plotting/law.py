"""Pictures of a law: curves with their lines, the slope k(N), a size predicted unseen. Each returns the numbers drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scalefit.fitting.fit import Fit
from scalefit.plotting.style import LOSS, UNITS, Colour, log_ticks
from scalefit.table.prepare import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
Numbers = dict[str, Any]


def draw_curves(axes: Axes, fit: Fit, colours: list[Colour]) -> Numbers:
    """Draw measured points and the law, a colour a size."""
    data, name = fit.data, fit.data.resources[0]
    drawn: list[Numbers] = []
    for row, (colour, size) in enumerate(zip(colours, data.params, strict=True)):
        x, y = data.resource[0, row][data.present[row]], data.loss[row][data.present[row]]
        line = fit.predict(size, **{name: x})["loss"].to_numpy()
        axes.plot(x, y, ".", ms=2.5, color=colour, alpha=0.6)
        axes.plot(x, line, color=colour, lw=1.4, label=format_quantity(size))
        drawn.append({"params": size, name: x, "loss": y, "fitted": line})
    log_ticks(axes, "x", data.resource[0][data.present])
    log_ticks(axes, "y", np.maximum(data.loss[data.present], 1e-3))
    axes.set(xlabel=UNITS[name], ylabel=LOSS)
    axes.set_title("The law by least squares: residuals drift" if fit.drifts else "The law, fitted")
    axes.legend(frameon=False, fontsize=7, title="N", ncols=2, loc="best", handlelength=1.2, columnspacing=1)
    return {"curves": drawn}


def draw_slope(axes: Axes, fit: Fit, alone: Fit, colours: list[Colour]) -> Numbers:
    """Draw k(N) with its interval, and the slope of every size fitted alone."""
    sizes = fit.data.sizes
    grid = np.geomspace(0.8 * sizes[0], 4 * sizes[-1], 60)
    value, low, high = _estimates(fit, grid)
    own, own_low, own_high = _estimates(alone, sizes)
    inside = grid <= sizes[-1]
    known = bool(np.isfinite(low).all() and np.isfinite(high).all())
    axes.fill_between(grid, low, high, color="0.8", label="95 % interval" if known else "interval not determined")
    axes.plot(grid[inside], value[inside], color="0.2", label="fitted")
    axes.plot(grid[~inside], value[~inside], "--", color="0.2", label="extrapolated")
    for at, colour in enumerate(colours):
        ends = [[own[at] - own_low[at]], [own_high[at] - own[at]]]
        axes.errorbar(sizes[at], own[at], ends, fmt="o", ms=4, color=colour)
    log_ticks(axes, "x", grid)
    axes.set(xlabel="N [parameters]", ylabel="k(N)", title="Its slope k(N); points: each size alone")
    axes.set_ylim(min(0.0, float(np.nanmin(own_low))), 1.35 * float(np.nanmax([*value, *own_high])))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    of_sizes = {"params": sizes, "k": own, "low": own_low, "high": own_high}
    return {"law": {"params": grid, "k": value, "low": low, "high": high}, "each size alone": of_sizes}


def _estimates(fit: Fit, sizes: Array) -> tuple[Array, Array, Array]:
    """Return k with its ends at some sizes, each of their shape."""
    found = [fit.k(size) for size in sizes]
    return np.array([k.value for k in found]), np.array([k.low for k in found]), np.array([k.high for k in found])


def draw_held_out(axes: Axes, data: FitData, fitted_on: Array, found: dict[str, Array], colour: Colour) -> Numbers:
    """Draw one size as measured and as predicted from others.

    Parameters
    ----------
    data : FitData
        The held-out size alone.
    fitted_on : ndarray
        Sizes that the prediction rests on [parameters].
    found : dict
        loss, low, high, new_low, new_high at the measured points, as from `Ensemble.predict`.
    """
    x, y = data.resource[0][data.present], data.loss[data.present]
    name, seen = format_quantity(data.params[0]), "–".join(format_quantity(size) for size in fitted_on[[0, -1]])
    axes.fill_between(x, found["new_low"], found["new_high"], color="0.9", label="95 %, a new evaluation")
    axes.fill_between(x, found["low"], found["high"], color="0.75", label="95 %, the curve")
    axes.plot(x, found["loss"], "--", color="0.2", label=f"predicted from {seen}")
    axes.plot(x, y, ".", ms=3, color=colour, label=f"{name}, measured")
    rmse = float(np.sqrt(np.mean((found["loss"] - y) ** 2)))
    log_ticks(axes, "x", x)
    axes.set(xlabel=UNITS[data.resources[0]], ylabel=LOSS, title=f"{name}, predicted unseen: RMSE {rmse:.3f}")
    axes.set_ylim(top=1.35 * float(max(found["new_high"].max(), y.max())))
    axes.set_yticks([tick for tick in axes.get_yticks()[1:] if tick < 1.05])
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    kept = {key: found[key] for key in ("loss", "low", "high", "new_low", "new_high")}
    return {"params": float(data.params[0]), "x": x, "measured": y, "predicted": kept, "rmse": rmse}
