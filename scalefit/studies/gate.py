"""Whether B is better than A by now, asked as often as one likes: for the tests of every night and for runs that go on.

A test that is made to be asked once errs far more often than it says when it is asked after every evaluation; here the
chance that recipes which do not differ are ever told apart is at most alpha, over all looks. The mathematics is in
`scalefit.numerics.anytime`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import UsageError
from scalefit.numerics.anytime import Evidence
from scalefit.numerics.two_groups import LEAST_LOOK, Curves, Scatter, gather_evidence
from scalefit.said import Said
from scalefit.studies.differences import MARGIN, Measured, in_pairs
from scalefit.studies.ends import Key, Single, end_level, name_of
from scalefit.studies.recipes import Sides, TwoTables, paired_problems, slope, two_tables
from scalefit.studies.two_sides import ALONE, at_equal, scatter_of
from scalefit.table.select import Source, Where, select
from scalefit.units import format_amount

Array = NDArray[np.float64]
ALPHA = 0.05
BETTER, EQUIVALENT, NO_WORSE, WORSE, GO_ON = "better", "equivalent", "no worse", "worse", "go on"
CODES = {BETTER: 0, EQUIVALENT: 0, NO_WORSE: 0, WORSE: 3, GO_ON: 4}
"""Exit codes of the command, by verdict."""
SHOWN = 25
"""Looks that are kept, evenly spaced in the evaluations."""
WIDE = 5.0
"""Half the width of an interval, in margins, from which it is said why."""
FARTHEST = 1000.0
"""A multiple of the resource beyond which it is told as more than that."""
ENOUGH = 9.0
"""Information at which a difference of the margin is told, as a multiple of one over its square."""


@dataclass(frozen=True, repr=False)
class Gate(Answer):
    """Two recipes at one size on one evaluation; differences are of loss, second minus first: negative where it is better.

    Attributes
    ----------
    looks : list of dict
        x, evaluations, difference, low, high and verdict: what one would have been told there.
    verdict : str
        better, equivalent, no worse, worse or go on, of the second.
    code : int
        0 where it may pass, 3 where it is worse, 4 where that is open.
    scatter : str
        Where the scatter between runs is from: --scatter, repeats, other sizes, these runs alone; empty where not known.
    now : float
        The plain difference of their levels over the last fifth, without an interval.
    multiplier : dict or None
        The resource that the second needs for the first's level, as a multiple: value, low, high.
    problems : dict or None
        Where both kept `pass_rates`: the interval for other problems of this kind, paired by problem.
    """

    series: str
    eval: str
    params: float
    resource: str
    first: str
    second: str
    margin: float
    alpha: float
    runs: tuple[int, int]
    paired: bool
    scatter: str
    looks: list[dict[str, Any]]
    verdict: str
    code: int
    now: float
    multiplier: dict[str, float] | None
    problems: dict[str, Any] | None
    warnings: list[str]

    ROWS: ClassVar[str] = "looks"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        last = self.looks[-1]
        about = f"{name_of((self.series, self.eval, self.params))}, at equal {self.resource} up to {format_amount(last['x'], self.resource)}"
        return f"{about}: {self._said()}; {self.second} minus {self.first} {_interval(last)}, however often one looks"

    def _said(self) -> str:
        first, second, margin = self.first, self.second, f"{self.margin:g}"
        if not self.scatter:
            return f"go on: one run a side tells of these two runs, not of {first} and {second}"
        alone = "of these runs alone, " if self.scatter == ALONE else ""
        return (
            alone
            + {
                BETTER: f"{second} is better than {first}",
                EQUIVALENT: f"{second} and {first} are equivalent within {margin}",
                NO_WORSE: f"{second} is no worse than {first} by {margin}",
                WORSE: f"{second} is worse than {first}",
                GO_ON: "go on: neither better, worse nor equivalent is shown",
            }[self.verdict]
        )

    def summary(self) -> Said:
        """Return the text that the command prints."""
        level = f"[{100 * (1 - self.alpha):g} %]"
        rows = [[self.resource, "evaluations", f"difference {level}", "verdict"]]
        step = max(1, len(self.looks) // 8)
        for row in self.looks[::-1][::step][::-1]:
            rows.append(
                [format_amount(row["x"], self.resource), str(row["evaluations"]), _interval(row), row["verdict"]]
            )
        lines = [self.headline, text_table(rows)]
        pairs = ", in pairs by seed" if self.paired else ""
        known = f"scatter between runs from {self.scatter}" if self.scatter else "scatter between runs not known"
        lines.append(f"  {self.runs[0]} + {self.runs[1]} runs{pairs}; {known}; now (last fifth) {self.now:+.4f}")
        if (times := self.multiplier) is not None:
            lines.append(
                f"  {self.second} needs {_times(times['value'])} times the {self.resource} of {self.first} for its level "
                f"({_times(times['low'])} to {_times(times['high'])}, at the slope of its own curve)"
            )
        if (problems := self.problems) is not None:
            lines.append(
                f"  for other problems of this kind, {problems['problems']} in pairs: {_interval(problems)}; "
                f"their standard error {problems['se']:.4f}, unpaired {problems['se_unpaired']:.4f}"
            )
        return Said([*lines, *warning_lines(self.warnings)])


def _interval(row: dict[str, Any]) -> str:
    return f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"


def _times(value: float) -> str:
    return f"more than {FARTHEST:g}" if value > FARTHEST else f"{value:.2f}"


@dataclass(frozen=True)
class _Asked:
    """What a gate is asked with."""

    names: tuple[str, str]
    margin: float
    alpha: float
    scatter: float | None
    since: float


def gate(
    first: Source,
    second: Source,
    *,
    names: tuple[str, str] = ("A", "B"),
    x: str | None = None,
    margin: float = MARGIN,
    scatter: float | None = None,
    since: float = 0.0,
    alpha: float = ALPHA,
    where: Where | None = None,
) -> Answers[Gate]:
    """Say whether the second recipe is better than the first by now; it may be asked after every evaluation.

    Parameters
    ----------
    first, second : RunTable, path or data frame
        One recipe each, of runs that have ended or go on; runs of one seed are pairs where both have the same seeds.
    names : tuple of str
        What to call them.
    x : str, optional
        Resource at equal amounts of which they are compared; by default flops where both have it.
    margin : float
        What still counts as the same loss.
    scatter : float, optional
        Standard deviation between runs of one recipe [loss]; by default what repeats in the tables tell. 0 asks about
        these runs alone.
    since : float
        Evaluations before that much of the resource do not count; to be chosen before one looks.
    alpha : float
        Chance that recipes which do not differ are ever told apart, shared evenly by sizes and evaluations.
    where : mapping, optional
        Column to a value or a list of values, in both tables.

    Raises
    ------
    FitError
        If the tables have nothing in common, or too few evaluations at equal amounts.
    UsageError
        If an option makes no sense.
    """
    for option, value, fine in (("margin", margin, 0 < margin < 1), ("scatter", scatter, 0 <= (scatter or 0) < 1)):
        if not fine:
            least = "above" if option == "margin" else "at least"
            raise UsageError(f"--{option} {value:g}: it is a difference of losses, {least} 0 and below 1.")
    if not 0 < alpha < 1:
        raise UsageError(f"--alpha {alpha:g}: it is a chance between 0 and 1, as 0.05.")
    both = two_tables(first, second, x, where)
    asked = _Asked(names, margin, alpha / len(both.common), scatter, since)
    found = answer_each({name_of(key): partial(_decide, both, key, asked) for key in both.common})
    return Answers(found, {**found.unanswered, **both.alone(names)})


def _decide(both: TwoTables, key: Key, asked: _Asked) -> Gate:
    sides = both.sides(key)
    paired = len(sides[0]) > 1 and in_pairs([[Measured(one.seed, 0.0, 0.0) for one in side] for side in sides])
    if paired:
        sides = _by_seed(sides[0]), _by_seed(sides[1])
    grid, first, second = at_equal(sides, asked.since)
    curves = Curves.of_runs(first, second, grid, paired=paired)
    known, source = scatter_of(both, key, sides, asked.scatter, paired)
    count = len(grid)
    looks = np.unique(np.linspace(count, LEAST_LOOK, min(SHOWN, count - LEAST_LOOK + 1)).round().astype(int))
    evidence = gather_evidence(curves, scatter=known, distance=asked.margin, looks=looks)
    rows = _rows(evidence, grid[looks - 1], looks, asked)
    last = rows[-1]
    verdict = last["verdict"] if source else GO_ON
    until = float(grid[-1])
    now = [float(np.mean([_level(one, until) for one in side])) for side in sides]
    return Gate(
        *key,
        both.resource,
        *asked.names,
        asked.margin,
        asked.alpha,
        (len(sides[0]), len(sides[1])),
        paired,
        source,
        rows,
        verdict,
        CODES[verdict],
        now[1] - now[0],
        _multiplier(sides, now[0], last),
        _problems(both, key, evidence, asked.alpha),
        _warnings(last, now[1] - now[0], known, source, asked, len(curves.values)),
    )


def _by_seed(side: list[Single]) -> list[Single]:
    return sorted(side, key=lambda one: one.seed or 0)


def decide(low: float, high: float, margin: float) -> str:
    """Return the verdict of an interval of the difference, second minus first."""
    if -margin < low and high < margin:
        return EQUIVALENT
    if high < 0:
        return BETTER
    if low > 0:
        return WORSE
    return NO_WORSE if high < margin else GO_ON


def _rows(evidence: Evidence, x: Array, looks: NDArray[np.intp], asked: _Asked) -> list[dict[str, Any]]:
    found = evidence.sequence(asked.alpha)
    columns = zip(x, looks, found.estimate, found.low, found.high, strict=True)
    return [
        {
            "x": float(at),
            "evaluations": int(count),
            "difference": float(value),
            "low": float(low),
            "high": float(high),
            "verdict": decide(low, high, asked.margin),
        }
        for at, count, value, low, high in columns
    ]


def _level(one: Single, until: float) -> float:
    return end_level(one, min(until, float(one.curve[0][-1]))).value


def _multiplier(sides: Sides, level: float, last: dict[str, Any]) -> dict[str, float] | None:
    """Return the second's need of the resource by how steep its own curves are; None where they are not steep enough to tell."""
    slopes = [slope(one) for one in sides[1]]
    known = [one for one in slopes if one is not None and one.value > 3 * one.se]
    if len(known) < len(slopes):
        return None
    k = float(np.mean([one.value for one in known]))

    def times(difference: float) -> float:
        ratio = max(level + difference, 1e-12) / level
        return float(10 ** np.clip(np.log10(ratio) / k, -300, 300))

    return {"value": times(last["difference"]), "low": times(last["low"]), "high": times(last["high"])}


def _problems(both: TwoTables, key: Key, evidence: Evidence, alpha: float) -> dict[str, Any] | None:
    series, evaluation, params = key
    first, second = (select(table, {"params": params}) for table in both.tables)
    found = paired_problems(first, second, series, evaluation)
    if found is None:
        return None
    wide = evidence.widened(found["se"] ** 2).sequence(alpha)
    ends = {"difference": float(wide.estimate[-1]), "low": float(wide.low[-1]), "high": float(wide.high[-1])}
    return {"problems": found["problems"], **ends, "se": found["se"], "se_unpaired": found["se_unpaired"]}


def _warnings(last: dict[str, Any], now: float, known: Scatter, source: str, asked: _Asked, rows: int) -> list[str]:
    found = []
    if not source:
        shown = {WORSE: "is worse", BETTER: "is better", EQUIVALENT: "is equivalent"}.get(last["verdict"])
        said = f"this run of {asked.names[1]} {shown}" if shown else "these two runs are not told apart"
        found.append(
            f"one run a side: {said}, and what another seed would change is not known; no number of steps settles it. "
            "Give a second seed, or --scatter with how far runs of one recipe differ (--scatter 0: these runs alone)"
        )
    if source and not last["low"] <= now <= last["high"]:
        found.append(
            f"the difference is not the same all along: {now:+.4f} over the last fifth; --since counts from there on, "
            "where it is chosen before one looks"
        )
    if last["verdict"] == GO_ON and last["high"] - last["low"] > 2 * WIDE * asked.margin:
        found.append(
            f"{last['evaluations']} evaluations do not tell how long noise stays in a run, and the interval is as wide as that; "
            "more evaluations or more runs a side narrow it"
        )
    variance = float(known.weight @ known.sd**2 / known.weight.sum()) if source == "--scatter" else 0.0
    if variance * ENOUGH * 2 > asked.margin**2 * rows and last["verdict"] == GO_ON:
        seeds = int(np.ceil(2 * ENOUGH * variance / asked.margin**2))
        found.append(
            f"runs scatter by {np.sqrt(variance):.3g}: more steps do not tell a margin of {asked.margin:g}, {seeds} seeds a side do"
        )
    return found
