"""What a reading of the untrained model is worth: against the best form that reads nothing, over runs, and over orders of the sizes.

Two things could make a reading look better than it is: the runs that happened to be made, over which the ratio of what is
missed has its interval (a jackknife), and a few sizes on which anything that wanders with N may chance to fit, against which
what is read is shuffled among the sizes, its trend in log N kept. Sources: Efron and Stein 1981, Ann. Stat. 9, 586;
Freedman and Lane 1983, J. Bus. Econ. Stat. 1, 292.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.intervals import student
from scalefit.studies.left_out import Side
from scalefit.studies.readings import Values

Array = NDArray[np.float64]
HALF = 0.5
"""Ratio of what is missed from which on a reading is worth having: the level was the weakest part, and half is a plan's worth."""
SURE = 0.05
"""Share of shuffles that may do as well."""
SHUFFLES = 500
"""Most orders of the sizes that are tried; of up to six sizes all."""


@dataclass(frozen=True)
class Judgement:
    """What a reading missed, against the best form that reads nothing.

    Attributes
    ----------
    reads, law, against : str
        What is read by the form that misses least, that form, and the best that reads nothing, of sizes left out in turn.
    ratio, low, high : float
        What the one misses over what the other does, each size left out in turn, with 95 % over runs; None where no size
        has two.
    top_ratio, top_low, top_high : float
        The same of the top, against the form that is best there.
    p : float
        Share of orders of the sizes in which the best reading does as well.
    orders : int
    r : float
        Correlation of what is read with log N.
    says : {"yes", "no", "open"}
    """

    reads: str
    law: str
    against: str
    missed: float
    against_missed: float
    top_missed: float
    top_against: str
    top_against_missed: float
    ratio: float
    low: float | None
    high: float | None
    top_ratio: float
    top_low: float | None
    top_high: float | None
    p: float
    orders: int
    r: float
    says: str


def judge_reading(side: Side, rows: list[dict[str, Any]]) -> Judgement:
    """Hold the best form that reads against the best that does not."""
    reads, others = ([row for row in rows if bool(row["reads"]) is told] for told in (True, False))
    best = min(reads, key=lambda row: row["left_out"])
    against, top = (min(others, key=lambda row: row[name]) for name in ("left_out", "top"))
    ratios = np.array([best["top"] / top["top"], best["left_out"] / against["left_out"]])
    ends = _over_runs(side, best["law"], [row["law"] for row in others], ratios)
    p, orders = _shuffle(side)
    values = side.values()[best["reads"]]
    r = float(np.corrcoef(values, np.log(side.folds.sizes))[0, 1]) if np.ptp(values) > 0 else 0.0
    low, high = ends[:, 1]
    if low is not None and high < 1 and p <= SURE:
        says = "yes"
    else:
        says = "no" if low is not None and low > HALF else "open"
    return Judgement(
        reads=best["reads"],
        law=best["law"],
        against=against["law"],
        missed=best["left_out"],
        against_missed=against["left_out"],
        top_missed=best["top"],
        top_against=top["law"],
        top_against_missed=top["top"],
        ratio=float(ratios[1]),
        low=low,
        high=high,
        top_ratio=float(ratios[0]),
        top_low=ends[0, 0],
        top_high=ends[1, 0],
        p=p,
        orders=orders,
        r=r,
        says=says,
    )


def _over_runs(side: Side, best: str, others: list[str], ratios: Array) -> NDArray[Any]:
    """Return the 95 % ends of two ratios of what is missed (2,), as (2, 2), by leaving out each run in turn within its size; None where no size has two.

    The ratios are the reading's over the least of what reads nothing, of the top, and of sizes left out in turn.
    """
    index = side.index
    count = np.bincount(index)
    if count.max() < 2:
        return np.full((2, 2), None)
    variance, dof = np.zeros(2), 0
    for s in np.flatnonzero(count > 1):
        runs = np.flatnonzero(index == s)
        missed = [side.misses([best, *others], np.arange(len(index)) != m) for m in runs]
        each = np.log([one[0] / one[1:].min(0) for one in missed])
        variance += (len(runs) - 1) / len(runs) * np.square(each - each.mean(0)).sum(0)
        dof += len(runs) - 1
    half = student(0.95, dof) * np.sqrt(variance)
    return np.stack([ratios * np.exp(-half), ratios * np.exp(half)])


def _shuffle(side: Side) -> tuple[float, int]:
    """Return the share of orders of the sizes in which the best reading misses as little, and how many orders there are.

    What is read keeps its line in log N; what it departs by is dealt out to the sizes anew, of all readings alike.
    """
    values, u = side.values(), np.log(side.folds.sizes)
    lines = {name: np.asarray(np.polyval(np.polyfit(u, one, 1), u), float) for name, one in values.items()}
    S = len(u)
    if S <= 6:
        orders = [np.array(order) for order in permutations(range(S))]
    else:
        rng = np.random.default_rng(0)
        orders = [np.arange(S), *(rng.permutation(S) for _ in range(SHUFFLES - 1))]

    def missed(order: NDArray[np.intp]) -> float:
        shuffled: Values = {name: lines[name] + np.asarray(one - lines[name])[order] for name, one in values.items()}
        return side.shuffled(shuffled)

    found = np.array([missed(order) for order in orders])
    return float(np.mean(found <= found[0] * (1 + 1e-9))), len(orders)
