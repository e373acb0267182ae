"""From the lines of runs to the mixture of `hierarchy`: cells of spreads and nonlinear parameters, and what each weighs.

Shapes as in `scalefit.fitting.hierarchy`; `rows` are the slopes of S sizes and, for closed offsets, their levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.hierarchy import (
    LEVELS,
    REFERENCE,
    SLOPES,
    UNLIKELY,
    Hierarchy,
    Side,
    log_scaled,
    make_side,
    outer_values,
)
from scalefit.fitting.run_lines import RunLines
from scalefit.laws.law import Law, LinearForm
from scalefit.numerics.linear import normal_cells
from scalefit.numerics.mixtures import weights_of

Array = NDArray[np.float64]
FINE = np.linspace(-3.6, 3.6, 13)
"""Steps of the fine grid about an optimum, in its standard errors."""
_SHARES = np.array([0.5, 0.35, 0.15])
"""Shares of the distribution of the scatter of levels, each of which one value stands for."""


class _Form:
    """The law's linear form on the sizes of a table."""

    def __init__(self, law: Law, form: LinearForm, sizes: Array, centre: Array) -> None:
        self.law, self.form, self.sizes, self.centre = law, form, sizes, centre
        self.logs = log_scaled(law)
        grids = form.grids(sizes)
        self.grids = [np.log(grid) if log else grid for grid, log in zip(grids, self.logs, strict=True)]

    def design(self, values: Array) -> Array:
        """Return what slopes and (closed offsets) levels are linear in, (G, rows, c)."""
        slopes, offsets = self.form.columns(self.sizes, outer_values(self.law, values))
        assert slopes is not None
        return slopes if offsets is None else np.concatenate([slopes, offsets - slopes * self.centre[:, None]], 1)

    def product(self, grids: list[Array]) -> Array:
        """Return all combinations of values of the nonlinear parameters, (G, q)."""
        if not grids:
            return np.zeros((1, 0))
        return np.stack([one.ravel() for one in np.meshgrid(*grids, indexing="ij")], -1)

    def best(self, target: Array, variance: Array) -> tuple[Array, Array]:
        """Return the nonlinear parameters (q,) of least squares, and its slopes (S,)."""
        values = self.product(self.grids)
        design = self.design(values)
        at = int(np.argmax(self._fit(design, target, variance)))
        values = values[at]
        for which in range(len(values)):
            values = self._refine(values, which, target, variance)
        design = self.design(values[None])
        mean = normal_cells(design, target[None], variance[None], variance).mean[0, 0]
        return values, (design[0] @ mean)[: len(self.sizes)]

    def _fit(self, design: Array, target: Array, variance: Array) -> Array:
        """Return minus half the weighted sum of squares that each design leaves, (G,)."""
        weight = 1 / variance
        found = normal_cells(design, target[None], variance[None], variance)
        rest = target - (design @ found.mean[0][..., None])[..., 0]
        return np.asarray(-0.5 * (weight * rest**2).sum(1))

    def _line(self, values: Array, which: int, at: Array) -> Array:
        some = np.repeat(values[None], len(at), 0)
        some[:, which] = at
        return some

    def _refine(self, values: Array, which: int, target: Array, variance: Array) -> Array:
        """Return the values with one of them at its optimum, the cell of the grid being narrowed."""
        grid = self.grids[which]
        near = int(np.argmin(np.abs(grid - values[which])))
        low, high = grid[max(near - 1, 0)], grid[min(near + 1, len(grid) - 1)]
        for _ in range(4):
            some = np.linspace(low, high, 9)
            fit = self._fit(self.design(self._line(values, which, some)), target, variance)
            top = int(np.argmax(fit))
            low, high = some[max(top - 1, 0)], some[min(top + 1, 8)]
        return self._line(values, which, some[[top]])[0]

    def width(self, values: Array, which: int, target: Array, variance: Array) -> float:
        """Return the standard error of a nonlinear parameter by the curvature at its optimum, no wider than its grid."""
        grid = self.grids[which]
        step = 0.02 * (grid[1] - grid[0])
        fit = self._fit(
            self.design(self._line(values, which, values[which] + step * np.arange(-1, 2))), target, variance
        )
        curvature = -(fit[0] - 2 * fit[1] + fit[2]) / step**2
        most = (grid[-1] - grid[0]) / 8
        return float(min(1 / np.sqrt(curvature), most)) if curvature > 1 / most**2 else float(most)


def weigh_runs(law: Law, lines: RunLines) -> Hierarchy:
    """Weigh what runs say of a line law.

    Parameters
    ----------
    law : Law
        Linear in all but a few of its parameters (`law.linear`).
    lines : RunLines
        By size, ascending.
    """
    assert law.linear is not None
    sizes, first = np.unique(lines.params, return_index=True)
    counts = np.diff(np.append(first, len(lines.params)))
    centre = np.add.reduceat(lines.centre, first) / counts
    rough = np.repeat(np.add.reduceat(lines.slope, first) / counts, counts)
    # A run's level is moved to its size's centre; how wrong the slope is with which it moves is added.
    off = lines.centre - np.repeat(centre, counts)
    level, level_variance = lines.level - rough * off, lines.level_variance + off**2 * lines.slope_variance
    levels = make_side(level, level_variance, first, np.ones(len(level)), LEVELS)
    slopes, offsets = law.linear.columns(sizes[:1], np.ones((1, len(law.linear.nonlinear))))
    if slopes is None:
        return _each_size(law, lines, (sizes, centre, first), levels)
    form = _Form(law, law.linear, sizes, centre)
    closed = offsets is not None
    scale = np.repeat(_scale(form, lines, levels if closed else None, first), counts)
    return _shared(form, lines, make_side(lines.slope, lines.slope_variance, first, scale, SLOPES), levels, closed)


def _scale(form: _Form, lines: RunLines, levels: Side | None, first: NDArray[np.intp]) -> Array:
    """Return the law's slope at each size, to which the scatter of slopes is relative; at least a 20th of the largest."""
    counts = np.diff(np.append(first, len(lines.params)))
    target = np.add.reduceat(lines.slope, first) / counts
    variance = np.add.reduceat(lines.slope_variance, first) / counts**2
    more = 0 if levels is None else int(np.argmin(np.abs(levels.spread - LEVELS)))
    found = np.abs(target)
    for _ in range(2):
        y, V = target, variance + (REFERENCE * found) ** 2 / counts
        if levels is not None:
            y, V = np.append(y, levels.groups.mean[more]), np.append(V, levels.groups.variance[more])
        _, slope = form.best(y, V)
        found = np.maximum(np.abs(slope), 0.05 * np.abs(slope).max() + 1e-12)
    return found


@dataclass(frozen=True)
class _Cells:
    """Pairs of spread and misfit of each side, (2 or 4, n): their log prior (n,), the rows they explain and the variances (n, rows)."""

    at: NDArray[np.intp]
    prior: Array
    target: Array
    variance: Array
    best: int
    """The likeliest."""


def _likely_cells(form: _Form, sides: list[Side]) -> _Cells:
    """Return the cells of spreads that are not hopeless at the optimum of the likeliest."""
    axes = [np.arange(n) for side in sides for n in side.log_prior.shape]
    at = np.stack([one.ravel() for one in np.meshgrid(*axes, indexing="ij")])
    pairs = [(side, at[2 * i], at[2 * i + 1]) for i, side in enumerate(sides)]
    prior = np.sum([side.log_prior[spread, misfit] for side, spread, misfit in pairs], axis=0)
    target = np.concatenate([side.groups.mean[spread] for side, spread, _ in pairs], 1)
    variance = np.concatenate([side.variance(spread, misfit) for side, spread, misfit in pairs], 1)
    best = len(target) // 2
    for _ in range(2):
        values, _ = form.best(target[best], variance[best])
        log = prior + normal_cells(form.design(values[None]), target, variance, variance[best]).log[:, 0]
        best = int(np.argmax(log))
    kept = np.flatnonzero(log > log.max() - UNLIKELY)
    return _Cells(at[:, kept], prior[kept], target[kept], variance[kept], int(np.argmax(log[kept])))


def _shared(form: _Form, lines: RunLines, slopes: Side, levels: Side, closed: bool) -> Hierarchy:
    """Integrate over the cells of a law whose slopes depend on size by shared parameters."""
    cells = _likely_cells(form, [slopes, levels] if closed else [slopes])
    values, log_width, grids = _grid(form, cells)
    found = normal_cells(form.design(values), cells.target, cells.variance, cells.variance[cells.best])
    log = found.log + cells.prior[:, None]
    likelihood = np.logaddexp.reduce(log, 0)
    kept, weight = weights_of((log + log_width).ravel())
    n, g = np.divmod(kept, len(values))
    spreads = np.zeros((4, len(kept)))
    spreads[0], spreads[2] = slopes.spread[cells.at[0, n]], slopes.misfit[cells.at[1, n]]
    share = np.bincount(n, weight, len(cells.prior))
    precision = share @ (1 / cells.variance)
    means = (share @ (cells.target / cells.variance)) / precision
    own, crossed = None, np.arange(len(kept))
    if closed:
        spreads[1], spreads[3] = levels.spread[cells.at[2, n]], levels.misfit[cells.at[3, n]]
    else:
        own, at = _levels_of(form, levels, len(kept))
        crossed = np.repeat(crossed, len(at))
        weight = weight[crossed] * np.tile(_SHARES, len(kept))
        spreads = spreads[:, crossed]
        spreads[1] = np.tile(levels.spread[at], len(kept))
        known = weight @ (1 / own[1])
        precision, means = np.stack([precision, known]), np.stack([means, (weight @ (own[0] / own[1])) / known])
    return Hierarchy(
        law=form.law,
        lines=lines,
        sizes=form.sizes,
        centre=form.centre,
        weight=weight,
        values=values[g][crossed],
        coefficients=found.mean[n, g][crossed],
        covariance=found.covariance[n, g][crossed],
        slope=None,
        level=own,
        spreads=spreads,
        precision=precision.reshape(2, -1),
        means=means.reshape(2, -1),
        repeats=len(lines.params) - len(form.sizes),
        log_likelihood=float(likelihood.max()),
        profiles=_profiles(form, values, likelihood, grids),
    )


def _grid(form: _Form, cells: _Cells) -> tuple[Array, Array, list[Array]]:
    """Return values of the nonlinear parameters (G, q), the logarithm of their cells' widths (G,), and each one's grid.

    Each grid is coarse over its whole reach, and that of the first fine about the optima of the least, the likeliest and the
    largest spread. Values that are hopeless at the likeliest and at the largest spread are left out.
    """
    grids = list(form.grids)
    if not grids:
        return np.zeros((1, 0)), np.zeros(1), grids
    order = np.argsort(cells.variance.sum(1))
    fine = [grids[0]]
    for at in dict.fromkeys((order[0], cells.best, order[-1])):
        target, variance = cells.target[at], cells.variance[at]
        optimum, _ = form.best(target, variance)
        fine.append(optimum[0] + FINE * form.width(optimum, 0, target, variance))
    some = np.concatenate(fine)
    grids[0] = np.unique(some[(some >= grids[0][0]) & (some <= grids[0][-1])])
    values = form.product(grids)
    widths = form.product([np.log(np.gradient(grid)) for grid in grids]).sum(1)
    extremes = [cells.best, order[-1]]
    reference = cells.variance[cells.best]
    log = normal_cells(form.design(values), cells.target[extremes], cells.variance[extremes], reference).log
    near = np.flatnonzero((log > log.max(1, keepdims=True) - UNLIKELY).any(0))
    return values[near], widths[near], grids


def _profiles(form: _Form, values: Array, log: Array, grids: list[Array]) -> dict[str, tuple[Array, Array]]:
    """Return the values of each nonlinear parameter, and the largest log-likelihood (of G) at each."""
    return {
        name: (grids[which], np.array([log[values[:, which] == value].max(initial=-np.inf) for value in grids[which]]))
        for which, name in enumerate(form.form.nonlinear)
    }


def _levels_of(form: _Form, levels: Side, count: int) -> tuple[tuple[Array, Array], NDArray[np.intp]]:
    """Return mean and variance of levels that each size has for itself, `count` times, and which values of their scatter."""
    log = levels.log_prior[:, 0] + (0.0 if levels.known else _smooth(form.sizes, levels))
    share = np.exp(log - log.max())
    below = np.cumsum(share / share.sum())
    at = np.searchsorted(below, np.cumsum(_SHARES) - _SHARES / 2).clip(0, len(below) - 1)
    return (np.tile(levels.groups.mean[at], (count, 1)), np.tile(levels.groups.variance[at], (count, 1))), at


def _smooth(sizes: Array, levels: Side) -> Array:
    """Return what one run a size says of the scatter of levels, if without it they were smooth in log N, (A,)."""
    degree = 2 if len(sizes) >= 6 else 1
    if len(sizes) < degree + 3:
        return np.zeros(len(levels.spread))
    x = np.log(sizes / sizes.mean())
    x = (x - x.mean()) / x.std()
    design = np.stack([x**power for power in range(degree + 1)], -1)[None]
    variance = levels.groups.variance
    return normal_cells(design, levels.groups.mean, variance, variance[0]).log[:, 0]


def _each_size(law: Law, lines: RunLines, sizes: tuple[Array, Array, NDArray[np.intp]], levels: Side) -> Hierarchy:
    """Return the mixture of a law that leaves slope and level to each size."""
    size, centre, first = sizes
    counts = np.diff(np.append(first, len(lines.params)))
    rough = np.abs(np.add.reduceat(lines.slope, first) / counts)
    slopes = make_side(
        lines.slope,
        lines.slope_variance,
        first,
        np.repeat(np.maximum(rough, 0.05 * rough.max() + 1e-12), counts),
        SLOPES,
    )
    log = slopes.log_prior[:, :1] + levels.log_prior[:, 0]
    kept, weight = weights_of(log.ravel())
    a, e = np.divmod(kept, len(levels.spread))
    # With one run a size nothing is known of another: the size's line is that of its run.
    own = [
        (side.groups.mean[at], side.groups.variance[at])
        for side, at in ((slopes, a if slopes.known else 0 * a), (levels, e if levels.known else 0 * e))
    ]
    spreads = np.zeros((4, len(kept)))
    spreads[0], spreads[1] = slopes.spread[a], levels.spread[e]
    precision = np.stack([weight @ (1 / variance) for _, variance in own])
    means = np.stack([weight @ (mean / variance) for mean, variance in own]) / precision
    none = np.zeros((len(kept), 0))
    return Hierarchy(
        law=law,
        lines=lines,
        sizes=size,
        centre=centre,
        weight=weight,
        values=none,
        coefficients=none,
        covariance=np.zeros((len(kept), 0, 0)),
        slope=own[0],
        level=own[1],
        spreads=spreads,
        precision=precision,
        means=means,
        repeats=len(lines.params) - len(size),
        log_likelihood=float(np.logaddexp.reduce(log.ravel())),
        profiles={},
    )
