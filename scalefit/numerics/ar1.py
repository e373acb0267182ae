"""The noise of training curves: AR(1) with one correlation a series and a spread a curve; time is the last axis.

It is estimated about what every curve has of its own (its level and slope, say), so that neither a law's misfit nor the
scatter between runs is taken for noise. The correlation maximises the restricted likelihood (REML), which corrects for the
trend that has been taken out of the residuals; ordinary estimates are too low and make intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RHO = np.concatenate([np.linspace(-0.4, 0.9, 53), np.linspace(0.91, 0.995, 35)])
DRIFT = 0.97
"""Noise correlation above which residuals are told as misfit rather than noise."""
NO_NOISE = 1e-9
"""Spread of evaluations [loss] below which none was measured: of what rounding leaves, no correlation is estimated."""
PRIOR = 5.0
"""Degrees of freedom with which every curve's variance is drawn to that of all, so that few points do not make it tiny."""


@dataclass(frozen=True)
class Noise:
    """AR(1) noise: lag-1 correlation and each curve's stationary standard deviation [loss]."""

    rho: float
    sigma: Array

    @property
    def innovation(self) -> Array:
        """Standard deviation of what is new in an evaluation, each curve's [loss]."""
        return np.asarray(self.sigma * np.sqrt(1 - self.rho**2))


def whiten(z: Array, rho: float, root: Array | float, present: NDArray[np.bool_] | None = None) -> Array:
    """Take the correlation out of the last axis.

    Parameters
    ----------
    z : ndarray, shape (..., T)
    rho : float
        Lag-1 correlation.
    root : ndarray or float
        Multiplies z first: 1 / `Noise.innovation` gives residuals of variance 1.
    present : ndarray of bool, optional
        Where a point is; 0 elsewhere.
    """
    out = scaled = z * root
    if rho != 0.0:
        out = np.empty_like(scaled)
        np.multiply(scaled[..., :-1], -rho, out=out[..., 1:])
        out[..., 1:] += scaled[..., 1:]
        np.multiply(scaled[..., 0], np.sqrt(1 - rho**2), out=out[..., 0])
    return out if present is None else out * present


def covariance(noise: Noise, count: int, row: int = 0) -> Array:
    """Return the covariance of `count` neighbouring evaluations of a curve, shape (count, count)."""
    lag = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    return np.asarray(noise.sigma[row] ** 2 * noise.rho**lag)


def autocorrelations(z: Array, present: NDArray[np.bool_], lags: Sequence[int]) -> Array:
    """Return the autocorrelation of each row of z (..., R, T) about 0 at lags [evaluations], shape (..., R, L).

    The sum of products of points that far apart over the sum of squares: not a number where no two points are.
    """
    z = np.where(present, z, 0.0)
    squares = np.einsum("...t,...t->...", z, z)
    found = np.full((*squares.shape, len(lags)), np.nan)
    for at, lag in enumerate(lags):
        pairs = (present[..., lag:] & present[..., : present.shape[-1] - lag]).any(-1)
        products = np.einsum("...t,...t->...", z[..., lag:], z[..., : z.shape[-1] - lag])
        np.divide(products, squares, out=found[..., at], where=pairs & (squares > 0))
    return found


def correlate(z: Array, rho: float) -> Array:
    """Apply the transposed inverse of `whiten` to the last axis: the sum of squares of what it returns is z' S z.

    S is the correlation matrix of the noise, which is never built.
    """
    steps = np.array(np.moveaxis(z, -1, 0), float) * np.sqrt(1 - rho**2)
    steps[0] /= np.sqrt(1 - rho**2)
    for t in range(len(steps) - 2, -1, -1):
        back = rho * steps[t + 1]
        steps[t] += back if t else back / np.sqrt(1 - rho**2)
    return np.moveaxis(steps, 0, -1)


def whitened_products(rows: Array, present: NDArray[np.bool_], rho: Array) -> Array:
    """Return products of rows (R, n, T), each pair whitened by every correlation of `rho` (K,), shape (K, R, n, n).

    They are those of innovations: divided by the variance of what is new in an evaluation they are weighed.
    """
    z = rows * present[:, None]
    first, later, before = z[..., 0], z[..., 1:], z[..., :-1] * present[:, None, 1:]
    cross = later @ before.swapaxes(1, 2)
    cross = cross + cross.swapaxes(1, 2)
    r = rho[:, None, None, None]
    # Every correlation at once: each curve's products are a mixture of four.
    return np.asarray(
        (1 - r**2) * (first[:, :, None] * first[:, None, :])
        + later @ later.swapaxes(1, 2)
        - r * cross
        + r**2 * (before @ before.swapaxes(1, 2))
    )


def take_out(products: Array, rows: range, least: Array) -> tuple[Array, NDArray[np.intp]]:
    """Take rows out of products (K, R, n, n), in place, by Gauss's elimination.

    Returns the logarithm of their determinant, and how many there were: what the others leave less than `least` (K, R, n) of
    is none of its own. Both of shape (K, R).
    """
    log_det, count = np.zeros(products.shape[:2]), np.zeros(products.shape[:2], np.intp)
    for at in rows:
        pivot = np.maximum(products[:, :, at, at], least[:, :, at])
        own = pivot > least[:, :, at]
        log_det += np.log(pivot)
        count += own
        column = np.where(own[..., None], products[:, :, :, at], 0.0)
        products -= column[:, :, :, None] * (column / pivot[:, :, None])[:, :, None, :]
    return log_det, count


def smallest_pivots(products: Array, share: float = 1e-10) -> Array:
    """Return what a row has to have of its own beside the others, (K, R, n), as a share of its square."""
    return np.asarray(share * np.einsum("krpp->krp", products) + 1e-300)


@dataclass(frozen=True)
class Restricted:
    """Restricted likelihood of noise at correlations (K,): each run's variance of what is new, and the criterion to minimise.

    The criterion (K,) is twice the negative logarithm; `variance` (K, R) is drawn to that of all, `common` (K,).
    """

    variance: Array
    common: Array
    criterion: Array


def restricted_likelihood(squares: Array, dof: Array, log_det: Array, rho: Array) -> Restricted:
    """Return it from sums of squares (K, R) about what was taken out, of `dof` (R,), with its determinants (K, R)."""
    common = np.maximum(squares.sum(1) / dof.sum(), 1e-30)[:, None]
    drawn = squares + PRIOR * common
    criterion = (dof + PRIOR) * np.log(drawn) - PRIOR * np.log(common) + log_det - np.log(1 - rho**2)[:, None]
    return Restricted(drawn / (dof + PRIOR), common[:, 0], criterion.sum(1))


def estimate_noise(residual: Array, basis: Array, present: NDArray[np.bool_]) -> Noise:
    """Estimate the AR(1) noise by restricted maximum likelihood, about what each curve has of its own.

    Parameters
    ----------
    residual : ndarray, shape (R, T)
        Data minus curve [loss].
    basis : ndarray, shape (R, p, T)
        Derivative of each curve by the p coordinates that are its own.
    present : ndarray of bool, shape (R, T)
        Where a point is.

    Notes
    -----
    Curves with no more points than coordinates say nothing of the noise and are given that of all.
    """
    counts, p = present.sum(1), basis.shape[1]
    able = counts > p
    if not able.any():
        return Noise(0.0, np.full(len(counts), NO_NOISE))
    rows = np.concatenate([basis, residual[:, None]], 1)[able]
    products = whitened_products(rows, present[able], RHO)
    log_det, _ = take_out(products, range(p), smallest_pivots(products))
    dof = (counts[able] - p).astype(float)
    found = restricted_likelihood(np.maximum(products[:, :, p, p], 0.0), dof, log_det, RHO)
    white = int(np.argmin(np.abs(RHO)))
    best = white if found.common[white] < NO_NOISE**2 else int(np.argmin(found.criterion))
    rho = float(RHO[best])
    variance = np.full(len(counts), found.common[best])
    variance[able] = found.variance[best]
    return Noise(rho, np.sqrt(variance / (1 - rho**2)))


def effective_points(present: NDArray[np.bool_], rho: float) -> float:
    """Return how many independent points the curves are worth for their means: n (1 - rho)/(1 + rho)."""
    return float(present.sum() * (1 - max(rho, 0.0)) / (1 + max(rho, 0.0)))


def ar1_noise(rng: np.random.Generator, noise: Noise, shape: tuple[int, int, int]) -> Array:
    """Draw stationary AR(1) noise of shape (B, R, T) with the given spread a curve."""
    drawn = rng.standard_normal(shape)
    if noise.rho != 0.0:
        drawn[..., 1:] *= np.sqrt(1 - noise.rho**2)
        # Written out: importing scipy.signal takes longer than a thousand fits.
        steps = np.ascontiguousarray(np.moveaxis(drawn, -1, 0))
        for t in range(1, len(steps)):
            steps[t] += noise.rho * steps[t - 1]
        drawn = np.moveaxis(steps, 0, -1)
    return np.asarray(drawn * noise.sigma[:, None])
