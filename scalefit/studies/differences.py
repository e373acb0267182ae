"""How far two arms are apart: the one difference, with what differs from run to run in it.

What tells runs of one arm apart, their seed, is most of the error of a difference. It is measured where arms have several
runs, pooled over the sizes of a comparison and paired by seed where all arms have the same seeds. Where no arm has two
runs it is not known: an interval then holds the noise within runs only, and no arm is called better or equivalent.
Sources: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657 (two one-sided tests); Welch 1947, Biometrika 34, 28
(unpaired runs whose spreads may differ).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from scalefit.numerics.intervals import student

MARGIN = 0.02
"""What still counts as the same loss: about the binomial standard error of one evaluation, 500 problems at L = 0.7."""
WITHIN_DOF = 30.0
"""Degrees of freedom of the noise within runs, which whole curves give."""


class Measured(NamedTuple):
    """A quantity of one run: the run's seed (None: not recorded), the value, its standard error by noise within the run."""

    seed: int | None
    value: float
    se: float


class Spread(NamedTuple):
    """A variance and its degrees of freedom."""

    variance: float
    dof: int


@dataclass(frozen=True)
class Scatter:
    """How runs of one arm differ: as they are, and after what a seed adds to every arm; None where that is not known."""

    runs: Spread | None
    pairs: Spread | None


def in_pairs(arms: Sequence[Sequence[Measured]]) -> bool:
    """Say whether every arm has the same seeds, each once."""
    seeds = [sorted(-1 if run.seed is None else run.seed for run in arm) for arm in arms]
    return len(set(seeds[0])) == len(seeds[0]) and all(one == seeds[0] and -1 not in one for one in seeds)


def pooled_variance(groups: Iterable[Sequence[float]]) -> Spread | None:
    """Return the variance within groups; None where no group has two."""
    squares, dof = 0.0, 0
    for group in groups:
        if len(group) > 1:
            squares += float(np.var(group, ddof=1)) * (len(group) - 1)
            dof += len(group) - 1
    return Spread(squares / dof, dof) if dof else None


def scatter(groups: Iterable[Sequence[Sequence[Measured]]]) -> Scatter:
    """Return how runs differ within their arms.

    Parameters
    ----------
    groups : iterable
        At each size (or for each series), the arms with their runs. Where all arms of a group have the same seeds, what
        a seed adds to every arm is taken out: it does not change which arm is best.
    """
    groups = list(groups)
    squares, dof = 0.0, 0
    for arms in groups:
        if in_pairs(arms):
            table = np.array([[run.value for run in sorted(arm)] for arm in arms])
            rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
            squares += float((rest**2).sum())
            dof += (table.shape[0] - 1) * (table.shape[1] - 1)
    single = pooled_variance([run.value for run in arm] for arm in chain.from_iterable(groups))
    return Scatter(single, Spread(squares / dof, dof) if dof else None)


@dataclass(frozen=True)
class Difference:
    """A difference of two arms: value, standard error, degrees of freedom, and how many pairs of runs it rests on.

    `runs_differ` says whether the scatter between runs is in the standard error; `pooled` whether it comes from other
    sizes too, so that differences at several sizes share one estimate of it.
    """

    value: float
    se: float
    dof: float
    pairs: int
    runs_differ: bool
    pooled: bool = False

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return its interval."""
        width = student(level, self.dof) * self.se
        return self.value - width, self.value + width

    @property
    def row(self) -> dict[str, float]:
        """Difference, low, high (95 %) and se."""
        low, high = self.interval()
        return {"difference": self.value, "low": low, "high": high, "se": self.se}

    def equivalent(self, margin: float = MARGIN) -> bool:
        """Say whether both one-sided tests at 5 % put it within the margin; never without the scatter between runs."""
        low, high = self.interval(0.90)
        return self.runs_differ and -margin < low and high < margin

    @property
    def sign(self) -> int:
        """1 or -1 where the interval excludes 0, scatter between runs included, else 0."""
        low, high = self.interval()
        return int(self.runs_differ) * (int(low > 0) - int(high < 0))

    def verdict(self, first: str, second: str, margin: float = MARGIN) -> str:
        """Say which arm is better, that they are equivalent, or that the data do not say; lower is better."""
        if not self.runs_differ:
            low, high = self.interval()
            seen = f"{first} ended {abs(self.value):.3f} {'lower' if self.value < 0 else 'higher'} than {second}"
            noise = "more than noise within runs" if low > 0 or high < 0 else "no more than noise within runs"
            return f"the data do not say: {seen}, {noise}, with one run each; what another seed changes is not known"
        if self.equivalent(margin):
            return f"{first} and {second} are equivalent within {margin:g}"
        if self.sign:
            return f"{first} is better than {second}" if self.sign < 0 else f"{second} is better than {first}"
        return f"the data do not say: neither a difference nor equivalence within {margin:g} is shown"


def difference(first: Sequence[Measured], second: Sequence[Measured], known: Scatter | None = None) -> Difference:
    """Return the difference of two arms, first minus second.

    Parameters
    ----------
    first, second : sequences of Measured
        One a run.
    known : Scatter, optional
        From all arms and sizes of a comparison; by default from these two.

    Notes
    -----
    Pairs by seed: the scatter of pairs, pooled. Else, with two runs an arm, Welch's interval from these alone. Where an
    arm has one run, the scatter of the others' runs stands for its own; where there is none, noise within runs.
    """
    known = known or scatter([(first, second)])
    left, right = (np.array([run.value for run in arm]) for arm in (first, second))
    value = float(left.mean() - right.mean())
    share = 1 / len(left) + 1 / len(right)
    pairs = len(left) if in_pairs((first, second)) else 0
    if pairs and known.pairs:
        return Difference(
            value, float(np.sqrt(known.pairs.variance * share)), float(known.pairs.dof), pairs, True, True
        )
    if min(len(left), len(right)) > 1:
        from scipy.stats import ttest_ind

        se = float(np.sqrt(left.var(ddof=1) / len(left) + right.var(ddof=1) / len(right)))
        dof = float(ttest_ind(left, right, equal_var=False).df) if se else float(len(left) + len(right) - 2)
        return Difference(value, se, dof, 0, True)
    if known.runs:
        return Difference(value, float(np.sqrt(known.runs.variance * share)), float(known.runs.dof), pairs, True, True)
    within = sum(float(np.mean([run.se**2 for run in arm])) / len(arm) for arm in (first, second))
    return Difference(value, float(np.sqrt(within)), WITHIN_DOF, pairs, False)


def mean_difference(each: Sequence[Difference]) -> Difference:
    """Return the mean of the differences at several sizes; those that share an estimate of scatter share its freedom."""
    shared = [one for one in each if one.pooled]
    parts = [(sum(one.se**2 for one in shared), shared[0].dof)] if shared else []
    parts += [(one.se**2, one.dof) for one in each if not one.pooled]
    total = sum(variance for variance, _ in parts)
    dof = total**2 / sum(variance**2 / dof for variance, dof in parts) if total else parts[0][1]
    return Difference(
        float(np.mean([one.value for one in each])),
        float(np.sqrt(total)) / len(each),
        float(dof),
        sum(one.pairs for one in each),
        all(one.runs_differ for one in each),
    )
