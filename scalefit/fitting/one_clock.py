"""One clock for all runs of a table: in which resource it ticks, and by which power of size it runs ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.describe import PLAIN
from scalefit.fitting.fit import fit_data
from scalefit.fitting.left import Left, left_by
from scalefit.fitting.point_fit import make_problem
from scalefit.fitting.start import find_start
from scalefit.laws import get_law
from scalefit.numerics.ar1 import effective_points
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
POWERS = np.linspace(-0.5, 2, 51).round(2)
"""Powers of N by which a larger model's clock may run ahead: 0 where it ticks in prompts, 1 where in FLOPs."""
CLEAR = 3.84
"""Twice the log-likelihood that bounds an interval of 95 %."""


def apart(data: FitData) -> FitData:
    """Return the curves as if each were of a size of its own, numbered from 1."""
    return replace(data, params=np.arange(1.0, len(data.params) + 1))


def by_clock(each: FitData, spent: Array, name: str) -> tuple[Left, float]:
    """Return what one clock in a resource leaves of runs that have a start and a gain of their own, and what points are worth."""
    left = left_by(fit_data("clock", replace(apart(each), resource=spent, resources=(name,)), PLAIN))
    return left, effective_points(left.present, left.noise.rho)


def fit_clock(data: FitData, near: Mapping[str, Array] | None = None, sizes: Array | None = None) -> dict[str, Array]:
    """Return the clock of all sizes: X_mid and B (1,), L0 and G (S,) of each, by least squares of points.

    Parameters
    ----------
    near : mapping, optional
        What it was for more sizes, `sizes`, from which the search then begins.
    """
    return _solve(data, near, sizes)[0]


def _solve(data: FitData, near: Mapping[str, Array] | None, sizes: Array | None) -> tuple[dict[str, Array], float]:
    """Return the clock and the squares that it leaves."""
    bound, each = BoundLaw(get_law("clock"), data.sizes), data.each
    if near is None or sizes is None:
        start = find_start(bound, each)
    else:
        kept = np.isin(sizes, data.sizes)
        start = bound.internal({name: one[kept] if len(one) > 1 else one for name, one in near.items()})
    found = make_problem(bound, each, PLAIN).solve(start[None])
    return bound.values(found.theta[0]), 2 * float(found.cost[0])


def pace(data: FitData) -> dict[str, float | None]:
    """Return the power of N by which the clock runs ahead in larger models, with its interval; None where no end is in reach.

    The interval is by likelihood of the noise within runs.
    """
    each = data.each
    alone, near, left = replace(apart(each), resources=("pace",)), None, []
    ahead = (each.params / each.params[0])[:, None]
    for power in POWERS:
        # From the clock at the power before: a search anew takes a hundred times as long.
        near, squares = _solve(replace(alone, resource=each.resource * ahead**power), near, alone.sizes)
        left.append(squares)
    squares_by = np.array(left)
    best = int(np.argmin(squares_by))
    _, worth = by_clock(each, each.resource * ahead ** POWERS[best], "pace")
    far = worth * np.log(squares_by / squares_by[best])
    ends: list[float | None] = []
    for side in (slice(best, None, -1), slice(best, None)):
        out = np.flatnonzero(far[side] > CLEAR)
        at = int(out[0]) if len(out) else 0
        ends.append(float(np.interp(CLEAR, far[side][at - 1 : at + 1], POWERS[side][at - 1 : at + 1])) if at else None)
    return {"power": float(POWERS[best]), "low": ends[0], "high": ends[1]}
