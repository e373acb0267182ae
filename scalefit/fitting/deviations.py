"""What runs say of a law that is no straight line: least squares of the points, and how runs depart from the curve found.

A run's own level and slope (in log10 loss against log10 X) are known from its residuals. How far they scatter beyond noise
is integrated over, and what that scatter does to the least-squares parameters is added to their errors.
Shapes: R runs, P parameters of which p enter a run, T evaluations, G cells, n points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.hierarchy import LEVELS, SLOPES, make_side
from scalefit.fitting.problem import Problem
from scalefit.fitting.run_lines import LEAST, has_final_losses
from scalefit.numerics.ar1 import Noise, correlate, effective_points
from scalefit.numerics.intervals import student
from scalefit.numerics.linear import inverse, normal_cells
from scalefit.numerics.mixtures import Mixture, weights_of
from scalefit.numerics.scatter import spread_prior

Array = NDArray[np.float64]
MOST = 60
"""Parameters up to which all are allowed for when the scatter is estimated; beyond, those of single sizes take the levels."""


@dataclass(frozen=True)
class Deviations:
    """How runs depart from a fitted curve, and what it does to the fit.

    Attributes
    ----------
    weight : ndarray, shape (G,)
    spreads : ndarray, shape (4, G)
        As in `hierarchy.Hierarchy`; misfits are not told apart and 0.
    base : ndarray, shape (P, P)
        Covariance of the parameters by noise alone; a direction of no effect has a variance beyond all bounds.
    pull : ndarray, shape (2, R, P)
        What a run's departure of 1 in slope (relative) and in level does to the parameters.
    own, own_variance : ndarray, shape (2, R)
        Each run's departure in slope [log10 loss per decade] and level, and what noise leaves unknown of it.
    centre, slope, params : ndarray, shape (R,)
        Where a run's level is, log10 X; the fitted curve's slope there; the run's size.
    repeats : int
        Runs beyond one a size.
    known : bool
        Whether runs say anything of their scatter; else the law has as much freedom as they have.
    """

    weight: Array
    spreads: Array
    base: Array
    pull: Array
    own: Array
    own_variance: Array
    centre: Array
    slope: Array
    params: Array
    repeats: int
    known: bool

    def curve(self, log: Array, slopes: Array) -> Mixture:
        """Return the law's mean curve, of values (n,) and derivatives by the parameters (n, P)."""
        noise = np.einsum("np,pq,nq->n", slopes, self.base, slopes)
        by_slope, by_level = (((one @ slopes.T) ** 2).sum(0) for one in self.pull)
        variance = noise + self.spreads[0, :, None] ** 2 * by_slope + self.spreads[1, :, None] ** 2 * by_level
        return Mixture(self.weight, np.broadcast_to(log, variance.shape), np.sqrt(np.maximum(variance, 0)))

    def covariance(self) -> Array:
        """Return the covariance of the parameters, (P, P), with the mean of the scatter's variance."""
        slope, level = (self.spreads[:2] ** 2) @ self.weight
        found = self.base + slope * self.pull[0].T @ self.pull[0] + level * self.pull[1].T @ self.pull[1]
        # Where directions are next to unknown, rounding has left the base askew.
        return np.asarray(0.5 * (found + found.T))

    def _near(self, params: float) -> NDArray[np.bool_]:
        off = np.abs(np.log(self.params / params))
        return np.asarray(off <= off.min() + 1e-9)

    def between_runs(self, params: float, x: Array) -> Array:
        """Return the variance of a new run's curve about the law's mean curve at log10 X (n,), shape (G, n)."""
        centre = float(self.centre[self._near(params)].mean())
        return self.turning(params, x, centre) + self.spreads[1][:, None] ** 2

    def turning(self, params: float, x: Array, about: float) -> Array:
        """Return the part of it that is of the slope, for a run whose level is known where log10 X is `about`, (G, n)."""
        off = self.slope[self._near(params)].mean() * (x - about)
        return np.asarray(self.spreads[0][:, None] ** 2 * off**2)

    def own_run(self, row: int, x: Array) -> Array:
        """Return the variance of a fitted run's own curve about the law's mean curve at log10 X, shape (G, n)."""
        spread = (self.spreads[:2] * np.array([[self.slope[row]], [1.0]])) ** 2
        noise, own = self.own_variance[:, row, None], self.own[:, row, None]
        share = spread / (spread + noise)
        slope, level = (share * noise + (share * own) ** 2)[..., None]
        return np.asarray(slope * (x - self.centre[row]) ** 2 + level)


def weigh_deviations(problem: Problem, theta: Array, normal: Array, noise: Noise, whitened: bool) -> Deviations:
    """Weigh how runs depart from a fitted curve.

    Parameters
    ----------
    problem : Problem
        As it was solved, on runs of which none are merged.
    theta, normal : ndarray, shape (P,) and (P, P)
        Its solution.
    noise : Noise
        Of single evaluations.
    whitened : bool
        Whether the problem weighs by this noise.
    """
    present, counts = problem.present, problem.present.sum(1)
    single = has_final_losses(problem.data)
    dof = effective_points(present, noise.rho) - len(theta) if not single else float(len(counts) - len(theta))
    unit = 1.0 if whitened else float(np.mean(noise.sigma**2))
    if single:
        # A run's evaluations may share all of their error.
        unit *= float(counts.mean())
    inflate = (student(0.95, dof) / student(0.95, np.inf)) ** 2
    bread = inverse(normal)
    Z, J, index, x = _parts(problem, theta)
    gram = Z @ np.concatenate([Z, J], 1).swapaxes(1, 2)
    level, slope = np.maximum(gram[:, 0, 0], 1e-300), np.maximum(gram[:, 1, 1], 1e-300)
    bends = np.zeros((len(counts), len(theta)))
    rises = np.zeros_like(bends)
    np.put_along_axis(rises, index, gram[:, 0, 2:], 1)
    np.put_along_axis(bends, index, gram[:, 1, 2:], 1)
    residual = problem.whiten(problem.residual(theta))
    own = np.stack([(Z[:, 1] * residual).sum(1) / slope, (Z[:, 0] * residual).sum(1) / level])
    steep = np.maximum(np.abs(_slopes(problem, theta)), 1e-12)
    steep = np.maximum(steep, 0.05 * steep.max())
    pull = np.stack([(bends * steep[:, None]) @ bread, rises @ bread])
    if noise.rho != 0.0 and not whitened:
        base, error = _drifting(problem, noise, bread, (Z, J, index))
        error = error / np.stack([slope, level]) ** 2
    else:
        base, error = bread * unit, unit / np.stack([slope, level])
    base = base * inflate
    departures = _Departures(own, error * inflate, np.stack([bends / slope[:, None], rises / level[:, None]]), steep)
    weight, spreads, repeats, known = _weigh(problem, departures, counts)
    if not known:
        # Nothing is known of another run: the law's curves are those of these.
        pull = 0.0 * pull
    return Deviations(weight, spreads, base, pull, own, error, x, steep, problem.data.params, repeats, known)


@dataclass(frozen=True)
class _Departures:
    """Runs' departures (2, R), their variances, their derivatives by theta (2, R, P), and slopes of the curves (R,)."""

    own: Array
    variance: Array
    design: Array
    steep: Array


def _parts(problem: Problem, theta: Array) -> tuple[Array, Array, NDArray[np.intp], Array]:
    """Return weighed derivatives of curves by a run's level and slope (R, 2, T), by parameters (R, p, T), which (R, p), and centres.

    The slope turns about the centre, where it and the level are known independently.
    """
    Z = problem.whiten(problem.deviations(theta), rows=True)
    J = problem.whiten(problem.by_curve(theta), rows=True)
    index = problem.bound.flat_index[problem.size_of_curve]
    away = (Z[:, 0] * Z[:, 1]).sum(1) / np.maximum((Z[:, 0] ** 2).sum(1), 1e-300)
    Z[:, 1] -= away[:, None] * Z[:, 0]
    counts = np.maximum(problem.present.sum(1), 1)
    return Z, J, index, (problem.x * problem.present).sum(1) / counts + away


def _slopes(problem: Problem, theta: Array) -> Array:
    """Return the slope of each fitted curve in log10 X, by a line through it, (R,)."""
    curves = problem.curves(theta[None])[0]
    log = np.log10(np.maximum(curves, 1e-12)) if problem.linear else curves
    present = problem.present
    counts = np.maximum(present.sum(1, keepdims=True), 1)
    x = np.where(present, problem.x - (problem.x * present).sum(1, keepdims=True) / counts, 0.0)
    return np.asarray((x * np.where(present, log, 0.0)).sum(1) / np.maximum((x**2).sum(1), 1e-12))


def _drifting(
    problem: Problem, noise: Noise, bread: Array, parts: tuple[Array, Array, NDArray[np.intp]]
) -> tuple[Array, Array]:
    """Return the covariance of least squares under correlated noise (P, P), and that of the sums for departures (2, R).

    Source: Liang and Zeger 1986, Biometrika 73, with the noise's own covariance in place of the residuals' products.
    """
    Z, J, index = parts
    root = problem.root[:, None] * noise.sigma[:, None, None]
    pulled = correlate(np.concatenate([J, Z[:, ::-1]], 1) * root, noise.rho)
    p = J.shape[1]
    meat = np.zeros(bread.shape)
    for at, block in zip(index, pulled[:, :p] @ pulled[:, :p].swapaxes(1, 2), strict=True):
        meat[np.ix_(at, at)] += block
    return bread @ meat @ bread, (pulled[:, p:] ** 2).sum(2).T


def _weigh(problem: Problem, runs: _Departures, counts: NDArray[np.intp]) -> tuple[Array, Array, int, bool]:
    """Return weights and spreads of the cells, how many runs there are beyond one a size, and whether they say anything."""
    use = counts >= LEAST
    params = problem.data.params[use]
    sizes, first = np.unique(np.sort(params), return_index=True)
    repeats = int(use.sum() - len(sizes))
    if not use.any():
        return np.ones(1), np.zeros((4, 1)), 0, False
    own, variance, steep = runs.own[:, use], runs.variance[:, use], runs.steep[use]
    if all(param.per_size for param in problem.law.params):
        # Each size's curve goes through the middle of its runs; what is left is how they differ.
        order = np.argsort(params, kind="stable")
        own, variance, steep = own[:, order], variance[:, order], steep[order]
        sides = [
            make_side(own[0], variance[0], first, steep, SLOPES),
            make_side(own[1], variance[1], first, np.ones_like(steep), LEVELS),
        ]
        log, known = sides[0].log_prior[:, :1] + sides[1].log_prior[:, 0], repeats > 0
        slopes, levels = sides[0].spread, sides[1].spread
    else:
        slopes, slope_mass = spread_prior(SLOPES, float(np.median(np.sqrt(variance[0]) / steep)))
        levels, level_mass = spread_prior(LEVELS, float(np.median(np.sqrt(variance[1]))))
        likelihood = _likelihood(problem, runs, use, (slopes, levels))
        log, known = slope_mass[:, None] + level_mass, likelihood is not None
        log = log if likelihood is None else log + likelihood
    kept, weight = weights_of(log.ravel())
    a, e = np.divmod(kept, len(levels))
    spreads = np.zeros((4, len(kept)))
    spreads[0], spreads[1] = slopes[a], levels[e]
    return weight, spreads, repeats, known


def _likelihood(
    problem: Problem, runs: _Departures, use: NDArray[np.bool_], grids: tuple[Array, Array]
) -> Array | None:
    """Return the restricted log-likelihood of the departures at every pair of spreads, (A, E); None where it is the same."""
    slopes, levels = grids
    by_slope = runs.variance[0, use] + (slopes[:, None] * runs.steep[use]) ** 2
    by_level = runs.variance[1, use] + levels[:, None] ** 2
    free = np.concatenate([np.full(problem.bound.width(p.name), p.per_size) for p in problem.law.params])
    if len(free) > MOST:
        # Of so many sizes each takes its level; the slopes say enough.
        design = _independent(runs.design[0, use][:, ~free], by_slope[0])
        if design is None:
            return None
        log = normal_cells(design[None], runs.own[0, use][None], by_slope, by_slope[0]).log
        return np.repeat(log, len(levels), 1)
    both = np.concatenate([np.repeat(by_slope, len(levels), 0), np.tile(by_level, (len(slopes), 1))], 1)
    design = _independent(np.concatenate([runs.design[0, use], runs.design[1, use]]), both[0])
    if design is None:
        return None
    target = np.concatenate([runs.own[0, use], runs.own[1, use]])[None]
    return normal_cells(design[None], target, both, both[0]).log.reshape(len(slopes), len(levels))


def _independent(design: Array, variance: Array) -> Array | None:
    """Return columns that span those of a design (rows, P); None where they leave nothing of the rows."""
    root = np.sqrt(variance)[:, None]
    columns, size, _ = np.linalg.svd(design / root, full_matrices=False)
    columns = columns[:, size > 1e-9 * max(size.max(initial=0.0), 1e-300)]
    return None if columns.shape[1] >= len(design) else columns * root
