"""The compute-optimal size N*(C): which size the closed-offset laws put lowest at a compute, with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.fit import Fit, fit_data
from scalefit.prediction.ensemble import Ensemble
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]
DRAWS = 1000
GRID = 241
"""Sizes at which the frontier is searched."""
BEYOND = 4.0
"""How far beyond the largest size the frontier is searched."""


def draw_theta(fit: Fit, count: int, rng: np.random.Generator) -> Array:
    """Return draws of a fit's parameters within their bounds, shape (B, P); directions not determined stay."""
    known = np.isfinite(np.diag(fit.covariance))
    theta = np.repeat(fit.theta[None], count, 0)
    block = fit.covariance[np.ix_(known, known)]
    theta[:, known] = rng.multivariate_normal(fit.theta[known], (block + block.T) / 2, count, method="eigh")
    low, high = fit.bound.bounds
    return np.clip(theta, low, high)


def frontier(
    data: FitData, ensemble: Ensemble, flops: float, seed: int = 0, limits: tuple[float, float] | None = None
) -> dict[str, float]:
    """Return the compute-optimal size at a compute, with its 95 % interval.

    Each closed-offset law is drawn as often as it weighs, its parameters from their covariance under correlated noise.

    Parameters
    ----------
    limits : tuple of float, optional
        Sizes between which to search [parameters]; by default from the smallest measured to four times the largest.

    Returns
    -------
    dict
        params, low, high; loss at the optimum; at_edge: share of draws whose optimum lies at an end of the search.
    """
    rng = np.random.default_rng(seed)
    low, high = limits or (float(data.sizes[0]), BEYOND * float(data.sizes[-1]))
    grid = np.geomspace(low, high, GRID)
    best, loss = [], []
    counts = rng.multinomial(DRAWS, ensemble.weights)
    for member, count in zip(ensemble.members, counts, strict=True):
        if not count:
            continue
        fit = fit_data(member.law, data)
        log = curves_at(fit, draw_theta(fit, int(count), rng), grid, flops)
        best.append(grid[np.argmin(log, axis=1)])
        loss.append(10.0 ** log.min(1))
    sizes, losses = np.concatenate(best), np.concatenate(loss)
    ends = np.percentile(sizes, [2.5, 97.5])
    return {
        "params": float(np.median(sizes)),
        "low": float(ends[0]),
        "high": float(ends[1]),
        "loss": float(np.median(losses)),
        "at_edge": float(np.mean((sizes <= grid[0]) | (sizes >= grid[-1]))),
    }


def curves_at(fit: Fit, theta: Array, sizes: Array, flops: float) -> Array:
    """Return log10 L of draws (B, P) at one compute for sizes (S,), shape (B, S)."""
    scale = fit.data.flops_per_sample if fit.law.intensive and fit.data.resources == ("flops",) else None
    X = np.full((1, len(sizes)), flops) if scale is None else flops / (scale * sizes)[None]
    values = {name: value for name, value in fit.bound.values(theta).items()}
    return np.broadcast_to(np.asarray(fit.law.log_loss(values, sizes, X)), (len(theta), len(sizes)))
