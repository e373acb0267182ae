"""Two recipes at one size before they are told apart: their curves at equal amounts, and how far runs are known to differ."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.numerics.two_groups import LEAST_LOOK, Scatter
from scalefit.studies.differences import Measured, Spread, scatter
from scalefit.studies.ends import Key, Single, common_reach, end_level
from scalefit.studies.recipes import Sides, TwoTables

Array = NDArray[np.float64]
ALONE = "these runs alone"
"""Where no scatter between runs is from that was said to be 0."""
REPEATS = np.geomspace(0.0005, 0.128, 9)
"""What the standard deviation between runs may be [loss], each as likely beforehand, where repeats tell of it."""


def at_equal(sides: Sides, since: float) -> tuple[Array, Array, Array]:
    """Return amounts of the resource (T,) and the losses of each side's runs there (R, T), not a number where one has ended.

    They are those at which the less often evaluated of the longest runs was evaluated; between its evaluations a curve is a
    straight line over log X, as in `end_level`.

    Raises
    ------
    FitError
        If there are too few.
    """
    longest = [max(side, key=lambda one: one.curve[0][-1]) for side in sides]
    low = max(since, *(float(one.curve[0][0]) for one in chain(*sides)))
    until = min(float(one.curve[0][-1]) for one in longest)
    inside = [one.curve[0][_within(one.curve[0], low, until)] for one in longest]
    grid = min(inside, key=len)
    if len(grid) < LEAST_LOOK:
        reach = " and ".join(
            f"{one.about['run_id']} from {one.curve[0][0]:g} to {one.curve[0][-1]:g}" for one in longest
        )
        begun = f", from {since:g} on" if since else ""
        raise FitError(
            f"{len(grid)} evaluations at equal {longest[0].x}{begun} ({reach}); a first look needs {LEAST_LOOK}."
        )
    first, second = (np.stack([_at(one, grid) for one in side]) for side in sides)
    return grid, first, second


def _within(x: Array, low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((x >= low * (1 - 1e-9)) & (x <= high * (1 + 1e-9)))


def _at(one: Single, grid: Array) -> Array:
    x, loss = one.curve
    value = np.interp(np.log(grid), np.log(x), loss)
    return np.where(grid <= x[-1] * (1 + 1e-9), value, np.nan)


def scatter_of(both: TwoTables, key: Key, sides: Sides, given: float | None, paired: bool) -> tuple[Scatter, str]:
    """Return what is known of the scatter between runs, of pairs that of their differences, and where it is from."""
    twice = np.sqrt(2) if paired else 1.0
    if given is not None:
        return Scatter.known(given * twice), "--scatter" if given else ALONE
    others = [_ends(both.sides(other)) for other in both.common if other[:2] == key[:2] and other != key]
    found = scatter([ends for ends in others if ends])
    spread = found.pairs if paired else found.runs
    if len(sides[0]) + len(sides[1]) == 2 and spread is None:
        return Scatter.known(0.0), ""
    known = repeats_prior(spread)
    source = "repeats" if len(sides[0]) + len(sides[1]) > 2 else "other sizes"
    return Scatter(known.sd * twice, known.weight), source


def _ends(sides: Sides) -> list[list[Measured]]:
    with suppress(FitError):
        until = common_reach(chain(*sides))[1]
        return [[end_level(one, until) for one in side] for side in sides]
    return []


def repeats_prior(spread: Spread | None = None) -> Scatter:
    """Return what is known of the scatter before runs of a recipe are seen, with how runs of other sizes differ, if any do."""
    log = np.zeros(len(REPEATS))
    if spread:
        log = -spread.dof * (np.log(REPEATS) + spread.variance / (2 * REPEATS**2))
    weight = np.exp(log - log.max())
    return Scatter(REPEATS, np.maximum(weight / weight.sum(), 1e-12))
