"""Is training only sharpening? Pass@k before and after, the law of pass@k, and what entropy is left to pay with.

A policy that is only sharpened solves at the first try what it solved before at some try: pass@1 rises and pass@k for a
large k does not. The question is that of Yue et al. 2025, arXiv:2504.13837.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.fitting.fit_relation import fit_entropy, fit_pass_at_k
from scalefit.laws.relations import PASS_AT_K
from scalefit.numerics.intervals import student
from scalefit.numerics.proportions import COLUMN, RATES, pass_at_k
from scalefit.said import Said
from scalefit.studies.differences import MARGIN, Spread, pooled_variance
from scalefit.studies.ends import Key, name_of
from scalefit.table.select import Source, Where, by_size, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
DRAWS = 1000
"""Redraws of the problems behind every interval."""


@dataclass(frozen=True, repr=False)
class Sharpening(Answer):
    """What training did to one size.

    Attributes
    ----------
    passes : list of dict
        For each k: before, after, difference with its 95 % interval (None where one run without its problems is all there is).
    law : dict or None
        a and b of pass@k = exp(a k^b), before and after, with 95 % intervals over the problems, and the largest misfit.
    overtaken_at : float or None
        The k at which the start is as good as the end, where the two curves cross.
    entropy : dict or None
        a, b, r2 and ceiling (pass rate at entropy 0, with interval) of R = -a exp(H) + b, and where entropy and reward are now.
    verdict : str
        What the differences at the smallest and the largest k say.
    """

    series: str
    eval: str
    params: float
    runs: int
    passes: list[dict[str, Any]]
    law: dict[str, Any] | None
    overtaken_at: float | None
    entropy: dict[str, Any] | None
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "passes"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        runs = f"{self.runs} run{'s' if self.runs > 1 else ''}"
        return f"{self.series} on {self.eval}, {format_quantity(self.params)}, {runs}: {self.verdict}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        rows = [["pass@k", *(f"k = {row['k']}" for row in self.passes)]]
        rows += [[name, *(f"{row[name]:.3f}" for row in self.passes)] for name in ("before", "after")]
        rows.append(["difference", *(f"{row['difference']:+.3f}" for row in self.passes)])
        if self.passes[0]["low"] is not None:
            rows += [[f"95 % {name}", *(f"{row[name]:+.3f}" for row in self.passes)] for name in ("low", "high")]
        lines = [self.headline, text_table(rows)]
        if self.overtaken_at is not None:
            lines.append(f"  from k = {self.overtaken_at:.3g} on the start is as good as the end")
        for name in ("before", "after"):
            if law := (self.law or {}).get(name):
                parts = [f"{one} {{value:.3f}} [{{low:.3f}}, {{high:.3f}}]".format(**law[one]) for one in ("a", "b")]
                lines.append(f"  pass@k = exp(a k^b) {name}: {', '.join(parts)}")
        if law := self.entropy:
            top = law["ceiling"]
            lines.append(
                f"  R = -a exp(H) + b: a {law['a']:.3f}, b {law['b']:.3f}, R² {law['r2']:.2f}; now {law['pass_rate_now']:.3f} at an entropy of "
                f"{law['entropy_now']:.2f}, {top['value']:.3f} [{top['low']:.3f}, {top['high']:.3f}] at 0 if it held on"
            )
        return Said([*lines, *warning_lines(self.warnings)])


def study_sharpening(
    runs: Source,
    *,
    k: Sequence[int] | None = None,
    margin: float = MARGIN,
    where: Where | None = None,
) -> Answers[Sharpening]:
    """Compare pass@k at the first and the last evaluation of every series, evaluation and size.

    Parameters
    ----------
    runs : RunTable, path or data frame
        With `pass_rates` and `eval_samples` (`[eval] keep_problems`), or columns `pass_at_1`, `pass_at_8`, ...
    k : sequence of int, optional
        By default powers of two up to the samples there are, or the columns there are.
    margin : float
        What still counts as the same pass rate.

    Raises
    ------
    FitError
        If the table has neither; UsageError if a k is larger than the samples.
    """
    runs = select(runs, where)
    groups = by_size(runs.frame.sort_values("step"))
    ends = [_ends(rows, k) for _, rows in groups]
    if not any(ends):
        raise FitError(
            f"{runs.path}: pass@k needs the columns pass_rates and eval_samples ([eval] keep_problems = true, end_samples = 64) or "
            "pass_at_1, pass_at_8 and so on ([eval] pass_at = [1, 8, 64]), at the first and the last evaluation of a run."
        )
    spread: dict[int, list[list[float]]] = {}
    for pair in filter(None, ends):
        for at, one in enumerate(pair.k):
            spread.setdefault(one, []).append(list(pair.after[:, at] - pair.before[:, at]))
    pooled = {one: pooled_variance(gaps) for one, gaps in spread.items()}
    found = [
        _study(key, rows, some, pooled, margin)
        for (key, rows), some in zip(groups, ends, strict=True)
        if some is not None
    ]
    rest = [name_of(key) for (key, _), some in zip(groups, ends, strict=True) if some is None]
    return Answers(found, dict.fromkeys(rest, "no pass@k at the first and the last evaluation of its runs"))


@dataclass(frozen=True)
class _Ends:
    """Pass@k of each run at its ends, (runs, K), and of each problem, meaned over runs, (M, K) or None."""

    k: list[int]
    before: Array
    after: Array
    problems: tuple[Array, Array] | None


def _ends(rows: pd.DataFrame, k: Sequence[int] | None) -> _Ends | None:
    single = rows.groupby("run_id", observed=True, sort=False)
    first, last = single.head(1).set_index("run_id"), single.tail(1).set_index("run_id")
    last = last.loc[first.index]
    if (first["step"] == last["step"]).all():
        return None
    if RATES in rows and "eval_samples" in rows and first[RATES].notna().all() and last[RATES].notna().all():
        samples = int(min(first["eval_samples"].min(), last["eval_samples"].min()))
        asked = list(k) if k else [2**n for n in range(samples.bit_length()) if 2**n <= samples]
        each = [
            [pass_at_k(np.asarray(r), int(n), asked) for r, n in zip(end[RATES], end["eval_samples"], strict=True)]
            for end in (first, last)
        ]
        if len({len(one) for side in each for one in side}) > 1:
            return None
        before, after = (np.array([one.mean(0) for one in side]) for side in each)
        means = np.mean(each[0], axis=0), np.mean(each[1], axis=0)
        return _Ends(asked, before, after, means)
    columns = {
        int(name.removeprefix(COLUMN)): name
        for name in map(str, rows)
        if name.startswith(COLUMN) and name.removeprefix(COLUMN).isdigit()
    }
    asked = sorted(
        one
        for one, name in columns.items()
        if (not k or one in k) and first[name].notna().all() and last[name].notna().all()
    )
    if not asked:
        return None
    names = [columns[one] for one in asked]
    return _Ends(asked, first[names].to_numpy(float), last[names].to_numpy(float), None)


def _study(key: Key, rows: pd.DataFrame, ends: _Ends, pooled: Mapping[int, Spread | None], margin: float) -> Sharpening:
    before, after = ends.before.mean(0), ends.after.mean(0)
    law = None if ends.problems is None else _law(ends.k, ends.problems)
    alone, warnings = all(value is None for value in pooled.values()), []
    if alone:
        warnings.append("one run: what another seed would change is not in the intervals")
    if ends.problems is None:
        warnings.append("no pass_rates: the error from problem to problem is not in the intervals")
    misfit = {name: one["misfit"] for name, one in (law or {}).items() if one and one["misfit"] > margin}
    if misfit:
        much = ", ".join(f"{value:.3f} {name}" for name, value in misfit.items())
        warnings.append(f"exp(a k^b) misses pass@k by up to {much}: not a law to extrapolate with here")
    entropy, said = _entropy(rows)
    if said:
        warnings.append(said)
    passes, overtaken = _passes(ends, before, after, pooled), _overtaken(ends.k, before, after)
    verdict = _verdict(passes, margin, "in this one run, " if alone else "")
    return Sharpening(*key, len(ends.before), passes, law, overtaken, entropy, verdict, warnings)


def _passes(ends: _Ends, before: Array, after: Array, pooled: Mapping[int, Spread | None]) -> list[dict[str, Any]]:
    """Return pass@k before and after, and the difference with the error from problem to problem and from run to run."""
    problem_se = np.zeros(len(ends.k))
    if ends.problems is not None and len(ends.problems[0]) > 1:
        gap = ends.problems[1] - ends.problems[0]
        problem_se = gap.std(0, ddof=1) / np.sqrt(len(gap))
    passes = []
    for at, one in enumerate(ends.k):
        row: dict[str, Any] = {"k": one, "before": float(before[at]), "after": float(after[at])}
        row["difference"] = float(after[at] - before[at])
        between, variance, dof = pooled[one], problem_se[at] ** 2, 1e6
        if between is not None:
            variance, dof = variance + between.variance / len(ends.before), between.dof
        known = ends.problems is not None or between is not None
        width = student(0.95, dof) * float(np.sqrt(variance)) if known else None
        row["low"] = None if width is None else row["difference"] - width
        row["high"] = None if width is None else row["difference"] + width
        passes.append(row)
    return passes


def _law(k: list[int], problems: tuple[Array, Array]) -> dict[str, Any] | None:
    """Return a and b before and after, with percentile intervals over redrawn problems; None with fewer than two k."""
    if len(k) < 2:
        return None
    rng = np.random.default_rng(0)
    count = len(problems[0])
    weights = rng.multinomial(count, np.full(count, 1 / count), DRAWS) / count
    found: dict[str, Any] = {}
    for name, each in zip(("before", "after"), problems, strict=True):
        value = fit_pass_at_k(np.array(k, float), each.mean(0)[None])[0]
        if not np.isfinite(value).all():
            found[name] = None
            continue
        drawn = fit_pass_at_k(np.array(k, float), weights @ each)
        low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
        found[name] = {
            one: {"value": float(value[at]), "low": float(low[at]), "high": float(high[at])}
            for at, one in enumerate(("a", "b"))
        }
        curve = PASS_AT_K.value({"a": value[0], "b": value[1]}, np.array(k, float))
        found[name]["misfit"] = float(np.abs(curve - each.mean(0)).max())
    return found


def _overtaken(k: list[int], before: Array, after: Array) -> float | None:
    gap = after - before
    for at in range(1, len(k)):
        if gap[at - 1] > 0 >= gap[at]:
            share = gap[at - 1] / (gap[at - 1] - gap[at])
            return float(np.exp(np.log(k[at - 1]) + share * np.log(k[at] / k[at - 1])))
    return None


def _entropy(rows: pd.DataFrame) -> tuple[dict[str, Any] | None, str | None]:
    """Return the entropy relation over the runs of a size, or why there is none."""
    if "entropy" not in rows:
        return None, "no column entropy: the entropy law was not fitted"
    runs = [part for _, part in rows.groupby("run_id", observed=True, sort=False)]
    finite = [np.isfinite(part["entropy"].to_numpy(float)) for part in runs]
    longest = max(int(mask.sum()) for mask in finite)
    H, R, present = (np.zeros((len(runs), max(longest, 1))) for _ in range(3))
    for at, (part, mask) in enumerate(zip(runs, finite, strict=True)):
        n = int(mask.sum())
        H[at, :n], R[at, :n] = part["entropy"].to_numpy(float)[mask], 1 - part["loss"].to_numpy(float)[mask]
        present[at, :n] = 1
    try:
        fit = fit_entropy(H, R, present.astype(bool))
    except FitError as error:
        return None, f"no entropy law: {error}"
    value, low, high = fit.ceiling()
    last = [int(row.sum()) - 1 for row in present if row.any()]
    now = [(H[at, n], R[at, n]) for at, n in enumerate(last)]
    return {
        "a": fit.a,
        "b": fit.b,
        "r2": fit.r2,
        "noise_correlation": fit.rho,
        "fitted_entropy": list(fit.entropy),
        "entropy_now": float(np.mean([one[0] for one in now])),
        "pass_rate_now": float(np.mean([one[1] for one in now])),
        "ceiling": {"value": value, "low": low, "high": high},
    }, None


def _verdict(passes: list[dict[str, Any]], margin: float, where: str) -> str:
    one, many = passes[0], passes[-1]
    if len(passes) < 2 or one["low"] is None or many["low"] is None:
        return "the data do not say: pass@k at two k, with intervals, is needed."
    rises, small, large = one["low"] > 0, f"pass@{one['k']}", f"pass@{many['k']}"
    if many["low"] > 0:
        more = "and" if rises else "though not"
        return f"{where}more than sharpening: {large} rises by {many['difference']:.3f}, {more} {small} ({one['difference']:+.3f})."
    if many["high"] < 0:
        lead = "sharpening at the cost of coverage" if rises else "coverage is lost"
        return f"{where}{lead}: {large} falls by {-many['difference']:.3f}, {small} {one['difference']:+.3f}."
    if rises and many["high"] < margin:
        return f"{where}only sharpening: {small} rises by {one['difference']:.3f}, {large} by less than {margin:g}."
    return f"the data do not say: {small} {one['difference']:+.3f}, and {large} {many['difference']:+.3f} with 0 in its interval."
