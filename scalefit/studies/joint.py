"""The law in compute and data at once, with rollouts and repeats in it: L(N, C, D, G, tau), and which of its parts a table determines.

`log10 L = E(N) - k(N) [(1 - share) log10 D_eff + share log10 C]`, so k_C = share k and k_D = (1 - share) k. The sum k is how
fast a run learns as both grow; the share is told by runs whose compute for a prompt differs (group size, length); and
`D_eff = U + U (1 - exp(-wear R))/wear` of U distinct prompts seen 1 + R times, wear = 1/R*, by runs that repeat.
Each table has an offset of its own at every size. The form of D_eff is that of `scalefit.studies.reuse`.

Intervals are by leaving out each run in turn (`scalefit.numerics.left_out`).
A wear below 0, a repeat worth more than a fresh prompt, is allowed, so that an interval can hold 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.fitting.status import APART
from scalefit.numerics.intervals import student
from scalefit.numerics.left_out import Without
from scalefit.said import Said
from scalefit.studies.ends import Single, single_runs
from scalefit.studies.joint_law import JointLaw, Points, collect
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
REPEATED = 1.05
"""Passes from which a run says something of repeats."""
TOGETHER = 0.9
"""Correlation of two estimates from which they are told to move together."""
NEEDED = ("samples", "flops")


@dataclass(frozen=True, repr=False)
class Joint(Answer):
    """What runs say of compute and data at once.

    Attributes
    ----------
    rows : list of dict
        For each size: runs, how far log10 C strays from a line in log10 D there (`apart`, decades), k, k_C and k_D with 95 %
        intervals, the correlation of the last two, and whether they are told apart by the size's own runs (`own`),
        through the share that others tell (`shared`), or not (`sum only`).
    share, wear : dict or None
        Value, low, high (95 %); None where no run tells it.
    r_star : dict or None
        R* with its interval; high is None where a repeat may be as good as new.
    identified : dict
        Each part of the law, and by what it is told or why not.
    """

    series: str
    eval: str
    tables: list[str]
    runs: int
    rows: list[dict[str, Any]]
    share: dict[str, float] | None
    wear: dict[str, float] | None
    r_star: dict[str, float | None] | None
    identified: dict[str, str]
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "rows"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series} on {self.eval}, {self.runs} runs of {', '.join(self.tables)}: {self.verdict}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        rows = [["size", "runs", "C strays by", "k = k_C + k_D", "k_C", "k_D", "told apart"]]
        for row in self.rows:
            told = [_said(row[name]) for name in ("k", "k_C", "k_D")]
            rows.append([format_quantity(row["params"]), str(row["runs"]), f"{row['apart']:.3f}", *told, row["told"]])
        parts = [f"  {name}: {why}" for name, why in self.identified.items()]
        return Said([self.headline, text_table(rows), *parts, *warning_lines(self.warnings)])


def _said(one: Mapping[str, float] | None) -> str:
    if one is None:
        return "not told"
    ends = [f"{one[name]:.3f}" if np.isfinite(one[name]) else "?" for name in ("low", "high")]
    return f"{one['value']:.3f} [{', '.join(ends)}]"


def study_joint(*tables: Source, where: Where | None = None) -> Answers[Joint]:
    """Fit the law in compute and data at once to tables together, and say which of its parts they determine.

    Parameters
    ----------
    *tables : RunTable, path or data frame
        With columns `samples` and `flops`, and `group_size` or `reuse` where they vary; each has its own offsets.
    where : mapping, optional
        Column to a value or a list of values, in each table.

    Raises
    ------
    FitError
        If a column is missing, or there are no more runs than parameters between runs.
    """
    opened = [select(one, where) for one in tables]
    some: dict[tuple[str, str], list[tuple[int, Single]]] = {}
    for at, runs in enumerate(opened):
        if missing := [name for name in NEEDED if name not in runs.frame]:
            raise FitError(f"{runs.path}: the law in compute and data needs the column {missing[0]!r}.")
        for key, singles in single_runs(runs, "samples").items():
            some.setdefault(key[:2], []).extend((at, one) for one in singles)
    asked: dict[str, Callable[[], Joint]] = {
        f"{series} on {evaluation}": partial(_study, (series, evaluation), singles, [str(one.path) for one in opened])
        for (series, evaluation), singles in some.items()
    }
    return answer_each(asked)


def _study(key: tuple[str, str], singles: Sequence[tuple[int, Single]], names: Sequence[str]) -> Joint:
    points = collect(singles)
    law = JointLaw(points, bool(points.apart.max() >= APART), points.passes > REPEATED)
    runs = len(singles)
    dof = runs - int(points.group.max()) - 1 - law.first
    if dof < 1:
        raise FitError(
            f"{runs} runs for {runs - dof} parameters that tell runs apart; give more runs of a size, or fewer sizes with --where."
        )
    theta = law.fit()
    each = law.without_each(theta)

    estimate = each.estimate
    share = estimate(lambda one: law.parts(one)[0]) if law.with_share else None
    wear = _wear(law, each) if law.with_wear else None
    rows = []
    for at, size in enumerate(points.sizes.tolist()):
        count = sum(one.key[2] == size for _, one in singles)
        row: dict[str, Any] = {"params": size, "runs": count, "apart": float(points.apart[at]), "k": None}
        row["k"] = estimate(lambda one, at=at: float(law.parts(one)[2][at]))  # type: ignore[misc]
        row |= {"k_C": None, "k_D": None, "correlation": None, "told": "sum only"}
        if law.with_share:
            row["k_C"] = estimate(lambda one, at=at: law.parts(one)[0] * float(law.parts(one)[2][at]))  # type: ignore[misc]
            row["k_D"] = estimate(lambda one, at=at: (1 - law.parts(one)[0]) * float(law.parts(one)[2][at]))  # type: ignore[misc]
            both = (theta + each.steps)[:, [0, law.first + at]]
            pair = np.stack([both.prod(1), (1 - both[:, 0]) * both[:, 1]])
            spread = pair.std(1)
            row["correlation"] = float(np.corrcoef(pair)[0, 1]) if (spread > 0).all() else None
            row["told"] = "own" if points.apart[at] >= APART else "shared"
        rows.append(row)
    r_star = _r_star(wear)
    identified = _identified(points, rows, share, r_star)
    warnings = [] if all(row["runs"] > 1 for row in rows) else ["a size with one run has no interval"]
    used = [names[at] for at in sorted({at for at, _ in singles})]
    return Joint(*key, used, runs, rows, share, wear, r_star, identified, _verdict(rows, share, r_star), warnings)


def _wear(law: JointLaw, each: Without) -> dict[str, float]:
    """Return the wear with its interval: of its logarithm where repeats are shown to cost, so that it stays above 0."""
    at = int(law.with_share)
    (value,), ((variance,),), dof = each.spread(lambda theta: theta[at : at + 1])
    width = student(0.95, dof) * float(np.sqrt(variance))
    if value > 0 and law.repeats_cost() > student(0.95, dof):
        far = float(np.exp(width / value))
        return {"value": float(value), "low": float(value / far), "high": float(value * far)}
    return {"value": float(value), "low": float(value - width), "high": float(value + width)}


def _r_star(wear: Mapping[str, float] | None) -> dict[str, float | None] | None:
    """Return R* of a wear; None for an end without limit."""
    if wear is None:
        return None
    value, low, high = (1 / wear[name] if wear[name] > 1e-6 else None for name in ("value", "high", "low"))
    return {"value": value, "low": low, "high": high}


def _identified(
    points: Points,
    rows: Sequence[Mapping[str, Any]],
    share: Mapping[str, float] | None,
    r_star: Mapping[str, Any] | None,
) -> dict[str, str]:
    """Say by what each part of the law is told, or why it is not."""
    found = {"k_C + k_D": "told within each run, where compute and prompts grow together"}
    if share is None:
        found["k_C and k_D"] = (
            f"not told apart: log10 C strays at most {points.apart.max():.3f} decades from a line in log10 D, below {APART:g}; "
            "add runs with another group_size or length"
        )
    else:
        own = [format_quantity(row["params"]) for row in rows if row["told"] == "own"]
        others = [format_quantity(row["params"]) for row in rows if row["told"] == "shared"]
        found["k_C and k_D"] = f"told apart by the runs of {', '.join(own)}"
        if others:
            found["k_C and k_D"] += f"; at {', '.join(others)} through their share of k, taken to be the same there"
        bound = [
            f"{format_quantity(row['params'])} (r = {row['correlation']:.2f})"
            for row in rows
            if row["correlation"] is not None and row["correlation"] < -TOGETHER
        ]
        if bound:
            found["k_C and k_D"] += (
                f"; at {', '.join(bound)} what one gains the other loses: their sum is known better than either"
            )
    if r_star is None:
        found["R*"] = "not asked: no run repeats its problems"
    else:
        found["R*"] = f"told by runs of up to {points.passes:.3g} passes: {_star(r_star)}"
        if share is None:
            found["R*"] += (
                "; with k_D taken for all of k, as a cost by repeats and one by a smaller k_D are not told apart"
            )
    return found


def _star(r_star: Mapping[str, Any]) -> str:
    value, low, high = (None if r_star[name] is None else f"{r_star[name]:.3g}" for name in ("value", "low", "high"))
    return f"R* = {value or 'unlimited'} [{low or 'unlimited'}, {high or 'no upper limit'}]"


def _verdict(
    rows: Sequence[Mapping[str, Any]], share: Mapping[str, float] | None, r_star: Mapping[str, Any] | None
) -> str:
    """Say what is determined of compute and data."""
    said = []
    if share is None:
        sums = ", ".join(f"{_said(row['k'])} at {format_quantity(row['params'])}" for row in rows)
        said.append(f"C and D move together, so only k_C + k_D is determined ({sums})")
    else:
        nothing, all_of_it = (share["low"] <= edge <= share["high"] for edge in (0.0, 1.0))
        meaning = {
            (False, False): "both prompts and compute for each count",
            (True, False): "prompts count, and more compute for each is not shown to",
            (False, True): "compute counts, and more prompts for the same compute are not shown to",
            (True, True): "the data do not say whether it is compute or prompts that count",
        }[bool(nothing), bool(all_of_it)]
        own = [row for row in rows if row["told"] == "own"]
        gains = []
        for row in own:
            value, low, high = (100 * (1 - 2 ** -row["k_C"][name]) for name in ("value", "low", "high"))
            gains.append(f"{value:.1f} % [{low:.1f}, {high:.1f}] at {format_quantity(row['params'])}")
        said.append(
            f"{meaning}: k_C is {_said(share)} of k_C + k_D; twice the compute for a prompt lowers the loss by {' and '.join(gains)}"
        )
    if r_star is not None:
        said.append(f"repeats {'cost: ' if r_star['high'] is not None else 'are not shown to cost: '}{_star(r_star)}")
    return "; ".join(said) + "."


__all__ = ["Joint", "study_joint"]
