"""By how much sizes were missed that had been left out: what the bands of a size that was not fitted are as wide as.

A miss has a level and a slope, and grows with the way in log N to the sizes fitted; beyond the longest way that was tried,
faster. Nothing is assumed of whether the laws hold: what they were wrong by is measured. Few sizes tell it only roughly, so
that what was missed in other tables counts for two more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NEAR = 0.1
"""Least way in log N: sizes that are all but the same are no better known than runs of one size."""
DOF = 2.0
MEAN = float(np.sqrt(2))
"""Degrees of freedom of Student's t that misses have, and its mean absolute value: a few sizes are missed by far more than most."""
GROWTH = 0.75
"""Power of the way that a miss grows with."""
ELSEWHERE, COUNTS = (0.03, 0.025), 2.0
"""Mean absolute miss of level and slope at a way of 1 in other tables [log10 loss], and for how many folds it counts."""
LEAST = 0.5
"""Part of what was missed that is of the mean curve, however much the scatter of runs would explain."""


def way_to(sizes: Array, params: float) -> float:
    """Return how far a size is in log N from those fitted (S,), ascending; between two of them as two springs in a row give."""
    u, at = np.log(sizes), np.log(params)
    if not u[0] < at < u[-1]:
        return max(float(np.min(np.abs(u - at))), NEAR)
    above = int(np.searchsorted(u, at))
    before, after = at - u[above - 1], u[above] - at
    return max(float(before * after / (before + after)), NEAR)


@dataclass(frozen=True)
class Miss:
    """One prediction of a size that was left out.

    Attributes
    ----------
    level, slope : float
        Of its error: at the middle of the size's log10 X, and per decade of X [log10 loss].
    way : float
        How far the size was from those fitted.
    scatter : tuple of float
        The variance that level and slope have because the size's runs are what they are.
    """

    level: float
    slope: float
    way: float
    scatter: tuple[float, float]


def miss_of(predicted: Array, loss: Array, x: Array, way: float, between: Array) -> Miss:
    """Return by how much a size was missed.

    Parameters
    ----------
    predicted : ndarray, shape (n,)
        log10 of the loss.
    loss, x : ndarray, shape (n,)
        What was measured, and where [log10 X].
    between : ndarray, shape (n,)
        Variance of the mean of the size's runs about its mean curve.
    """
    there = 10.0**predicted
    off = (there - loss) / (there * np.log(10.0))
    away = x - x.mean()
    spread = float((away**2).sum())
    if spread < 1e-12:
        return Miss(float(off.mean()), 0.0, way, (float(between.mean()), 0.0))
    turned = max(float(np.polyfit(away, between, 2)[0]), 0.0) if len(np.unique(x)) > 2 else 0.0
    level = max(float(between.mean()) - turned * spread / len(x), 0.0)
    return Miss(float(off.mean()), float(away @ off / spread), way, (level, turned))


@dataclass(frozen=True)
class Misses:
    """What was missed at sizes left out.

    Attributes
    ----------
    each : tuple of Miss
    middle : float
        log10 X about which slopes turn.
    run_share : float
        Part that one run's scatter is of what was missed: 1 where sizes have a run each, a third where they have three.
    """

    each: Sequence[Miss]
    middle: float
    run_share: float

    def variance(self, way: float, x: Array, *, mean_curve: bool = False) -> Array:
        """Return the variance of a prediction that goes this way at log10 X (n,); of the mean curve without the scatter of runs."""
        ways = np.array([one.way for one in self.each])
        far = (way**GROWTH * max(way / ways.max(), 1.0)) ** 2
        level, slope = (self._rate(at, ways**GROWTH, mean_curve) for at in range(2))
        return np.asarray(far * (level + slope * (x - self.middle) ** 2))

    def _rate(self, at: int, grown: Array, mean_curve: bool) -> float:
        """Return the squared scale of Student's t for a way of 1, of levels (0) or slopes (1)."""
        off = np.array([(one.level, one.slope)[at] for one in self.each])
        mean = (np.sum(np.abs(off) / grown) + COUNTS * ELSEWHERE[at]) / (len(off) + COUNTS)
        whole = float(mean / MEAN) ** 2
        if not mean_curve:
            return whole
        scatter = np.array([one.scatter[at] for one in self.each])
        return max(whole - float(np.mean(scatter / grown**2)), LEAST * whole)


__all__ = ["DOF", "Miss", "Misses", "miss_of", "way_to"]
