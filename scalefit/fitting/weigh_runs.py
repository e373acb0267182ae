"""From the lines of runs to the mixture of `hierarchy`: cells of spreads and nonlinear parameters, and what each weighs.

Shapes as in `scalefit.fitting.hierarchy`; `rows` are the slopes of S sizes and, for closed offsets, their levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.cells import Cells, Sides, look_closely
from scalefit.fitting.hierarchy import UNLIKELY, Hierarchy, Side, outer_values
from scalefit.fitting.linear_rows import LinearRows
from scalefit.fitting.once import once
from scalefit.fitting.run_lines import RunLines
from scalefit.laws.law import Law
from scalefit.numerics.linear import normal_cells
from scalefit.numerics.mixtures import weights_of

Array = NDArray[np.float64]
FINE = np.linspace(-3.6, 3.6, 13)
"""Steps of the fine grid about an optimum, in its standard errors."""
COPIES = 1200
"""Parts in which cells are taken, as often as they weigh, when each is given one way to turn and one scatter of levels."""
GOLDEN = (np.sqrt(5) - 1) / 2
"""Multiples of it, without their whole part, are spread evenly however many are taken."""


@once
def weigh_runs(law: Law, lines: RunLines) -> Hierarchy:
    """Weigh what runs say of a line law.

    Parameters
    ----------
    law : Law
        Linear in all but a few of its parameters (`law.linear`).
    lines : RunLines
        By size, ascending.
    """
    sides, cells = look_closely(law, lines)
    if sides.form is None or cells is None:
        return _each_size(law, lines, sides)
    return _shared(sides.form, lines, sides, cells)


@dataclass(frozen=True)
class Likeliest:
    """A law at its best, the scatter of runs being integrated over only for its likelihood.

    Attributes
    ----------
    values, coefficients : ndarray, shape (q,) and (c,)
        Nonlinear parameters as the law takes them, and what it is linear in, in the mean of all cells.
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
    sides, cells = look_closely(law, lines)
    form = sides.form
    assert form is not None
    assert cells is not None
    values = form.best(*cells.of([cells.best]))
    found = normal_cells(form.design(values), *cells.solved(cells.best))
    log = found.log[:, 0] + cells.prior
    kept = np.flatnonzero(log > log.max() - UNLIKELY)
    coefficients, _ = found.coefficients(kept, np.zeros(len(kept), np.intp))
    share = np.exp(log[kept] - np.logaddexp.reduce(log[kept]))
    return Likeliest(law, outer_values(law, values[0]), share @ coefficients, float(np.logaddexp.reduce(log)))


def _shared(form: LinearRows, lines: RunLines, sides: Sides, cells: Cells) -> Hierarchy:
    """Integrate over the cells of a law whose slopes depend on size by shared parameters."""
    slopes, levels = sides.slopes, sides.levels
    values, log_width, grids = _grid(form, cells)
    found = normal_cells(form.design(values), *cells.solved(cells.best))
    log = found.log + cells.prior[:, None]
    likelihood = np.logaddexp.reduce(log, 0)
    kept, weight = weights_of((log + log_width).ravel())
    n, g = np.divmod(kept, len(values))
    if sides.closed:
        row, height_misfit = cells.at[2, n], levels.misfit[cells.at[3, n]]
    else:
        copied, row, weight = _with_levels(sides, cells.at[0, n], weight)
        n, g, height_misfit = n[copied], g[copied], np.zeros(len(row))
    level, level_variance, tilt = sides.levels_of(cells.at[0, n], cells.at[1, n], row)
    coefficients, covariance = found.coefficients(n, g)
    spreads = slopes.spread[cells.at[0, n]], levels.spread[row], slopes.misfit[cells.at[1, n]], height_misfit
    hierarchy = Hierarchy(
        law=form.law,
        lines=lines,
        sizes=form.sizes,
        centre=form.centre,
        weight=weight,
        values=values[g],
        coefficients=coefficients,
        covariance=covariance,
        slope=None,
        level=None if sides.closed else (level, level_variance),
        spreads=np.stack(spreads),
        tilt=tilt,
        turn=sides.split(row)[0],
        pivot=sides.pivot,
        precision=np.zeros((2, 0)),
        means=np.zeros((2, 0)),
        repeats=len(lines.params) - len(form.sizes),
        profiles=_profiles(form, values, likelihood, grids),
    )
    return _about_the_mean(hierarchy, (cells.target[n], cells.variance[n]), levels, sides.middle(row))


def _about_the_mean(found: Hierarchy, known: tuple[Array, Array], levels: Side, row: NDArray[np.intp]) -> Hierarchy:
    """Return the mixture with what sizes' slopes and levels are in the mean of all cells, and what they are worth.

    `known` are targets and variances of cells, (G, S or 2 S). Levels that sizes have for themselves are those at the middle of
    their runs, `row` (G,) of the levels' side, so that the curve goes through what was measured; those of a closed law lie
    where they are told best.
    """
    S, closed = len(found.sizes), found.level is None
    slope, slope_variance = known[0][:, :S], known[1][:, :S]
    level, level_variance = found.level or (known[0][:, S:], known[1][:, S:])
    weight = found.weight @ (1 / level_variance)
    lean = (found.weight @ (found.tilt / level_variance)) / weight if closed else np.zeros(S)
    # From where a cell has a level to the centre of all it goes along the size's slope: in the mean of cells that is no way.
    off = found.tilt - lean
    turned = np.sqrt(slope_variance) if closed or found.slope is not None else found.k_of_sizes.sd
    precision = np.stack(
        [found.weight @ (1 / slope_variance), found.weight @ (1 / (level_variance + (turned * off) ** 2))]
    )
    if not closed:
        level, level_variance = levels.groups.mean[row], levels.groups.variance[row]
        weight = found.weight @ (1 / level_variance)
    means = (found.weight @ (slope / slope_variance)) / precision[0], (found.weight @ (level / level_variance)) / weight
    return replace(found, centre=found.centre + lean, tilt=off, precision=precision, means=np.stack(means))


def _with_levels(
    sides: Sides, spread: NDArray[np.intp], weight: Array
) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Give each cell (its spread of slopes and its weight, (n,)) rows of the levels' side, as many as it weighs.

    Returns which cell each part is of, its row, and its weight.
    """
    count = np.maximum(np.rint(weight * COPIES), 1).astype(int)
    copied = np.repeat(np.arange(len(weight)), count)
    share = np.arange(len(copied)) - np.repeat(np.cumsum(count) - count, count) + (GOLDEN * copied) % 1.0
    log = sides.by_slopes()
    below = np.cumsum(np.exp(log - np.logaddexp.reduce(log, 1)[:, None]), 1)
    a = spread[copied]
    asked = np.minimum(share / count[copied], 1 - 1e-9) + a
    ends = (below / below[:, -1:] + np.arange(len(below))[:, None]).ravel()
    at = np.searchsorted(ends, asked, side="right")
    return copied, sides.row(a, at - a * below.shape[1]), (weight / count)[copied]


def _grid(form: LinearRows, cells: Cells) -> tuple[Array, Array, list[Array]]:
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
    known = cells.of(list(dict.fromkeys((order[0], cells.best, order[-1]))))
    optima = form.best(*known)
    fine = optima[:, :1] + steps * form.width(optima, 0, *known)[:, None]
    some = np.concatenate([grids[0], fine.ravel()])
    grids[0] = np.unique(some[(some >= grids[0][0]) & (some <= grids[0][-1])])
    values = form.product(grids)
    widths = form.product([np.log(np.gradient(grid)) for grid in grids]).sum(1)
    extremes = cells.keep(np.array([cells.best, order[-1]]), cells.prior)
    log = normal_cells(form.design(values), *extremes.solved(0)).log
    near = np.flatnonzero((log > log.max(1, keepdims=True) - UNLIKELY).any(0))
    return values[near], widths[near], grids


def _profiles(form: LinearRows, values: Array, log: Array, grids: list[Array]) -> dict[str, tuple[Array, Array]]:
    """Return the values of each nonlinear parameter, and the largest log-likelihood (of G) at each."""
    return {
        name: (grids[which], np.array([log[values[:, which] == value].max(initial=-np.inf) for value in grids[which]]))
        for which, name in enumerate(form.form.nonlinear)
    }


def _each_size(law: Law, lines: RunLines, sides: Sides) -> Hierarchy:
    """Return the mixture of a law that leaves slope and level to each size."""
    slopes, levels, size = sides.slopes, sides.levels, sides.sizes
    log = slopes.log_prior[:, :1] + sides.by_slopes()
    kept, weight = weights_of(log.ravel())
    a, at = np.divmod(kept, log.shape[1])
    row = sides.row(a, at)
    # With one run a size nothing is known of another: the size's line is that of its run.
    slope, level = (a, row) if slopes.known else (0 * a, 0 * row)
    own = [(side.groups.mean[at], side.groups.variance[at]) for side, at in ((slopes, slope), (levels, level))]
    misfit = np.zeros((2, len(kept)))
    none = np.zeros((len(kept), 0))
    hierarchy = Hierarchy(
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
        spreads=np.stack([slopes.spread[a], levels.spread[row], *misfit]),
        tilt=sides.turned.tilt[level // sides.heights],
        turn=sides.split(row)[0],
        pivot=sides.pivot,
        precision=misfit[:, :0],
        means=misfit[:, :0],
        repeats=len(lines.params) - len(size),
        profiles={},
    )
    return _about_the_mean(hierarchy, own[0], levels, sides.middle(level))
