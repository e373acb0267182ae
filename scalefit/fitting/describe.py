"""How well laws describe the curves they were fitted to: rms, whether what they leave is white, and F tests between them.

What a law leaves is taken of the merged curves: a curve is a set-up of one size, the mean of its seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import erfc

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data
from scalefit.fitting.specification import Specification
from scalefit.laws.law import LN10, Law
from scalefit.numerics.ar1 import NO_NOISE, Noise, autocorrelations, covariance, estimate_noise
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]
LAWS = ("saturating", "power", "clock", "sigmoid")
"""The published law, a power law of each size, one clock for all sizes, a sigmoid of each size."""
LAGS = (1, 2, 3, 5, 10)
"""Evaluations apart at which what is left is looked at."""
DRAWS, SEED, BLOCK = 999, 0, 2_000_000
"""White residuals drawn to say what chance does, and numbers held of them at a time."""
MANY = 20_000
"""Points from which the limit of long curves is taken in place of draws."""
TANGENT = 1e-9
"""Share of the largest direction of a law's parameters below which one has no effect."""
PLAIN = Specification(noise="independent")


@dataclass(frozen=True)
class Left:
    """What a fitted law leaves of the curves, each point scaled to the spread that least squares takes it for.

    Attributes
    ----------
    values : ndarray, shape (n,)
        Loss minus law, times the root of the weight.
    by : ndarray, shape (n, P)
        Derivative of the law's values by its parameters, scaled alike.
    own : ndarray, shape (R, p, T)
        Derivative of each curve by the p parameters it is described by, scaled alike.
    root : ndarray, shape (R, T)
        The scale; 0 where no point is.
    """

    fit: Fit
    values: Array
    by: Array
    own: Array
    root: Array

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Where a point is, shape (R, T)."""
        return self.root > 0

    @cached_property
    def curves(self) -> Array:
        """The values by curve, shape (R, T)."""
        return self.by_curve(self.values)

    def by_curve(self, values: Array) -> Array:
        """Return points (..., n) as curves (..., R, T)."""
        curves = np.zeros((*values.shape[:-1], *self.root.shape))
        curves[..., self.present] = values
        return curves

    @cached_property
    def tangent(self) -> Array:
        """Orthonormal directions in which the parameters move the law's values, (n, r)."""
        length = np.sqrt((self.by**2).sum(0))
        u, s, _ = np.linalg.svd(self.by[:, length > 0] / length[length > 0], full_matrices=False)
        return np.asarray(u[:, s > TANGENT * s[0]])

    @cached_property
    def rms(self) -> float:
        """Root mean square of loss minus law."""
        return float(np.sqrt(np.mean((self.values / self.root[self.present]) ** 2)))

    @cached_property
    def squares(self) -> float:
        """Sum of squares of the values."""
        return float(self.values @ self.values)

    @cached_property
    def noise(self) -> Noise:
        """AR(1) noise of the values, by restricted likelihood about what describes each curve."""
        return estimate_noise(self.curves, self.own, self.present)

    def of_size(self, size: float) -> Left:
        """Return the same of the curves of one size."""
        rows = self.fit.data.params == size
        points = np.repeat(rows, self.present.sum(1))
        return Left(self.fit, self.values[points], self.by[points], self.own[rows], self.root[rows])


def left_by(fit: Fit) -> Left:
    """Return what a fit leaves of the merged curves."""
    data, bound = fit.data, fit.bound
    root = np.sqrt(data.weight * np.asarray(data.runs, float)[:, None])
    present = data.present
    params = np.broadcast_to(data.params[:, None], data.loss.shape)[present]
    log, by_log = fit.log_curve(params, data.resource[:, present])
    loss = 10.0**log
    by = by_log * (loss * LN10 * root[present])[:, None]
    own = np.zeros((*data.loss.shape, bound.flat_index.shape[1]))
    which = np.broadcast_to(bound.flat_index[data.size_index][:, None], own.shape)[present]
    own[present] = np.take_along_axis(by, which, 1)
    values = (data.loss[present] - loss) * root[present]
    return Left(fit, values, by, own.swapaxes(1, 2), root)


@dataclass(frozen=True)
class Whiteness:
    """Whether what a law leaves is white along the curves.

    Attributes
    ----------
    autocorrelation : tuple of float
        At `LAGS`, mean over curves, as it is; nan where no curve is that long.
    if_white : tuple of float
        What white noise would show there, after the same parameters were fitted to it: below 0.
    p : float
        Chance that white noise, of each curve's own spread and with the same parameters fitted to it, leaves as much
        autocorrelation, meaned over `LAGS`.
    """

    autocorrelation: tuple[float, ...]
    if_white: tuple[float, ...]
    p: float


def judge_whiteness(left: Left) -> Whiteness:
    """Test whether what a law leaves is white: against draws of white noise to which the same parameters are fitted.

    Near its optimum the law is linear in its parameters, so what it would leave of white noise is a projection. A law that
    misses curves leaves the same sign at every lag, so their mean is asked and not, as Ljung and Box do, their squares:
    under truths that are no power law it tells the misfit of one far more often. From `MANY` points on, the limit of long
    curves stands for the draws.
    """
    lags, lengths = [lag for lag in LAGS if lag < left.root.shape[1]], left.present.sum(1)
    mean = _mean(autocorrelations(left.curves, left.present, lags))
    spare = (np.nan,) * (len(LAGS) - len(lags))
    if left.squares < NO_NOISE**2 * len(left.values) or not np.isfinite(mean).any():
        return Whiteness((np.nan,) * len(LAGS), (np.nan,) * len(LAGS), np.nan)
    if len(left.values) >= MANY:
        apart = np.maximum(lengths[:, None] - np.array(lags), 0)
        variance = (apart / lengths[:, None] ** 2).sum(0) / (apart > 0).sum(0) ** 2
        p = 0.5 * erfc(float(np.nansum(mean)) / np.sqrt(2 * variance.sum()))
        white = np.zeros(len(lags))
    else:
        drawn = [_mean(autocorrelations(left.by_curve(noise), left.present, lags)) for noise in _white(left)]
        every = np.concatenate(drawn)
        white = every.mean(0)
        p = (1 + np.count_nonzero(np.nanmean(every, 1) >= np.nanmean(mean))) / (1 + DRAWS)
    return Whiteness((*mean.tolist(), *spare), (*white.tolist(), *spare), float(p))


def _mean(each: Array) -> Array:
    """Return the mean over curves (..., R, L) of those that are long enough."""
    known = np.isfinite(each)
    count = known.sum(-2)
    return np.asarray(np.where(count > 0, np.where(known, each, 0.0).sum(-2) / np.maximum(count, 1), np.nan))


def _white(left: Left) -> Iterable[Array]:
    """Yield what the law leaves of white noise with each curve's spread, in blocks (b, n)."""
    lengths = left.present.sum(1)
    spread = np.sqrt((left.curves**2).sum(1) / np.maximum(lengths, 1))
    each, rng = np.repeat(spread, lengths), np.random.default_rng(SEED)
    for at in range(0, DRAWS, block := max(1, BLOCK // len(each))):
        noise = each * rng.standard_normal((min(block, DRAWS - at), len(each)))
        yield noise - (noise @ left.tangent) @ left.tangent.T


@dataclass(frozen=True)
class FTest:
    """Whether a law with more parameters describes the curves better than chance would let it.

    Attributes
    ----------
    f, dof, p : float, (float, float), float
        As for independent noise of one spread.
    rho : float
        AR(1) correlation of what the larger law leaves, by restricted likelihood.
    f_correlated, dof_correlated, p_correlated : float, (float, float), float
        The same with that correlation, and a spread of each curve's own, in the noise.
    """

    smaller: str
    larger: str
    f: float
    dof: tuple[float, float]
    p: float
    rho: float
    f_correlated: float
    dof_correlated: tuple[float, float]
    p_correlated: float


def judge_larger(smaller: Left, larger: Left) -> FTest:
    """Test a law against one of more parameters, which holds it; near its optimum each is linear in its parameters.

    Where noise is correlated, the sums of squares are quadratic forms of it, with degrees of freedom of their own
    (Box 1954, Ann. Math. Stat. 25, 290, theorem 3.1).

    Raises
    ------
    FitError
        If the larger law has no more parameters, or no points are left over.
    """
    few, many, n = smaller.tangent.shape[1], larger.tangent.shape[1], len(larger.values)
    names = smaller.fit.law.name, larger.fit.law.name
    if not few < many < n:
        raise FitError(
            f"{names[1]!r} moves {n} points in {many} directions and {names[0]!r} in {few}: no F test; "
            "give the law of more parameters second, and more points than it has."
        )
    gain, rest = smaller.squares - larger.squares, larger.squares
    dof = float(many - few), float(n - many)
    noise = larger.noise
    traces = _traces(smaller, larger, noise)
    own = tuple(first**2 / second for first, second in traces)
    f, allowed = ((gain / a) / (rest / b) for a, b in (dof, (traces[0][0], traces[1][0])))
    return FTest(
        *names, f, dof, _beyond(f, *dof), noise.rho, allowed, (own[0], own[1]), _beyond(allowed, own[0], own[1])
    )


def _beyond(f: float, first: float, second: float) -> float:
    from scipy.special import fdtrc

    return float(fdtrc(first, second, max(f, 0.0)))


def _traces(smaller: Left, larger: Left, noise: Noise) -> list[tuple[float, float]]:
    """Return the traces of AS and of (AS)^2 for what the larger law takes more and for what it leaves; S is the noise's covariance."""
    few, many = smaller.tangent.shape[1], larger.tangent.shape[1]
    directions = np.concatenate([smaller.tangent, larger.tangent], 1)
    moved, whole, square, at = np.empty_like(directions), 0.0, 0.0, 0
    for row, count in enumerate(larger.present.sum(1)):
        block = covariance(noise, int(count), row)
        moved[at : at + count] = block @ directions[at : at + count]
        whole, square, at = whole + float(np.trace(block)), square + float((block**2).sum()), at + count
    inner = directions.T @ moved
    small, large, cross = inner[:few, :few], inner[few:, few:], inner[:few, few:]
    taken = float(np.trace(large) - np.trace(small))
    of_taken = float((large**2).sum() - 2 * (cross**2).sum() + (small**2).sum())
    left = whole - float(np.trace(large))
    of_left = square - 2 * float((moved[:, few:] ** 2).sum()) + float((large**2).sum())
    assert many == len(large)
    return [(taken, of_taken), (left, of_left)]


@dataclass(frozen=True)
class Description:
    """How well a law describes the curves it was fitted to by least squares of points.

    Attributes
    ----------
    parameters, points : int
    rms : float
        Root mean square of loss minus law, over the points of the merged curves.
    """

    law: str
    status: str
    parameters: int
    points: int
    rms: float
    whiteness: Whiteness


def describe_fit(left: Left) -> Description:
    """Say how well a law describes the curves."""
    fit = left.fit
    return Description(fit.law.name, fit.status, len(fit.theta), len(left.values), left.rms, judge_whiteness(left))


def describe_laws(data: FitData, laws: Sequence[Law | str] = LAWS) -> dict[str, Left]:
    """Fit laws by least squares of points; return what each leaves of the curves, by name."""
    fits = (fit_data(law, data, PLAIN) for law in laws)
    return {fit.law.name: left_by(fit) for fit in fits}
