"""Parametric bootstrap with AR(1) noise, all resamples in batched calls of the line solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit
from scalefit.fitting.line_problem import LineProblem
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.numerics.least_squares import Limits

Array = NDArray[np.float64]
QUICK = Limits(iterations=12, tolerance=1e-6)
CHUNK = 25
"""Resamples solved at once: few enough that a chunk's curves stay in the processor's cache."""


def bootstrap(fit: Fit, draws: int = 1000, seed: int = 0) -> Array:
    """Refit a line law to simulated copies of its data.

    Parameters
    ----------
    fit : Fit
        Squared-error fit of a line law.
    draws : int
        Number of resamples B.
    seed : int
        Of numpy's generator.

    Returns
    -------
    ndarray, shape (B, P)
        Parameters on the fitted scale.

    Raises
    ------
    FitError
        If the law is no line law or the loss was robust.
    """
    if fit.law.line is None or fit.specification.huber is not None:
        raise FitError(
            f"the batched bootstrap serves squared-error fits of line laws, not {fit.law.name!r}; use the intervals of the fit."
        )
    noise = fit.whitening
    problem = LineProblem(fit.bound, fit.data, fit.specification.objective, noise)
    centre = problem.curves(fit.theta[None])
    rng = np.random.default_rng(seed)
    found = []
    for at in range(0, draws, CHUNK):
        size = min(CHUNK, draws - at)
        y = centre + ar1_noise(rng, fit.noise, (size, *problem.y.shape))
        found.append(problem.solve(np.repeat(fit.theta[None], size, axis=0), y, limits=QUICK).theta)
    return np.concatenate(found)


def bootstrap_runs(fit: Fit, draws: int = 1000, seed: int = 0) -> Array:
    """Refit to whole runs drawn with replacement within each size and set-up.

    Parameters
    ----------
    fit : Fit
        Squared-error fit of a line law on unmerged runs (`prepare(..., merge=False)`).
    draws : int
        Number of resamples B.
    seed : int
        Of numpy's generator.

    Returns
    -------
    ndarray, shape (B, P)
        Parameters on the fitted scale.

    Raises
    ------
    FitError
        If some size has a single run; use the parametric `bootstrap` there.
    """
    data = fit.data
    members = [np.flatnonzero(data.size_index == s) for s in range(len(data.sizes))]
    if min(len(rows) for rows in members) < 2:
        raise FitError(
            "a bootstrap over runs needs at least two runs of every size (prepare with merge=False); use the parametric bootstrap."
        )
    rng = np.random.default_rng(seed)
    found = np.empty((draws, len(fit.theta)))
    for draw in range(draws):
        rows = np.concatenate([rng.choice(rows, len(rows)) for rows in members])
        noise = fit.whitening and Noise(fit.noise.rho, fit.noise.sigma[rows])
        problem = LineProblem(fit.bound, data.keep(rows), fit.specification.objective, noise)
        found[draw] = problem.solve(fit.theta[None], limits=QUICK).theta[0]
    return found
