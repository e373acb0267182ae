"""Whether recipe A is better than B: differences of slope, level, asymptote and end loss, and a compute multiplier."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.fitting.fit import fit_data
from scalefit.numerics.proportions import RATES
from scalefit.progress import steps
from scalefit.said import Said
from scalefit.studies.differences import MARGIN, Difference, Measured, difference, mean_difference, scatter
from scalefit.studies.ends import Key, Single, common_reach, end_level, name_of, single_runs
from scalefit.table.io import RunTable
from scalefit.table.resources import choose_resource
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

QUANTITIES = {
    "end_loss": "loss at the end of what both reach",
    "k": "slope of log10 L in log10 X",
    "E": "level: log10 L at the geometric middle of X",
    "asymptote": "floor of L = A + a exp(-X/s)",
    "log10_resource": "log10 of the resource that reaches the reference loss",
}


@dataclass(frozen=True, repr=False)
class Comparison(Answer):
    """One evaluation of two recipes; differences are first minus second.

    Attributes
    ----------
    sizes : list of dict
        params, and for each of `QUANTITIES` the difference with its 95 % interval (None where not determined).
    overall : dict
        The end loss over all sizes: value, low, high, and the verdict.
    multiplier : list of dict
        For each size, the resource that the second needs, as a multiple of the first's, for the reference loss.
    problems : dict or None
        The end loss paired problem by problem, where both tables have `pass_rates`.
    """

    series: str
    eval: str
    resource: str
    first: str
    second: str
    margin: float
    sizes: list[dict[str, Any]]
    overall: dict[str, Any]
    multiplier: list[dict[str, Any]]
    problems: dict[str, Any] | None
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "sizes"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        about = f"{self.series} on {self.eval}, {self.first} minus {self.second}, at equal {self.resource}"
        return f"{about}: {self.verdict}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        names = ("end_loss", "k", "E", "asymptote")
        rows = [["size", "runs", *(f"{name} [95 %]" for name in names)]]
        for row in self.sizes:
            cells = [_said(row[name]) for name in names]
            rows.append([format_quantity(row["params"]), "+".join(map(str, row["runs"])), *cells])
        overall = self.overall
        lines = [
            self.headline,
            text_table(rows),
            f"  end loss over all sizes: {overall['difference']:+.4f} (95 % {overall['low']:+.4f} to {overall['high']:+.4f}), {overall['pairs']} pairs; "
            f"held against the margin: 90 % {overall['low90']:+.4f} to {overall['high90']:+.4f}",
        ]
        for row in self.multiplier:
            lines.append(
                f"  {format_quantity(row['params'])}: for loss {row['loss']:.3f} {self.second} needs {row['value']:.2f} times the {self.resource} "
                f"of {self.first} (95 % {row['low']:.2f} to {row['high']:.2f})"
            )
        if (pairs := self.problems) is not None:
            lines.append(
                f"  on the same {pairs['problems']} problems: {pairs['difference']:+.4f} ({pairs['low']:+.4f} to {pairs['high']:+.4f}); "
                f"standard error {pairs['se']:.4f}, unpaired {pairs['se_unpaired']:.4f}"
            )
        return Said([*lines, *warning_lines(self.warnings)])


def _said(cell: dict[str, float] | None) -> str:
    return "not determined" if cell is None else f"{cell['difference']:+.4f} [{cell['low']:+.4f}, {cell['high']:+.4f}]"


def compare_recipes(
    first: Source,
    second: Source,
    *,
    names: tuple[str, str] = ("A", "B"),
    x: str | None = None,
    loss: float | None = None,
    margin: float = MARGIN,
    where: Where | None = None,
) -> Answers[Comparison]:
    """Compare two recipes on the sizes and evaluations that both tables have.

    Parameters
    ----------
    first, second : RunTable, path or data frame
        One recipe each; runs of one seed are pairs.
    names : tuple of str
        What to call them.
    x : str, optional
        Resource at equal amounts of which they are compared; by default flops where both have it.
    loss : float, optional
        Reference loss of the compute multiplier; by default the larger of the two end losses, which both reach.
    margin : float
        Of the equivalence test [loss].
    where : mapping, optional
        Column to a value or a list of values, in both tables.

    Raises
    ------
    FitError
        If the tables have no series, evaluation and size in common.
    """
    both = two_tables(first, second, x, where)
    questions = {}
    for series, evaluation in sorted({key[:2] for key in both.common}):
        sizes = {key[2]: both.sides(key) for key in both.common if key[:2] == (series, evaluation)}
        asked = _Asked(series, evaluation, both.resource, names, loss, margin, both.tables)
        questions[f"{series} on {evaluation}"] = partial(_compare, asked, sizes)
    found = answer_each(questions)
    return Answers(found, {**found.unanswered, **both.alone(names)})


Sides = tuple[list[Single], list[Single]]


@dataclass(frozen=True)
class TwoTables:
    """Two tables that are compared: the resource that is counted, and the runs of each by series, evaluation and size."""

    tables: tuple[RunTable, RunTable]
    resource: str
    runs: tuple[dict[Key, list[Single]], dict[Key, list[Single]]]

    @property
    def common(self) -> list[Key]:
        """Series, evaluations and sizes that both have runs of."""
        return sorted(self.runs[0].keys() & self.runs[1].keys())

    def sides(self, key: Key) -> Sides:
        """Return the runs of both at one of these."""
        return self.runs[0][key], self.runs[1][key]

    def alone(self, names: tuple[str, str]) -> dict[str, str]:
        """Return what only one of them has, with the reason why nothing is said of it."""
        found = {
            name_of(key): f"{name} has no run of it"
            for mine, others, name in ((*self.runs, names[1]), (*self.runs[::-1], names[0]))
            for key in mine.keys() - others.keys()
        }
        return dict(sorted(found.items()))


def two_tables(first: Source, second: Source, x: str | None, where: Where | None) -> TwoTables:
    """Read two tables at equal amounts of a resource, by default flops where both have it.

    Raises
    ------
    FitError
        If they have no series, evaluation and size in common.
    """
    tables = select(first, where), select(second, where)
    both = all("flops" in runs.frame and runs.frame["flops"].notna().all() for runs in tables)
    resource = choose_resource(tables[0], x or ("flops" if both else None))
    choose_resource(tables[1], resource)
    found = TwoTables(tables, resource, (single_runs(tables[0], resource), single_runs(tables[1], resource)))
    if not found.common:
        ours, theirs = ("; ".join(map(name_of, list(runs)[:3])) for runs in found.runs)
        raise FitError(
            f"{tables[0].path} and {tables[1].path} have no series, evaluation and size in common "
            f"({ours} against {theirs}); recipes are compared at equal size."
        )
    return found


@dataclass(frozen=True)
class _Asked:
    """What two recipes are compared by on one series and evaluation."""

    series: str
    eval: str
    resource: str
    names: tuple[str, str]
    loss: float | None
    margin: float
    tables: tuple[RunTable, RunTable]


Quantities = dict[str, Measured]


def _compare(asked: _Asked, sizes: dict[float, Sides]) -> Comparison:
    values: dict[float, list[list[Quantities]]] = {}
    reference = {}
    for size, sides in steps(sizes.items(), lambda one: f"{asked.series}, {format_quantity(one[0])}"):
        low, until = common_reach(chain(*sides))
        ends = [[end_level(one, until) for one in side] for side in sides]
        reference[size] = asked.loss or max(float(np.mean([end.value for end in side])) for side in ends)
        middle = float(np.sqrt(until * low))
        values[size] = [
            [_measure(one, end, reference[size], middle) for one, end in zip(*both, strict=True)]
            for both in zip(sides, ends, strict=True)
        ]
    differences = {name: _by_size(values, name) for name in QUANTITIES}
    mean = mean_difference(list(differences["end_loss"].values()))
    warnings = []
    if not mean.runs_differ:
        warnings.append(
            "one run an arm: what another seed would change is not in the intervals; a difference may be the seed's"
        )
    missing = [name for name in QUANTITIES if not differences[name]]
    if missing:
        warnings.append(f"not determined by these runs: {', '.join(missing)}")
    rows: list[dict[str, Any]] = []
    for size, sides in sizes.items():
        gaps = {name: by_size[size].row if size in by_size else None for name, by_size in differences.items()}
        rows.append({"params": size, "runs": [len(side) for side in sides], **gaps})
    (low, high), (low90, high90) = mean.interval(), mean.interval(0.90)
    overall = {
        "difference": mean.value,
        "low": low,
        "high": high,
        "low90": low90,
        "high90": high90,
        "pairs": mean.pairs,
    }
    return Comparison(
        asked.series,
        asked.eval,
        asked.resource,
        *asked.names,
        asked.margin,
        rows,
        overall | {"equivalent": mean.equivalent(asked.margin), "runs_differ": mean.runs_differ},
        [_times(size, reference[size], gap) for size, gap in differences["log10_resource"].items()],
        paired_problems(*asked.tables, asked.series, asked.eval),
        mean.verdict(*asked.names, asked.margin),
        warnings,
    )


def _times(size: float, loss: float, gap: Difference) -> dict[str, float]:
    """Return how many times the first's resource the second needs for a loss."""
    low, high = gap.interval()
    ends = {"low": 10 ** min(-high, 300), "high": 10 ** min(-low, 300)}
    return {"params": size, "loss": loss, "value": 10**-gap.value, **ends}


def slope(one: Single) -> Measured | None:
    """Return the slope k of a run's own power law; None where it is not determined."""
    power = one.power
    if power.status != "converged":
        return None
    at = power.bound.columns["k"].start
    return Measured(one.seed, float(power.theta[at]), float(np.sqrt(max(power.covariance[at, at], 0.0))))


def _measure(one: Single, end: Measured, reference: float, middle: float) -> Quantities:
    """Return each quantity of a run; one that is not determined is left out."""
    found = {"end_loss": end}
    power = one.power
    k, E = float(power.theta[power.bound.columns["k"]][0]), float(power.theta[power.bound.columns["E"]][0])
    at = [power.bound.columns[name].start for name in ("E", "k")]
    V = power.covariance[np.ix_(at, at)]

    def known(value: float, *gradient: float) -> Measured:
        slope = np.array(gradient)
        return Measured(one.seed, value, float(np.sqrt(max(float(slope @ V @ slope), 0.0))))

    if power.status == "converged":
        found["k"] = known(k, 0.0, 1.0)
        found["E"] = known(E - k * float(np.log10(middle)), 1.0, -float(np.log10(middle)))
        if k > 3 * found["k"].se:
            where = (E - float(np.log10(reference))) / k
            found["log10_resource"] = known(where, 1 / k, -where / k)
    try:
        floor = fit_data("exponential", one.data)
        A = next(value for name, value in floor.params.items() if name.startswith("A"))
        if floor.status == "converged" and A.se < 0.1:
            found["asymptote"] = Measured(one.seed, A.value, A.se)
    except FitError:
        pass
    return found


def _by_size(values: dict[float, list[list[Quantities]]], name: str) -> dict[float, Difference]:
    """Return the difference at each size where every run has the quantity, the scatter of runs pooled over sizes."""
    usable = {
        size: [[run[name] for run in side] for side in sides]
        for size, sides in values.items()
        if all(name in run for side in sides for run in side)
    }
    known = scatter(usable.values())
    return {size: difference(first, second, known) for size, (first, second) in usable.items()}


def paired_problems(first: RunTable, second: RunTable, series: str, evaluation: str) -> dict[str, Any] | None:
    """Return the difference of end losses over the same problems, its error from problem to problem; None without them."""
    rates = []
    for runs in (first, second):
        if RATES not in runs.frame:
            return None
        rows = runs.frame[(runs.frame["series"] == series) & (runs.frame["eval"] == evaluation)]
        last = rows.sort_values("step").groupby("run_id", observed=True).tail(1)
        lists = [np.asarray(value, float) for value in last[RATES] if value is not None]
        if not lists or len({len(one) for one in lists}) != 1:
            return None
        rates.append(np.mean(lists, axis=0))
    if len(rates[0]) != len(rates[1]):
        return None
    gap = rates[1] - rates[0]
    se = float(gap.std(ddof=1) / np.sqrt(len(gap)))
    unpaired = float(np.sqrt((rates[0].var(ddof=1) + rates[1].var(ddof=1)) / len(gap)))
    return {
        "problems": len(gap),
        "difference": float(gap.mean()),
        "low": float(gap.mean() - 1.96 * se),
        "high": float(gap.mean() + 1.96 * se),
        "se": se,
        "se_unpaired": unpaired,
    }
