"""Fits of pass@k and of the entropy relation, with errors that allow for how their points depend on one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.laws.relations import ENTROPY
from scalefit.numerics.ar1 import effective_points, estimate_noise
from scalefit.numerics.intervals import student

Array = NDArray[np.float64]
STEPS = 60


def fit_pass_at_k(k: Array, passed: Array) -> Array:
    """Fit pass@k = exp(a k^b) by least squares in pass@k, many curves at once.

    Parameters
    ----------
    k : ndarray, shape (K,)
        Samples a problem.
    passed : ndarray, shape (B, K)
        Share of problems solved, one curve a row.

    Returns
    -------
    ndarray, shape (B, 2)
        a and b; nan for a curve with fewer than two values inside (0, 1), which no curve of this form is determined by.

    Notes
    -----
    The start is the line log(-log pass@k) = log(-a) + b log k; a few Gauss-Newton steps in (log(-a), b) follow.
    """
    inside = (passed > 0) & (passed < 1)
    log_k = np.log(np.asarray(k, float))
    count = np.maximum(inside.sum(1), 1)
    z = np.where(inside, np.log(-np.log(np.where(inside, passed, 0.5))), 0.0)
    centre, level = (inside * log_k).sum(1) / count, z.sum(1) / count
    offset = np.where(inside, log_k - centre[:, None], 0.0)
    spread = (offset**2).sum(1)
    usable = (inside.sum(1) >= 2) & (spread > 0)
    b = np.where(usable, (offset * z).sum(1) / np.where(usable, spread, 1.0), 0.0)
    w = np.stack([level - b * centre, b], 1)
    damping = np.full(len(w), 1e-3)

    def curve(w: Array) -> tuple[Array, Array]:
        power = np.exp(np.clip(w[:, :1] + w[:, 1:] * log_k, -50, 50))
        value = np.exp(-power)
        return value, -power * value

    value, slope = curve(w)
    cost = ((value - passed) ** 2).sum(1)
    for _ in range(STEPS):
        jacobian = np.stack([slope, slope * log_k], 2)
        normal = np.einsum("bki,bkj->bij", jacobian, jacobian)
        gradient = np.einsum("bki,bk->bi", jacobian, value - passed)
        diagonal = np.einsum("bii->bi", normal)
        normal = normal + damping[:, None, None] * (diagonal[:, :, None] * np.eye(2)) + 1e-14 * np.eye(2)
        trial = w - np.linalg.solve(normal, gradient[:, :, None])[:, :, 0]
        new_value, new_slope = curve(trial)
        new_cost = ((new_value - passed) ** 2).sum(1)
        better = new_cost <= cost
        w = np.where(better[:, None], trial, w)
        value = np.where(better[:, None], new_value, value)
        slope = np.where(better[:, None], new_slope, slope)
        done = bool((np.abs(cost - new_cost) <= 1e-14 * (1 + cost)).all())
        cost, damping = np.where(better, new_cost, cost), np.where(better, damping / 3, damping * 5)
        if done:
            break
    found = np.stack([-np.exp(np.clip(w[:, 0], -700, 700)), w[:, 1]], 1)
    return np.where(usable[:, None], found, np.nan)


@dataclass(frozen=True)
class EntropyFit:
    """R = -a exp(H) + b.

    Attributes
    ----------
    a, b : float
        Coefficients [pass rate].
    covariance : ndarray, shape (2, 2)
        Of (a, b), under AR(1) noise along each run.
    rho : float
        Correlation of neighbouring evaluations.
    dof : float
        Effective points beyond the two coefficients.
    r2 : float
        Share of the variance of R.
    entropy : tuple of float
        Smallest and largest entropy fitted [nats].
    """

    a: float
    b: float
    covariance: Array
    rho: float
    dof: float
    r2: float
    entropy: tuple[float, float]

    def ceiling(self, level: float = 0.95) -> tuple[float, float, float]:
        """Return the pass rate at entropy 0, b - a, with its interval."""
        direction = np.array([-1.0, 1.0])
        width = student(level, self.dof) * float(np.sqrt(direction @ self.covariance @ direction))
        return self.b - self.a, self.b - self.a - width, self.b - self.a + width


def fit_entropy(entropy: Array, reward: Array, present: NDArray[np.bool_]) -> EntropyFit:
    """Fit R = -a exp(H) + b to runs of one size by generalised least squares.

    Parameters
    ----------
    entropy, reward : ndarray, shape (R, T)
        Policy entropy [nats] and pass rate, a run a row.
    present : ndarray of bool, shape (R, T)
        Where both are; the points of a row come first.

    Raises
    ------
    FitError
        If fewer than four points are left, or the entropy does not vary.
    """
    count = int(present.sum())
    if count < 4:
        raise FitError(f"{count} evaluations with a finite entropy; the entropy law needs 4.")
    if float(np.ptp(entropy[present])) < 1e-9:
        raise FitError(
            "the entropy is the same at every evaluation; nothing can be learnt about how reward depends on it."
        )
    # Linear in a and b: the derivative is the design.
    slopes = ENTROPY.gradient({}, np.where(present, entropy, 0.0))
    jacobian = np.stack([slopes["a"], slopes["b"]], 2) * present[:, :, None]
    y = np.where(present, reward, 0.0)
    theta = np.linalg.lstsq(jacobian[present], y[present], rcond=None)[0]
    rho, sigma = 0.0, np.ones(len(y))
    for _ in range(3):
        noise = estimate_noise(np.where(present, y - jacobian @ theta, 0.0), jacobian, present)
        rho, sigma = noise.rho, noise.sigma
        J, z = _whiten(jacobian, present, rho, sigma), _whiten(y[:, :, None], present, rho, sigma)[:, 0]
        information = J.T @ J
        theta = np.linalg.solve(information, J.T @ z)
    residual = (y - jacobian @ theta)[present]
    total = float(((y[present] - y[present].mean()) ** 2).sum())
    return EntropyFit(
        float(theta[0]),
        float(theta[1]),
        np.asarray(np.linalg.inv(information), float),
        rho,
        max(effective_points(present, rho) - 2, 1.0),
        1 - float((residual**2).sum()) / total if total else float("nan"),
        (float(entropy[present].min()), float(entropy[present].max())),
    )


def _whiten(z: Array, present: NDArray[np.bool_], rho: float, sigma: Array) -> Array:
    """Return the decorrelated rows of points that are there, (n, ...)."""
    scaled = z / (sigma[:, None, None] * np.sqrt(1 - rho**2))
    out = scaled.copy()
    out[:, 1:] -= rho * scaled[:, :-1]
    out[:, 0] *= np.sqrt(1 - rho**2)
    return np.asarray(out[present])
