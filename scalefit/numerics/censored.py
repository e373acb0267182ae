"""Straight lines through logarithms of which some are only known to lie beyond a bound (censored).

y = x'beta + sigma * normal noise, common sigma. With delta = beta/sigma and theta = 1/sigma the log-likelihood is concave
(Olsen 1978, Econometrica 46, 1211), and fixing a coefficient or a difference of two is a linear constraint on (delta, theta),
so every point of a profile is a short Newton iteration. Intervals and tests take their thresholds from F and t at the
number of values that are known exactly, with which they are exact where nothing is censored.
Source of the model: Tobin 1958, Econometrica 26, 24.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError

Array = NDArray[np.float64]
FAR = 60.0
"""Slopes beyond which a limit is given as none."""
RIDGE = 1e-9
"""Keeps directions of no information finite; far below what a point carries."""


@dataclass(frozen=True)
class Censored:
    """Observations on a log scale.

    Attributes
    ----------
    design : ndarray, shape (n, P)
        Row of each observation.
    value : ndarray, shape (n,)
        What was seen, or the bound.
    side : ndarray of int, shape (n,)
        0: known; 1: it lies above the bound; -1: below.
    """

    design: Array
    value: Array
    side: NDArray[np.int_]

    @property
    def known(self) -> int:
        """How many values are known exactly."""
        return int((self.side == 0).sum())

    @property
    def dof(self) -> int:
        """Known values beyond the coefficients."""
        return self.known - self.design.shape[1]


def likelihood(data: Censored, basis: Array | None = None) -> tuple[float, Array]:
    """Maximise the log-likelihood over (delta, theta) = basis @ w; return it and (delta, theta).

    Parameters
    ----------
    basis : ndarray, shape (P + 1, W), optional
        Constraints; by default none.

    Raises
    ------
    FitError
        If fewer values are known than coefficients and the noise need.
    """
    from scipy.special import log_ndtr

    if data.dof < 1:
        raise FitError(
            f"{data.known} crossings are known exactly, for {data.design.shape[1]} coefficients and the noise between runs; "
            "add runs, or train longer where the target was not reached."
        )
    P = data.design.shape[1]
    known, side = data.side == 0, data.side[data.side != 0]
    rows = np.concatenate([-data.design, data.value[:, None]], 1)  # z = rows @ (delta, theta): standardised residual
    free = np.eye(P + 1) if basis is None else basis
    inside, outside = rows[known] @ free, (rows[~known] @ free) * side[:, None]
    theta_row = free[P]
    # Ordinary least squares through all bounds is a start with theta > 0.
    w = _start(data, free)

    def value(w: Array) -> float:
        theta = float(theta_row @ w)
        if theta <= 0:
            return -np.inf
        found = data.known * np.log(theta) - 0.5 * float(((inside @ w) ** 2).sum())
        return found + float(log_ndtr(-(outside @ w)).sum()) - 0.5 * RIDGE * float(w @ w)

    now = value(w)
    for _ in range(200):
        theta = float(theta_row @ w)
        z = outside @ w
        hazard = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-z))
        slope = data.known / theta * theta_row - inside.T @ (inside @ w) - outside.T @ hazard - RIDGE * w
        curve = data.known / theta**2 * np.outer(theta_row, theta_row) + inside.T @ inside
        curve = curve + (outside.T * np.maximum(hazard * (hazard - z), 0.0)) @ outside + RIDGE * np.eye(len(w))
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while size > 1e-10 and not (trial := value(w + size * step)) >= now:
            size /= 2
        if size <= 1e-10:
            break
        gain, now, w = trial - now, trial, w + size * step
        if gain < 1e-10:
            break
    return now, np.asarray(free @ w)


def _start(data: Censored, free: Array) -> Array:
    """Return a feasible w: theta = 1 and the residuals as small as they can be."""
    P = data.design.shape[1]
    theta_row = free[P]
    target = theta_row / float(theta_row @ theta_row)
    rest = np.linalg.svd(theta_row[None])[2][1:].T
    rows = np.concatenate([-data.design, data.value[:, None]], 1) @ free
    if rest.shape[1]:
        target = target - rest @ np.linalg.lstsq(rows @ rest, rows @ target, rcond=None)[0]
    spread = float(np.sqrt(np.mean((rows @ target) ** 2)))
    return np.asarray(target / max(spread, 1e-3))


def fixed(contrast: Array, value: float) -> Array:
    """Return the basis of all (delta, theta) in which contrast @ beta equals `value`."""
    row = np.concatenate([contrast, [-value]])
    return np.linalg.svd(row[None])[2][1:].T


def interval(data: Censored, contrast: Array, level: float = 0.95) -> tuple[float, float | None, float | None]:
    """Return the estimate of contrast @ beta with its profile interval; a limit beyond `FAR` is None.

    Raises
    ------
    FitError
        See `likelihood`.
    """
    from scipy.special import stdtrit

    top, found = likelihood(data)
    estimate = float(np.clip(contrast @ found[:-1] / found[-1], -FAR, FAR))
    t = float(stdtrit(data.dof, 0.5 + level / 2))
    # With nothing censored this is exactly the t interval.
    allowed = 0.5 * data.known * np.log1p(t**2 / data.dof)

    def beyond(value: float) -> float:
        return top - likelihood(data, fixed(contrast, value))[0] - allowed

    return estimate, _limit(beyond, estimate, -1.0), _limit(beyond, estimate, 1.0)


def _limit(beyond: Callable[[float], float], estimate: float, sign: float) -> float | None:
    """Return where a profile crosses its threshold; None if it does not before `FAR`."""
    from scipy.optimize import brentq

    width = 0.05
    while beyond(estimate + sign * width) < 0:
        width *= 2
        if abs(estimate + sign * width) > FAR:
            return None
    near = width / 2 if width > 0.05 else 0.0
    return float(brentq(beyond, estimate + sign * near, estimate + sign * width, xtol=1e-9))


def equal(data: Censored, contrasts: Array) -> float:
    """Return the p value of the hypothesis that contrasts @ beta are all 0.

    The likelihood ratio is turned into F, with which it is exact where nothing is censored.
    """
    from scipy.special import fdtrc

    top, _ = likelihood(data)
    rows = np.concatenate([contrasts, np.zeros((len(contrasts), 1))], 1)
    kept = np.linalg.svd(rows)[2][len(contrasts) :].T
    loss = top - likelihood(data, kept)[0]
    F = np.expm1(2 * max(loss, 0.0) / data.known) * data.dof / len(contrasts)
    return float(fdtrc(len(contrasts), data.dof, F))
