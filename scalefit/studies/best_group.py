"""The best group size as a curve of what is spent: n*(C), with its interval, whether it rises, and whether it saturates.

At each budget the arms' losses are a parabola in log G, whose lowest point within the arms is the best G. Its interval
holds every G at which the slope of the parabola is not told from 0 (Fieller 1954, J. R. Stat. Soc. B 16, 175), and an end
of the grid where the slope beyond it may point outwards; runs are the units. Between budgets, "one G is best at both" is
tested with the slopes at both together, of the same runs.
Source of the question: IsoCompute, arXiv:2603.12151: the best number of rollouts rises with compute and saturates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.intervals import student
from scalefit.numerics.tails import f_tail
from scalefit.studies.differences import MARGIN
from scalefit.studies.ends import LAST_SHARE, Arms, Single
from scalefit.studies.levels import Levels, measure_levels
from scalefit.units import format_amount

Array = NDArray[np.float64]
LEAST_ARMS = 3
"""Group sizes through which a parabola goes."""
BUDGETS = 5
GRID = 121
"""Group sizes tried between the smallest and the largest."""
LEVEL, DRAWS, SURE = 0.05, 4000, 0.975


@dataclass(frozen=True)
class _Parabola:
    """Arms' losses at a budget in log G: what weights (A,) of the levels give it, and between which log G arms are."""

    fit: Array
    """(3, A): constant, slope and curvature by the levels."""
    low: float
    high: float

    def slope(self, at: Array) -> Array:
        """Return the weights of the slope at log G (n,), (n, A)."""
        return self.fit[1] + 2 * at[:, None] * self.fit[2]

    def value(self, at: Array) -> Array:
        """Return the weights of the loss at log G (n,), (n, A)."""
        return self.fit[0] + at[:, None] * self.fit[1] + at[:, None] ** 2 * self.fit[2]


@dataclass(frozen=True)
class _Budgets:
    """Levels of the arms (A, B), their log G (A,), and the parabola at each budget."""

    levels: Levels
    log_g: Array
    spent: Array

    @cached_property
    def parabolas(self) -> list[_Parabola]:
        """The parabola of each budget, every run weighing the same."""
        found = []
        for here in np.isfinite(self.levels.mean).T:
            root, fit = np.sqrt(self.levels.count[here]), np.zeros((3, len(here)))
            fit[:, here] = np.linalg.pinv(np.vander(self.log_g[here], 3, increasing=True) * root[:, None]) * root
            found.append(_Parabola(fit, float(self.log_g[here].min()), float(self.log_g[here].max())))
        return found

    @cached_property
    def filled(self) -> Array:
        """Levels, 0 where an arm has not been."""
        return np.nan_to_num(self.levels.mean)

    def slopes(self, b: int, at: Array) -> tuple[Array, Array]:
        """Return the slope of a budget's parabola at log G (n,) and its standard error."""
        weights = self.parabolas[b].slope(at)
        variance = self.levels.covariance[b, b] * (weights**2 / self.levels.count).sum(1)
        return weights @ self.filled[:, b], np.sqrt(variance)

    def lowest(self, b: int, levels: Array) -> Array:
        """Return the log G that is best at a budget by levels (..., A)."""
        grid = np.linspace(self.parabolas[b].low, self.parabolas[b].high, GRID)
        return grid[np.argmin(levels @ self.parabolas[b].value(grid).T, -1)]

    def row(self, b: int) -> dict[str, Any]:
        """Return the best G at a budget with its 95 % interval, and where that is open: beyond the smallest or largest."""
        parabola, dof = self.parabolas[b], self.levels.dof([b])
        at = np.linspace(parabola.low, parabola.high, GRID)
        slope, se = self.slopes(b, at)
        t = slope / np.maximum(se, 1e-300)
        far = np.abs(t)
        # Beyond an end nothing was measured: it is refused only where the slope at it points inwards.
        far[0], far[-1] = max(-t[0], 0.0), max(t[-1], 0.0)
        inside = np.flatnonzero(far <= student(1 - LEVEL, dof))
        best = float(self.lowest(b, self.filled[:, b]))
        inside = inside if len(inside) else np.array([int(np.argmin(np.abs(at - best)))])
        low, high = float(at[inside[0]]), float(at[inside[-1]])
        ends = {"value": best, "low": min(low, best), "high": max(high, best)}
        return {
            "budget": float(self.spent[b]),
            **{name: float(np.exp(value)) for name, value in ends.items()},
            "smallest": float(np.exp(parabola.low)),
            "largest": float(np.exp(parabola.high)),
            "below_open": bool(inside[0] == 0),
            "above_open": bool(inside[-1] == GRID - 1),
        }

    def p_same(self, first: int, second: int) -> float:
        """Return the chance of slopes as far from 0 if one G were best at both budgets."""
        pair, least = (first, second), np.inf
        ends = [(self.parabolas[b].low, self.parabolas[b].high) for b in pair]
        for at in np.linspace(min(low for low, _ in ends), max(high for _, high in ends), GRID):
            weights, sides = np.zeros((2, *self.filled.shape)), np.zeros(2)
            for i, (b, (low, high)) in enumerate(zip(pair, ends, strict=True)):
                weights[i, :, b] = self.parabolas[b].slope(np.clip([at], low, high))[0]
                sides[i] = int(at >= high) - int(at <= low)
            slopes = np.einsum("iab,ab->i", weights, self.filled)
            least = min(least, _distance(slopes, self.levels.cover(weights), sides))
        dof = self.levels.dof(pair)
        # Hotelling's: the covariance of two slopes is estimated from few runs.
        return float(f_tail(1, max(dof - 1, 1), least * max(dof - 1, 1) / dof))

    def rises(self, budgets: Sequence[int]) -> Array:
        """Return draws of how fast the best log G rises from each budget to the next, by log of what is spent."""
        rng = np.random.default_rng(0)
        chosen = list(budgets)
        values, vectors = np.linalg.eigh(self.levels.covariance[np.ix_(chosen, chosen)])
        root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        drawn = rng.standard_normal((DRAWS, len(self.log_g), len(chosen))) @ root
        dof = self.levels.dof(chosen)
        scale = np.sqrt(dof / rng.chisquare(dof, (DRAWS, 1, 1)))
        drawn = self.filled[:, chosen] + drawn * scale / np.sqrt(self.levels.count)[:, None]
        best = np.stack([self.lowest(b, drawn[..., i]) for i, b in enumerate(chosen)], 1)
        return np.asarray(np.diff(best, axis=1) / np.diff(np.log(self.spent[chosen])))

    def flat(self, b: int, margin: float) -> bool:
        """Say whether any two arms at a budget are equivalent within the margin."""
        here = np.flatnonzero(np.isfinite(self.levels.mean[:, b]))
        for one, other in combinations(here.tolist(), 2):
            weights = np.zeros(self.filled.shape)
            weights[[one, other], b] = 1.0, -1.0
            if not self.levels.combine(weights).equivalent(margin):
                return False
        return True


def _distance(slopes: Array, covariance: Array, sides: Array) -> float:
    """Return the squared distance of two slopes from what an optimum there allows.

    That is 0, or beyond an end of the arms (`sides` 1 or -1) anything that points outwards.
    """
    sign = np.where(sides == 0, 1.0, sides)
    d, V = slopes * sign, covariance * np.outer(sign, sign) + 1e-18 * np.eye(2)
    whole = float(d @ np.linalg.solve(V, d))
    found = [whole]
    for i, j in ((0, 1), (1, 0)):
        if sides[i] and d[i] - V[i, j] / V[j, j] * d[j] <= 0:
            found.append(float(d[j] ** 2 / V[j, j]))
    if all(sides != 0) and all(d <= 0):
        found.append(0.0)
    return min(found)


def best_groups(arms: Arms[Single], resource: str, margin: float = MARGIN) -> dict[str, Any] | None:
    """Return the best G by budget of a resource; None with fewer than three group sizes anywhere.

    Parameters
    ----------
    arms : dict
        Runs by group size, with the resource as what they spend.

    Returns
    -------
    dict
        `rows`: budget, value, low, high (95 %), smallest and largest G there, and where the interval is open; `p_same`
        that one G is best at the first and the last budget; `flat`; `saturates`: whether the rise slows down from the
        middle on, None where it is not told; `verdict`.
    """
    starts = {g: max(one.curve[0][0] for one in some) / (1 - LAST_SHARE) for g, some in arms.items()}
    ends = {g: min(one.curve[0][-1] for one in some) for g, some in arms.items()}
    if len(arms) < LEAST_ARMS:
        return None
    low, high = sorted(starts.values())[LEAST_ARMS - 1], sorted(ends.values())[-LEAST_ARMS]
    # An arm that was evaluated a little later, or ends a little earlier, is not left out for it.
    low = max(start for start in starts.values() if start <= low / (1 - LAST_SHARE))
    high = min(end for end in ends.values() if end >= high * (1 - LAST_SHARE))

    def reached(one: Single, budget: float) -> bool:
        g = float(one.about["group_size"])
        return bool(starts[g] <= budget * (1 + 1e-9) and ends[g] >= budget * (1 - 1e-9))

    spent = [
        budget
        for budget in (np.geomspace(low, high, BUDGETS).tolist() if high > low else [])
        if sum(reached(some[0], budget) for some in arms.values()) >= LEAST_ARMS
    ]
    if len(spent) < 2:
        return None
    levels = measure_levels(list(arms.values()), np.array(spent), reached)
    if not levels.runs_differ:
        return None
    found = _Budgets(levels, np.log(list(arms)), np.array(spent))
    rows = [found.row(b) for b in range(len(spent))]
    curve: dict[str, Any] = {"rows": rows, "p_same": found.p_same(0, len(spent) - 1), "saturates": None}
    curve["flat"] = all(found.flat(b, margin) for b in range(len(spent)))
    if curve["p_same"] <= LEVEL and len(spent) > 2:
        first, second = found.rises([0, len(spent) // 2, len(spent) - 1]).T
        grew = np.sign(rows[-1]["value"] - rows[0]["value"])
        slower, on = float(np.mean(grew * (first - second) > 0)), float(np.mean(grew * second > 0))
        closed = not (rows[-1]["above_open"] if grew > 0 else rows[-1]["below_open"])
        curve["saturates"] = True if slower >= SURE and closed and on < SURE else False if on >= SURE else None
    return curve | {"verdict": _verdict(curve, resource, margin)}


def _verdict(curve: Mapping[str, Any], resource: str, margin: float) -> str:
    """Say whether the best G rises, lies at an end of the grid, is flat, or that the data do not say."""
    if curve["flat"]:
        return f"the best G by {resource} is flat: any two group sizes are within {margin:g} of one another"
    told = [row for row in curve["rows"] if not (row["below_open"] and row["above_open"])]
    if not told:
        return f"the data do not say which G is best at any budget of {resource}"
    for side, end, bound in (("above_open", "low", "at least"), ("below_open", "high", "at most")):
        if all(row[side] for row in told):
            edges = [
                f"{bound} {row[end]:.2g} at {format_amount(row['budget'], resource)}" for row in (told[0], told[-1])
            ]
            return f"the best G by {resource} is at the edge of the grid: {' and '.join(dict.fromkeys(edges))}"
    first, last = curve["rows"][0], curve["rows"][-1]
    spans = [f"{said_best(row)} at {format_amount(row['budget'], resource)}" for row in (first, last)]
    if curve["p_same"] > LEVEL:
        return (
            f"the best G by {resource} is {spans[0]} and {spans[1]}: that it is one at both is not excluded "
            f"(p = {curve['p_same']:.2f})"
        )
    after = {True: ", and less steeply in the second half", False: ", in the second half too"}.get(
        curve["saturates"], "; whether it levels off the data do not say"
    )
    return f"the best G by {resource} {'rises' if last['value'] > first['value'] else 'falls'} from {spans[0]} to {spans[1]}{after}"


def said_best(row: Mapping[str, Any]) -> str:
    """Return a best G with its interval, in words where that is open."""
    below = f"{row['low']:.2g}" if not row["below_open"] else f"{row['smallest']:.2g} or fewer"
    above = f"{row['high']:.2g}" if not row["above_open"] else f"{row['largest']:.2g} or more"
    return f"{row['value']:.2g} [{below}, {above}]"
