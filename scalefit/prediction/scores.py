"""Sizes that were held out, predicted and scored, with baselines that any law must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.bands import Bands
from scalefit.fitting.binding import law_resource
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.run_lines import LEAST, fit_run_lines
from scalefit.laws import get_law
from scalefit.laws.law import Law
from scalefit.numerics.ar1 import effective_points
from scalefit.numerics.intervals import loss_ends, student
from scalefit.prediction.ensemble import Anchor, Ensemble, average_offsets, first_points
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
Ends = dict[str, tuple[Array, Array]]
LEVELS = (0.5, 0.95)
"""Of the bands whose coverage is scored."""


def score(predicted: Array, loss: Array, bands: Mapping[str, tuple[Array, Array]] | None = None) -> dict[str, float]:
    """Return RMSE, R² within the size, bias of the last tenth and coverage; arrays of shape (n,)."""
    error = predicted - loss
    tenth = max(len(loss) // 10, 1)
    spread = float(np.sum((loss - loss.mean()) ** 2))
    found = {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "r2": 1 - float(np.sum(error**2)) / spread if spread > 0 else float("nan"),
        "end_bias": float(error[-tenth:].mean()),
    }
    return {**found, **shares_within(loss, bands or {})}


def shares_within(loss: Array, bands: Mapping[str, tuple[Array, Array]]) -> dict[str, float]:
    """Return what share of losses (n,) lies in each of the bands, two of (n,), by name."""
    return {name: float(np.mean((loss >= low) & (loss <= high))) for name, (low, high) in bands.items()}


def baselines(train: FitData, params: float, resource: Array, anchor: Anchor | None) -> dict[str, Array]:
    """Return what needs no law of size: last value, nearest size's curve, own power law; each (n,) loss."""
    found = {}
    sizes = train.sizes
    nearest_size = sizes[np.argmin(np.abs(np.log(sizes / params)))]
    near = train.keep(train.params == nearest_size)
    order = np.argsort(near.resource[0][near.present])
    x, y = near.resource[0][near.present][order], near.loss[near.present][order]
    scale = params / nearest_size if train.resources == ("flops",) else 1.0
    found["nearest_size"] = np.asarray(np.interp(np.log(resource[0] / scale), np.log(x), y))
    if anchor is not None and len(anchor.loss):
        found["last_value"] = np.full(resource.shape[1], anchor.loss[-1])
        if len(anchor.loss) > 2:
            line = np.polyfit(np.log10(anchor.resource[0]), np.log10(np.maximum(anchor.loss, 1e-4)), 1)
            found["own_power"] = 10.0 ** np.polyval(line, np.log10(resource[0]))
    return found


def cover(ends: Mapping[float, tuple[Array, Array]]) -> Ends:
    """Return intervals by level as `score` takes them, named cover50, cover95."""
    return {f"cover{int(100 * level)}": pair for level, pair in ends.items()}


def of_evaluations(bands: Mapping[float, Bands]) -> Ends:
    """Return the bands of one evaluation by level, as losses."""
    with np.errstate(over="ignore"):  # of a size that its law says next to nothing about, an end has no bound
        return cover({level: (10.0**one.eval_low, 10.0**one.eval_high) for level, one in bands.items()})


@dataclass(frozen=True)
class _Told:
    """What was predicted of a size that was held out, at the n evaluations of its curves and the m of its runs [loss].

    Attributes
    ----------
    loss, predicted : ndarray, shape (n,)
        Of the curves: of seeds, their mean.
    baselines : dict
        What needs no law, (n,) by name.
    run_loss : ndarray, shape (m,)
        Of each run by itself, which is what bands are of.
    ends : dict
        Bands of one evaluation by name, two of (m,) each.
    runs : int
        How many runs these are of.
    inside : ndarray
        Whether the 95 % band of a new run holds a run's own line, at every evaluation of every run that has one; empty
        with an anchor.
    """

    loss: Array
    predicted: Array
    baselines: dict[str, Array]
    run_loss: Array
    ends: Ends
    runs: int
    inside: NDArray[np.bool_]


def score_held_out(law: Law | None, train: FitData, data: FitData, sizes: Array, points: int) -> dict[str, Any] | None:
    """Predict sizes from others, the first `points` of each as an anchor where asked; only what is unseen is scored."""
    if not any((data.present[data.params == size].sum(1) > points).any() for size in sizes):
        return None
    source = average_offsets(train, anchor_points=points) if law is None else fit_data(law, train)
    parts = [_tell(source, train, data.keep(data.params == size), float(size), points) for size in sizes]
    told = [part for part in parts if part is not None]
    if not told:
        return None
    loss = np.concatenate([part.loss for part in told])
    row: dict[str, Any] = score(np.concatenate([part.predicted for part in told]), loss)
    row |= shares_within(np.concatenate([part.run_loss for part in told]), _joined([part.ends for part in told]))
    inside = np.concatenate([part.inside for part in told])
    if len(inside):
        row["run95"] = float(np.mean(inside))
    row["runs"] = sum(part.runs for part in told)
    for name in told[0].baselines:
        row[f"rmse_{name}"] = score(np.concatenate([part.baselines[name] for part in told]), loss)["rmse"]
    return row


def miss_held_out(law: Law | None, train: FitData, data: FitData, sizes: Array) -> tuple[float, float]:
    """Return the RMSE of sizes predicted from others, and of the nearest size's curve, as `score_held_out` does; without bands, in half the time."""
    source = average_offsets(train) if law is None else fit_data(law, train)
    off, near = [], []
    for size in sizes.tolist():
        here = data.keep(data.params == size)
        resource, loss = here.resource[:, here.present], here.loss[here.present]
        told = (
            10.0 ** source.mean_curve(size, resource)[0]
            if isinstance(source, Fit)
            else source.predict(size, resource)["loss"]
        )
        off.append(told - loss)
        near.append(baselines(train, size, resource, None)["nearest_size"] - loss)
    rmse, rmse_near = (float(np.sqrt(np.mean(np.concatenate(part) ** 2))) for part in (off, near))
    return rmse, rmse_near


def _joined(parts: Sequence[Ends]) -> Ends:
    """Return the bands of several parts as those of one, by name."""
    return {
        name: (np.concatenate([part[name][0] for part in parts]), np.concatenate([part[name][1] for part in parts]))
        for name in parts[0]
    }


def _tell(source: Ensemble | Fit, train: FitData, here: FitData, size: float, points: int) -> _Told | None:
    """Predict a size that was not fitted; None where nothing of it is left beside the anchor."""
    present = _after(here, points)
    if not present.any():
        return None
    resource, loss = here.resource[:, present], here.loss[present]
    anchor = first_points(here, size, points) if points else None
    predicted, _, _ = _predict(source, size, resource, anchor)
    each = here.each
    there = _after(each, points)
    if anchor is None:
        _, ends, run = _predict(source, size, each.resource[:, there])
        assert run is not None
        inside = _holds(each, run)
    else:
        # A run begins at a level of its own, which its own first points tell.
        runs = [each.keep(np.array([row])) for row in np.flatnonzero(there.any(1))]
        parts = [(one.resource[:, _after(one, points)], first_points(one, size, points)) for one in runs]
        ends = _joined([_predict(source, size, rest, begin)[1] for rest, begin in parts])
        inside = np.zeros(0, bool)
    nothing = baselines(train, size, resource, anchor)
    return _Told(loss, predicted, nothing, each.loss[there], ends, int(there.any(1).sum()), inside)


def _after(data: FitData, points: int) -> NDArray[np.bool_]:
    """Return where an evaluation is after the first `points` of its curve, (R, T)."""
    return np.asarray(data.present & (np.arange(data.present.shape[1]) >= points))


def _predict(
    source: Ensemble | Fit, size: float, resource: Array, anchor: Anchor | None = None
) -> tuple[Array, Ends, tuple[Array, Array] | None]:
    """Return losses of a size at its resource (Q, n), bands of one evaluation by name, and without an anchor the 95 % band of a new run."""
    if isinstance(source, Fit):
        return _by_law(source, size, resource, anchor)
    found = {level: source.predict(size, resource, level=level, anchor=anchor) for level in LEVELS}
    widest = found[0.95]
    ends = cover({level: (value["eval_low"], value["eval_high"]) for level, value in found.items()})
    return widest["loss"], ends, None if anchor else (widest["run_low"], widest["run_high"])


def _holds(runs: FitData, band: tuple[Array, Array]) -> NDArray[np.bool_]:
    """Return whether a band, two of (n,) at the evaluations of runs, holds their own lines there."""
    own = own_lines(runs)[runs.present]
    return np.asarray((own >= band[0]) & (own <= band[1]))[np.isfinite(own)]


def own_lines(data: FitData) -> Array:
    """Return the loss of each curve's own line at its evaluations, (R, T); nan where it is too short for one."""
    found = np.full(data.loss.shape, np.nan)
    rows = np.flatnonzero(data.present.sum(1) >= LEAST)
    if len(data.resources) == 1 and len(rows):
        law, part = get_law("power"), data.keep(rows)
        lines = fit_run_lines(law, part, Specification())
        x = np.stack(
            [np.log10(law_resource(law, part, part.resource[:, i], part.params[[i]])[0]) for i in range(len(rows))]
        )
        found[rows] = 10.0 ** (lines.level[:, None] - lines.slope[:, None] * (x - lines.centre[:, None]))
    return found


def _by_law(
    fit: Fit, size: float, resource: Array, anchor: Anchor | None
) -> tuple[Array, Ends, tuple[Array, Array] | None]:
    """Return the same of a law, moved onto the anchor where there is one."""
    if anchor is None:
        bands = {level: fit.bands(size, resource, level) for level in LEVELS}
        widest = bands[0.95]
        return 10.0**widest.log, of_evaluations(bands), (10.0**widest.run_low, 10.0**widest.run_high)
    log, J = fit.log_curve(np.full(resource.shape[1], size), resource)
    there, at = fit.log_curve(np.full(anchor.resource.shape[1], size), anchor.resource)
    log = log + np.log10(max(float(anchor.loss.sum()), 1e-6) / float((10.0**there).sum()))
    # What moves the whole curve is settled by the anchor, as well as its own points tell.
    J = J - at.mean(0)
    variance = np.einsum("np,pq,nq->n", J, np.where(np.isfinite(fit.covariance), fit.covariance, 0.0), J)
    few = max(effective_points(np.ones((1, len(anchor.loss)), bool), fit.noise.rho), 1.0)
    own = float(fit.evaluation_noise(size, there).mean()) / few + fit.turning(size, resource, anchor.resource)
    half = np.sqrt(variance + own + fit.evaluation_noise(size, log))
    ends = {level: loss_ends(log, student(level, fit.dof) * half) for level in LEVELS}
    return 10.0**log, cover(ends), None
