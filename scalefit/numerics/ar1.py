"""The noise of training curves: AR(1) with one correlation a series and a spread a curve; time is the last axis.

The correlation maximises the restricted likelihood (REML), which corrects for the trend that the
fit has taken out of the residuals; ordinary estimates are too low and make intervals too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RHO = np.concatenate([np.linspace(-0.4, 0.9, 53), np.linspace(0.91, 0.995, 35)])


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
        out[..., 1:] = scaled[..., 1:] - rho * scaled[..., :-1]
        out[..., 0] = scaled[..., 0] * np.sqrt(1 - rho**2)
    return out if present is None else out * present


def covariance(noise: Noise, count: int, row: int = 0) -> Array:
    """Return the covariance of `count` neighbouring evaluations of a curve, shape (count, count)."""
    lag = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    return np.asarray(noise.sigma[row] ** 2 * noise.rho**lag)


def _lagged(z: Array, present: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Return first points, points with a predecessor, and those predecessors, zero elsewhere."""
    z = z * present
    return z[..., 0], z[..., 1:], z[..., :-1] * present[..., 1:]


def estimate_noise(residual: Array, jacobian: Array, present: NDArray[np.bool_]) -> Noise:
    """Estimate the AR(1) noise by restricted maximum likelihood.

    Parameters
    ----------
    residual : ndarray, shape (R, T)
        Data minus fit [loss].
    jacobian : ndarray, shape (R, P, T)
        Derivative of the fit by the parameters at the estimate.
    present : ndarray of bool, shape (R, T)
        Where a point is.
    """
    counts = present.sum(1).astype(float)
    n, P = counts.sum(), jacobian.shape[1]
    share = max((n - P) / n, 1e-3)
    first_r, later_r, before_r = _lagged(residual, present)
    first_J, later_J, before_J = _lagged(jacobian, present[:, None])
    late = np.stack([(later_r**2).sum(1), (later_r * before_r).sum(1), (before_r**2).sum(1)])
    late_J = later_J @ later_J.swapaxes(1, 2)
    cross_J = later_J @ before_J.swapaxes(1, 2)
    cross_J = cross_J + cross_J.swapaxes(1, 2)
    before_JJ = before_J @ before_J.swapaxes(1, 2)
    first_JJ = first_J[:, :, None] * first_J[:, None, :]

    def innovations(rho: Array) -> Array:
        """Whitened sum of squares of each curve, shape (K, R) for K correlations."""
        rho = rho[:, None]
        return np.asarray((1 - rho**2) * first_r**2 + late[0] - 2 * rho * late[1] + rho**2 * late[2])

    def curve_scale(rho: Array) -> Array:
        return np.maximum(innovations(rho) / counts / share, 1e-18)

    # Every correlation of the grid at once: the information of each is a mixture of three products, curve by curve.
    inverse = 1 / curve_scale(RHO)
    r = RHO[:, None, None]
    information = (1 - r**2) * np.tensordot(inverse, first_JJ, 1) + np.tensordot(inverse, late_J, 1)
    information += -r * np.tensordot(inverse, cross_J, 1) + r**2 * np.tensordot(inverse, before_JJ, 1)
    sign = np.einsum("kpp->kp", information).copy()
    sign[sign <= 0] = 1.0
    size = np.sqrt(sign)
    scaled = information / size[:, :, None] / size[:, None, :] + 1e-12 * np.eye(P)
    log_det = np.linalg.slogdet(scaled)[1] + np.log(sign).sum(1)
    criterion = -np.log(inverse) @ counts - len(counts) * np.log(1 - RHO**2) + log_det
    rho = float(RHO[int(np.argmin(criterion))])
    scale = curve_scale(np.array([rho]))[0]
    return Noise(rho, np.sqrt(scale / (1 - rho**2)))


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
