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
    make_side,
    outer_values,
)
from scalefit.fitting.linear_rows import LinearRows
from scalefit.fitting.run_lines import RunLines
from scalefit.laws.law import Law
from scalefit.numerics.linear import normal_cells
from scalefit.numerics.mixtures import weights_of

Array = NDArray[np.float64]
FINE = np.linspace(-3.6, 3.6, 13)
"""Steps of the fine grid about an optimum, in its standard errors."""
_SHARES = np.array([0.5, 0.35, 0.15])
"""Shares of the distribution of the scatter of levels, each of which one value stands for."""


def weigh_runs(law: Law, lines: RunLines) -> Hierarchy:
    """Weigh what runs say of a line law.

    Parameters
    ----------
    law : Law
        Linear in all but a few of its parameters (`law.linear`).
    lines : RunLines
        By size, ascending.
    """
    sides = _Sides(law, lines)
    if sides.form is None:
        return _each_size(law, lines, sides)
    return _shared(sides.form, lines, sides)


@dataclass(frozen=True)
class Likeliest:
    """A law at its best, the scatter of runs being integrated over only for its likelihood.

    Attributes
    ----------
    values, coefficients : ndarray, shape (q,) and (c,)
        Nonlinear parameters as the law takes them, and what it is linear in.
    log_likelihood : float
    """

    law: Law
    values: Array
    coefficients: Array
    log_likelihood: float

    def curve(self, params: float, x: Array) -> Array:
        """Return log10 L of a size at log10 X (n,), for a closed offset."""
        assert self.law.linear is not None
        slopes, offsets = self.law.linear.columns(np.array([params]), self.values[None])
        assert slopes is not None
        assert offsets is not None
        return np.asarray(offsets[0, 0] @ self.coefficients - (slopes[0, 0] @ self.coefficients) * x)


def find_likeliest(law: Law, lines: RunLines) -> Likeliest:
    """Return a law whose slopes depend on size at its best for lines of runs, without what `weigh_runs` says beside."""
    sides = _Sides(law, lines)
    form = sides.form
    assert form is not None
    cells = _likely_cells(form, sides.rows)
    target, variance = cells.target[[cells.best]], cells.variance[[cells.best]]
    values = form.best(target[0], variance[0])
    design = form.design(values[None])
    found = normal_cells(design, cells.target, cells.variance, variance[0])
    log = float(np.logaddexp.reduce(found.log[:, 0] + cells.prior))
    return Likeliest(law, outer_values(law, values), found.mean[cells.best, 0], log)


class _Sides:
    """Slopes and levels of runs by size, and the law's form where it has one for the slopes of all sizes."""

    def __init__(self, law: Law, lines: RunLines) -> None:
        assert law.linear is not None
        assert (np.diff(lines.params) >= 0).all()
        self.sizes, self.first = np.unique(lines.params, return_index=True)
        counts = np.diff(np.append(self.first, len(lines.params)))
        self.centre = np.add.reduceat(lines.centre, self.first) / counts
        rough = np.repeat(np.add.reduceat(lines.slope, self.first) / counts, counts)
        # A run's level is moved to its size's centre; how wrong the slope is with which it moves is added.
        off = lines.centre - np.repeat(self.centre, counts)
        level, variance = lines.level - rough * off, lines.level_variance + off**2 * lines.slope_variance
        self.levels = make_side(level, variance, self.first, np.ones(len(level)), LEVELS)
        slopes, offsets = law.linear.columns(self.sizes[:1], np.ones((1, len(law.linear.nonlinear))))
        self.closed = offsets is not None
        self.form = None if slopes is None else LinearRows(law, law.linear, self.sizes, self.centre)
        if self.form is None:
            scale = np.abs(np.add.reduceat(lines.slope, self.first) / counts)
            scale = np.maximum(scale, 0.05 * scale.max() + 1e-12)
        else:
            scale = _scale(self.form, lines, self.levels if self.closed else None, self.first)
        self.slopes = make_side(lines.slope, lines.slope_variance, self.first, np.repeat(scale, counts), SLOPES)

    @property
    def rows(self) -> list[Side]:
        """What the form explains."""
        return [self.slopes, self.levels] if self.closed else [self.slopes]


def _scale(form: LinearRows, lines: RunLines, levels: Side | None, first: NDArray[np.intp]) -> Array:
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
        slope = form.slopes(form.near(y, V), y, V)
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


def _told(side: Side) -> NDArray[np.intp]:
    """Return which values of a spread runs of one size do not speak against among themselves."""
    log = side.log_prior[:, 0]
    return np.flatnonzero(log > log.max() - UNLIKELY) if side.known else np.arange(len(log))


def _likely_cells(form: LinearRows, sides: list[Side]) -> _Cells:
    """Return the cells of spreads that are not hopeless at the optimum of the likeliest."""
    axes = [axis for side in sides for axis in (_told(side), np.arange(len(side.misfit)))]
    at = np.stack([one.ravel() for one in np.meshgrid(*axes, indexing="ij")])
    pairs = [(side, at[2 * i], at[2 * i + 1]) for i, side in enumerate(sides)]
    prior = np.sum([side.log_prior[spread, misfit] for side, spread, misfit in pairs], axis=0)
    target = np.concatenate([side.groups.mean[spread] for side, spread, _ in pairs], 1)
    variance = np.concatenate([side.variance(spread, misfit) for side, spread, misfit in pairs], 1)
    best = len(target) // 2
    for _ in range(2):
        values = form.near(target[best], variance[best])
        log = prior + normal_cells(form.design(values[None]), target, variance, variance[best]).log[:, 0]
        best = int(np.argmax(log))
    kept = np.flatnonzero(log > log.max() - UNLIKELY)
    return _Cells(at[:, kept], prior[kept], target[kept], variance[kept], int(np.argmax(log[kept])))


def _shared(form: LinearRows, lines: RunLines, sides: _Sides) -> Hierarchy:
    """Integrate over the cells of a law whose slopes depend on size by shared parameters."""
    slopes, levels, cells = sides.slopes, sides.levels, _likely_cells(form, sides.rows)
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
    own, crossed, level_scatter = None, np.arange(len(kept)), None
    if sides.closed:
        spreads[1], spreads[3] = levels.spread[cells.at[2, n]], levels.misfit[cells.at[3, n]]
    else:
        own, at, level_scatter = _levels_of(form, levels, len(kept))
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
        profiles=_profiles(form, values, likelihood, grids),
        level_scatter=level_scatter,
    )


def _grid(form: LinearRows, cells: _Cells) -> tuple[Array, Array, list[Array]]:
    """Return values of the nonlinear parameters (G, q), the logarithm of their cells' widths (G,), and each one's grid.

    Each grid is coarse over its whole reach, and that of the first fine about the optima of the least, the likeliest and the
    largest spread. Values that are hopeless at the likeliest and at the largest spread are left out.
    """
    grids = list(form.grids)
    if not grids:
        return np.zeros((1, 0)), np.zeros(1), grids
    order = np.argsort(cells.variance.sum(1))
    # Two parameters at once are looked at in half as many values each.
    steps, grids[0] = (FINE, grids[0]) if len(grids) == 1 else (FINE[::2], grids[0][::2])
    fine = [grids[0]]
    for at in dict.fromkeys((order[0], cells.best, order[-1])):
        target, variance = cells.target[at], cells.variance[at]
        optimum = form.best(target, variance)
        fine.append(optimum[0] + steps * form.width(optimum, 0, target, variance))
    some = np.concatenate(fine)
    grids[0] = np.unique(some[(some >= grids[0][0]) & (some <= grids[0][-1])])
    values = form.product(grids)
    widths = form.product([np.log(np.gradient(grid)) for grid in grids]).sum(1)
    extremes = [cells.best, order[-1]]
    reference = cells.variance[cells.best]
    log = normal_cells(form.design(values), cells.target[extremes], cells.variance[extremes], reference).log
    near = np.flatnonzero((log > log.max(1, keepdims=True) - UNLIKELY).any(0))
    return values[near], widths[near], grids


def _profiles(form: LinearRows, values: Array, log: Array, grids: list[Array]) -> dict[str, tuple[Array, Array]]:
    """Return the values of each nonlinear parameter, and the largest log-likelihood (of G) at each."""
    return {
        name: (grids[which], np.array([log[values[:, which] == value].max(initial=-np.inf) for value in grids[which]]))
        for which, name in enumerate(form.form.nonlinear)
    }


def _levels_of(
    form: LinearRows, levels: Side, count: int
) -> tuple[tuple[Array, Array], NDArray[np.intp], tuple[Array, Array]]:
    """Return mean and variance of levels that each size has for itself, `count` times, for which values of their scatter, and its weights."""
    log = levels.log_prior[:, 0] + (0.0 if levels.known else _smooth(form.sizes, levels))
    share = np.exp(log - log.max())
    share = share / share.sum()
    at = np.searchsorted(np.cumsum(share), np.cumsum(_SHARES) - _SHARES / 2).clip(0, len(share) - 1)
    own = np.tile(levels.groups.mean[at], (count, 1)), np.tile(levels.groups.variance[at], (count, 1))
    return own, at, (share, levels.spread)


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


def _each_size(law: Law, lines: RunLines, sides: _Sides) -> Hierarchy:
    """Return the mixture of a law that leaves slope and level to each size."""
    slopes, levels, size = sides.slopes, sides.levels, sides.sizes
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
        centre=sides.centre,
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
        profiles={},
    )
