"""Profile intervals: how far a parameter can move before the fit is significantly worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit
from scalefit.fitting.line_problem import LineProblem
from scalefit.numerics.ar1 import effective_points
from scalefit.numerics.intervals import student

Array = NDArray[np.float64]


def profile(fit: Fit, name: str, points: int = 61) -> tuple[Array, Array]:
    """Return values of a parameter on the fitted scale, and twice the log-likelihood lost at each, two of shape (n,).

    The other parameters are refitted at every value, all values in one batched call.

    Raises
    ------
    FitError
        If the law is no line law or has no such parameter.
    """
    if fit.law.line is None or fit.specification.huber is not None:
        raise FitError(f"profiles serve squared-error fits of line laws, not {fit.law.name!r}.")
    if name not in fit.bound.names:
        raise FitError(f"law {fit.law.name!r} has no parameter {name!r}; it has {', '.join(fit.bound.names)}.")
    at = fit.bound.names.index(name)
    noise = fit.whitening
    problem = LineProblem(fit.bound, fit.data, fit.specification.objective, noise)
    # Without whitening weights are 1, so the drop in cost is in units of the variance, of as many points as count.
    count = effective_points(fit.data.present, fit.noise.rho) / fit.data.points
    unit = 1.0 if noise is not None else float(np.mean(fit.noise.sigma**2)) / count
    log = bool(fit.bound.log_scaled[at])
    low, high = fit.bound.bounds
    reach = (
        7.0
        if log
        else max(6 * float(np.sqrt(fit.covariance[at, at])) if np.isfinite(fit.covariance[at, at]) else 1.0, 1e-3)
    )
    values = np.clip(fit.theta[at] + reach * np.linspace(-1, 1, points) ** 3, low[at], high[at])
    start = np.repeat(fit.theta[None], points, axis=0)
    start[:, at] = values
    held = np.zeros(len(fit.theta), bool)
    held[at] = True
    cost = problem.solve(start, held=held).cost
    return values, 2 * (cost - problem.cost(fit.theta[None])[0]) / unit


def profile_interval(fit: Fit, name: str, level: float = 0.95, points: int = 61) -> tuple[float, float]:
    """Return the profile interval of one parameter of a line law; an end the data do not bound is infinite (or 0).

    Raises
    ------
    FitError
        If the law is no line law or has no such parameter.
    """
    values, lost = profile(fit, name, points)
    rise = lost - student(level, fit.dof) ** 2
    log = bool(fit.bound.log_scaled[fit.bound.names.index(name)])
    middle = points // 2
    ends = []
    for side in (range(middle, -1, -1), range(middle, points)):
        end = (-np.inf if not log else 0.0) if side.step < 0 else np.inf
        previous = middle
        for i in side:
            if rise[i] > 0:
                share = rise[previous] / (rise[previous] - rise[i]) if rise[i] != rise[previous] else 1.0
                where = values[previous] + share * (values[i] - values[previous])
                end = float(np.exp(where) if log else where)
                break
            previous = i
        ends.append(end)
    return ends[0], ends[1]


def with_profiles(fit: Fit, names: tuple[str, ...] = ("k_max", "N0")) -> Fit:
    """Return a line law's fit with profile intervals; what they leave open on both sides is not identified."""
    if fit.law.line is None or fit.specification.huber is not None:
        return fit
    profiles = {name: profile_interval(fit, name) for name in names if name in fit.bound.names}
    free = [name for name, (low, high) in profiles.items() if low in (0.0, -np.inf) and high == np.inf]
    if not free or fit.status != "converged":
        return replace(fit, profiles=profiles)
    notes = (*fit.notes, f"any {' and any '.join(free)} fits these data nearly as well")
    return replace(fit, profiles=profiles, status="unidentified", notes=notes)
