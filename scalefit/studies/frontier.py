"""The compute-optimal size N*(C): which size the default prediction puts lowest at a compute, with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.laws import OFFSET_FORMS
from scalefit.prediction.ensemble import average_offsets
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
DRAWS = 1000
GRID = 241
"""Sizes at which the frontier is searched."""
BEYOND = 4.0
"""How far beyond the largest size the frontier is searched."""


def frontier(data: FitData, flops: float, seed: int = 0, limits: tuple[float, float] | None = None) -> dict[str, float]:
    """Return the compute-optimal size at a compute, with its 95 % interval.

    Every straight closed law and the trend are drawn as often as they weigh, mean curves with what the scatter of runs leaves
    unknown of them: where curves of sizes cross depends on the form more than a loss does, so that no form is left out.

    Parameters
    ----------
    limits : tuple of float, optional
        Sizes between which to search [parameters]; by default from the smallest measured to four times the largest.

    Returns
    -------
    dict
        params, low, high; loss at the optimum; at_edge: share of draws whose optimum lies at an end of the search.
    """
    rng, ensemble = np.random.default_rng(seed), average_offsets(data, OFFSET_FORMS)
    low, high = limits or (float(data.sizes[0]), BEYOND * float(data.sizes[-1]))
    grid = np.geomspace(low, high, GRID)
    best, loss = [], []
    counts = rng.multinomial(DRAWS, ensemble.weights)
    for voice, count in zip(ensemble.sources, counts, strict=True):
        if not count:
            continue
        log = voice.draw(grid, np.full((1, GRID), flops), int(count), rng)
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
