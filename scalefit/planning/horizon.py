"""The horizon law: what it costs to learn proofs of a depth, T = a h^gamma, and how gamma rises with expressiveness.

Source: Wang et al. 2026, arXiv:2605.06638. T is where a run's accuracy first reaches the target; a run that ends before
it is kept as "more than all it had", one that begins above it as "less than its first update".
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError, UsageError, nearest
from scalefit.fitting.censored import FAR, Censored, equal, interval, likelihood
from scalefit.planning.answer import Answer
from scalefit.table.io import RunTable
from scalefit.table.prepare import choose, default_resource
from scalefit.units import format_quantity

Array = NDArray[np.float64]
DRAWS = 400
"""Redraws of a run's evaluations behind the interval of its crossing."""
TARGET = 0.9
KNOWN, ABOVE, BELOW = "reached", "censored", "from the start"
SIDE = {KNOWN: 0, ABOVE: 1, BELOW: -1}
SMOOTHED = 3
"""Evaluations whose mean decides where a run is at its best; what comes after is no learning curve."""


def rising(y: Array, weight: Array | None = None) -> Array:
    """Return the nearest curve that never falls, by pooling neighbours; y is (..., T).

    Source: Ayer et al. 1955, Ann. Math. Stat. 26, 641.
    """
    if y.ndim > 1:
        return np.stack([rising(row, weight) for row in y])
    means: list[float] = []
    counts: list[float] = []
    members: list[int] = []
    for value, w in zip(y.tolist(), np.ones(len(y)).tolist() if weight is None else weight.tolist(), strict=True):
        means.append(value)
        counts.append(w)
        members.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            total = counts[-2] + counts[-1]
            means[-2] = (means[-2] * counts[-2] + means[-1] * counts[-1]) / total
            counts[-2], members[-2] = total, members[-2] + members[-1]
            del means[-1], counts[-1], members[-1]
    return np.repeat(means, members)


def crossing(resource: Array, accuracy: Array, trials: float, target: float = TARGET, seed: int = 0) -> dict[str, Any]:
    """Return where a run first reaches a target, between evaluations by a straight line.

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
    if fitted[0] >= target:
        return {"status": BELOW, "value": max(float(x[0]), first), "low": 0.0, "high": max(float(x[0]), first)}
    error = np.sqrt(np.maximum(fitted * (1 - fitted), 0.25 / trials) / trials)
    drawn = rising(fitted + error * np.random.default_rng(seed).standard_normal((DRAWS, len(y))))
    where = np.sort([_cross(x, row, target) for row in drawn])
    low, high = where[int(0.025 * DRAWS)], where[int(np.ceil(0.975 * DRAWS)) - 1]
    value = max(_cross(x, fitted, target), 1e-3 * first)
    return {
        "status": KNOWN,
        "value": value,
        "low": float(min(low, value)),
        "high": float(max(high, value)) if np.isfinite(high) else None,
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


@dataclass(frozen=True)
class Horizon(Answer):
    """The law in every class.

    Attributes
    ----------
    crossings : list of dict
        Each run: class, depth, seed, status (reached, censored, from the start), value, low, high.
    classes : list of dict
        Each class, in order: runs, reached, gamma and log10_a with 95 % intervals (None: no limit), doubling = 2^gamma.
    steps : list of dict
        Each class against the one before it: difference of gamma with its interval.
    p_equal : float or None
        p value of one gamma for all classes.
    scatter : float
        Standard deviation of log10 T between runs.
    verdict : str
        Whether gamma rises with the classes in their order, or that the data do not say.
    """

    series: str
    params: float
    resource: str
    target: float
    crossings: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    p_equal: float | None
    scatter: float
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "classes"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series}, {format_quantity(self.params)}: {self.verdict}"


def study_horizon(
    runs: RunTable,
    *,
    target: float = TARGET,
    x: str | None = None,
    order: Sequence[str] | None = None,
    where: Mapping[str, str | float] | None = None,
) -> list[Horizon]:
    """Fit the horizon law to every series and size whose runs differ in depth.

    Parameters
    ----------
    runs : RunTable
        With columns `depth` and, for classes, `fragment`.
    target : float
        Accuracy that counts as learnt.
    x : {"samples", "flops"}, optional
        What T is counted in; by default FLOPs where the table has them.
    order : sequence of str, optional
        The classes from less to more expressive; by default in order of appearance.
    where : mapping, optional
        Columns and the values to keep.

    Raises
    ------
    FitError, UsageError
        If there is no depth that varies, no class is left, or an option makes no sense.
    """
    if not 0 < target < 1:
        raise UsageError(f"--target {target:g}: an accuracy between 0 and 1, for instance 0.9.")
    frame = choose(runs, where)
    if "depth" not in frame or frame["depth"].isna().all():
        raise FitError(
            f"{runs.path}: the horizon law needs a column 'depth', the number of steps of a problem's proof; scalefit run writes it for "
            "the task 'logic' ([sweep] depth = [2, 4, 8])."
        )
    frame = frame[frame["depth"].notna()]
    frame = frame.assign(fragment=frame["fragment"].astype(str) if "fragment" in frame else "all")
    known = list(frame["fragment"].unique())
    for name in order or ():
        if name not in known:
            raise UsageError(f"--order: no class {name!r} in {runs.path}; {nearest(name, known)}")
    classes = list(order) if order else known
    resource = x or ("flops" if "flops" in frame and frame["flops"].notna().all() else default_resource(frame))
    if resource not in frame or frame[resource].isna().any():
        raise UsageError(f"--x {resource}: {runs.path} has no {resource} for every evaluation.")
    found = []
    for (series, params), rows in frame[frame["fragment"].isin(classes)].groupby(["series", "params"], observed=True):
        found.append(_study(str(series), float(str(params)), rows, classes, resource, target))
    return found


def _study(series: str, params: float, rows: pd.DataFrame, classes: list[str], resource: str, target: float) -> Horizon:
    crossings = []
    for (name, depth, run), part in rows.groupby(["fragment", "depth", "run_id"], observed=True, sort=False):
        run_rows = part.sort_values(resource)
        trials = float(run_rows["eval_size"].iloc[0]) if "eval_size" in run_rows else 1e3
        at = crossing(run_rows[resource].to_numpy(float), 1 - run_rows["loss"].to_numpy(float), trials, target)
        crossings.append({"class": str(name), "depth": float(str(depth)), "run": str(run), **at})
    crossings.sort(key=lambda row: (classes.index(row["class"]), row["depth"], row["run"]))
    usable, warnings = [], []
    for name in classes:
        mine = [row for row in crossings if row["class"] == name]
        reached = [row for row in mine if row["status"] == KNOWN]
        if len({row["depth"] for row in mine}) < 2:
            warnings.append(f"{name}: runs of one depth only; a slope needs two")
        elif not reached:
            what = " and ".join(sorted({row["status"] for row in mine}))
            warnings.append(
                f"{name}: no crossing of {target:g} is seen, all {len(mine)} runs are {what}: the data do not say what depth costs there"
            )
        else:
            usable.append(name)
    blank = {"gamma": None, "low": None, "high": None, "log10_a": None, "doubling": None}
    about = [
        {
            "class": name,
            "runs": sum(row["class"] == name for row in crossings),
            "reached": sum(row["class"] == name and row["status"] == KNOWN for row in crossings),
            **blank,
        }
        for name in classes
    ]
    nothing = Horizon(
        series, params, resource, target, crossings, about, [], None, float("nan"), "the data do not say.", warnings
    )
    data = _observations(crossings, usable) if usable else None
    if data is None or data.dof < 1:
        if usable:
            warnings.append(
                f"{data.known if data else 0} crossings are seen, too few for {2 * len(usable)} coefficients and the spread between runs"
            )
        return nothing
    _, estimate = likelihood(data)
    scatter = 1 / float(estimate[-1]) * float(np.sqrt(data.known / data.dof))
    slopes = {name: _slope(data, usable, name) for name in usable}
    for row in about:
        if row["class"] in slopes:
            row |= slopes[str(row["class"])]
    steps = []
    for before, after in itertools.pairwise(usable):
        contrast = _place(usable, after) - _place(usable, before)
        value, low, high = interval(data, contrast)
        steps.append({"from": before, "to": after, "difference": value, "low": low, "high": high})
    p_equal = None
    if len(usable) > 1:
        p_equal = equal(
            data,
            np.stack([_place(usable, b) - _place(usable, a) for a, b in itertools.pairwise(usable)]),
        )
    censored = sum(row["status"] == ABOVE for row in crossings)
    if censored:
        warnings.append(
            f"{censored} of {len(crossings)} runs end before the target; they count as longer than they were"
        )
    return Horizon(
        series,
        params,
        resource,
        target,
        crossings,
        about,
        steps,
        p_equal,
        scatter,
        _verdict(slopes, steps, p_equal),
        warnings,
    )


def _observations(crossings: list[dict[str, Any]], classes: list[str]) -> Censored:
    """Return log10 T over an intercept and a slope in log10 depth for each class."""
    mine = [row for row in crossings if row["class"] in classes]
    design = np.zeros((len(mine), 2 * len(classes)))
    for at, row in enumerate(mine):
        column = 2 * classes.index(row["class"])
        design[at, column : column + 2] = 1.0, np.log10(row["depth"])
    return Censored(
        design,
        np.log10([row["value"] for row in mine]),
        np.array([SIDE[row["status"]] for row in mine]),
    )


def _place(classes: list[str], name: str) -> Array:
    out = np.zeros(2 * len(classes))
    out[2 * classes.index(name) + 1] = 1.0
    return out


def _slope(data: Censored, classes: list[str], name: str) -> dict[str, Any]:
    contrast = _place(classes, name)
    gamma, low, high = interval(data, contrast)
    _, found = likelihood(data)
    settled = abs(gamma) < FAR and not (low is None and high is None)
    return {
        "gamma": gamma if settled else None,
        "low": low,
        "high": high,
        "log10_a": float(found[2 * classes.index(name)] / found[-1]) if settled else None,
        "doubling": 2**gamma if settled else None,
    }


def _verdict(slopes: dict[str, dict[str, Any]], steps: list[dict[str, Any]], p_equal: float | None) -> str:
    if p_equal is None:
        (name,) = slopes
        return f"one class, {name}: whether gamma rises with expressiveness cannot be asked."
    if all(step["low"] is not None and step["low"] > 0 for step in steps):
        return "gamma rises from each class to the next."
    against = [step for step in steps if step["high"] is not None and step["high"] < 0]
    if against:
        return f"gamma does not rise in this order: it falls from {against[0]['from']} to {against[0]['to']}."
    if p_equal < 0.05:
        return f"the classes differ in gamma (p = {p_equal:.2g}), but not every step of the order is shown."
    return f"the data do not say: one gamma for all classes is not excluded (p = {p_equal:.2g})."
