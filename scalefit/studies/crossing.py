"""Compute to target: where a run first reaches an accuracy, with an interval, and runs that do not kept as censored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError, UsageError
from scalefit.table.resources import choose_resource
from scalefit.table.select import Source, Where, by_run, select

Array = NDArray[np.float64]
DRAWS = 400
"""Redraws of a run's evaluations behind the interval of its crossing."""
TARGET = 0.9
KNOWN, ABOVE, BELOW = "reached", "censored", "from the start"
"""Crossed between two evaluations; not by the end of the run; by the first evaluation after the start."""
SMOOTHED = 3
"""Evaluations whose mean decides where a run is at its best; what comes after is no learning curve."""
UNKNOWN_PROBLEMS = 1000
"""Problems taken for an evaluation that does not say how many it has."""


def compute_to_target(
    runs: Source,
    *,
    target: float = TARGET,
    x: str | None = None,
    where: Where | None = None,
) -> pd.DataFrame:
    """Return where every run first reaches a target accuracy.

    Parameters
    ----------
    runs : RunTable, path or data frame
        A runs table.
    target : float
        Accuracy, 1 - loss, that counts as learnt.
    x : str, optional
        What is counted; by default FLOPs where the table has them for every evaluation.
    where : mapping, optional
        Columns and the values to keep.

    Returns
    -------
    DataFrame
        A row a run and evaluation: what is constant in it, `resource`, and `status` (reached, censored, from the start),
        `value`, `low`, `high` of `crossing`.

    Raises
    ------
    FitError, UsageError
        If no run was evaluated after its start, the target is no accuracy, or the resource is not there.
    """
    if not 0 < target < 1:
        raise UsageError(f"--target {target:g}: an accuracy between 0 and 1, for instance 0.9.")
    runs = select(runs, where)
    frame = runs.frame
    if x is None and "flops" in frame and frame["flops"].notna().all():
        x = "flops"
    resource = choose_resource(runs, x)
    found = []
    for about, part in by_run(frame):
        rows = part.sort_values(resource, kind="stable")
        if not rows[resource].iloc[-1] > 0:
            continue  # evaluated before training only
        trials = float(rows["eval_size"].iloc[0]) if "eval_size" in rows else UNKNOWN_PROBLEMS
        at = crossing(rows[resource].to_numpy(float), 1 - rows["loss"].to_numpy(float), trials, target)
        found.append({**about, "resource": resource, **at})
    if not found:
        raise FitError(f"{runs.path}: no run was evaluated after its start.")
    return pd.DataFrame(found)


def rising(y: Array) -> Array:
    """Return the nearest curve that never falls; y is (..., T)."""
    from scipy.optimize import isotonic_regression

    return np.asarray(np.apply_along_axis(lambda row: isotonic_regression(row).x, -1, y))


def crossing(resource: Array, accuracy: Array, trials: float, target: float = TARGET, seed: int = 0) -> dict[str, Any]:
    """Return where a run first reaches a target, between evaluations by a straight line.

    The line is a guess: the interval always holds both evaluations that the crossing lies between, and a crossing
    before the first evaluation of a training run is a bound.

    Parameters
    ----------
    resource : ndarray, shape (T,)
        What had been spent at each evaluation, ascending [samples or FLOPs].
    accuracy : ndarray, shape (T,)
        Pass rate at each.
    trials : float
        Problems of an evaluation; their binomial error is redrawn for the interval.

    Returns
    -------
    dict
        status; value, low, high (95 %) in the resource, with high None where a redraw does not reach the target.
        A censored run's value is the bound.
    """
    smooth = np.convolve(accuracy, np.ones(SMOOTHED) / SMOOTHED, "valid") if len(accuracy) > SMOOTHED else accuracy
    until = int(np.argmax(smooth)) + (SMOOTHED if len(accuracy) > SMOOTHED else 1)
    x, y = resource[:until], accuracy[:until]
    fitted = rising(y)
    first = float(resource[resource > 0].min())
    if fitted[-1] < target:
        return {"status": ABOVE, "value": float(resource[-1]), "low": float(resource[-1]), "high": None}
    after = int(np.flatnonzero(fitted >= target)[0])
    if x[after] <= first:
        return {"status": BELOW, "value": first, "low": 0.0, "high": first}
    error = np.sqrt(np.maximum(fitted * (1 - fitted), 0.25 / trials) / trials)
    drawn = rising(fitted + error * np.random.default_rng(seed).standard_normal((DRAWS, len(y))))
    where = np.sort([_cross(x, row, target) for row in drawn])
    low, high = where[int(0.025 * DRAWS)], where[int(np.ceil(0.975 * DRAWS)) - 1]
    return {
        "status": KNOWN,
        "value": _cross(x, fitted, target),
        "low": float(min(low, x[after - 1])),
        "high": float(max(high, x[after])) if np.isfinite(high) else None,
    }


def _cross(x: Array, y: Array, target: float) -> float:
    above = np.flatnonzero(y >= target)
    if not len(above):
        return np.inf
    at = int(above[0])
    if at == 0:
        return float(x[0])
    share = (target - y[at - 1]) / (y[at] - y[at - 1])
    return float(x[at - 1] + share * (x[at] - x[at - 1]))
