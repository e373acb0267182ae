"""Runs that differ in one thing: where each ends, and differences of arms with intervals and an equivalence test.

An end level is the mean of the last evaluations, with the standard error that AR(1) noise leaves to it. Where arms have
several runs, intervals come from the spread of the runs, pooled over sizes and paired by seed; else only the noise
within runs is in them, and the result says so.
Source of the test: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657 (two one-sided tests).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data
from scalefit.numerics.ar1 import Noise
from scalefit.numerics.intervals import student
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import by_run

Array = NDArray[np.float64]
LAST_SHARE = 0.2
"""Share of a run's evaluations whose mean is its end level."""
MARGIN = 0.02
"""What still counts as the same loss: about the binomial standard error of one evaluation, 500 problems at L = 0.7."""


@dataclass(frozen=True)
class Ending:
    """One run: its place in the comparison, its curve and power law, its end level [loss] with standard error."""

    arm: float | str
    series: str
    eval: str
    params: float
    seed: int
    data: FitData
    power: Fit
    level: float
    se: float


def varies(runs: RunTable, column: str) -> bool:
    """Say whether a column differs between runs of one series, evaluation and size."""
    return bool((runs.frame.groupby(["series", "eval", "params"], observed=True)[column].nunique() > 1).any())


def mean_variance(noise: Noise, count: int, row: int = 0) -> float:
    """Return the variance of the mean of `count` neighbouring evaluations under AR(1) noise."""
    lag = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    return float(noise.sigma[row] ** 2 * np.mean(noise.rho**lag))


def single_runs(runs: RunTable, x: str) -> list[tuple[pd.Series, FitData]]:
    """Return every run alone: what is constant in it, and its curve."""
    found = []
    for about, rows in by_run(runs.frame):
        (data,) = prepare(RunTable(rows, runs.metadata, (), runs.path), x)
        found.append((about, data))
    return found


def endings(singles: Iterable[tuple[pd.Series, FitData]], arm: str, until: float) -> list[Ending]:
    """Return where runs end, cut at a value of the resource that all of a comparison reach."""
    found = []
    for about, data in singles:
        seen = data.present[0] & (data.resource[0, 0] <= until * (1 + 1e-9))
        count = int(seen.sum())
        last = max(round(LAST_SHARE * count), 1)
        if count < 5:
            raise FitError(
                f"run {about['run_id']}: {count} evaluations within what all runs reach; a comparison needs 5."
            )
        power = fit_data("power", data)
        loss = data.loss[0, seen][-last:]
        found.append(
            Ending(
                about[arm] if arm in about else arm,
                str(about["series"]),
                str(about["eval"]),
                float(about["params"]),
                int(about.get("seed", 0) or 0),
                data,
                power,
                float(loss.mean()),
                float(np.sqrt(mean_variance(power.noise, last))),
            )
        )
    return found


@dataclass(frozen=True)
class Difference:
    """A difference of two arms: value, standard error, degrees of freedom, and how many pairs it rests on.

    `runs_differ` says whether the spread between runs is in the standard error; without it only noise within runs is.
    """

    value: float
    se: float
    dof: float
    pairs: int
    runs_differ: bool

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return its interval."""
        width = student(level, self.dof) * self.se
        return self.value - width, self.value + width

    def equivalent(self, margin: float = MARGIN) -> bool:
        """Say whether both one-sided tests at 5 % put it within the margin."""
        low, high = self.interval(0.90)
        return -margin < low and high < margin

    def verdict(self, first: str, second: str, margin: float = MARGIN) -> str:
        """Say which arm is better, that they are equivalent, or that the data do not say; lower is better."""
        low, high = self.interval()
        if self.equivalent(margin):
            return f"{first} and {second} are equivalent within {margin:g}"
        if high < 0:
            return f"{first} is better than {second}"
        if low > 0:
            return f"{second} is better than {first}"
        return f"the data do not say: neither a difference nor equivalence within {margin:g} is shown"


def differ(
    first: Sequence[tuple[int, float, float]],
    second: Sequence[tuple[int, float, float]],
    pooled: tuple[float, int] | None = None,
) -> Difference:
    """Return the difference of two arms at one size.

    Parameters
    ----------
    first, second : sequences of (seed, value, standard error)
        One a run.
    pooled : (variance of a pair's difference, degrees of freedom), optional
        From all sizes of a comparison; by default from these pairs alone.
    """
    mine, theirs = {seed: (v, s) for seed, v, s in first}, {seed: (v, s) for seed, v, s in second}
    common = sorted(mine.keys() & theirs.keys())
    if len(common) == len(mine) == len(theirs):
        gaps = np.array([mine[seed][0] - theirs[seed][0] for seed in common])
    else:
        gaps = np.array([])
    value = float(np.mean([v for v, _ in mine.values()]) - np.mean([v for v, _ in theirs.values()]))
    if pooled is None and len(gaps) > 1:
        pooled = float(gaps.var(ddof=1)), len(gaps) - 1
    if pooled is not None and pooled[1] > 0 and len(gaps):
        return Difference(value, float(np.sqrt(pooled[0] / len(gaps))), float(pooled[1]), len(gaps), True)
    if len(mine) > 1 and len(theirs) > 1:
        spread = [np.var([v for v, _ in arm.values()], ddof=1) / len(arm) for arm in (mine, theirs)]
        return Difference(value, float(np.sqrt(sum(spread))), float(min(len(mine), len(theirs)) - 1), 0, True)
    within = [np.mean([s**2 for _, s in arm.values()]) / len(arm) for arm in (mine, theirs)]
    return Difference(value, float(np.sqrt(sum(within))), 30.0, len(common), False)


def pooled_variance(groups: Iterable[Sequence[float]]) -> tuple[float, int] | None:
    """Return the variance within groups and its degrees of freedom; None where no group has two."""
    squares, dof = 0.0, 0
    for group in groups:
        if len(group) > 1:
            squares += float(np.var(group, ddof=1)) * (len(group) - 1)
            dof += len(group) - 1
    return (squares / dof, dof) if dof else None
