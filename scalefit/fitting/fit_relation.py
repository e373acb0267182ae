"""Fits of pass@k and of the entropy relation, with errors that allow for how their points depend on one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.numerics.ar1 import effective_points, estimate_noise, whiten
from scalefit.numerics.intervals import student
from scalefit.numerics.least_squares import Limits, minimise

Array = NDArray[np.float64]


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

    def normal(w: Array) -> tuple[Array, Array, Array]:
        power = np.exp(np.clip(w[:, :1] + w[:, 1:] * log_k, -50, 50))
        value = np.exp(-power)
        J = np.stack([-power * value, -power * value * log_k], 1)
        u = np.concatenate([J, (passed - value)[:, None]], 1)
        gram = u @ u.swapaxes(1, 2)
        return 0.5 * gram[:, 2, 2], gram[:, :2, 2], gram[:, :2, :2]

    anywhere = np.full(2, np.inf)
    start = np.stack([level - b * centre, b], 1)
    w = minimise(normal, start, (-anywhere, anywhere), limits=Limits(tolerance=1e-14)).theta
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
    x = np.where(present, entropy, 0.0)
    jacobian = np.stack([-np.exp(x), np.ones_like(x)], 1) * present[:, None]
    y = np.where(present, reward, 0.0)
    theta = np.linalg.lstsq(np.moveaxis(jacobian, 1, -1)[present], y[present], rcond=None)[0]
    rho = 0.0
    for _ in range(3):
        noise = estimate_noise(y - theta @ jacobian, jacobian, present)
        rho, root = noise.rho, 1 / noise.innovation[:, None]
        J = np.moveaxis(whiten(jacobian, rho, root[:, None]), 1, -1)[present]
        information = J.T @ J
        theta = np.linalg.solve(information, J.T @ whiten(y, rho, root)[present])
    residual = (y - theta @ jacobian)[present]
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
