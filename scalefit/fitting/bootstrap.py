"""Parametric bootstrap by runs: new runs of the same sizes are drawn from the fitted model, and the law is fitted to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.line_fit import refit_lines

Array = NDArray[np.float64]


def bootstrap(fit: Fit, draws: int = 1000, seed: int = 0) -> Array:
    """Refit a line law to simulated copies of its runs.

    In every copy the scatter of runs is another of those that the data admit; a run's slope and level are the law's, its own
    departures, and what evaluation noise leaves unknown of them.

    Parameters
    ----------
    fit : Fit
        Squared-error fit of a line law without a bend.
    draws : int
        Number of copies B.
    seed : int
        Of numpy's generator.

    Returns
    -------
    ndarray, shape (B, P)
        Parameters on the fitted scale.

    Raises
    ------
    FitError
        If the law is no line law, bends, or the loss was robust.
    """
    found = fit.evidence
    if not isinstance(found, Hierarchy):
        raise FitError(
            f"the bootstrap by runs serves squared-error fits of straight line laws, not {fit.law.name!r}; use the intervals of the fit."
        )
    rng = np.random.default_rng(seed)
    lines, size = found.lines, np.searchsorted(found.sizes, found.lines.params)
    cell = rng.choice(len(found.weight), draws, p=found.weight)
    scatter, level_scatter, misfit, level_misfit = found.spreads[:, cell, None]
    k = np.array([fit.k(params).value for params in found.sizes])
    level = np.array([fit.log_level(params, c) for params, c in zip(found.sizes, found.centre, strict=True)])

    own, one = np.abs(k)[size], np.ones(len(size))

    def pool(drawn: Array, at: int, scale: Array, variance: Array) -> Array:
        """Pool runs of each size by the mean of the spreads, (B, S)."""
        weight = 1 / ((found.weight @ found.spreads[at] ** 2) * scale**2 + variance)
        total = np.bincount(size, weight)
        return np.stack([np.bincount(size, weight * row) for row in drawn]) / total if len(size) > len(total) else drawn

    shared, lone = (rng.standard_normal((2, draws, len(some))) for some in (found.sizes, size))
    departed, turned = own * misfit * shared[0][:, size], own * scatter * lone[0]
    raised = level_misfit * shared[1][:, size] + level_scatter * lone[1]
    wrong = np.sqrt(lines.slope_variance) * rng.standard_normal(turned.shape)
    # A steeper run lies lower beyond where runs turn, a steeper size beyond its middle; an error turns a run about its centre.
    raised -= turned * (found.centre - found.pivot[found.turn[cell]])[:, size]
    raised -= departed * (found.centre - found.pivot[0])[size]
    raised -= wrong * (found.centre[size] - lines.centre)
    raised += np.sqrt(lines.level_variance) * rng.standard_normal(turned.shape)
    slopes = k + pool(departed + turned + wrong, 0, own, lines.slope_variance)
    levels = level + pool(raised, 1, one, lines.level_variance)
    return refit_lines(fit.bound, found, fit.theta, slopes, levels)
