"""From the lines of runs to the mixture of `hierarchy`: cells of spreads and nonlinear parameters, and what each weighs.

Shapes as in `scalefit.fitting.hierarchy`; `rows` are the slopes of S sizes and, for closed offsets, their levels.
"""

from __future__ import annotations

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


def _shared(form: _Form, lines: RunLines, slopes: Side, levels: Side, closed: bool) -> Hierarchy:
    """Integrate over the cells of a law whose slopes depend on size by shared parameters."""
    sides = [slopes, levels] if closed else [slopes]
    axes = [np.arange(n) for side in sides for n in side.log_prior.shape]
    cells = np.stack([one.ravel() for one in np.meshgrid(*axes, indexing="ij")])
    prior = sum(side.log_prior[cells[2 * i], cells[2 * i + 1]] for i, side in enumerate(sides))
    target = np.concatenate([side.groups.mean[cells[2 * i]] for i, side in enumerate(sides)], 1)
    variance = np.concatenate([side.variance(cells[2 * i], cells[2 * i + 1]) for i, side in enumerate(sides)], 1)
    # The likeliest spreads at the optimum of a middling one; what is hopeless there is hopeless everywhere.
    middle = int(
        np.argmax(
            prior
            + normal_cells(form.design(_start_values(form, target, variance)), target, variance, variance[0]).log[:, 0]
        )
    )
    best, _ = form.best(target[middle], variance[middle])
    log = prior + normal_cells(form.design(best[None]), target, variance, variance[middle]).log[:, 0]
    kept = np.flatnonzero(log > log.max() - UNLIKELY)
    cells, prior, target, variance = cells[:, kept], prior[kept], target[kept], variance[kept]
    likeliest = int(np.argmax(log[kept]))
    values, log_width, main = _grid(form, target, variance, likeliest)
    design = form.design(values)
    near = _likely(design, target, variance, likeliest)
    values, log_width = values[near], log_width[near]
    found = normal_cells(design[near], target, variance, variance[likeliest])
    log = found.log + prior[:, None] + log_width
    kept, weight = weights_of(log.ravel())
    n, g = np.divmod(kept, len(values))
    likelihood = np.logaddexp.reduce(found.log + prior[:, None], 0)
    profiles = _profiles(form, values, likelihood, main)
    spreads = np.zeros((4, len(kept)))
    spreads[0], spreads[2] = slopes.spread[cells[0, n]], slopes.misfit[cells[1, n]]
    if closed:
        spreads[1], spreads[3] = levels.spread[cells[2, n]], levels.misfit[cells[3, n]]
    own = None
    parts = (weight, values[g], found.mean[n, g], found.covariance[n, g], n)
    if not closed:
        own, spreads, parts = _with_levels(form, levels, spreads, parts)
    weight, at, mean, covariance, n = parts
    S = len(form.sizes)
    precision, means = _pool(weight, n, target, variance)
    if own is not None:
        low = own[1]
        precision = np.stack([precision, weight @ (1 / low)])
        means = np.stack([means, (weight @ (own[0] / low)) / precision[1]])
    else:
        precision, means = precision.reshape(2, S), means.reshape(2, S)
    return Hierarchy(
        form.law,
        lines,
        form.sizes,
        form.centre,
        weight,
        at,
        mean,
        covariance,
        None,
        own,
        spreads,
        precision,
        means,
        len(lines.params) - S,
        float(likelihood.max()),
        profiles,
    )


def _start_values(form: _Form, target: Array, variance: Array) -> Array:
    """Return the nonlinear parameters of the optimum at a middling spread, (1, q)."""
    at = len(target) // 2
    return form.best(target[at], variance[at])[0][None]


def _pool(weight: Array, n: NDArray[np.intp], target: Array, variance: Array) -> tuple[Array, Array]:
    """Return the mean precision of rows over cells, and their mean so weighed, two of shape (rows,)."""
    share = np.bincount(n, weight, len(target))
    precision = share @ (1 / variance)
    return precision, (share @ (target / variance)) / precision


def _grid(form: _Form, target: Array, variance: Array, best: int) -> tuple[Array, Array, list[Array]]:
    """Return values of the nonlinear parameters (G, q), the logarithm of their cells' widths (G,), and each one's grid.

    Each grid is coarse over its whole reach and fine about the optima of the least, the likeliest and the largest spread.
    """
    grids = list(form.grids)
    order = np.argsort(variance.sum(1))
    centres = [form.best(target[at], variance[at])[0] for at in dict.fromkeys((order[0], best, order[-1]))]
    for which, grid in enumerate(grids):
        if which:
            continue
        fine = [grid]
        for at, values in zip(dict.fromkeys((order[0], best, order[-1])), centres, strict=True):
            fine.append(values[which] + FINE * form.width(values, which, target[at], variance[at]))
        some = np.concatenate(fine)
        grids[which] = np.unique(some[(some >= grid[0]) & (some <= grid[-1])])
    values = form.product(grids)
    widths = form.product([np.log(np.gradient(grid)) for grid in grids]).sum(1) if grids else np.zeros(1)
    return values, widths, grids


def _likely(design: Array, target: Array, variance: Array, best: int) -> NDArray[np.intp]:
    """Return which designs are not hopeless at the likeliest spread or at the largest."""
    some = [best, int(np.argmax(variance.sum(1)))]
    log = normal_cells(design, target[some], variance[some], variance[best]).log
    return np.flatnonzero((log > log.max(1, keepdims=True) - UNLIKELY).any(0))


def _profiles(form: _Form, values: Array, log: Array, grids: list[Array]) -> dict[str, tuple[Array, Array]]:
    """Return the values of each nonlinear parameter, and the largest log-likelihood (of G) at each."""
    return {
        name: (grids[which], np.array([log[values[:, which] == value].max(initial=-np.inf) for value in grids[which]]))
        for which, name in enumerate(form.form.nonlinear)
    }


def _with_levels(
    form: _Form, levels: Side, spreads: Array, parts: tuple[Array, Array, Array, Array, NDArray[np.intp]]
) -> tuple[tuple[Array, Array], Array, tuple[Array, Array, Array, Array, NDArray[np.intp]]]:
    """Cross the cells with those of the levels, which each size has for itself, and which say nothing of slopes."""
    log = levels.log_prior[:, 0] + (0.0 if levels.known else _smooth(form.sizes, levels))
    share = np.exp(log - log.max())
    below = np.cumsum(share / share.sum())
    ends = np.cumsum(_SHARES)
    at = np.searchsorted(below, ends - _SHARES / 2).clip(0, len(below) - 1)
    G, E = len(parts[0]), len(at)
    crossed = (
        np.repeat(parts[0], E) * np.tile(_SHARES, G),
        np.repeat(parts[1], E, 0),
        np.repeat(parts[2], E, 0),
        np.repeat(parts[3], E, 0),
        np.repeat(parts[4], E),
    )
    spreads = np.repeat(spreads, E, 1)
    spreads[1] = np.tile(levels.spread[at], G)
    own = np.tile(levels.groups.mean[at], (G, 1)), np.tile(levels.groups.variance[at], (G, 1))
    return own, spreads, crossed


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
        law,
        lines,
        size,
        centre,
        weight,
        none,
        none,
        np.zeros((len(kept), 0, 0)),
        own[0],
        own[1],
        spreads,
        precision,
        means,
        len(lines.params) - len(size),
        float(np.logaddexp.reduce(log.ravel())),
        {},
    )
