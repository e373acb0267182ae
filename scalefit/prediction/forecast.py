"""The rest of a run: how far it will go, and when it is no longer worth it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, text_table, warning_lines
from scalefit.errors import FitError, UsageError, nearest
from scalefit.numerics.intervals import student
from scalefit.numerics.tails import normal_below
from scalefit.prediction.outlook import Outlook
from scalefit.prediction.rolling import LEAST_POINTS, Curve
from scalefit.prediction.siblings import LEVELS, Setting, among_siblings, band, bounds
from scalefit.said import Said
from scalefit.table.io import RunTable, as_runs
from scalefit.table.resources import choose_resource
from scalefit.table.select import Source, select
from scalefit.units import format_amount, format_quantity, say_amount, say_solved

Array = NDArray[np.float64]
REACH = 4.0
"""By default the forecast ends at so many times the resource spent."""
REFUSED = 30.0
FEW_RUNS = 3
"""Other runs that make a forecast one of this table."""
GRID, SHOWN = 120, 25
"""Points at which a forecast is made, and those that it keeps."""


@dataclass(frozen=True, repr=False)
class Forecast(Answer):
    """The rest of a run.

    Attributes
    ----------
    end : dict
        Of the run's end, the mean of the last tenth of its evaluations if it ends where the forecast does: the resource
        there, points (evaluations that the mean is of), loss, low50, high50, low95, high95, and se.
    curve : list of dict
        resource, loss, and 50 and 95 % bands of the curve (low50 ...) and of a new evaluation (eval_low50 ...).
    chance : dict or None
        Of reaching `--loss` by the end of the forecast: probability, and the resource at which the expected curve does.
    stop : dict or None
        Where the expected gain for another `per` of the resource falls below `--min-gain`.
    weights : dict
        At the end: of the shapes that curves take, and of the run's own power law as far as such runs keep to it.
    calibrated_on : str
        Whose errors make the band.
    """

    run: str
    series: str
    params: float
    resource: str
    points: int
    now: dict[str, float]
    end: dict[str, float]
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
        end = self.end
        where = say_amount(end[self.resource], self.resource)
        further = end[self.resource] / self.now[self.resource]
        where = (
            f"after {where}"
            if further < 1 + 1e-6
            else f"if it goes on to {where}, {further:.2g} times what it has spent"
        )
        band = f"95 % {end['low95']:.3f} to {end['high95']:.3f}"
        return f"{self.run} is expected to end at loss {end['loss']:.3f} {where}: {say_solved(end['loss'])} ({band})"

    def summary(self) -> str:
        """Return the text that `scalefit forecast` prints."""
        now = format_amount(self.now[self.resource], self.resource)
        about = f"{self.series}, {format_quantity(self.params)}; {self.points} evaluations, {now} {self.resource} spent"
        rows = [[self.resource, "loss", "50 % low", "high", "95 % low", "high", "new eval 95 % low", "high"]]
        names = ("loss", "low50", "high50", "low95", "high95", "eval_low95", "eval_high95")
        for point in self.curve[::4]:
            rows.append([format_amount(point[self.resource], self.resource), *(f"{point[name]:.3f}" for name in names)])
        about += f", expected loss there {self.now['loss']:.3f}; an end is the mean of the last {self.end['points']} evaluations"
        lines = [self.headline, f"  {about}", text_table(rows)]
        if self.chance is not None:
            lines.append(self._chance_text(self.chance))
        if self.stop is not None:
            lines.append(self._stop_text(self.stop))
        lines.append("  weighed: " + ", ".join(f"{name} {weight:.2f}" for name, weight in self.weights.items()))
        lines.append(f"  band: {self.calibrated_on}")
        return Said([*lines, *warning_lines(self.warnings)])

    def _chance_text(self, chance: dict[str, Any]) -> str:
        where, by = chance[f"expected_{self.resource}"], format_amount(chance[f"by_{self.resource}"], self.resource)
        expected = f"is there at {format_amount(where, self.resource)}" if where else "is not there by then"
        said = f"chance {chance['probability']:.0%}; the expected curve {expected}"
        return f"  loss {chance['loss']:g} by {by} {self.resource}: {said}"

    def _stop_text(self, stop: dict[str, Any]) -> str:
        per, where = format_amount(stop[f"per_{self.resource}"], self.resource), stop[self.resource]
        said = f"from {format_amount(where, self.resource)} on" if where else "not within the forecast"
        said = "already" if stop["already"] else said
        gain = f"is worth {stop['gain_now']:.4f} now; less than {stop['min_gain']:g} {said}"
        return f"  another {per} {self.resource} {gain}"


def forecast(
    runs: Source,
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
    runs : RunTable, path or data frame
        The run and, where there are any, its siblings: runs of other sizes, seeds and series on the same evaluation.
    run : str
        Its `run_id`.
    x : str, optional
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
    runs = as_runs(runs)
    evaluation, resource = _choose(runs, run, x, evaluation)
    if loss is not None and not 0 < loss < 1:
        raise UsageError(f"--loss {loss:g}: a loss is 1 - pass@1, between 0 and 1.")
    if min_gain is not None and not min_gain > 0:
        raise UsageError(f"--min-gain {min_gain:g}: must be greater than 0.")
    setting = among_siblings(runs, run, resource, evaluation)
    target = setting.curve
    now = float(target.x[-1])
    end = _end(until, now, resource)
    grid = np.geomspace(now, end, GRID)
    outlook = setting.look(end)
    found = band(outlook, grid)
    shown = np.unique(np.linspace(0, len(grid) - 1, SHOWN).astype(int))
    stop = None
    if min_gain is not None:
        step = per or 0.1 * now
        if now + step > REFUSED * now:
            raise UsageError(
                f"--per {format_quantity(step)} is {step / now:.3g} times what the run has spent ({format_quantity(now)} {resource}); "
                f"nothing supports a forecast beyond {REFUSED:g} times."
            )
        stop = _stop(min_gain, step, found["loss"] - outlook.ahead(grid + step).mean, grid, resource)
    share = float(outlook.shares(grid[-1:])[0])
    return Forecast(
        run=run,
        series=setting.series,
        params=setting.params,
        resource=resource,
        points=len(target.x),
        now={resource: now, "loss": float(found["loss"][0])},
        end=ending(outlook, end, resource),
        curve=[
            {resource: float(grid[i]), **{name: float(column[i]) for name, column in found.items() if name != "se"}}
            for i in shown
        ],
        chance=None if loss is None else _chance(loss, grid, found, resource),
        stop=stop,
        weights={"shapes": share, "own power law": 1 - share},
        calibrated_on=_calibrated(outlook),
        warnings=_warnings(target, outlook.lessons.runs, end / now, found),
    )


def forecast_curve(target: Curve, until: float, setting: Setting | None = None) -> dict[str, float]:
    """Forecast the mean of the last tenth of a run's evaluations if it ends at `until`.

    Parameters
    ----------
    target : Curve
        The run so far.
    until : float
        Where the run ends, beyond its last evaluation.
    setting : Setting, optional
        The run among its siblings.

    Returns
    -------
    dict
        x, points, loss, low50, high50, low95, high95, se; evaluations to come are as far apart as the last ones.
    """
    return ending((setting or Setting(target)).look(until, target), until)


def ending(outlook: Outlook, until: float, resource: str = "x") -> dict[str, float]:
    """Return what is to be expected of the run's end there, which the resource names."""
    mean, se, points = outlook.end(until)
    ends: dict[str, float] = {}
    for level in LEVELS:
        width = student(level, outlook.freedom) * se
        told = bounds(np.array(mean), np.array(width), f"{100 * level:.0f}")
        ends |= {name: float(one) for name, one in told.items()}
    return {resource: until, "points": points, "loss": mean, **ends, "se": se}


def _calibrated(outlook: Outlook) -> str:
    families, runs = len(outlook.prior.families), outlook.lessons.runs
    return f"as wrong as such forecasts were of {families} families of curves" + (
        f" and of runs of the table, worth {runs:.1f}" if runs else ""
    )


def _choose(runs: RunTable, run: str, x: str | None, evaluation: str | None) -> tuple[str, str]:
    """Return which evaluation of a run is meant and by which resource; raises where that is not clear or too little."""
    known = [str(name) for name in runs.frame["run_id"].unique()]
    if run not in known:
        raise UsageError(f"--run {run}: {runs.path} has no such run; {nearest(run, known)}")
    mine = select(runs, {"run_id": run}).frame
    evaluations = [str(name) for name in mine["eval"].unique()]
    if evaluation is None and len(evaluations) > 1:
        raise UsageError(f"run {run} has several evaluations; choose one with --eval: {', '.join(evaluations)}.")
    if evaluation is not None and evaluation not in evaluations:
        raise UsageError(f"--eval {evaluation}: run {run} has no such evaluation; {nearest(evaluation, evaluations)}")
    evaluation = evaluation or evaluations[0]
    resource = choose_resource(select(runs, {"run_id": run}) if len(mine) > 1 else runs, x)
    spent = mine[mine["eval"] == evaluation][resource]
    seen = int(spent[spent > 0].nunique())  # those at one amount are one
    if seen < LEAST_POINTS:
        raise FitError(
            f"run {run} has {seen} evaluations after its start; the data do not say how it goes on. A forecast needs {LEAST_POINTS}."
        )
    return evaluation, resource


def _end(until: float | None, now: float, resource: str) -> float:
    """Return where the forecast ends."""
    end = until or REACH * now
    if end <= now:
        raise UsageError(
            f"--until {format_amount(end, resource)}: the run is at {format_amount(now, resource)} {_many(resource)} already."
        )
    if end > REFUSED * now:
        raise UsageError(
            f"--until {format_amount(end, resource)} is {end / now:.3g} times what the run has spent ({format_amount(now, resource)} {resource}); "
            f"nothing supports a forecast beyond {REFUSED:g} times."
        )
    return end


def _many(resource: str) -> str:
    return "steps" if resource == "step" else resource


def _chance(loss: float, grid: Array, found: dict[str, Array], resource: str) -> dict[str, Any]:
    """Return the chance that the curve is at or below a loss at the end, by the calibrated error of the curve."""
    chance = float(normal_below((loss - found["loss"][-1]) / max(float(found["se"][-1]), 1e-9)))
    below = np.flatnonzero(found["loss"] <= loss)
    return {
        "loss": loss,
        "probability": chance,
        f"by_{resource}": float(grid[-1]),
        f"expected_{resource}": float(grid[below[0]]) if len(below) else None,
    }


def _stop(min_gain: float, per: float, gain: Array, grid: Array, resource: str) -> dict[str, Any]:
    """Return where another `per` of the resource gains less than `min_gain`; None where not within reach."""
    below = np.flatnonzero(gain < min_gain)
    return {
        "min_gain": min_gain,
        f"per_{resource}": per,
        "gain_now": float(gain[0]),
        resource: float(grid[below[0]]) if len(below) else None,
        "already": bool(len(below) and below[0] == 0),
    }


def _warnings(target: Curve, runs: float, reach: float, found: dict[str, Array]) -> list[str]:
    warnings = []
    if len(target.x) < 2 * LEAST_POINTS:
        warnings.append(
            f"only {len(target.x)} evaluations: an early prefix says little; trust the 95 % band, not the curve"
        )
    if runs < FEW_RUNS:
        warnings.append(f"fewer than {FEW_RUNS} other runs: the band rests on what other families of curves did")
    if float(found["high95"][-1] - found["low95"][-1]) > 0.5 * float(found["loss"][0]):
        warnings.append("at the end of the forecast the band is wider than half the present loss: the data do not say")
    if reach > REACH:
        warnings.append(
            f"{reach:.3g} times what is spent is further than any forecast was scored; treat the band as a guess"
        )
    return warnings
