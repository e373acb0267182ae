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

from scalefit.answer import Answer, Answers, text_table, warning_lines
from scalefit.errors import FitError, UsageError, nearest
from scalefit.numerics.intervals import holm
from scalefit.said import Said
from scalefit.table.systems import as_systems

Array = NDArray[np.float64]
ALL = "all"
"""Name of the mean over benchmarks."""
LEVEL = 0.05
MOST_TIED = 4
"""Ties that a summary names."""


@dataclass(frozen=True, repr=False)
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

    def summary(self) -> str:
        """Return the text that the command prints."""
        rows = [["system", "rank", "score", "95 % low", "high", "tied with"]]
        for row in self.rows:
            first, last = row["rank_low"], row["rank_high"]
            rank = str(first) if first == last else f"{first}-{last}"
            more = f" and {len(row['tied_with']) - MOST_TIED} more" if len(row["tied_with"]) > MOST_TIED else ""
            scores = [f"{row[name]:.3f}" for name in ("score", "low", "high")]
            rows.append([row["system"], rank, *scores, ", ".join(row["tied_with"][:MOST_TIED]) + more])
        head = f"{self.headline}; {self.separated} of {self.pairs} pairs are separated"
        return Said([head, text_table(rows), *warning_lines(self.warnings)])


def rank_systems(table: Any, benchmark: str | None = None) -> Answers[Ranking]:
    """Rank the systems on every benchmark, and on the mean of those that all systems have.

    Parameters
    ----------
    table : SystemTable, path or data frame
        A table of systems.
    benchmark : str, optional
        Only this one.

    Raises
    ------
    UsageError
        If there is no such benchmark.
    FitError
        If nowhere are there two systems.
    """
    table = as_systems(table)
    if benchmark is not None and benchmark not in (*table.benchmarks, ALL):
        raise UsageError(
            f"--benchmark {benchmark}: {table.path} has no such one; {nearest(benchmark, table.benchmarks)}"
        )
    found: list[Ranking] = []
    alone: dict[str, str] = {}
    for name in table.benchmarks:
        rows = table.frame[table.frame["benchmark"] == name]
        if benchmark not in (None, name):
            continue
        if len(rows) > 1:
            found.append(_rank(name, [rows.set_index("system")]))
        else:
            alone[name] = "one system has it"
    shared = [name for name in table.benchmarks if (table.frame["benchmark"] == name).sum() == len(table.systems)]
    if len(shared) > 1 and len(table.systems) > 1 and benchmark in (None, ALL):
        parts = [table.frame[table.frame["benchmark"] == name].set_index("system") for name in shared]
        left = sorted(set(table.benchmarks) - set(shared))
        found.append(
            _rank(ALL, parts, [f"not in the mean, since some systems lack it: {', '.join(left)}"] if left else [])
        )
    if not found:
        raise FitError(f"{table.path}: no benchmark has two systems; there is nothing to rank.")
    return Answers(found, alone)


def _rank(name: str, parts: list[pd.DataFrame], warnings: list[str] | None = None) -> Ranking:
    from scipy.special import ndtri

    systems = list(parts[0].index)
    parts = [part.loc[systems] for part in parts]
    score = np.mean([part["score"].to_numpy(float) for part in parts], axis=0)
    mean, variance = _shrunk(parts)
    better: dict[int, set[int]] = {at: set() for at in range(len(systems))}
    told = _orders(mean, variance)
    for (a, b), sign in zip(combinations(range(len(systems)), 2), told, strict=True):
        if sign:
            better[a if sign > 0 else b].add(b if sign > 0 else a)
    rows = []
    for at in sorted(range(len(systems)), key=lambda at: -score[at]):
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
                "score": float(score[at]),
                "low": low,
                "high": high,
                "rank_low": 1 + above,
                "rank_high": len(systems) - len(better[at]),
                "better_than": [systems[other] for other in sorted(better[at])],
                "tied_with": tied,
            }
        )
    return Ranking(name, rows, int((told != 0).sum()), len(told), warnings or [])


@dataclass(frozen=True, repr=False)
class Transfer(Answer):
    """How scores on one benchmark go with those on another, over systems.

    `tau` is Kendall's rank correlation of the scores as they are. Of all pairs of systems, `same` and `opposite` are
    separated on both benchmarks and ordered alike or not, the others may be either: `low` and `high` hold the rank
    correlation of the true scores with 95 %, for these systems. (Redrawing scores instead does not: noise
    only ever mixes ranks.)
    """

    source: str
    target: str
    systems: int
    tau: float
    low: float
    high: float
    pairs: int
    same: int
    opposite: int
    warnings: list[str]

    ROWS: ClassVar[str] = "row"

    @property
    def row(self) -> list[dict[str, Any]]:
        """The numbers."""
        return [{name: value for name, value in vars(self).items() if name != "warnings"}]

    def summary(self) -> str:
        """Return the text that the command prints."""
        return self.headline

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        about = (
            f"tau {self.tau:.2f} [{self.low:.2f}, {self.high:.2f}]; of {self.pairs} pairs of systems {self.same + self.opposite} are "
            f"separated on both, {self.same} in the same order"
        )
        if self.low > 0:
            return f"systems better at {self.source} are better at {self.target}: {about}"
        if self.high < 0:
            return f"systems better at {self.source} are worse at {self.target}: {about}"
        if self.same and not self.opposite:
            return f"wherever both tell systems apart, {self.target} orders them as {self.source} does; the rest is open: {about}"
        return f"the data do not say whether being better at {self.source} goes with {self.target}: {about}"


def study_transfer(table: Any, source: str | None = None) -> Answers[Transfer]:
    """Compare every benchmark with a source, by default the first, over the systems that have both (three or more).

    Raises
    ------
    UsageError
        If there is no such benchmark.
    """
    table = as_systems(table)
    source = source or table.benchmarks[0]
    if source not in table.benchmarks:
        raise UsageError(f"--source {source}: {table.path} has no such benchmark; {nearest(source, table.benchmarks)}")
    found: list[Transfer] = []
    few: dict[str, str] = {}
    mine = table.frame[table.frame["benchmark"] == source].set_index("system")
    for target in table.benchmarks:
        other = table.frame[table.frame["benchmark"] == target].set_index("system")
        both = [name for name in mine.index if name in other.index]
        if target == source:
            continue
        if len(both) < 3:
            few[f"{source} and {target}"] = f"{len(both)} systems have both; a rank correlation needs 3"
            continue
        sides = [part.loc[both] for part in (mine, other)]
        # Half the error for each benchmark: all orders that are told are right with 95 %.
        told = [_orders(*_shrunk([part]), LEVEL / 2) for part in sides]
        pairs, product = len(told[0]), told[0] * told[1]
        same, opposite = int((product > 0).sum()), int((product < 0).sum())
        open_pairs = pairs - same - opposite
        scores = [part["score"].to_numpy(float) for part in sides]
        found.append(
            Transfer(
                source,
                target,
                len(both),
                kendall(*scores),
                (same - opposite - open_pairs) / pairs,
                (same - opposite + open_pairs) / pairs,
                pairs,
                same,
                opposite,
                [],
            )
        )
    return Answers(found, few)


def kendall(a: Array, b: Array) -> float:
    """Return Kendall's tau-a: pairs in the same order less those in opposite order, ties counting 0.

    Source: Kendall 1938, Biometrika 30, 81.
    """
    signs = np.sign(np.subtract.outer(a, a)) * np.sign(np.subtract.outer(b, b))
    return float(signs.sum() / (len(a) * (len(a) - 1)))


def _shrunk(parts: list[pd.DataFrame]) -> tuple[Array, Array]:
    """Return the mean scores over benchmarks and their variance, each with one success and one failure more.

    The difference of two then has about its stated error down to few problems.
    """
    n, score = (np.array([part[name].to_numpy(float) for part in parts]) for name in ("n", "score"))
    rate = (score * n + 1) / (n + 2)
    return rate.mean(0), (rate * (1 - rate) / (n + 2)).sum(0) / len(parts) ** 2


def _orders(mean: Array, variance: Array, level: float = LEVEL) -> NDArray[np.int_]:
    """Return for each pair of `combinations` 1 if the first is better, -1 if the second is, 0 if that is not told."""
    from scipy.special import ndtr

    first, second = np.array(list(combinations(range(len(mean)), 2))).T
    z = (mean[first] - mean[second]) / np.sqrt(variance[first] + variance[second])
    return np.where(holm(2 * ndtr(-np.abs(z)), level), np.sign(z), 0).astype(int)
