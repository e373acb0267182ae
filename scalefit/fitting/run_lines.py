"""Each run's own line in log-log space: slope, level, and what evaluation noise leaves unknown of both.

`log10 L = a - k (log10 X - c)`: at its centre c a line's level and slope are known independently of each other.
What a line law can learn from a run is in these numbers, so that nothing after this sees evaluations again.
Shapes: M runs, T evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.problem import WeighedCurves, smallest_loss
from scalefit.fitting.specification import Specification
from scalefit.laws.law import LN10, Law
from scalefit.numerics.ar1 import DRIFT, Noise, correlate, estimate_noise
from scalefit.numerics.intervals import student
from scalefit.numerics.least_squares import Limits, minimise
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
LEAST = 3
"""Evaluations that a run needs for a line of its own and noise about it."""
STEEPEST = 50.0
"""Bound of a run's own slope."""
EXACT = 1e-14
"""Variance, as a share of the square, below which rounding would speak for a run: no run is known better."""
FARTHEST = 5.0
"""Decades before its centre up to which X = 1 is a place where runs may turn: FLOPs say nothing there."""
LIMITS = Limits(iterations=60, tolerance=1e-12)


@dataclass(frozen=True)
class RunLines:
    """Lines of M runs, by size.

    Attributes
    ----------
    params : ndarray, shape (M,)
        Model size, ascending [parameters].
    slope, level, centre : ndarray, shape (M,)
        k, a [log10 loss] and c [log10 of the resource as the law sees it].
    slope_variance, level_variance : ndarray, shape (M,)
        What noise leaves unknown of them; the two errors are uncorrelated.
    noise : Noise
        Of single evaluations, a spread a run.
    dof : float
        Evaluations beyond the lines, on which the variances rest: a share 1 - rho of each is new.
    back : ndarray, shape (H, M)
        How far before its centre a run may turn when its slope departs [decades], for each of `turns.TURNS`.
    """

    params: Array
    slope: Array
    level: Array
    centre: Array
    slope_variance: Array
    level_variance: Array
    noise: Noise
    dof: float
    back: Array

    def in_unit(self, unit: Array) -> RunLines:
        """Return the lines of a resource of which log10 is less by `unit` (M,), the slopes and levels being the same."""
        centre = self.centre - unit
        return replace(self, centre=centre, back=_ways_back(centre, self.back[1]))

    def keep(self, rows: NDArray[np.bool_]) -> RunLines:
        """Return the lines of some runs (M,), the noise as all told it."""
        return RunLines(
            self.params[rows],
            self.slope[rows],
            self.level[rows],
            self.centre[rows],
            self.slope_variance[rows],
            self.level_variance[rows],
            Noise(self.noise.rho, self.noise.sigma[rows]),
            self.dof,
            self.back[:, rows],
        )


def _ways_back(centre: Array, start: Array) -> Array:
    """Return how far before its centre a run may turn (3, M), its first evaluation being `start` before it."""
    near = (start <= centre) & (centre <= FARTHEST)
    return np.stack([np.zeros(len(centre)), start, np.where(near, centre, start)])


class _Lines(WeighedCurves):
    """The least-squares lines of every run, as one batch of problems of two parameters: slope, and level at `middle`."""

    def __init__(self, law: Law, data: FitData, objective: str) -> None:
        super().__init__(law, data, objective)
        weight = data.weight * data.loss**2 + 1e-12 * self.present
        self.middle = (weight * self.x).sum(1) / weight.sum(1)
        self.z = np.where(self.present, self.x - self.middle[:, None], 0.0)
        log = np.log10(np.maximum(data.loss, smallest_loss(data)))
        level = (weight * log).sum(1) / weight.sum(1)
        spread = (weight * self.z**2).sum(1)
        self.start = np.stack([-(weight * self.z * log).sum(1) / np.maximum(spread, 1e-12), level], 1)

    def _parts(self, theta: Array) -> Array:
        """Return derivatives by slope and level, and the residual, weighed: (M, 3, T)."""
        fitted = theta[:, 1:] - theta[:, :1] * self.z
        out = np.empty((len(theta), 3, self.z.shape[1]))
        if self.linear:
            fitted = np.exp(np.minimum(LN10 * fitted, 3.0))
            np.multiply(fitted, LN10, out=out[:, 1])
        else:
            out[:, 1] = 1.0
        np.multiply(out[:, 1], -self.z, out=out[:, 0])
        np.subtract(self.y, fitted, out=out[:, 2])
        return out

    def normal(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return cost (M,), right side (M, 2) and normal matrix (M, 2, 2) of every run."""
        parts = self.whiten(self._parts(theta), rows=True)
        gram = parts @ parts.swapaxes(1, 2)
        return 0.5 * gram[:, 2, 2], gram[:, :2, 2], gram[:, :2, :2]

    def solve(self, start: Array) -> tuple[Array, Array]:
        """Return the lines (M, 2) and the normal matrices (M, 2, 2)."""
        bounds = (np.array([-STEEPEST, -300.0]), np.array([STEEPEST, 300.0]))
        found = minimise(self.normal, start, bounds, limits=LIMITS)
        return found.theta, self.normal(found.theta)[2]

    def noise_at(self, theta: Array) -> Noise:
        """Estimate AR(1) noise about the lines."""
        parts = self._parts(theta) * self.present[:, None]
        return estimate_noise(parts[:, 2], parts[:, :2], self.present)

    def error(self, theta: Array, normal: Array, noise: Noise, whitened: bool) -> Array:
        """Return the covariance of slope and level under the noise, shape (M, 2, 2)."""
        bread = np.linalg.inv(normal + 1e-14 * np.einsum("mii->m", normal)[:, None, None] * np.eye(2))
        if whitened:
            return bread
        # Least squares, whose residuals are correlated. Source: Liang and Zeger 1986, Biometrika 73, with the noise's own
        # covariance in place of the residuals' products.
        pulled = correlate(self.root[:, None] ** 2 * self._parts(theta)[:, :2], noise.rho)
        meat = pulled @ pulled.swapaxes(1, 2) * noise.sigma[:, None, None] ** 2
        return np.asarray(bread @ meat @ bread)


def has_final_losses(data: FitData) -> bool:
    """Say whether runs have too few evaluations for a line each, as tables of final losses do."""
    return bool((data.present.sum(1) < LEAST).all())


def fit_run_lines(law: Law, data: FitData, specification: Specification) -> RunLines:
    """Fit every run's own line; by generalised least squares where noise is AR(1) and no drift.

    Parameters
    ----------
    law : Law
        A line law, which says what resource it sees.
    data : FitData
        Runs, none merged with another, each of at least `LEAST` evaluations.
    specification : Specification
        Objective and noise.
    """
    lines = _Lines(law, data, specification.objective)
    theta, normal = lines.solve(lines.start)
    whitened, noise = False, lines.noise_at(theta)
    for _ in range(2):
        if noise.rho > DRIFT:
            break
        lines.weigh(noise)
        theta, normal = lines.solve(theta)
        whitened, noise = True, lines.noise_at(theta)
    if noise.rho > DRIFT and whitened:
        lines.weigh(None)
        theta, normal = lines.solve(theta)
        whitened = False
    covariance = lines.error(theta, normal, noise, whitened)
    dof = max(float(data.points - 2 * len(theta)) * (1 - max(noise.rho, 0.0)), 1.0)
    # The noise's own spread is an estimate: with few evaluations Student's t is wider than the normal distribution.
    covariance = covariance * (student(0.95, dof) / student(0.95, np.inf)) ** 2
    least = EXACT * float(np.max(theta[:, 0] ** 2)) + 1e-24
    slope_variance, crossed = np.maximum(covariance[:, 0, 0], least), covariance[:, 0, 1]
    away = np.clip(crossed / slope_variance, -3.0, 3.0)
    level_variance = np.maximum(covariance[:, 1, 1] - crossed**2 / slope_variance, EXACT)
    centre = lines.middle + away
    begin = np.where(lines.present, lines.x, np.inf).min(1)
    return RunLines(
        data.params,
        theta[:, 0],
        theta[:, 1] - theta[:, 0] * away,
        centre,
        slope_variance,
        level_variance,
        noise,
        dof,
        _ways_back(centre, np.maximum(centre - begin, 0.0)),
    )
