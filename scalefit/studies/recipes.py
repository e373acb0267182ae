"""Whether recipe A is better than B: differences of slope, level, asymptote and end loss, and a compute multiplier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.answer import Answer
from scalefit.errors import FitError
from scalefit.fitting.fit import fit_data
from scalefit.numerics.proportions import RATES
from scalefit.studies.ends import MARGIN, Difference, Ending, differ, endings, pooled_variance, single_runs
from scalefit.table.io import RunTable
from scalefit.table.select import Source, Where, select

Array = NDArray[np.float64]
QUANTITIES = {
    "end_loss": "loss at the end of what both reach",
    "k": "slope of log10 L in log10 X",
    "E": "level: log10 L at the geometric middle of X",
    "asymptote": "floor of L = A + a exp(-X/s)",
    "log10_resource": "log10 of the resource that reaches the reference loss",
}
"""Column with a list of pass rates, one a problem, where a table has it."""


@dataclass(frozen=True)
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
        return f"{self.series} on {self.eval}: {self.verdict}"


def compare_recipes(
    first: Source,
    second: Source,
    *,
    names: tuple[str, str] = ("A", "B"),
    x: str | None = None,
    loss: float | None = None,
    margin: float = MARGIN,
    where: Where | None = None,
) -> list[Comparison]:
    """Compare two recipes on the sizes and evaluations that both tables have.

    Parameters
    ----------
    first, second : RunTable, path or data frame
        One recipe each; runs of one seed are pairs.
    names : tuple of str
        What to call them.
    x : {"samples", "flops"}, optional
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
    first, second = (select(runs, where) for runs in (first, second))
    both = all("flops" in runs.frame and runs.frame["flops"].notna().all() for runs in (first, second))
    resource = x or ("flops" if both else "samples")
    singles = [single_runs(runs, resource) for runs in (first, second)]
    keys = [{(str(a["series"]), str(a["eval"]), float(a["params"])) for a, _ in some} for some in singles]
    common = sorted(keys[0] & keys[1])
    if not common:
        raise FitError(
            f"{first.path} and {second.path} have no series, evaluation and size in common "
            f"({sorted(keys[0])[:3]} against {sorted(keys[1])[:3]}); recipes are compared at equal size."
        )
    found = []
    for series, evaluation in sorted({key[:2] for key in common}):
        arms: list[dict[float, list[tuple[pd.Series, Any]]]] = [
            {
                size: [
                    (a, d)
                    for a, d in some
                    if (str(a["series"]), str(a["eval"]), float(a["params"])) == (series, evaluation, size)
                ]
                for *_, size in (key for key in common if key[:2] == (series, evaluation))
            }
            for some in singles
        ]
        found.append(_compare(series, evaluation, resource, arms, names, loss, margin, (first, second)))
    return found


def _compare(
    series: str,
    evaluation: str,
    resource: str,
    arms: list[dict[float, list[tuple[pd.Series, Any]]]],
    names: tuple[str, str],
    loss: float | None,
    margin: float,
    tables: tuple[RunTable, RunTable],
) -> Comparison:
    values: list[dict[float, list[dict[str, Any]]]] = [{}, {}]
    reference = {}
    for size in arms[0]:
        until = min(float(d.resource[0][d.present].max()) for arm in arms for _, d in arm[size])
        ends = [endings(arm[size], "arm", until) for arm in arms]
        reference[size] = loss or max(float(np.mean([one.level for one in some])) for some in ends)
        middle = float(
            np.sqrt(until * max(float(d.resource[0][d.present].min()) for arm in arms for _, d in arm[size]))
        )
        for side, some in enumerate(ends):
            values[side][size] = [_measure(one, reference[size], middle) for one in some]
    differences = {name: _by_size(values, name) for name in QUANTITIES}
    sizes = []
    for size in arms[0]:
        row: dict[str, Any] = {"params": size, "runs": [len(values[0][size]), len(values[1][size])]}
        for name, by_size in differences.items():
            gap = by_size.get(size)
            row[name] = (
                None
                if gap is None
                else {"difference": gap.value, "low": gap.interval()[0], "high": gap.interval()[1], "se": gap.se}
            )
        sizes.append(row)
    multiplier = []
    for size, gap in differences["log10_resource"].items():
        low, high = gap.interval()
        multiplier.append(
            {
                "params": size,
                "loss": reference[size],
                "value": 10**-gap.value,
                "low": 10 ** min(-high, 300),
                "high": 10 ** min(-low, 300),
            }
        )
    each = list(differences["end_loss"].values())
    mean = Difference(
        float(np.mean([one.value for one in each])),
        float(np.sqrt(sum(one.se**2 for one in each)) / len(each)),
        each[0].dof,
        sum(one.pairs for one in each),
        all(one.runs_differ for one in each),
    )
    low, high = mean.interval()
    verdict = mean.verdict(*names, margin)
    warnings = []
    if not mean.runs_differ:
        warnings.append(
            "one run an arm: what another seed would change is not in the intervals; a difference may be the seed's"
        )
    missing = [name for name in QUANTITIES if not differences[name]]
    if missing:
        warnings.append(f"not determined by these runs: {', '.join(missing)}")
    return Comparison(
        series,
        evaluation,
        resource,
        *names,
        margin,
        sizes,
        {
            "difference": mean.value,
            "low": low,
            "high": high,
            "pairs": mean.pairs,
            "equivalent": mean.equivalent(margin),
        },
        multiplier,
        paired_problems(*tables, series, evaluation),
        verdict,
        warnings,
    )


def _measure(one: Ending, reference: float, middle: float) -> dict[str, Any]:
    """Return each quantity of a run as (value, standard error); a quantity that is not determined is left out."""
    found: dict[str, Any] = {"seed": one.seed, "end_loss": (one.level, one.se)}
    power = one.power
    k, E = float(power.theta[power.bound.columns["k"]][0]), float(power.theta[power.bound.columns["E"]][0])
    at = [power.bound.columns[name].start for name in ("E", "k")]
    V = power.covariance[np.ix_(at, at)]

    def se(gradient: Array) -> float:
        return float(np.sqrt(max(float(gradient @ V @ gradient), 0.0)))

    if power.status == "converged":
        found["k"] = float(k), se(np.array([0.0, 1.0]))
        found["E"] = float(E - k * np.log10(middle)), se(np.array([1.0, -np.log10(middle)]))
        if k > 3 * found["k"][1]:
            where = (E - float(np.log10(reference))) / k
            found["log10_resource"] = where, se(np.array([1 / k, -where / k]))
    try:
        floor = fit_data("exponential", one.data)
        A = next(value for name, value in floor.params.items() if name.startswith("A"))
        if floor.status == "converged" and A.se < 0.1:
            found["asymptote"] = A.value, A.se
    except FitError:
        pass
    return found


def _by_size(values: list[dict[float, list[dict[str, Any]]]], name: str) -> dict[float, Difference]:
    """Return the difference at each size where every run has the quantity, the spread of pairs pooled over sizes."""
    usable = {
        size: [[(run["seed"], *run[name]) for run in side[size]] for side in values]
        for size in values[0]
        if all(name in run for side in values for run in side[size])
    }
    gaps = []
    for mine, theirs in usable.values():
        left, right = {seed: v for seed, v, _ in mine}, {seed: v for seed, v, _ in theirs}
        gaps.append([float(left[seed] - right[seed]) for seed in left.keys() & right.keys()])
    pooled = pooled_variance(gaps)
    return {size: differ(mine, theirs, pooled) for size, (mine, theirs) in usable.items()}


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
