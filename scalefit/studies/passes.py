"""What repeats cost by: how often problems are gone through, or how few of them there are.

In runs of one length D the passes tau and the distinct problems U = D/tau are one. Runs of two lengths tell them apart:
a run's cost is its level against runs that have repeated nothing at the same samples; from the shorter length to the longer
it stays at equal tau if passes alone decide, and at equal U if the number of problems alone does. Along a run U stays, and
at sample s it has made s/U passes: the longer runs are measured at the shorter length too.

A cost a log tau + b log U would not tell: the fresh runs of each length have D = U, so only a - b is ever seen in it. For the
same reason a loss that depends on U alone shows a little of passes too: the longer fresh runs have more problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.numerics.intervals import holm, student_p
from scalefit.said import Said
from scalefit.studies.differences import Difference
from scalefit.studies.ends import LAST_SHARE, Arms, Key, Single
from scalefit.studies.levels import Levels, measure_levels
from scalefit.units import format_quantity

Array = NDArray[np.float64]
SAME = 1e-6
"""Share by which passes may differ that are the same."""
WHAT = {"passes": "passes, at equal distinct problems", "problems": "distinct problems, at equal passes"}


@dataclass(frozen=True, repr=False)
class Passes(Answer):
    """Which of passes and distinct problems repeats cost by, at one size.

    Attributes
    ----------
    lengths : list of float
        D of the runs, ascending [samples].
    costs : list of dict
        Each length with repeats: passes, distinct problems, and the cost against fresh problems at equal samples.
    rows : list of dict
        `what` grows from one length to the next, by how many times, where the other is held, and what the cost changes by,
        with its 95 % interval and whether that is equivalent to nothing within the margin.
    means : dict
        The mean of the rows of each, with `shown` (Holm, 5 % over both) and `equivalent` (every row).
    """

    series: str
    eval: str
    params: float
    lengths: list[float]
    margin: float
    costs: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    means: dict[str, dict[str, Any]]
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "rows"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return (
            f"{self.series} on {self.eval}, {format_quantity(self.params)}, passes or distinct problems: {self.verdict}"
        )

    def summary(self) -> str:
        """Return the text that the command prints."""
        costs = [["samples", "passes", "distinct", "cost", "95 % low", "high", f"within {self.margin:g}"]]
        for row in self.costs:
            costs.append([*(f"{row[name]:g}" for name in ("samples", "passes", "problems")), *_told(row)])
        rows = [
            ["what grows", "times", "other held at", "cost changes by", "95 % low", "high", f"within {self.margin:g}"]
        ]
        for row in self.rows:
            rows.append([WHAT[row["what"]], f"{row['times']:.3g}", f"{row['held']:g}", *_told(row)])
        return Said([self.headline, text_table(costs), text_table(rows), *warning_lines(self.warnings)])


def _told(row: Mapping[str, Any]) -> list[str]:
    return [
        *(f"{row[name]:+.4f}" for name in ("difference", "low", "high")),
        "yes" if row["equivalent"] else "not shown",
    ]


def split_lengths(singles: Sequence[Single]) -> dict[float, list[Single]]:
    """Return runs by their length [samples], where two lengths hold several tau each; else all of them under 0.

    Ends that lie within the last fifth of one another are one length.
    """
    found: dict[float, list[Single]] = {}
    for one in sorted(singles, key=length_of):
        last = next(reversed(found), 0.0)
        if not found or length_of(one) * (1 - LAST_SHARE) > last:
            last = length_of(one)
        found.setdefault(last, []).append(one)
    apart = [some for some in found.values() if len({one.about.get("reuse") for one in some}) > 1]
    return found if len(apart) > 1 else {0.0: list(singles)}


def length_of(one: Single) -> float:
    """Return the samples a run has seen at its end."""
    return float(one.curve[0][-1])


@dataclass(frozen=True)
class _Costs:
    """Arms at the end of each length, and what weights of their levels a cost is."""

    levels: Levels
    ends: Array
    passes: Array
    """(A, B), of each arm at each end, 1 where it has repeated nothing."""

    def cost(self, at: int, passes: float) -> Array | None:
        """Return the weights (A, B) of the cost at an end by passes made; None beyond what was measured there.

        Between arms the cost is a straight line over log passes.
        """
        been = np.isfinite(self.levels.mean[:, at])
        there = np.unique(np.round(np.log(self.passes[been, at]) / SAME)) * SAME
        where = float(np.log(passes))
        if where > there[-1] + SAME or there[0] > SAME:
            return None
        weights = np.zeros(self.levels.mean.shape)
        for point, share in zip(there, _hats(there, where), strict=True):
            mine = been & (np.abs(np.log(self.passes[:, at]) - point) < SAME)
            weights[mine, at] += share * self.levels.count[mine] / self.levels.count[mine].sum()
        fresh = been & (self.passes[:, at] < 1 + SAME)
        weights[fresh, at] -= self.levels.count[fresh] / self.levels.count[fresh].sum()
        return weights


def _hats(at: Array, where: float) -> Array:
    return np.array([np.interp(where, at, one) for one in np.eye(len(at))])


def compare_lengths(margin: float, key: Key, lengths: Mapping[float, Arms[Single]]) -> Passes:
    """Say which of passes and distinct problems repeats cost by.

    Raises
    ------
    FitError
        If no arm of one length has repeated nothing, or lengths have neither passes nor distinct problems in common.
    """
    named = [(length, tau, arm) for length, by_tau in lengths.items() for tau, arm in by_tau.items()]
    ends = np.array([min(length_of(one) for arm in by_tau.values() for one in arm) for by_tau in lengths.values()])
    levels = measure_levels([arm for *_, arm in named], ends, lambda one, end: length_of(one) >= end * (1 - SAME))
    unique = np.array([length / tau for length, tau, _ in named])
    found = _Costs(levels, ends, np.maximum(ends / unique[:, None], 1.0))
    if any(found.cost(at, 1.0) is None for at in range(len(ends))):
        raise FitError("passes and distinct problems are told apart against fresh ones: add runs with reuse = 1.")
    costs = [
        {"samples": ends[at], "passes": made, "problems": ends[at] / made} | _row(levels.combine(weights), margin)
        for at in range(len(ends))
        for made in _made(found, at)
        if (weights := found.cost(at, made)) is not None
    ]
    changes = [one for pair in pairwise(range(len(ends))) for one in _between(found, *pair)]
    rows = [about | _row(levels.combine(weight), margin) for about, weight in changes]
    means: dict[str, dict[str, Any]] = {}
    for what in WHAT:
        mine = [(row, weight) for row, (about, weight) in zip(rows, changes, strict=True) if about["what"] == what]
        if not mine:
            raise FitError(f"the lengths have no {WHAT[what].split()[-2]} {WHAT[what].split()[-1]} in common.")
        mean = levels.combine(np.mean([weight for _, weight in mine], 0))
        times = float(np.exp(np.mean([np.log(row["times"]) for row, _ in mine])))
        means[what] = {"times": times, "p": student_p(mean.value, mean.se, mean.dof), **mean.row}
        means[what]["equivalent"] = all(row["equivalent"] for row, _ in mine)
    shown = holm(np.array([one["p"] for one in means.values()]))
    for one, is_shown in zip(means.values(), shown.tolist(), strict=True):
        one["shown"] = levels.runs_differ and is_shown
    warnings = [] if levels.runs_differ else ["one run an arm: what another seed would change is not in the intervals"]
    return Passes(*key, ends.tolist(), margin, costs, rows, means, _verdict(costs, means, margin), warnings)


def _made(found: _Costs, at: int) -> list[float]:
    """Return the passes above one that arms have made at an end, each once."""
    been = np.isfinite(found.levels.mean[:, at])
    rounded = np.unique(np.round(np.log(found.passes[been, at]) / SAME)) * SAME
    return [float(np.exp(one)) for one in rounded if one > SAME]


def _between(found: _Costs, before: int, after: int) -> list[tuple[dict[str, Any], Array]]:
    """Return what changes from one length to the next: where the other is held, and the weights of the change in cost."""
    rows: list[tuple[dict[str, Any], Array]] = []
    longer = found.ends[after] / found.ends[before]
    for passes in _made(found, after):
        late = found.cost(after, passes)
        assert late is not None
        if (early := found.cost(before, passes)) is not None:
            rows.append(({"what": "problems", "held": passes, "times": longer}, late - early))
        problems = found.ends[after] / passes
        made = max(found.ends[before] / problems, 1.0)
        if (early := found.cost(before, made)) is not None:
            rows.append(({"what": "passes", "held": problems, "times": passes / made}, late - early))
    return sorted(rows, key=lambda row: (row[0]["what"], row[0]["held"]))


def _row(gap: Difference, margin: float) -> dict[str, Any]:
    return {**gap.row, "equivalent": gap.equivalent(margin)}


def _verdict(costs: Sequence[Mapping[str, Any]], means: Mapping[str, Mapping[str, Any]], margin: float) -> str:
    """Say which of the two matters, both, neither, or that the data do not say; within the margin nothing does."""
    if all(row["equivalent"] for row in costs):
        most, fewest = max(row["passes"] for row in costs), min(row["problems"] for row in costs)
        return f"neither matters: up to {most:g} passes and down to {fewest:g} problems repeats cost nothing within {margin:g}."
    name = {"passes": "how often problems are gone through", "problems": "how many distinct problems there are"}
    words = {"passes": "passes over as many problems", "problems": "distinct problems at as many passes"}
    change = {
        what: f"{mean['difference']:+.3f} [{mean['low']:+.3f}, {mean['high']:+.3f}]" for what, mean in means.items()
    }
    told = {
        what: f"{mean['times']:.2g} times the {words[what]} change the cost by {change[what]}"
        for what, mean in means.items()
        if mean["shown"] and not mean["equivalent"]
    }
    if len(told) == 2:
        return f"both matter: {' and '.join(told.values())}."
    for what, said in told.items():
        (other,) = means.keys() - {what}
        if means[other]["equivalent"]:
            return f"{name[what]} matters and {name[other]} does not within {margin:g}: {said}."
        return f"{name[what]} matters: {said}; of {name[other]} the data do not say ({change[other]})."
    if all(mean["equivalent"] for mean in means.values()):
        return f"within {margin:g} what repeats cost is the same whichever of the two changes: neither is told from the other."
    return (
        "the data do not say: no change of the cost is shown at equal distinct problems "
        f"({change['passes']}) or at equal passes ({change['problems']})."
    )
