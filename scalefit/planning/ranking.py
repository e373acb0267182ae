"""Which system is better, as far as the numbers of problems can tell.

Two systems differ where the difference of their scores is significant at 5 % after Holm's correction over all pairs of a
comparison; a system's rank is then a range, from one more than the systems that are better to all but those that are
worse. Without answers problem by problem, two systems' errors are taken as independent, which is cautious where both
answered the same problems.
Sources: Agresti and Caffo 2000, Am. Stat. 54, 280 (the difference); Holm 1979, Scand. J. Stat. 6, 65; ranges of ranks as
in Mogstad et al. 2024, Rev. Econ. Stud. 91, 476.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError, UsageError, nearest
from scalefit.planning.answer import Answer
from scalefit.table.systems import SystemTable

Array = NDArray[np.float64]
ALL = "all"
"""Name of the mean over benchmarks."""
DRAWS = 2000
LEVEL = 0.05


@dataclass(frozen=True)
class Ranking(Answer):
    """The systems on one benchmark, or on the mean of all.

    Attributes
    ----------
    rows : list of dict
        Best first: system, score, low, high (95 %), rank_low, rank_high, better_than and tied_with.
    separated : int
        Pairs that differ, of `pairs`.
    """

    benchmark: str
    rows: list[dict[str, Any]]
    separated: int
    pairs: int
    warnings: list[str]

    ROWS: ClassVar[str] = "rows"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        first = [row["system"] for row in self.rows if row["rank_low"] == 1]
        if len(first) == 1:
            return f"{self.benchmark}: {first[0]} is best"
        return f"{self.benchmark}: the data do not separate the first {len(first)}: {', '.join(first)}"


def rank_systems(table: SystemTable, benchmark: str | None = None) -> list[Ranking]:
    """Rank the systems on every benchmark, and on the mean of those that all systems have.

    Parameters
    ----------
    table : SystemTable
        From `scalefit.read_systems`.
    benchmark : str, optional
        Only this one.

    Raises
    ------
    UsageError
        If there is no such benchmark.
    FitError
        If nowhere are there two systems.
    """
    if benchmark is not None and benchmark not in (*table.benchmarks, ALL):
        raise UsageError(
            f"--benchmark {benchmark}: {table.path} has no such one; {nearest(benchmark, table.benchmarks)}"
        )
    found = []
    for name in table.benchmarks:
        rows = table.frame[table.frame["benchmark"] == name]
        if len(rows) > 1 and benchmark in (None, name):
            found.append(_rank(name, [rows.set_index("system")]))
    shared = [name for name in table.benchmarks if (table.frame["benchmark"] == name).sum() == len(table.systems)]
    if len(shared) > 1 and len(table.systems) > 1 and benchmark in (None, ALL):
        parts = [table.frame[table.frame["benchmark"] == name].set_index("system") for name in shared]
        left = sorted(set(table.benchmarks) - set(shared))
        found.append(
            _rank(ALL, parts, [f"not in the mean, since some systems lack it: {', '.join(left)}"] if left else [])
        )
    if not found:
        raise FitError(f"{table.path}: no benchmark has two systems; there is nothing to rank.")
    return found


def _rank(name: str, parts: list[pd.DataFrame], warnings: list[str] | None = None) -> Ranking:
    from scipy.special import ndtr, ndtri

    systems = list(parts[0].index)
    parts = [part.loc[systems] for part in parts]
    n = np.array([part["n"].to_numpy() for part in parts])
    score = np.array([part["score"].to_numpy() for part in parts])
    # One success and one failure more for each: the difference then has about its stated error down to few problems.
    shrunk = (score * n + 1) / (n + 2)
    mean = shrunk.mean(0)
    variance = (shrunk * (1 - shrunk) / (n + 2)).sum(0) / len(parts) ** 2
    pairs = list(combinations(range(len(systems)), 2))
    z = np.array([(mean[a] - mean[b]) / np.sqrt(variance[a] + variance[b]) for a, b in pairs])
    differ = holm(2 * ndtr(-np.abs(z)))
    better: dict[int, set[int]] = {at: set() for at in range(len(systems))}
    for (a, b), value, apart in zip(pairs, z, differ, strict=True):
        if apart:
            better[a if value > 0 else b].add(b if value > 0 else a)
    rows = []
    for at in sorted(range(len(systems)), key=lambda at: -score[:, at].mean()):
        above = sum(at in beaten for beaten in better.values())
        tied = [
            systems[other]
            for other in range(len(systems))
            if other != at and other not in better[at] and at not in better[other]
        ]
        if len(parts) == 1:
            low, high = float(parts[0]["low"].iloc[at]), float(parts[0]["high"].iloc[at])
        else:
            half = float(ndtri(0.975) * np.sqrt(variance[at]))
            low, high = max(float(mean[at]) - half, 0.0), min(float(mean[at]) + half, 1.0)
        rows.append(
            {
                "system": systems[at],
                "score": float(score[:, at].mean()),
                "low": low,
                "high": high,
                "rank_low": 1 + above,
                "rank_high": len(systems) - len(better[at]),
                "better_than": [systems[other] for other in sorted(better[at])],
                "tied_with": tied,
            }
        )
    return Ranking(name, rows, int(differ.sum()), len(pairs), warnings or [])


def holm(p: Array, level: float = LEVEL) -> NDArray[np.bool_]:
    """Return which hypotheses are rejected with a chance of at most `level` of any false one (Holm 1979)."""
    order, rejected = np.argsort(p), np.zeros(len(p), bool)
    for done, at in enumerate(order):
        if p[at] > level / (len(p) - done):
            break
        rejected[at] = True
    return rejected


@dataclass(frozen=True)
class Transfer:
    """How scores on one benchmark go with those on another, over systems.

    `tau` is Kendall's rank correlation with a 95 % interval over redrawn scores: what other problems of the same kind
    would say about these systems, not what other systems would.
    """

    source: str
    target: str
    systems: int
    tau: float
    low: float
    high: float

    @property
    def said(self) -> str:
        """The answer in words."""
        about = f"tau {self.tau:.2f} [{self.low:.2f}, {self.high:.2f}] over {self.systems} systems"
        if self.low > 0:
            return f"systems better at {self.source} are better at {self.target}: {about}"
        if self.high < 0:
            return f"systems better at {self.source} are worse at {self.target}: {about}"
        return f"the data do not say whether being better at {self.source} goes with {self.target}: {about}"


def study_transfer(table: SystemTable, source: str | None = None) -> list[Transfer]:
    """Compare every benchmark with a source, by default the first, over the systems that have both (three or more).

    Raises
    ------
    UsageError
        If there is no such benchmark.
    """
    source = source or table.benchmarks[0]
    if source not in table.benchmarks:
        raise UsageError(f"--source {source}: {table.path} has no such benchmark; {nearest(source, table.benchmarks)}")
    rng, found = np.random.default_rng(0), []
    mine = table.frame[table.frame["benchmark"] == source].set_index("system")
    for target in table.benchmarks:
        other = table.frame[table.frame["benchmark"] == target].set_index("system")
        both = [name for name in mine.index if name in other.index]
        if target == source or len(both) < 3:
            continue
        sides = [part.loc[both, ["score", "n"]].to_numpy(float).T for part in (mine, other)]
        drawn = [rng.binomial(n.astype(int), score, (DRAWS, len(both))) / n for score, n in sides]
        taus = np.array([kendall(a, b) for a, b in zip(*drawn, strict=True)])
        low, high = np.percentile(taus, [2.5, 97.5])
        found.append(Transfer(source, target, len(both), kendall(sides[0][0], sides[1][0]), float(low), float(high)))
    return found


def kendall(a: Array, b: Array) -> float:
    """Return Kendall's tau-a: pairs in the same order less those in opposite order, ties counting 0.

    Source: Kendall 1938, Biometrika 30, 81.
    """
    signs = np.sign(np.subtract.outer(a, a)) * np.sign(np.subtract.outer(b, b))
    return float(signs.sum() / (len(a) * (len(a) - 1)))
