"""One run's curve, and the power law that goes on from where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_POINTS = 6
"""Evaluations that a forecast needs."""
LATE = 8
"""The last points that tell the level."""
FROM_LEVEL = 0.75
"""Part of the change that is told from the level; the rest from the line through all points."""


@dataclass(frozen=True)
class Curve:
    """One run: `x` ascending (n,), `loss` (n,), and how much of the resource a sample costs it, the clock it has in common."""

    name: str
    x: Array
    loss: Array
    unit: float = 1.0

    def first(self, count: int) -> Curve:
        """Return its first points."""
        return replace(self, x=self.x[:count], loss=self.loss[:count])

    def until(self, x: float) -> Curve:
        """Return it as far as a value of the resource."""
        return self.first(int((self.x <= x * (1 + 1e-9)).sum()))

    @property
    def step(self) -> float:
        """Return how far apart its last evaluations are."""
        return float(np.median(np.diff(self.x[-LATE:])))


@dataclass(frozen=True)
class Trend:
    """How a run goes on by its own power law: `level` now, `change` (m,) until then, and what an evaluation is off by.

    `points` is how many evaluations the level is the mean of.
    """

    level: float
    change: Array
    sigma: float
    points: int


def trend_of(curve: Curve, x: Array) -> Trend:
    """Return a run's power law at `x` (m,), shrunk as far as noise would tilt a level curve as much."""
    log_x, log_loss = np.log(curve.x), np.log(np.maximum(curve.loss, 1e-3))
    away = log_x - log_x.mean()
    slope = float(away @ log_loss / (away @ away))
    line = log_loss.mean() + slope * away
    error = float(((log_loss - line) ** 2).sum()) / max(len(log_x) - 2, 1) / float(away @ away)
    points = min(LATE, len(log_x) // 2 + 1)
    level, since = float(curve.loss[-points:].mean()), float(log_x[-points:].mean())
    ahead = np.log(x)
    on = level * np.exp(np.clip(slope * (ahead - since), -20, 3)) - level
    along = np.exp(np.clip(log_loss.mean() + slope * (ahead - log_x.mean()), -20, 3)) - level
    believed = slope**2 / (slope**2 + error) if slope else 0.0
    # Neighbours' second differences tell the noise whatever the curve does.
    late = np.diff(curve.loss[-max(len(log_x) // 2, LEAST_POINTS) :], 2)
    sigma = max(float(np.sqrt((late**2).mean() / 6)), 1e-4)
    return Trend(level, believed * (FROM_LEVEL * on + (1 - FROM_LEVEL) * along), sigma, points)
