"""Cells: the spreads of runs' slopes and levels that are integrated over, and what the sizes' runs say in each of them.

Shapes as in `scalefit.fitting.hierarchy`; the rows of a cell are the slopes of S sizes and, for closed offsets, their levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.hierarchy import LEVELS, REFERENCE, SLOPES, UNLIKELY, Side, make_side
from scalefit.fitting.linear_rows import LinearRows
from scalefit.fitting.run_lines import RunLines
from scalefit.fitting.turns import Turned, turn_lines
from scalefit.laws.law import Law
from scalefit.numerics.linear import normal_cells
from scalefit.numerics.mixtures import weights_of
from scalefit.numerics.scatter import between

Array = NDArray[np.float64]
ROUNDS, CLOSE = 2, 20
"""Times that the grids of spreads are made finer, and runs below which none is told more closely than the grid has it."""


MANY = 2000
"""Cells above which some stand for all."""
NOTHING_MORE = (None, None, None, None)


@dataclass(frozen=True)
class Look:
    """Where to look closely: scatter and misfit of slopes, and of levels.

    Attributes
    ----------
    more : tuple of ndarray or None
        Values of each spread beside those of its grid.
    reach : tuple of pairs
        Ends within which each is not hopeless.
    """

    more: tuple[Array | None, ...] = NOTHING_MORE
    reach: tuple[tuple[float, float], ...] = ((0.0, np.inf),) * 4


class Sides:
    """Slopes and levels of runs by size, and the law's form where it has one for the slopes of all sizes."""

    def __init__(self, law: Law, lines: RunLines, look: Look | None = None) -> None:
        assert law.linear is not None
        self.law, self.lines, self.look = law, lines, look or Look()
        assert (np.diff(lines.params) >= 0).all()
        self.sizes, self.first = np.unique(lines.params, return_index=True)
        counts = np.diff(np.append(self.first, len(lines.params)))
        self.centre = np.add.reduceat(lines.centre, self.first) / counts
        rough = np.repeat(np.add.reduceat(lines.slope, self.first) / counts, counts)
        slopes, offsets = law.linear.columns(self.sizes[:1], np.ones((1, len(law.linear.nonlinear))))
        self.closed = offsets is not None
        self.form = None if slopes is None else LinearRows(law, law.linear, self.sizes, self.centre)
        if self.form is None:
            scale = np.abs(np.add.reduceat(lines.slope, self.first) / counts)
            scale = np.maximum(scale, 0.05 * scale.max() + 1e-12)
        else:
            plain = turn_lines(lines, self.first, rough, np.zeros((1, len(rough))))
            levels = self._levels(plain, NOTHING_MORE) if self.closed else None
            scale = _scale(self.form, lines, levels, self.first)
        scale, more = np.repeat(scale, counts), self.look.more
        self.slopes = make_side(lines.slope, lines.slope_variance, self.first, scale, SLOPES, more[:2])
        self._rough, self._scale = rough, scale
        self.pivot = self.centre - np.add.reduceat(lines.back, self.first, 1) / counts

    @cached_property
    def turned(self) -> Turned:
        """Levels of runs where they say nothing of their slopes."""
        own = (self.slopes.spread[:, None] * self._scale) ** 2
        return turn_lines(self.lines, self.first, self._rough, own)

    @cached_property
    def levels(self) -> Side:
        """Levels by size, one row after another for every way to turn, spread of slopes and spread of levels."""
        levels = self._levels(self.turned, self.look.more)
        prior = np.repeat(self.turned.log_prior, len(levels.spread) // len(self.turned.log_prior))[:, None]
        return replace(levels, log_prior=levels.log_prior + prior)

    @cached_property
    def heights(self) -> int:
        """How many spreads of levels there are."""
        return len(self.levels.spread) // len(self.turned.log_prior)

    def _levels(self, turned: Turned, more: tuple[Array | None, ...]) -> Side:
        ones = np.ones(turned.level.shape[1])
        return make_side(turned.level, turned.variance, self.first, ones, LEVELS, more[2:])

    @property
    def grids(self) -> tuple[Array, Array, Array, Array]:
        """Values of the four spreads."""
        return self.slopes.spread, self.slopes.misfit, self.levels.spread[: self.heights], self.levels.misfit

    def closer(self, shares: tuple[Array, Array, Array, Array]) -> Sides | None:
        """Return sides that look closer where few values of a spread have the share of what fits, None where none have."""
        pairs = list(zip(self.grids, shares, strict=True))
        found = [between(grid, share) for grid, share in pairs]
        if all(one is None for one in found):
            return None
        both = [[one for one in pair if one is not None] for pair in zip(found, self.look.more, strict=True)]
        # Neighbours are kept: what lies between may be likely where they are not.
        likely = [np.flatnonzero(share > share.max() * np.exp(-UNLIKELY)) for _, share in pairs]
        ends = [
            (max(one[0] - 1, 0), min(one[-1] + 1, len(grid) - 1)) for one, grid in zip(likely, self.grids, strict=True)
        ]
        reach = tuple((grid[low], grid[high]) for grid, (low, high) in zip(self.grids, ends, strict=True))
        more = tuple(np.unique(np.concatenate(pair)) if pair else None for pair in both)
        return Sides(self.law, self.lines, Look(more, reach))

    def within(self, which: int, spread: Array) -> NDArray[np.intp]:
        """Return which values of one of the four spreads are not hopeless."""
        low, high = self.look.reach[which]
        return np.flatnonzero((spread >= low * (1 - 1e-9)) & (spread <= high * (1 + 1e-9)))

    def levels_of(
        self, spread: NDArray[np.intp], misfit: NDArray[np.intp], row: NDArray[np.intp]
    ) -> tuple[Array, Array, Array]:
        """Return levels of sizes, their variance, and how far beyond the centre they are (tilt), in cells of rows of the levels' side, (n, S).

        A size that departs from the law's slope does so about its centre, whichever way its runs turn.
        """
        tilt, slope = self.turned.tilt[row // self.heights], self.slopes.groups.mean[spread]
        known = self.slopes.groups.variance[spread]
        departs = (self.slopes.misfit[misfit, None] * self.slopes.scale) ** 2
        share = departs / (departs + known)
        level = self.levels.groups.mean[row] + share * slope * tilt
        return level, self.levels.groups.variance[row] + share * known * tilt**2, (1 - share) * tilt

    def split(self, row: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return how runs turn and which spread of slopes they have in rows of the levels' side."""
        turn, spread = np.divmod(row // self.heights, len(self.slopes.spread))
        return turn, spread

    def middle(self, row: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows of the levels' side of the same spreads where runs turn about their middle."""
        return row % (len(self.slopes.spread) * self.heights)

    def by_slopes(self) -> Array:
        """Return the logarithm of what ways to turn and scatters of levels weigh at each spread of slopes, (A, H * heights).

        One run a size tells of levels only if without scatter they were smooth in log N, and nothing of the slopes' spread.
        """
        levels, A = self.levels, len(self.slopes.spread)
        log = levels.log_prior[:, 0]
        if not levels.known and self.form is not None:
            log = log + _smooth(self.sizes, levels)
        log = log.reshape(-1, A, self.heights).swapaxes(0, 1).reshape(A, -1)
        return log if levels.known else log - np.logaddexp.reduce(log, 1)[:, None]

    def row(self, spread: NDArray[np.intp], at: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return rows of the levels' side from spreads of slopes and columns of `by_slopes`."""
        turn, height = np.divmod(at, self.heights)
        return (turn * len(self.slopes.spread) + spread) * self.heights + height


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
        slope = form.slopes(form.near(y[None], V[None])[0], y, V)
        found = np.maximum(np.abs(slope), 0.05 * np.abs(slope).max() + 1e-12)
    return found


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


@dataclass(frozen=True)
class Cells:
    """Pairs of spread and misfit of each side, (2 or 4, n): their log prior (n,), the rows they explain and the variances (n, rows)."""

    at: NDArray[np.intp]
    prior: Array
    target: Array
    variance: Array
    tilt: Array | None
    best: int
    """The likeliest."""
    log: Array
    """Of the likelihood at the optimum of the likeliest, with the prior, (n,)."""

    def keep(self, rows: NDArray[np.intp], log: Array) -> Cells:
        """Return some cells, the best of which is that of the largest `log` (n,)."""
        tilt = None if self.tilt is None else self.tilt[rows]
        best = int(np.argmax(log[rows]))
        return Cells(self.at[:, rows], self.prior[rows], self.target[rows], self.variance[rows], tilt, best, log[rows])

    def some(self) -> Cells:
        """Return cells that stand for all: each likely one for itself, and each of the others for as much as several."""
        rows, weight = weights_of(self.log)
        kept = self.keep(rows, self.log)
        moved = np.log(weight) - kept.log
        return replace(kept, prior=kept.prior + moved, log=np.log(weight))

    def solved(self, reference: int) -> tuple[Array, Array, Array, Array | None]:
        """Return what `normal_cells` asks for beside designs."""
        return self.target, self.variance, self.variance[reference], self.tilt

    def of(self, which: list[int]) -> tuple[Array, Array, Array | None]:
        """Return what cells explain: targets, variances, and their tilt."""
        return self.target[which], self.variance[which], None if self.tilt is None else self.tilt[which]


def _told(side: Side, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return which of some values of a spread runs of one size do not speak against among themselves."""
    log = side.log_prior[rows, 0]
    return rows[log > log.max() - UNLIKELY if side.known else np.isfinite(log)]


def _all_cells(sides: Sides) -> Cells:
    """Return all cells of spreads that runs of one size do not speak against among themselves."""
    slopes = sides.slopes
    a = _told(slopes, sides.within(0, slopes.spread))
    misfit = sides.within(1, slopes.misfit)
    if not sides.closed:
        at = np.stack([one.ravel() for one in np.meshgrid(a, misfit, indexing="ij")])
        prior = slopes.log_prior[at[0], at[1]]
        if slopes.known:
            prior = prior + np.logaddexp.reduce(sides.by_slopes(), 1)[at[0]]
        return Cells(at, prior, slopes.groups.mean[at[0]], slopes.variance(at[0], at[1]), None, len(prior) // 2, prior)
    levels = sides.levels
    rows = sides.within(2, levels.spread)
    rows = _told(levels, rows[np.isin(sides.split(rows)[1], a)])
    grid = np.meshgrid(rows, misfit, sides.within(3, levels.misfit), indexing="ij")
    row, b, f = (one.ravel() for one in grid)
    at = np.stack([sides.split(row)[1], b, row, f])
    prior = slopes.log_prior[at[0], b] + levels.log_prior[row, f]
    level, level_variance, tilt = sides.levels_of(at[0], b, row)
    level_variance += levels.misfit[f, None] ** 2
    target = np.concatenate([slopes.groups.mean[at[0]], level], 1)
    variance = np.concatenate([slopes.variance(at[0], b), level_variance], 1)
    return Cells(at, prior, target, variance, tilt, len(prior) // 2, prior)


def look_closely(law: Law, lines: RunLines) -> tuple[Sides, Cells | None]:
    """Return sides whose grids of spreads are as fine as runs tell them, and the likely cells of a law of shared slopes."""
    sides = Sides(law, lines)
    rounds = ROUNDS if len(lines.params) >= CLOSE else 0
    for closer in range(rounds + 1):
        cells = None if sides.form is None else likely_cells(sides.form, sides)
        more = sides.closer(_shares(sides, cells)) if closer < rounds else None
        if more is None:
            break
        sides = more
    return sides, cells


def _shares(sides: Sides, cells: Cells | None) -> tuple[Array, Array, Array, Array]:
    """Return the share of what fits of every value of the four spreads."""
    slope, misfit, level, level_misfit = (np.ones(len(grid)) for grid in sides.grids)
    log = sides.by_slopes()
    if cells is None:
        slope = np.exp(sides.slopes.log_prior[:, 0] + np.logaddexp.reduce(log, 1))
    else:
        weight = np.exp(cells.log - cells.log.max())
        every = [np.bincount(at, weight, len(one)) for at, one in zip(cells.at[:2], (slope, misfit), strict=True)]
        slope, misfit = (np.asarray(one, float) for one in every)
    if sides.closed and cells is not None:
        level = np.asarray(np.bincount(cells.at[2] % sides.heights, weight, len(level)), float)
        level_misfit = np.asarray(np.bincount(cells.at[3], weight, len(level_misfit)), float)
    else:
        at_slope = np.exp(log - np.logaddexp.reduce(log, 1)[:, None])
        level = (slope @ at_slope).reshape(-1, len(level)).sum(0)
    return slope, misfit, level, level_misfit


def likely_cells(form: LinearRows, sides: Sides) -> Cells:
    """Return the cells of spreads that are not hopeless at the optimum of the likeliest."""
    cells = _all_cells(sides)
    best = cells.best
    for _ in range(2):
        values = form.near(*cells.of([best]))
        log = cells.prior + normal_cells(form.design(values), *cells.solved(best)).log[:, 0]
        best = int(np.argmax(log))
    likely = cells.keep(np.flatnonzero(log > log.max() - UNLIKELY), log)
    return likely if len(likely.prior) <= MANY else likely.some()
