"""What a law says about what it has not seen, ready to be drawn: the largest size, the rest of every run, k(N).

Each function fits and returns plain numbers: the points, lines with 95 % bands told apart into fitted and
extrapolated parts, and scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.fit import Fit, fit_data, has_final_losses
from scalefit.prediction.groups import group_sizes
from scalefit.prediction.predict import SHOWN
from scalefit.prediction.roads import BY_OFFSETS, choose_road, range_end
from scalefit.prediction.scores import baselines, score
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
Numbers = dict[str, Any]
GRID = 40
"""Points of a line."""


def law_of_sizes(data: FitData) -> str:
    """Return the law of sizes that a table is shown with: chinchilla's where runs are final losses, with no line of their own."""
    return "chinchilla" if has_final_losses(data) else "saturating"


def all_sizes(data: FitData, law: str | None = None) -> Numbers:
    """Fit a law to every size; nothing is held out."""
    return fitted_curves(fit_data(law or law_of_sizes(data), data))


def fitted_curves(fit: Fit, count: int = GRID) -> Numbers:
    """Return a fit's curves as `draw_law` draws them, lines of so many points."""
    return {**_about(fit), "kind": "all sizes", "curves": _fitted(fit, count)}


def across_sizes(data: FitData) -> Numbers:
    """Fit all sizes but the largest and predict that one unseen: by the average of closed laws and the trend of the sizes, or by chinchilla's law.

    Beside an average stands what sets the level E of the largest size on its own data and takes only k(N) from the others, as
    in Tan et al. 2025, arXiv:2509.25300: it is no prediction of the level.

    Returns
    -------
    dict
        `curves`: one a size, as in `within_runs`; the last also has `level_set` and `baselines`, the RMSE of
        what needs no law.
    """
    top = float(data.sizes[-1])
    below, here = data.keep(data.params < top), data.keep(data.params == top)
    fit = fit_data(law_of_sizes(data), below)
    curves = _fitted(fit)
    # Several curves of the largest size are held out together.
    order = np.argsort(here.resource[0][here.present], kind="stable")
    x, loss = here.resource[0][here.present][order], here.loss[here.present][order]
    grid = np.geomspace(x[0], x[-1], GRID)
    road = choose_road(fit, top, x[-1] / range_end(below, top), level=0.95)
    found, line = (road.columns(at[None]) for at in (x, grid))
    curve: Numbers = {"params": top, "x": x, "loss": loss, "first": 0, "fitted": None}
    curve["extrapolated"] = {"x": grid, **{name: line[name] for name in SHOWN}}
    curve["scores"] = score(found["loss"], loss, {"cover95": (found["eval_low"], found["eval_high"])})
    curve["baselines"] = {
        name: score(values, loss)["rmse"] for name, values in baselines(below, top, x[None], None).items()
    }
    if road.by == BY_OFFSETS:
        k = fit.k(top).value
        level = level_at(k, x, loss)
        curve["level_set"] = {
            "x": grid,
            "loss": 10.0 ** (level - k * np.log10(grid)),
            "k": k,
            "E": level,
            "scores": score(10.0 ** (level - k * np.log10(x)), loss),
        }
    return {**_about(fit), "kind": "across sizes", "curves": [*curves, curve]}


def within_runs(data: FitData, first: NDArray[np.int64] | None = None, law: str = "saturating") -> Numbers:
    """Fit the first part of every run and predict the rest.

    Parameters
    ----------
    data : FitData
        One curve a size.
    first : ndarray of int, shape (R,), optional
        Points of each curve that are fitted; by default a quarter, at least three.
    law : str
        A law with a line for every size.

    Returns
    -------
    dict
        `curves`: for each the points `x` and `loss`, how many came `first`, lines `fitted` and `extrapolated` (x, loss
        and the ends of the three bands) and `scores` of the extrapolated part by the bands of the run itself. Of several
        curves of a size the first has the lines, of the size.
    """
    lengths = data.present.sum(1)
    first = np.maximum(lengths // 4, 3) if first is None else first
    fit = fit_data(law, data.keep(np.ones(len(data.params), bool), first=first))
    curves = []
    for row, size in enumerate(data.params):
        (x, loss), count = _points(data, row), int(first[row])
        curve: Numbers = {"params": float(size), "x": x, "loss": loss, "first": count}
        if count >= len(x):
            curves.append(curve | {"fitted": _own_line(fit, row, _grid(data, row)), "extrapolated": None})
            continue
        edge, grid = float(x[:count].max()), _grid(data, row)
        shown = {"fitted": np.append(grid[grid < edge], edge), "extrapolated": np.append(edge, grid[grid > edge])}
        shared = np.flatnonzero(data.params == size)
        own = _own_line(fit, row, shown["extrapolated"])
        for part, at in shown.items():
            if len(shared) > 1:
                curve[part] = _line(fit, float(size), at) if row == shared[0] else None
            else:
                curve[part] = own if part == "extrapolated" else _own_line(fit, row, at)
        rest, seen = x[count:], loss[count:]
        # Between the points of the line its ends are as good as straight.
        band = [
            10 ** np.interp(np.log(rest), np.log(own["x"]), np.log10(own[end])) for end in ("eval_low", "eval_high")
        ]
        expected = 10.0 ** fit.curve(float(size), rest[None])[0]
        curve["scores"] = score(expected, seen, {"cover95": (band[0], band[1])})
        curve["baselines"] = {"last_value": score(np.full(len(rest), loss[count - 1]), seen)["rmse"]}
        curves.append(curve)
    return {**_about(fit), "kind": "within runs", "curves": curves}


def slopes(variants: Mapping[str, FitData], reach: float = 4.0) -> Numbers:
    """Fit k(N) to several cuts of a series, and the slope of every size alone to the first.

    Parameters
    ----------
    variants : mapping
        Name to data, such as all sizes and all but the largest.
    reach : float
        How far beyond the largest size of the first the curves go.
    """
    data = next(iter(variants.values()))
    grid = np.geomspace(0.8 * data.sizes[0], reach * data.sizes[-1], GRID)
    laws = []
    for name, part in variants.items():
        fit = fit_data("saturating", part)
        known = fit.status in ("converged", "unidentified")
        found: Numbers = {"name": name, **_about(fit), "largest": float(part.sizes[-1]), "params": grid}
        found["missed"] = list(fit.misfit.missed)
        k = fit.k_of_sizes(grid.tolist())
        found["k"] = np.array([one.value for one in k])
        ends = ("low", np.array([one.low for one in k])), ("high", np.array([one.high for one in k]))
        found.update(
            {
                name: np.where(np.isfinite(end), end, np.nan) if known else np.full(len(grid), np.nan)
                for name, end in ends
            }
        )
        laws.append(found)
    alone = fit_data("power", data)
    own = alone.k_of_sizes(data.sizes.tolist())
    each = {"params": data.sizes, **{"k": [k.value for k in own], "low": [k.low for k in own]}}
    return {"kind": "slopes", "laws": laws, "each size alone": each | {"high": [k.high for k in own]}}


def _about(fit: Fit) -> Numbers:
    """Return what identifies a fit."""
    estimates = {name: asdict(one) for name, one in fit.params.items() if name in ("k_max", "N0")}
    data = fit.data
    return {
        "series": data.series,
        "resource": data.resources[0],
        "fitted_on": data.sizes,
        "points": data.points,
        **estimates,
        "r2": fit.r2,
        "rho": fit.noise.rho,
        "status": fit.status,
        "notes": fit.notes,
        **({"units": data.record["units"]} if "units" in data.record else {}),
    }


def _points(data: FitData, row: int) -> tuple[Array, Array]:
    present = data.present[row]
    return data.resource[0, row, present], data.loss[row, present]


def _grid(data: FitData, row: int, count: int = GRID) -> Array:
    x, _ = _points(data, row)
    return np.geomspace(x.min(), x.max(), count)


def _line(fit: Fit, size: float, grid: Array) -> Numbers:
    found = fit.bands(float(size), grid[None]).columns()
    return {"x": grid, **{name: found[name] for name in SHOWN}}


def _own_line(fit: Fit, row: int, grid: Array) -> Numbers:
    """Return the line of a run's size; its band of a run is that of this run."""
    found = fit.run_bands(row, grid[None]).columns()
    return {"x": grid, **{name: found[name] for name in SHOWN}}


def _fitted(fit: Fit, count: int = GRID) -> list[Numbers]:
    """Return every curve's points, and with the first of a size its line over the range of all of them.

    Final losses have no range of their own: some sizes have lines, over the range of the table.
    """
    data, curves = fit.data, []
    lined = [some[len(some) // 2] for some in group_sizes(data.sizes)] if fit.single else list(data.sizes)
    for row, size in enumerate(data.params.tolist()):
        (x, loss), mine = _points(data, row), data.params == size
        curve: Numbers = {"params": size, "x": x, "loss": loss, "first": len(x), "extrapolated": None, "fitted": None}
        if row == np.flatnonzero(mine)[0] and size in lined:
            seen = data.resource[0][data.present & (mine[:, None] | fit.single)]
            curve["fitted"] = _line(fit, size, np.geomspace(seen.min(), seen.max(), count))
        curves.append(curve)
    return curves


def level_at(k: float, x: Array, loss: Array) -> float:
    """Return the E that minimises the squared error of the loss, given k: linear in 10^E."""
    shape = x**-k
    return float(np.log10(shape @ loss / (shape @ shape)))
