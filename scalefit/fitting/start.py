"""Where a fit begins: at the law's own start, or, for a law that has none, at the best of many places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.point_problem import PointProblem
from scalefit.laws.law import Param
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
PLACES = 256
"""Places looked at."""
TRIED = 6
"""The best of them from which the fit is run."""


def find_start(bound: BoundLaw, data: FitData) -> Array:
    """Return where to begin, shape (P,); deterministic."""
    if bound.law.start is not None:
        return bound.start(data)
    if len(bound.sizes) > 1 and all(param.per_size for param in bound.law.params):
        alone = [
            find_start(BoundLaw(bound.law, np.array([size])), data.keep(data.params == size)) for size in bound.sizes
        ]
        return np.stack(alone, 1).ravel()
    problem = PointProblem(bound, data)
    top = 100 * max(float(problem.X.max()), float(data.params.max()))
    places = np.stack([bound.internal(values) for values in _places(bound.law.params, top)])
    with np.errstate(all="ignore"):
        cost = np.array([float(np.sum(problem.whitened(theta) ** 2)) for theta in places])
        cost[~np.isfinite(cost)] = np.inf
        best = np.argsort(cost, kind="stable")[:TRIED]
        tried = [problem.solve(place[None]) for place in places[best]]
    return min(tried, key=lambda one: float(one.cost[0])).theta[0]


def _places(params: tuple[Param, ...], top: float) -> list[dict[str, float]]:
    """Return values that fill the bounds evenly, each parameter's start kept where it has one.

    Source of the sequence: Roberts 2018, The unreasonable effectiveness of quasirandom sequences (generalised golden ratio).
    """
    ratio = 2.0
    for _ in range(50):
        ratio = (1 + ratio) ** (1 / (len(params) + 1))
    share = np.outer(np.arange(1, PLACES + 1), ratio ** -np.arange(1, len(params) + 1.0)) % 1
    columns = [
        np.full(PLACES, one.start) if one.start is not None else _within(one, share[:, at], top)
        for at, one in enumerate(params)
    ]
    return [{one.name: float(column[i]) for one, column in zip(params, columns, strict=True)} for i in range(PLACES)]


def _within(param: Param, share: Array, top: float) -> Array:
    """Return values of a parameter at shares of its bounds; wide bounds are gone through on a logarithmic scale."""
    low, high = param.bounds
    if high - low <= 1e3 and param.scale == "linear":
        return low + share * (high - low)
    if low >= 0:
        first = max(low, 1e-6)
        return np.asarray(first * (min(max(high, first), max(top, first * 10)) / first) ** share)
    if high <= 0:
        return -_within(Param(param.name, "", (-high, -low)), share, top)
    far = np.abs(2 * share - 1)
    return np.clip(np.where(share < 0.5, -1, 1) * 1e-4 * 1e8**far, low, high)
