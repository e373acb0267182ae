"""The horizon law: what it costs to learn proofs of a depth, T = a h^gamma, and how gamma rises with expressiveness.

Source: Wang et al. 2026, arXiv:2605.06638. T is where a run's accuracy first reaches the target; a run that ends before
it is kept as "more than all it had", one that begins above it as "less than its first update".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.answer import Answer
from scalefit.errors import FitError, UsageError, nearest
from scalefit.numerics.censored import FAR, Censored, equal, interval, likelihood
from scalefit.studies.crossing import ABOVE, BELOW, KNOWN, TARGET, compute_to_target
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
SIDE = {KNOWN: 0, ABOVE: 1, BELOW: -1}
FAR_APART = 1.5
"""Ratio of a crossing's limits beyond which it is told that it is little known."""


@dataclass(frozen=True)
class Horizon(Answer):
    """The law in every class.

    Attributes
    ----------
    crossings : list of dict
        Each run: class, depth, seed, status (reached, censored, from the start), value, low, high.
    classes : list of dict
        Each class, in order: runs, reached, low and high of gamma (95 %, None: no limit), and, where it has both limits,
        gamma, log10_a and doubling = 2^gamma.
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
    runs: Source,
    *,
    target: float = TARGET,
    x: str | None = None,
    order: Sequence[str] | None = None,
    where: Where | None = None,
) -> list[Horizon]:
    """Fit the horizon law to every series and size whose runs differ in depth.

    Parameters
    ----------
    runs : RunTable, path or data frame
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
    runs = select(runs, where)
    frame = runs.frame
    if "depth" not in frame or frame["depth"].isna().all():
        raise FitError(
            f"{runs.path}: the horizon law needs a column 'depth', the number of steps of a problem's proof; scalefit run writes it for "
            "the task 'logic' ([sweep] depth = [2, 4, 8])."
        )
    crossings = compute_to_target(runs, target=target, x=x).dropna(subset="depth")
    crossings["class"] = crossings["fragment"].astype(str) if "fragment" in crossings else "all"
    known = list(crossings["class"].unique())
    for name in order or ():
        if name not in known:
            raise UsageError(f"--order: no class {name!r} in {runs.path}; {nearest(name, known)}")
    classes = list(order) if order else known
    crossings = crossings[crossings["class"].isin(classes)]
    return [
        _study(str(series), float(str(params)), rows, classes, target)
        for (series, params), rows in crossings.groupby(["series", "params"], observed=True)
    ]


def _study(series: str, params: float, rows: pd.DataFrame, classes: list[str], target: float) -> Horizon:
    shown = rows.rename(columns={"run_id": "run"})[["class", "depth", "run", "status", "value", "low", "high"]]
    shown = shown.assign(place=shown["class"].map(classes.index)).sort_values(["place", "depth", "run"])
    crossings = [
        {str(name): None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
        for row in shown.drop(columns="place").to_dict("records")
    ]
    usable, warnings = _usable(crossings, classes, target)
    about = [
        {
            "class": name,
            "runs": sum(row["class"] == name for row in crossings),
            "reached": sum(row["class"] == name and row["status"] == KNOWN for row in crossings),
            **dict.fromkeys(("gamma", "low", "high", "log10_a", "doubling")),
        }
        for name in classes
    ]
    said = Horizon(
        series,
        params,
        str(rows["resource"].iloc[0]),
        target,
        crossings,
        about,
        [],
        None,
        float("nan"),
        "the data do not say.",
        warnings,
    )
    data = _observations(crossings, usable) if usable else None
    if data is None:
        return said
    if data.dof < 1:
        warnings.append(
            f"{data.known} crossings are seen, too few for {2 * len(usable)} coefficients and the spread between runs"
        )
        return said
    _, estimate = likelihood(data)
    slopes = {name: _slope(data, usable, name) for name in usable}
    for row in about:
        row |= slopes.get(str(row["class"]), {})
    contrasts = [_place(usable, after) - _place(usable, before) for before, after in itertools.pairwise(usable)]
    steps = []
    for (before, after), contrast in zip(itertools.pairwise(usable), contrasts, strict=True):
        value, low, high = interval(data, contrast)
        settled = low is not None and high is not None
        steps.append({"from": before, "to": after, "difference": value if settled else None, "low": low, "high": high})
    p_equal = equal(data, np.stack(contrasts)) if contrasts else None
    far = [
        row
        for row in crossings
        if row["status"] == KNOWN and float(row["high"] or np.inf) > FAR_APART * float(row["low"] or 0)
    ]
    if far:
        warnings.append(
            f"{len(far)} crossings are not known within a factor of {FAR_APART:g}; evaluate more often, or on more problems"
        )
    if censored := sum(row["status"] == ABOVE for row in crossings):
        warnings.append(
            f"{censored} of {len(crossings)} runs end before the target; they count as longer than they were"
        )
    return replace(
        said,
        steps=steps,
        p_equal=p_equal,
        scatter=float(np.sqrt(data.known / data.dof) / estimate[-1]),
        verdict=_verdict(slopes, steps, p_equal, [name for name in classes if name not in usable]),
    )


def _usable(crossings: list[dict[str, Any]], classes: list[str], target: float) -> tuple[list[str], list[str]]:
    """Return the classes whose slope can be asked for, and why the others cannot."""
    usable, warnings = [], []
    for name in classes:
        mine = [row for row in crossings if row["class"] == name]
        if len({row["depth"] for row in mine}) < 2:
            warnings.append(f"{name}: runs of one depth only; a slope needs two")
        elif not any(row["status"] == KNOWN for row in mine):
            what = " and ".join(sorted({row["status"] for row in mine}))
            warnings.append(
                f"{name}: no crossing of {target:g} is seen, all {len(mine)} runs are {what}: the data do not say what depth costs there"
            )
        else:
            usable.append(name)
    return usable, warnings


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
    # Without both limits the likelihood rises to the end: there is a bound, and no estimate.
    settled = abs(gamma) < FAR and low is not None and high is not None
    return {
        "gamma": gamma if settled else None,
        "low": low,
        "high": high,
        "log10_a": float(found[2 * classes.index(name)] / found[-1]) if settled else None,
        "doubling": 2**gamma if settled else None,
    }


def _verdict(
    slopes: dict[str, dict[str, Any]], steps: list[dict[str, Any]], p_equal: float | None, unknown: list[str]
) -> str:
    rest = f"; of {', '.join(unknown)} the data do not say" if unknown else ""
    if p_equal is None:
        (name,) = slopes
        return f"one class, {name}: whether gamma rises with expressiveness cannot be asked{rest}."
    if all(step["low"] is not None and step["low"] > 0 for step in steps):
        path = " to ".join([steps[0]["from"], *(step["to"] for step in steps)])
        return f"gamma rises from {path}{rest}."
    against = [step for step in steps if step["high"] is not None and step["high"] < 0]
    if against:
        return f"gamma does not rise in this order: it falls from {against[0]['from']} to {against[0]['to']}{rest}."
    if p_equal < 0.05:
        return f"the classes differ in gamma (p = {p_equal:.2g}), but not every step of the order is shown{rest}."
    return f"the data do not say: one gamma for all classes is not excluded (p = {p_equal:.2g}){rest}."
