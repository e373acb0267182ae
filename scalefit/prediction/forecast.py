"""The rest of a run: how far it will go, and when it is no longer worth it.

Forms of a curve are weighed by how they forecast this run so far and its siblings, and the band is as wide as such
forecasts were wrong: quantiles of their standardised errors, by how far ahead they looked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer
from scalefit.errors import FitError, UsageError, nearest
from scalefit.fitting.fit import fit_data
from scalefit.numerics.intervals import student
from scalefit.prediction.rolling import LEAST_POINTS, Curve, Past, combine, look_ahead, look_back, weigh
from scalefit.table.io import RunTable
from scalefit.table.prepare import prepare
from scalefit.table.select import default_resource, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
HORIZONS = np.array([0.1, 0.3, 0.7, 1.5])
"""Ends of the classes of log(X / X now) for which errors are collected."""
FEW_RUNS = 3
"""Other runs that a class of errors needs before its quantiles are used."""
REACH = 4.0
"""By default the forecast ends at so many times the resource spent."""
REFUSED = 30.0
LEVELS = (0.5, 0.95)


@dataclass(frozen=True)
class Forecast(Answer):
    """The rest of a run.

    Attributes
    ----------
    curve : list of dict
        resource, loss, and 50 and 95 % bands of the curve (low50 ...) and of a new evaluation (new_low50 ...).
    chance : dict or None
        Of reaching `--loss` by the end of the forecast: probability, and the resource at which the expected curve does.
    stop : dict or None
        Where the expected gain for another `per` of the resource falls below `--min-gain`.
    weights : dict
        Of the forms, by their rolling held-out score.
    calibrated_on : str
        Whose errors make the band.
    """

    run: str
    series: str
    params: float
    resource: str
    points: int
    now: dict[str, float]
    curve: list[dict[str, float]]
    chance: dict[str, Any] | None
    stop: dict[str, Any] | None
    weights: dict[str, float]
    calibrated_on: str
    warnings: list[str]

    ROWS: ClassVar[str] = "curve"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        end = self.curve[-1]
        loss = f"{end['loss']:.3f} (95 % {end['low95']:.3f} to {end['high95']:.3f})"
        return f"{self.run}: expected loss {loss} at {format_quantity(end[self.resource])} {self.resource}"


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


def law_slopes(
    runs: RunTable, x: str, series: str, evaluation: str, params: float, without: float | None = None
) -> tuple[float, float] | None:
    """Return k(N) and its error from the law of the other sizes of a series; None where there are too few."""
    for data in prepare(runs, x, {"series": series, "eval": evaluation}):
        keep = (data.params != params) & (data.params != without)
        if len(np.unique(data.params[keep])) < 3:
            return None
        try:
            k = fit_data("saturating", data.keep(keep)).k(params)
        except FitError:
            return None
        return (k.value, max(k.se, 0.1 * abs(k.value), 1e-3)) if np.isfinite(k.se) else None
    return None


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
    """A run among its siblings: the whole curve with its law's slope, and what forecasts of the others were worth."""

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
    """Look back on every other run of a table; the law that a sibling is given has not seen the run itself."""
    everyone = curves_of(runs, x, evaluation)
    target, series, params = next(one for one in everyone if one[0].name == run)
    slope = law_slopes(runs, x, series, evaluation, params)
    past = []
    for curve, own, size in everyone:
        if curve.name != run:
            known = law_slopes(runs, x, own, evaluation, size, params) if slope and own == series else None
            past.append(look_back(Curve(curve.name, curve.x, curve.loss, known)))
    return Setting(Curve(target.name, target.x, target.loss, slope), series, params, past)


def band(target: Curve, weights: dict[str, float], calibration: Calibration, x: Array) -> dict[str, Array]:
    """Return loss and bands at `x`, of the curve (low50, ...) and of a new evaluation (new_low50, ...)."""
    ahead = look_ahead(target, x)
    means = {name: one.mean for name, one in ahead.items()}
    mean, error = combine(weights, means, {name: one.se for name, one in ahead.items()})
    _, error_new = combine(weights, means, {name: np.hypot(one.se, one.sigma) for name, one in ahead.items()})
    found = {"loss": mean, "se": error * calibration.width(0.95, np.log(x / target.x[-1])) / 1.96}
    for level in LEVELS:
        factor, name = calibration.width(level, np.log(x / target.x[-1])), f"{100 * level:.0f}"
        for prefix, width in (("", factor * error), ("new_", factor * error_new)):
            found[f"{prefix}low{name}"] = np.maximum(mean - width, 0.0)
            found[f"{prefix}high{name}"] = np.minimum(mean + width, 1.0)
    return found


def forecast(
    runs: RunTable,
    run: str,
    *,
    x: str | None = None,
    evaluation: str | None = None,
    until: float | None = None,
    loss: float | None = None,
    min_gain: float | None = None,
    per: float | None = None,
) -> Forecast:
    """Forecast the rest of a run.

    Parameters
    ----------
    runs : RunTable
        The run and, where there are any, its siblings: runs of other sizes, seeds and series on the same evaluation.
    run : str
        Its `run_id`.
    x : {"samples", "flops"}, optional
        Resource; by default the first that varies.
    evaluation : str, optional
        Name of the evaluation; needed where the run has several.
    until : float, optional
        Where the forecast ends, in the resource; by default four times what is spent.
    loss : float, optional
        A loss whose chance of being reached is asked for.
    min_gain : float, optional
        Fall of the loss that another `per` of the resource must be worth.
    per : float, optional
        By default a tenth of what is spent.

    Returns
    -------
    Forecast

    Raises
    ------
    FitError
        If the run has too few evaluations.
    UsageError
        If there is no such run, or a value makes no sense.
    """
    frame = runs.frame
    known = [str(name) for name in frame["run_id"].unique()]
    if run not in known:
        raise UsageError(f"--run {run}: {runs.path} has no such run; {nearest(run, known)}")
    mine = select(runs, {"run_id": run}).frame
    evaluations = [str(name) for name in mine["eval"].unique()]
    if evaluation is None and len(evaluations) > 1:
        raise UsageError(f"run {run} has several evaluations; choose one with --eval: {', '.join(evaluations)}.")
    if evaluation is not None and evaluation not in evaluations:
        raise UsageError(f"--eval {evaluation}: run {run} has no such evaluation; {nearest(evaluation, evaluations)}")
    evaluation = evaluation or evaluations[0]
    resource = x or default_resource(mine)
    if resource not in frame or mine[resource].isna().all():
        raise UsageError(f"--x {resource}: run {run} has no {resource}.")
    if loss is not None and not 0 < loss < 1:
        raise UsageError(f"--loss {loss:g}: a loss is 1 - pass@1, between 0 and 1.")
    if min_gain is not None and not min_gain > 0:
        raise UsageError(f"--min-gain {min_gain:g}: must be greater than 0.")
    seen = int((mine[mine["eval"] == evaluation][resource] > 0).sum())
    if seen < LEAST_POINTS:
        raise FitError(
            f"run {run} has {seen} evaluations after its start; the data do not say how it goes on. A forecast needs {LEAST_POINTS}."
        )
    setting = among_siblings(runs, run, resource, evaluation)
    target, series, params = setting.curve, setting.series, setting.params
    weights, calibration = setting.judge(target)
    now = float(target.x[-1])
    end = until or REACH * now
    if end <= now:
        raise UsageError(f"--until {format_quantity(end)}: the run is at {format_quantity(now)} {resource} already.")
    if end > REFUSED * now:
        raise UsageError(
            f"--until {format_quantity(end)} is {end / now:.3g} times what the run has spent ({format_quantity(now)} {resource}); "
            f"nothing supports a forecast beyond {REFUSED:g} times."
        )
    grid = np.geomspace(now, end, 120)
    found = band(target, weights, calibration, grid)
    warnings = _warnings(target, calibration, end / now, found)
    shown = np.unique(np.linspace(0, len(grid) - 1, 25).astype(int))
    step = per or 0.1 * now
    return Forecast(
        run,
        series,
        params,
        resource,
        len(target.x),
        {resource: now, "loss": float(found["loss"][0])},
        [
            {resource: float(grid[i]), **{name: float(column[i]) for name, column in found.items() if name != "se"}}
            for i in shown
        ],
        _chance(loss, grid, found, resource) if loss is not None else None,
        _stop(min_gain, step, target, weights, grid, found["loss"], resource) if min_gain is not None else None,
        weights,
        f"{calibration.runs} runs of the table"
        if calibration.runs >= FEW_RUNS
        else "Student's t: too few runs to calibrate on",
        warnings,
    )


def _chance(loss: float, grid: Array, found: dict[str, Array], resource: str) -> dict[str, Any]:
    """Return the chance that the curve is at or below a loss at the end, by the calibrated error of the curve."""
    from scipy.special import ndtr

    chance = float(ndtr((loss - found["loss"][-1]) / max(float(found["se"][-1]), 1e-9)))
    below = np.flatnonzero(found["loss"] <= loss)
    return {
        "loss": loss,
        "probability": chance,
        f"by_{resource}": float(grid[-1]),
        f"expected_{resource}": float(grid[below[0]]) if len(below) else None,
    }


def _stop(
    min_gain: float, per: float, target: Curve, weights: dict[str, float], grid: Array, loss: Array, resource: str
) -> dict[str, Any]:
    """Return where another `per` of the resource is expected to gain less than `min_gain`; None where not within reach."""
    later = look_ahead(target, grid + per)
    mean, _ = combine(weights, {n: one.mean for n, one in later.items()}, {n: one.se for n, one in later.items()})
    gain = loss - mean
    below = np.flatnonzero(gain < min_gain)
    return {
        "min_gain": min_gain,
        f"per_{resource}": per,
        "gain_now": float(gain[0]),
        resource: float(grid[below[0]]) if len(below) else None,
        "already": bool(len(below) and below[0] == 0),
    }


def _warnings(target: Curve, calibration: Calibration, reach: float, found: dict[str, Array]) -> list[str]:
    warnings = []
    if len(target.x) < 2 * LEAST_POINTS:
        warnings.append(
            f"only {len(target.x)} evaluations: an early prefix says little; trust the 95 % band, not the curve"
        )
    if calibration.runs < FEW_RUNS:
        warnings.append(f"fewer than {FEW_RUNS} other runs: the band rests on this run alone and is not calibrated")
    if float(found["high95"][-1] - found["low95"][-1]) > 0.5 * float(found["loss"][0]):
        warnings.append("at the end of the forecast the band is wider than half the present loss: the data do not say")
    if reach > REACH:
        warnings.append(
            f"{reach:.3g} times what is spent is further than any forecast was scored; treat the band as a guess"
        )
    return warnings
