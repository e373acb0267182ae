"""What runs say of a line law when the run is the unit of evidence.

The model: the line of run r of size N has level and slope of the law at N, plus a departure of the size (misfit), plus a
departure of the run (scatter), plus what evaluation noise leaves unknown (`run_lines`). Slopes depart relatively, levels in
log10 loss, independently where runs turn (`turns`). Spreads of the departures and ways to turn are integrated over, and with
them the parameters in which the law is not linear; given these, the others are normal. What is left is a mixture of normal
distributions over cells.
Shapes: G cells, S sizes, M runs, q nonlinear parameters, c coefficients, A and B values of spreads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.run_lines import RunLines
from scalefit.laws.law import Law
from scalefit.numerics.mixtures import Mixture
from scalefit.numerics.scatter import NO_SPREAD_GRID, Groups, group_units, spread_prior

Array = NDArray[np.float64]
SLOPES, LEVELS = 0.2, 0.02
"""Scales of the priors of the relative scatter of slopes and of the scatter of levels [log10 loss]."""
REFERENCE = 0.1
"""Relative scatter of slopes with which the search for the optimum weighs."""
REPEATS = 2
"""Runs beyond one a size from which the scatter of runs is told apart from a size's departure from the law."""
MISFITS = 8
"""Values of a misfit that are integrated over, beside 0."""
OPEN = 0.147
"""Likelihood at the end of a grid, as a share of the largest, above which the data do not end there (95 %)."""
UNLIKELY = 7.0
"""Log-likelihood below the best from which a cell is not looked at."""


@dataclass(frozen=True)
class Side:
    """Slopes or levels of runs, by size, for every value of their spread.

    Attributes
    ----------
    spread, misfit : ndarray, shape (A,) and (B,)
        Values integrated over; the misfit is 0 only where it is not told apart from the spread. Where units themselves have
        K values, their spreads follow each other K times.
    log_prior : ndarray, shape (A, B)
        With what runs say of their spread among themselves.
    groups : Groups
        Each size's mean.
    scale : ndarray, shape (S,)
        What a spread of 1 is at each size.
    known : bool
        Whether runs say anything of the spread among themselves.
    """

    spread: Array
    misfit: Array
    log_prior: Array
    groups: Groups
    scale: Array
    known: bool

    def variance(self, a: NDArray[np.intp], b: NDArray[np.intp]) -> Array:
        """Return the variance of each size's mean about the law in cells of spread a and misfit b, shape (n, S)."""
        return np.asarray(self.groups.variance[a] + (self.misfit[b, None] * self.scale) ** 2)


@dataclass(frozen=True)
class Hierarchy:
    """The mixture.

    Attributes
    ----------
    weight : ndarray, shape (G,)
    values : ndarray, shape (G, q)
        Of the nonlinear parameters, on their fitted scale.
    coefficients, covariance : ndarray, shape (G, c) and (G, c, c)
        Of what k(N) and E(N) are linear in.
    slope, level : pair of ndarray, shape (G, S), or None
        Mean and variance of each size's own slope and of its level at `centre` and `tilt`, where the law leaves them to the
        sizes.
    centre : ndarray, shape (S,)
        Where a size's level is told best, log10 X.
    tilt : ndarray, shape (G, S)
        How far beyond it a cell tells it independently of the slope.
    turn : ndarray, shape (G,)
        How runs turn, one of `turns.TURNS`.
    pivot : ndarray, shape (H, S)
        Where they do, log10 X; first their middle, about which sizes depart from the law.
    spreads : ndarray, shape (4, G)
        Scatter of slopes and of levels between runs, misfit of slopes and of levels.
    precision : ndarray, shape (2, S)
        Mean precision of each size's slope and level about the law.
    means : ndarray, shape (2, S)
        Each size's slope and level, as far as runs tell.
    """

    law: Law
    lines: RunLines
    sizes: Array
    centre: Array
    weight: Array
    values: Array
    coefficients: Array
    covariance: Array
    slope: tuple[Array, Array] | None
    level: tuple[Array, Array] | None
    spreads: Array
    tilt: Array
    turn: NDArray[np.intp]
    pivot: Array
    precision: Array
    means: Array
    repeats: int
    """Runs beyond one a size."""
    profiles: dict[str, tuple[Array, Array]]
    """Of each nonlinear parameter, values on its fitted scale and their log-likelihood."""

    def _columns(self, params: float) -> tuple[Array, Array | None]:
        assert self.law.linear is not None
        slopes, offsets = self.law.linear.columns(np.array([params]), self.outer)
        assert slopes is not None
        return slopes[:, 0], None if offsets is None else offsets[:, 0]

    @property
    def known(self) -> bool:
        """Whether runs say anything of their scatter; else the law has as much freedom as they have."""
        shared = self.coefficients.shape[1] + self.values.shape[1]
        return self.repeats > 0 if self.slope is not None else len(self.lines.params) > shared

    @cached_property
    def outer(self) -> Array:
        """The nonlinear parameters as the law takes them, (G, q)."""
        return outer_values(self.law, self.values)

    def _seen(self, params: float) -> int | None:
        at = int(np.argmin(np.abs(np.log(self.sizes / params))))
        return at if np.isclose(self.sizes[at], params, rtol=1e-9) else None

    @cached_property
    def k_of_sizes(self) -> Mixture:
        """k(N) of the law's mean curve at the sizes."""
        if self.slope is not None:
            return Mixture(self.weight, self.slope[0], np.sqrt(self.slope[1]))
        assert self.law.linear is not None
        slopes, _ = self.law.linear.columns(self.sizes, self.outer)
        assert slopes is not None
        return self._linear(slopes)

    def k(self, params: float) -> Mixture:
        """Return k(N) of the law's mean curve."""
        if self.slope is not None:
            at = self._at(params)
            return Mixture(self.weight, self.slope[0][:, [at]], np.sqrt(self.slope[1][:, [at]]))
        columns, _ = self._columns(params)
        return self._linear(columns[:, None])

    def _at(self, params: float) -> int:
        at = self._seen(params)
        if at is None:
            raise FitError(f"law {self.law.name!r} says nothing about a size that was not fitted.")
        return at

    def _linear(self, rows: Array) -> Mixture:
        """Return what is linear in the coefficients, `rows` (G, n, c)."""
        mean = (rows @ self.coefficients[..., None])[..., 0]
        variance = ((rows @ self.covariance) * rows).sum(-1)
        return Mixture(self.weight, mean, np.sqrt(np.maximum(variance, 0)))

    def curve(self, params: float, x: Array) -> Mixture:
        """Return log10 L of the law's mean curve at log10 X, (n,) or another in each cell (G, n)."""
        if self.level is None:
            slopes, offsets = self._columns(params)
            assert offsets is not None
            rows = np.stack([offsets, -slopes], 1)
            E, k = (rows @ self.coefficients[..., None]).swapaxes(0, 1)
            both = rows @ self.covariance @ rows.swapaxes(1, 2)
            variance = both[:, :1, 0] + x * (2 * both[:, :1, 1] + x * both[:, 1:, 1])
            return Mixture(self.weight, E + k * x, np.sqrt(np.maximum(variance, 0)))
        at = self._at(params)
        k, off = self.k(params), x - self.centre[at] - self.tilt[:, [at]]
        mean = self.level[0][:, [at]] - k.mean * off
        return Mixture(self.weight, mean, np.sqrt(self.level[1][:, [at]] + (k.sd * off) ** 2))

    def between_runs(self, params: float, x: Array) -> Array:
        """Return the variance of a new run's curve about the law's mean curve at log10 X, shape (G, n)."""
        at = self._seen(params)
        pivot = self.pivot[:, at] if at is not None else self.pivot.mean(1)
        slope, level, misfit, level_misfit = self.spreads[:, :, None]
        # Runs turn as they do; a size departs about its middle.
        turned = (slope * (x - pivot[self.turn, None])) ** 2 + (misfit * (x - pivot[0])) ** 2
        return np.asarray(turned * self.k(params).mean ** 2 + level**2 + level_misfit**2)

    def turning(self, params: float, x: Array, about: float) -> Array:
        """Return the part of it that is of the slope, for a run whose level is known where log10 X is `about`, (G, n)."""
        slope, _, misfit, _ = self.spreads[:, :, None]
        return np.asarray((slope**2 + misfit**2) * (self.k(params).mean * (x - about)) ** 2)

    def draw_laws(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Array]:
        """Return draws of the cell, (count,), and of the law's coefficients there, (count, c)."""
        cell = rng.choice(len(self.weight), count, p=self.weight)
        if self.slope is not None:
            return cell, self.coefficients[cell]
        values, vectors = np.linalg.eigh(self.covariance[cell])
        normal = rng.standard_normal(values.shape) * np.sqrt(np.maximum(values, 0))
        return cell, self.coefficients[cell] + (vectors @ normal[..., None])[..., 0]

    def lines_of(
        self, laws: tuple[NDArray[np.intp], Array], params: Array, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Return k and E of drawn laws' mean curves at sizes (n,), two of shape (count, n); what laws leave to sizes is drawn."""
        cell, coefficients = laws
        if self.slope is None:
            assert self.law.linear is not None
            slopes, offsets = self.law.linear.columns(params, self.outer[cell])
            assert slopes is not None
            k = (slopes @ coefficients[..., None])[..., 0]
            if offsets is not None:
                return k, (offsets @ coefficients[..., None])[..., 0]
            at = np.array([self._at(size) for size in params])
        else:
            at = np.array([self._at(size) for size in params])
            k = self.slope[0][cell][:, at] + np.sqrt(self.slope[1][cell][:, at]) * rng.standard_normal(
                (len(cell), len(at))
            )
        assert self.level is not None
        level = self.level[0][cell][:, at] + np.sqrt(self.level[1][cell][:, at]) * rng.standard_normal(
            (len(cell), len(at))
        )
        return k, level + k * (self.centre[at] + self.tilt[cell][:, at])

    def draw_lines(self, params: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return draws of k and E of the law's mean curves at sizes (n,), two of shape (count, n).

        Lines of one draw belong together.
        """
        return self.lines_of(self.draw_laws(count, rng), params, rng)

    def own_run(self, row: int, x: Array) -> Array:
        """Return the variance of a fitted run's own curve about the law's mean curve at log10 X, shape (G, n)."""
        lines, params = self.lines, float(self.lines.params[row])
        k, level = self.k(params), self.curve(params, lines.centre[[row]])
        # Slope and level at the run's centre: by the law, by scatter, and by noise, (G, 2, 2).
        back, turned = lines.back[self.turn, row], (self.spreads[0] * k.mean[:, 0]) ** 2
        crossed = -turned * back
        scatter = np.stack([turned, crossed, crossed, turned * back**2 + self.spreads[1] ** 2], -1).reshape(-1, 2, 2)
        noise = np.diag([lines.slope_variance[row], lines.level_variance[row]])
        gain = scatter @ np.linalg.inv(scatter + noise)
        by_law = np.concatenate([k.sd, level.sd], 1)
        off = np.array([lines.slope[row], lines.level[row]]) - np.concatenate([k.mean, level.mean], 1)
        told, left = gain @ off[..., None], (np.eye(2) - gain) * by_law[:, None]
        left = left @ left.swapaxes(1, 2) + scatter - gain @ scatter + told @ told.swapaxes(1, 2)
        to = np.stack([lines.centre[row] - x, np.ones(len(x))])
        return np.asarray(np.einsum("in,gij,jn->gn", to, left, to))

    def is_open(self, name: str) -> tuple[bool, bool]:
        """Return whether the data leave a nonlinear parameter open below and above."""
        log = self.profiles[name][1]
        return bool(log[0] > log.max() + np.log(OPEN)), bool(log[-1] > log.max() + np.log(OPEN))

    def parameter(self, name: str) -> Mixture | None:
        """Return a parameter's distribution on the fitted scale; None for one that is neither coefficient nor integrated over."""
        form = self.law.linear
        assert form is not None
        if name in form.nonlinear:
            at = form.nonlinear.index(name)
            width = _widths(self.values[:, at])
            return Mixture(self.weight, self.values[:, [at]], width[:, None])
        if name in form.direct:
            at = form.direct[name]
            return Mixture(
                self.weight, self.coefficients[:, [at]], np.sqrt(np.maximum(self.covariance[:, at, at], 0))[:, None]
            )
        return None


def _widths(values: Array) -> Array:
    """Return half the distance between neighbouring values of a grid as a spread, so that their mixture has no gaps."""
    grid = np.unique(values)
    if len(grid) < 2:
        return np.full(len(values), 1e-9)
    return np.asarray(np.interp(values, grid, 0.5 * np.gradient(grid)))


def outer_values(law: Law, values: Array) -> Array:
    """Return values of the nonlinear parameters as the law takes them, from the fitted scale."""
    logs = log_scaled(law)
    return np.where(logs, np.exp(np.where(logs, values, 0.0)), values)


def log_scaled(law: Law) -> NDArray[np.bool_]:
    """Return which nonlinear parameters are fitted as logarithms, (q,)."""
    assert law.linear is not None
    scales = {param.name: param.scale for param in law.params}
    return np.array([scales[name] == "log" for name in law.linear.nonlinear], bool)


def make_side(
    value: Array,
    variance: Array,
    first: NDArray[np.intp],
    scale: Array,
    prior: float,
    more: tuple[Array | None, ...] = (None, None),
) -> Side:
    """Gather slopes or levels, (M,) or K values of each (K, M), by size; `scale` (M,) is what a spread of 1 is.

    `more` are values of spread and misfit to look at beside the grids'.
    """
    value, variance = np.atleast_2d(value), np.atleast_2d(variance)
    extra = len(scale) - len(first)
    finest = float(np.median(np.sqrt(variance[0]) / scale))
    spread, log_mass = spread_prior(prior, finest, more=more[0])
    every = (variance[:, None] + (spread[:, None] * scale) ** 2).reshape(-1, len(scale))
    groups = group_units(np.repeat(value, len(spread), 0), every, first)
    spread, log_mass = np.tile(spread, len(value)), np.tile(log_mass, len(value))
    misfit, log_misfit = NO_SPREAD_GRID
    if extra >= REPEATS:
        misfit, log_misfit = spread_prior(prior, finest, MISFITS, more[1])
    log_prior = (log_mass + groups.within)[:, None] + log_misfit
    return Side(spread, misfit, log_prior, groups, scale[first], extra > 0)
