"""Where runs end: every run by itself, arms of runs that differ in one thing, and the one end level."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each
from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data
from scalefit.numerics.ar1 import covariance
from scalefit.studies.differences import Measured, Scatter, scatter
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import by_run
from scalefit.units import format_quantity

Array = NDArray[np.float64]
Key = tuple[str, str, float]
"""Series, evaluation and size: runs are compared within it."""
One = TypeVar("One")
Arms = dict[float, list[One]]
Kind = TypeVar("Kind", bound=Answer)
LAST_SHARE = 0.2
"""Share of what is spent over whose last part the end level is the mean."""
LEAST_POINTS = 5
"""Evaluations of a run whose noise can be told."""


@dataclass(frozen=True)
class Single:
    """One run by itself: what is constant in it, its rows and the resource that is counted."""

    about: pd.Series
    table: RunTable
    x: str

    @property
    def key(self) -> Key:
        """Series, evaluation and size."""
        return str(self.about["series"]), str(self.about["eval"]), float(self.about["params"])

    @property
    def seed(self) -> int | None:
        """Its seed."""
        seed = self.about.get("seed")
        return None if seed is None or pd.isna(seed) else int(seed)

    @cached_property
    def data(self) -> FitData:
        """Its curve."""
        return prepare(self.table, self.x)[0]

    @cached_property
    def curve(self) -> tuple[Array, Array]:
        """What was spent at its evaluations, ascending, and the loss, both (T,)."""
        seen = self.data.present[0]
        x, loss = self.data.resource[0, 0, seen], self.data.loss[0, seen]
        # FLOPs that are means over a changing set of runs may fall from one evaluation to the next.
        order = np.argsort(x, kind="stable")
        return x[order], loss[order]

    @cached_property
    def power(self) -> Fit:
        """Its own power law."""
        if (points := len(self.curve[0])) < LEAST_POINTS:
            raise FitError(f"run {self.about['run_id']}: {points} evaluations; a comparison needs {LEAST_POINTS}.")
        return fit_data("power", self.data)


def single_runs(runs: RunTable, x: str) -> dict[Key, list[Single]]:
    """Return every run by itself, by series, evaluation and size."""
    found: dict[Key, list[Single]] = {}
    for about, rows in by_run(runs.frame):
        one = Single(about, RunTable(rows, runs.metadata, (), runs.path), x)
        found.setdefault(one.key, []).append(one)
    return dict(sorted(found.items()))


def split_arms(singles: Iterable[Single], column: str) -> Arms[Single]:
    """Return the runs by the value of a column that is constant in each, ascending; runs without a value are left out."""
    found: Arms[Single] = {}
    for one in singles:
        if column not in one.about:
            raise FitError(f"{one.table.path}: column {column!r} changes within a run; give each part its own run_id.")
        if np.isfinite(one.about[column]):
            found.setdefault(float(one.about[column]), []).append(one)
    return dict(sorted(found.items()))


def common_reach(singles: Iterable[Single]) -> tuple[float, float]:
    """Return between which values of the resource every run was evaluated."""
    spans = [(float(one.curve[0].min()), float(one.curve[0].max())) for one in singles]
    return max(low for low, _ in spans), min(high for _, high in spans)


def end_level(run: Single, until: float) -> Measured:
    """Return where a run is at a value of the resource: its mean loss over the last fifth of what was spent by then.

    Between evaluations the loss is a straight line over log X, as a power law nearly is, so that runs evaluated at other
    places are compared at the same ones. A mean over a fifth has a third of the error of one evaluation, and no curve's
    form in it; what the loss falls within that fifth all arms share. The standard error is that of AR(1) noise about the
    run's own power law; what another seed would change comes from other runs, in `difference`.

    Raises
    ------
    FitError
        If the run has too few evaluations, or none that early or that late.
    """
    x, loss = run.curve
    low, high = (1 - LAST_SHARE) * until, until
    if low < x[0] * (1 - 1e-9) or high > x[-1] * (1 + 1e-9):
        raise FitError(
            f"run {run.about['run_id']} was evaluated from {x[0]:g} to {x[-1]:g} {run.x}; its level at {until:g} is the mean "
            f"over {low:g} to {high:g}."
        )
    noise = run.power.noise
    weight = mean_weights(np.log(x), np.log(low), np.log(high))
    variance = float(weight @ covariance(noise, len(x)) @ weight)
    return Measured(run.seed, float(weight @ loss), float(np.sqrt(max(variance, 0.0))))


def mean_weights(x: Array, low: float, high: float) -> Array:
    """Return the weights of points (T,) in the mean from `low` to `high` of straight lines between them."""
    at = np.concatenate([[low], x[(x > low) & (x < high)], [high]])
    share = np.zeros(len(at))
    share[:-1] += np.diff(at) / 2
    share[1:] += np.diff(at) / 2
    hats = np.stack([np.interp(at, x, one) for one in np.eye(len(x))], 1)
    return np.asarray(share @ hats / (high - low))


def known_scatter(ends: Arms[Measured], siblings: Sequence[Arms[Single]]) -> Scatter:
    """Return the scatter of runs at the end of a size; where no arm of it has two runs, that of the other sizes' arms."""
    own = scatter([list(ends.values())])
    if own.runs or own.pairs:
        return own
    others = []
    for arms in siblings:
        # A size whose own runs cannot be compared refuses itself, not this one.
        with suppress(FitError):
            others.append(list(ends_at(arms, common_reach(chain(*arms.values()))[1]).values()))
    return scatter(others)


def ends_at(arms: Arms[Single], until: float) -> Arms[Measured]:
    """Return the end levels of the runs of arms."""
    return {arm: [end_level(one, until) for one in some] for arm, some in arms.items()}


def answer_arms(
    runs: RunTable,
    x: str,
    column: str,
    study: Callable[[Key, Arms[Single], Sequence[Arms[Single]]], Kind],
    *,
    split: Callable[[Sequence[Single]], Mapping[float, Sequence[Single]]] | None = None,
    whole: Callable[[Key, Mapping[float, Arms[Single]]], Kind] | None = None,
) -> Answers[Kind]:
    """Study every size whose runs differ in a column.

    Parameters
    ----------
    study : callable
        Given series, evaluation and size, the arms, and those of other sizes of the same series and evaluation.
    split : callable, optional
        Parts the runs of a size into such as are compared, by their length [x]; by default all are.
    whole : callable, optional
        Asked besides of a size that was split, given its arms by length.

    Raises
    ------
    FitError
        If the column varies nowhere, or no size can be answered.
    """
    parts = {key: split(some) if split else {0.0: some} for key, some in single_runs(runs, x).items()}
    arms = {(key, at): split_arms(some, column) for key, by in parts.items() for at, some in by.items()}
    names = {(key, at): name_of(key) + (f", {format_quantity(at)} {x}" if at else "") for key, at in arms}
    several = {part: some for part, some in arms.items() if len(some) > 1}
    if not several:
        raise FitError(
            f"{runs.path}: {column} does not vary within a size; run the same size with another value ([sweep] {column})."
        )
    asked = {
        names[part]: partial(study, part[0], some, [one for at, one in several.items() if _siblings(at[0], part[0])])
        for part, some in several.items()
    }
    for key, by in parts.items():
        if whole and len(by) > 1:
            lengths = {at: several[key, at] for at in by if (key, at) in several}
            asked[f"{name_of(key)}, all lengths"] = partial(whole, key, lengths)
    found = answer_each(asked)
    rest = {names[part]: f"{column} does not vary" for part in arms if part not in several}
    return Answers(found, {**found.unanswered, **rest})


def _siblings(one: Key, other: Key) -> bool:
    return one[:2] == other[:2] and one != other


def name_of(key: Key) -> str:
    """Return what a size of a series on an evaluation is called."""
    series, evaluation, params = key
    return f"{series} on {evaluation}, {format_quantity(params)}"
