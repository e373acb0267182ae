"""The horizon law: what it costs to learn proofs of a depth, T = a h^gamma, and how gamma rises with expressiveness.

Source: Wang et al. 2026, arXiv:2605.06638. T is where a run's accuracy first reaches the target; a run that ends before
it is kept as "more than all it had", one that begins above it as "less than its first update".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, text_table, warning_lines
from scalefit.errors import FitError, UsageError, nearest
from scalefit.numerics.censored import FAR, Censored, equal, interval, likelihood
from scalefit.said import Said
from scalefit.studies.crossing import ABOVE, BELOW, KNOWN, TARGET, compute_to_target
from scalefit.table.select import Source, Where, select
from scalefit.units import format_amount, format_quantity

Array = NDArray[np.float64]
SIDE = {KNOWN: 0, ABOVE: 1, BELOW: -1}
FAR_APART = 1.5
"""Ratio of a crossing's limits beyond which it is told that it is little known."""


@dataclass(frozen=True, repr=False)
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
        about = f"{self.series}, {format_quantity(self.params)}, {self.resource} until {self.target:g} accuracy"
        return f"{about}: {self.verdict}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        lines = [self.headline]
        depths = sorted({row["depth"] for row in self.crossings})
        rows = [["class", "reached", *(f"h = {depth:g}" for depth in depths), "gamma [95 %]", "doubling costs"]]
        for row in self.classes:
            mine = [one for one in self.crossings if one["class"] == row["class"]]
            cells = [_median([one for one in mine if one["depth"] == depth], self.resource) for depth in depths]
            doubling = "" if row["doubling"] is None else f"{row['doubling']:.2f}x"
            rows.append([row["class"], f"{row['reached']}/{row['runs']}", *cells, _said(row["gamma"], row), doubling])
        lines.append(text_table(rows))
        for step in self.steps:
            lines.append(f"  gamma of {step['to']} minus {step['from']}: {_said(step['difference'], step)}")
        if self.p_equal is not None:
            lines.append(
                f"  one gamma for all: p = {self.p_equal:.2g}; scatter between runs {self.scatter:.2f} decades"
            )
        return Said([*lines, *warning_lines(self.warnings)])


def _median(runs: list[dict[str, Any]], resource: str) -> str:
    """Return the median crossing of the runs of a depth, with > where it is not reached."""
    if not runs:
        return ""
    ordered = sorted(runs, key=lambda row: (row["status"] == ABOVE, row["value"]))
    middle = ordered[(len(ordered) - 1) // 2]
    mark = {ABOVE: ">", BELOW: "<"}.get(middle["status"], "")
    return mark + format_amount(middle["value"], resource)


def _said(value: float | None, row: dict[str, Any]) -> str:
    """Return an estimate with its interval, or the bound there is, or that there is none."""
    low, high = row["low"], row["high"]
    if value is not None:
        return f"{value:.2f} [{low:.2f}, {high:.2f}]"
    if low is None and high is None:
        return "not determined"
    return f"at least {low:.2f}" if high is None else f"at most {high:.2f}"


def study_horizon(
    runs: Source,
    *,
    target: float = TARGET,
    x: str | None = None,
    order: Sequence[str] | None = None,
    depth: str = "depth",
    kind: str = "fragment",
    where: Where | None = None,
) -> Answers[Horizon]:
    """Fit the horizon law to every series and size whose runs differ in depth.

    Parameters
    ----------
    runs : RunTable, path or data frame
        With a column of depths and, for classes, one of kinds.
    target : float
        Accuracy that counts as learnt.
    x : str, optional
        What T is counted in; by default FLOPs where the table has them.
    order : sequence of str, optional
        The classes from less to more expressive; by default in order of appearance.
    depth, kind : str
        Columns that hold the number of steps of a problem, and its class.
    where : mapping, optional
        Column to a value or a list of values.

    Raises
    ------
    FitError, UsageError
        If there is no depth that varies, no class is left, or an option makes no sense.
    """
    runs = select(runs, where)
    frame = runs.frame
    if depth not in frame or frame[depth].isna().all():
        raise FitError(
            f"{runs.path}: the horizon law needs a column {depth!r}, the number of steps of a problem's proof; scalefit run writes it for "
            "the task 'logic' ([sweep] task.depth = [2, 4, 8])."
        )
    crossings = compute_to_target(runs, target=target, x=x)
    if depth not in crossings or (kind in frame and kind not in crossings):
        raise FitError(f"{runs.path}: {depth} or {kind} changes within a run; give each part its own run_id.")
    crossings = crossings.dropna(subset=depth)
    crossings["class"] = crossings[kind].astype(str) if kind in crossings else "all"
    known = list(crossings["class"].unique())
    for name in order or ():
        if name not in known:
            raise UsageError(f"--order: no class {name!r} in {runs.path}; {nearest(name, known)}")
    classes = list(order) if order else known
    crossings = crossings[crossings["class"].isin(classes)].rename(columns={depth: "depth"})
    groups = crossings.groupby(["series", "params"], observed=True)
    return Answers([_study(str(key[0]), float(str(key[1])), rows, classes, target) for key, rows in groups])


def _study(series: str, params: float, rows: pd.DataFrame, classes: list[str], target: float) -> Horizon:
    shown = rows.rename(columns={"run_id": "run"})[["class", "depth", "run", "status", "value", "low", "high"]]
    shown = shown.assign(place=shown["class"].map(classes.index)).sort_values(["place", "depth", "run"])
    crossings = [
        {str(name): None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
        for row in shown.drop(columns="place").to_dict("records")
    ]
    usable, warnings = _usable(crossings, classes, target)
    found = _Slopes({}, [], None, float("nan"))
    verdict = "the data do not say."
    data = _observations(crossings, usable) if usable else None
    if data is not None and data.dof < 1:
        warnings.append(
            f"{data.known} crossings are seen, too few for {2 * len(usable)} coefficients and the spread between runs"
        )
    elif data is not None:
        found = _fit(data, usable)
        verdict = _verdict(found, [name for name in classes if name not in usable])
        warnings += _tell(crossings)
    about = []
    for name in classes:
        mine = [row for row in crossings if row["class"] == name]
        reached = sum(row["status"] == KNOWN for row in mine)
        slope = found.slopes.get(name, dict.fromkeys(("gamma", "low", "high", "log10_a", "doubling")))
        about.append({"class": name, "runs": len(mine), "reached": reached, **slope})
    resource = str(rows["resource"].iloc[0])
    law = about, found.steps, found.p_equal, found.scatter
    return Horizon(series, params, resource, target, crossings, *law, verdict, warnings)


class _Slopes(NamedTuple):
    """Of each class its slope, each against the one before, p of one for all, and the scatter between runs."""

    slopes: dict[str, dict[str, Any]]
    steps: list[dict[str, Any]]
    p_equal: float | None
    scatter: float


def _fit(data: Censored, classes: list[str]) -> _Slopes:
    _, estimate = likelihood(data)
    steps, contrasts = [], []
    for before, after in itertools.pairwise(classes):
        contrasts.append(_place(classes, after) - _place(classes, before))
        value, low, high = interval(data, contrasts[-1])
        settled = low is not None and high is not None
        steps.append({"from": before, "to": after, "difference": value if settled else None, "low": low, "high": high})
    p_equal = equal(data, np.stack(contrasts)) if contrasts else None
    scatter = float(np.sqrt(data.known / data.dof) / estimate[-1])
    return _Slopes({name: _slope(data, classes, name) for name in classes}, steps, p_equal, scatter)


def _tell(crossings: list[dict[str, Any]]) -> list[str]:
    """Return why to trust the slopes less."""
    warnings = []
    far = sum(
        row["status"] == KNOWN and float(row["high"] or np.inf) > FAR_APART * float(row["low"] or 0)
        for row in crossings
    )
    if far:
        warnings.append(
            f"{far} crossings are not known within a factor of {FAR_APART:g}; evaluate more often, or on more problems"
        )
    if censored := sum(row["status"] == ABOVE for row in crossings):
        warnings.append(
            f"{censored} of {len(crossings)} runs end before the target; they count as longer than they were"
        )
    return warnings


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


def _verdict(found: _Slopes, unknown: list[str]) -> str:
    slopes, steps, p_equal = found.slopes, found.steps, found.p_equal
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
