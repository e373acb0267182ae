"""A run among its siblings: what forecasts made earlier were worth, and the band that follows from it.

Forms of a curve are weighed by how they forecast this run so far and its siblings, and the band is as wide as such
forecasts were wrong: quantiles of their standardised errors, by how far ahead they looked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.binding import BoundLaw, own_unit
from scalefit.fitting.fit import fit_data
from scalefit.fitting.one_clock import fit_clock
from scalefit.laws import get_law
from scalefit.numerics.intervals import student
from scalefit.prediction.rolling import Curve, Past, combine, look_ahead, look_back, weigh
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare

Array = NDArray[np.float64]
HORIZONS = np.array([0.1, 0.3, 0.7, 1.5])
"""Ends of the classes of log(X / X now) for which errors are collected."""
LEAST_SIZES = 3
"""Other sizes that tell of a run."""
FEW_RUNS = 3
"""Other runs that a class of errors needs before its quantiles are used."""
LEVELS = (0.5, 0.95)


@dataclass(frozen=True)
class Calibration:
    """Factors from a standard error to half a band, by class of horizon and level, and whose errors gave them."""

    factors: dict[float, Array]
    runs: int

    def width(self, level: float, horizon: Array) -> Array:
        """Return the factor at each horizon."""
        return np.asarray(self.factors[level][np.searchsorted(HORIZONS, horizon)])


def curves_of(runs: RunTable, x: str, evaluation: str) -> list[tuple[Curve, str, float]]:
    """Return every run of a table as a curve, with its series and size."""
    found = []
    frame = runs.frame[(runs.frame["eval"] == evaluation) & (runs.frame[x] > 0)]
    for name, rows in frame.groupby("run_id", observed=True, sort=False):
        rows = rows.sort_values("step")
        curve = Curve(str(name), rows[x].to_numpy(float), rows["loss"].to_numpy(float))
        found.append((curve, str(rows["series"].iloc[0]), float(rows["params"].iloc[0])))
    return found


@dataclass(frozen=True)
class Others:
    """The sizes of a series, and what they tell of a run of another."""

    data: FitData

    def tell(self, curve: Curve, params: float, without: float | None = None) -> Curve:
        """Return a curve of a size with k(N) and the clock of the others, one left out; as it is where there are too few."""
        others = self.data.keep((self.data.params != params) & (self.data.params != without))
        if len(others.sizes) < LEAST_SIZES:
            return curve
        slope = self._slope(others, params)
        return curve if slope is None else replace(curve, slope=slope, clock=self._clock(others, params))

    def _slope(self, others: FitData, params: float) -> tuple[float, float] | None:
        try:
            k = fit_data("saturating", others).k(params)
        except FitError:
            return None
        return (k.value, max(k.se, 0.1 * abs(k.value), 1e-3)) if np.isfinite(k.se) else None

    @cached_property
    def _whole(self) -> dict[str, Array]:
        return fit_clock(self.data)

    def _clock(self, others: FitData, params: float) -> tuple[float, float] | None:
        law = get_law("clock")
        if others.points <= len(BoundLaw(law, others.sizes).names):
            return None
        found = fit_clock(others, self._whole, self.data.sizes)
        # In FLOPs the clock sees compute per parameter, a run its own.
        unit = 10.0 ** own_unit(law, others, np.array([params]))[0]
        return float(found["X_mid"][0] * unit), float(found["B"][0])


def others_of(runs: RunTable, x: str, series: str, evaluation: str) -> Others | None:
    """Return the sizes of a series; None where nothing of it can be fitted."""
    prepared = list(prepare(runs, x, {"series": series, "eval": evaluation}))
    return Others(prepared[0]) if prepared else None


def calibrate(past: list[Past], weights: dict[str, float]) -> Calibration:
    """Collect standardised errors by horizon; where few runs reach that far, Student's t of three degrees of freedom."""
    scores = []
    for one in past:
        if len(one.loss):
            mean, error = combine(weights, one.means, one.errors)
            scores.append((np.searchsorted(HORIZONS, one.horizon), np.abs(one.loss - mean) / error))
    factors = {level: np.full(len(HORIZONS) + 1, student(level, 3.0)) for level in LEVELS}
    for at in range(len(HORIZONS) + 1):
        mine = [score[where == at] for where, score in scores if (where == at).any()]
        if len(mine) < FEW_RUNS:
            continue
        values = np.concatenate(mine)
        share = np.concatenate([np.full(len(score), 1 / len(score)) for score in mine])
        order = np.argsort(values)
        reached = (np.cumsum(share[order]) - 0.5 * share[order]) / len(mine)
        for level in LEVELS:
            factors[level][at] = np.interp(level, reached, values[order])
    return Calibration(factors, len(scores))


@dataclass(frozen=True)
class Setting:
    """A run among its siblings: the whole curve with what they tell of it, and what forecasts of the others were worth."""

    curve: Curve
    series: str
    params: float
    past: list[Past]

    def judge(self, target: Curve) -> tuple[dict[str, float], Calibration]:
        """Return weights and calibration for the run as far as `target` goes."""
        past = [*self.past, look_back(target)]
        weights = weigh(past, [form.name for form in target.forms])
        return weights, calibrate(past, weights)


def among_siblings(runs: RunTable, run: str, x: str, evaluation: str) -> Setting:
    """Look back on every other run of a table; what a sibling is told has not seen the run itself."""
    everyone = curves_of(runs, x, evaluation)
    target, series, params = next(one for one in everyone if one[0].name == run)
    others = others_of(runs, x, series, evaluation)
    if others is not None:
        target = others.tell(target, params)
    past = []
    for curve, own, size in everyone:
        if curve.name == run:
            continue
        told = others is not None and target.slope is not None and own == series
        past.append(look_back(others.tell(curve, size, params) if told and others is not None else curve))
    return Setting(target, series, params, past)


def band(target: Curve, weights: dict[str, float], calibration: Calibration, x: Array) -> dict[str, Array]:
    """Return loss and bands at `x`, of the curve (low50, ...) and of a new evaluation (eval_low50, ...)."""
    ahead = look_ahead(target, x)
    means = {name: one.mean for name, one in ahead.items()}
    mean, error = combine(weights, means, {name: one.se for name, one in ahead.items()})
    _, error_new = combine(weights, means, {name: np.hypot(one.se, one.sigma) for name, one in ahead.items()})
    found = {"loss": mean, "se": error * calibration.width(0.95, np.log(x / target.x[-1])) / 1.96}
    for level in LEVELS:
        factor, name = calibration.width(level, np.log(x / target.x[-1])), f"{100 * level:.0f}"
        for prefix, width in (("", factor * error), ("eval_", factor * error_new)):
            found[f"{prefix}low{name}"] = np.maximum(mean - width, 0.0)
            found[f"{prefix}high{name}"] = np.minimum(mean + width, 1.0)
    return found
