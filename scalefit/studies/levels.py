"""Mean levels of arms at several budgets, and what any combination of them is worth by how runs differ.

A run's levels at two budgets are correlated; runs are independent once what a seed adds to every arm is taken out.
Shapes: A arms, B budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.studies.differences import WITHIN_DOF, Difference, Measured, in_pairs
from scalefit.studies.ends import Single, end_level

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """Where arms are at budgets.

    Attributes
    ----------
    mean : ndarray, shape (A, B)
        Not a number where an arm has not been.
    count : ndarray, shape (A,)
        Runs.
    covariance : ndarray, shape (B, B)
        Of a run's levels within its arm.
    freedom : ndarray, shape (B, B)
        Degrees of freedom of each of its entries.
    runs_differ : bool
        Whether the covariance is that between runs; else it is noise within runs.
    """

    mean: Array
    count: Array
    covariance: Array
    freedom: Array
    runs_differ: bool

    def dof(self, budgets: Sequence[int]) -> float:
        """Return the degrees of freedom of what is said of some budgets: the fewest of any pair of them."""
        return float(self.freedom[np.ix_(budgets, budgets)].min()) if len(budgets) else float(self.freedom.max())

    def cover(self, weights: Array) -> Array:
        """Return the covariance of combinations of the levels, `weights` (n, A, B), shape (n, n)."""
        return np.asarray(np.einsum("nab,bc,mac,a->nm", weights, self.covariance, weights, 1 / self.count))

    def combine(self, weights: Array) -> Difference:
        """Return a combination of the levels, `weights` (A, B); at every budget they sum to 0."""
        at = np.flatnonzero(weights.any(0)).tolist()
        value = float(np.sum(weights * np.where(weights == 0, 0.0, self.mean)))
        variance = float(self.cover(weights[None])[0, 0])
        return Difference(value, float(np.sqrt(max(variance, 0.0))), self.dof(at), 0, self.runs_differ, True)


def measure_levels(
    arms: Sequence[Sequence[Single]], budgets: Array, reached: Callable[[Single, float], bool] | None = None
) -> Levels:
    """Measure arms at budgets.

    Parameters
    ----------
    reached : callable (run, budget) -> bool, optional
        Whether a run has been at a budget; by default every run has.

    Notes
    -----
    Where all arms that have been at a budget have the same seeds, what a seed adds there is taken out, as in
    `differences.scatter`. Without two runs in an arm the noise within runs stands for what is not known.
    """
    ends: list[list[list[Measured]]] = [
        [
            sorted(end_level(one, budget) for one in arm)
            if reached is None or all(reached(one, budget) for one in arm)
            else []
            for budget in budgets.tolist()
        ]
        for arm in arms
    ]
    been = np.array([[bool(runs) for runs in some] for some in ends])
    mean = np.array([[np.mean([run.value for run in runs]) if runs else np.nan for runs in some] for some in ends])
    away = np.zeros((len(arms), max(map(len, arms)), len(budgets)))
    freed = np.ones(len(budgets))
    for b, here in enumerate(been.T):
        for a in np.flatnonzero(here).tolist():
            away[a, : len(arms[a]), b] = [run.value - mean[a, b] for run in ends[a][b]]
        if here.sum() > 1 and in_pairs([some[b] for some in ends if some[b]]):
            away[here, :, b] -= away[here, :, b].mean(0)
            freed[b] = 1 - 1 / here.sum()
    count = np.array([len(arm) for arm in arms], float)
    both = np.einsum("ab,ac,a->bc", been.astype(float), been.astype(float), count - 1)
    dof = both * np.minimum(freed, freed[:, None])
    if dof.min() > 0:
        return Levels(mean, count, np.einsum("arb,arc->bc", away, away) / dof, dof, True)
    within = [np.mean([run.se**2 for some in ends for run in some[b]]) for b in range(len(budgets))]
    return Levels(mean, count, np.diag(within), np.full(dof.shape, WITHIN_DOF), False)
