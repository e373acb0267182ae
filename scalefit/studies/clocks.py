"""Is there one clock, and in what does it tick: the half-way point and steepness of several tables, in steps, prompts, tokens and FLOPs.

Runs of a table have a start and a gain of their own and share one clock, `s(X) = 1/(1 + (X_mid/X)^B)`. Half-way points are
compared at one steepness of all tables, steepnesses where each table has its own. Errors are by leaving out each run in
turn (`scalefit.numerics.left_out`): runs, not evaluations, are the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.fitting.one_clock import pace
from scalefit.fitting.shared_clock import SharedClock, share_clocks
from scalefit.numerics.intervals import holm
from scalefit.numerics.left_out import Without
from scalefit.numerics.tails import f_tail
from scalefit.said import Said
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import Source, Where, constant_columns, select
from scalefit.units import format_quantity

UNITS = {"steps": "step", "prompts": "samples", "tokens": "tokens", "FLOPs per parameter": "flops"}
"""What a clock may tick in, and the table's column."""
LEAST_RUNS = 3
LEAST_SIZES = 3
"""Sizes by which it is asked how far larger models run ahead."""
NEAR = 1.25
"""Factor within which half-way points count as equal."""
LEVEL = 0.05


@dataclass(frozen=True, repr=False)
class Clocks(Answer):
    """The clocks of several tables, or of the values of a column.

    Attributes
    ----------
    rows : list of dict
        For each unit and group: runs, X_mid and B with their 95 % intervals.
    units : list of dict
        For each unit: the largest `ratio` of half-way points with its 95 % interval, of which groups; the chance `p` of as much
        among equal ones and that of the steepnesses, `p_B`; whether they `differ` (Holm over the units, 5 %).
    ahead : list of dict
        For each group of three sizes or more: the power of N by which larger models run ahead in prompts (95 %, by the
        noise within runs; None where no end is in reach).
    """

    series: str
    eval: str
    groups: list[str]
    rows: list[dict[str, Any]]
    units: list[dict[str, Any]]
    ahead: list[dict[str, Any]]
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "rows"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series} on {self.eval}, clocks of {', '.join(self.groups)}: {self.verdict}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        rows = [["unit", "group", "runs", "half-way at", "95 % low", "high", "steepness", "95 % low", "high"]]
        for row in self.rows:
            middle = [_quantity(row[name]) for name in ("X_mid", "X_mid low", "X_mid high")]
            steep = [f"{row[name]:.3g}" for name in ("B", "B low", "B high")]
            rows.append([row["unit"], row["group"], str(row["runs"]), *middle, *steep])
        lines = [self.headline, text_table(rows)]
        if self.units:
            tests = [["unit", "largest ratio", "95 % low", "high", "of", "p equal", "p steepness equal"]]
            for one in self.units:
                ratio = [f"{one[name]:.3g}" for name in ("ratio", "low", "high")]
                tests.append([one["unit"], *ratio, " to ".join(one["of"]), f"{one['p']:.3f}", f"{one['p_B']:.3f}"])
            lines.append(text_table(tests))
        return Said([*lines, *warning_lines(self.warnings)])


def _quantity(value: float) -> str:
    return format_quantity(value) if 1e-3 < value < 1e30 else f"{value:.1e}"


def study_clocks(*tables: Source, by: str | None = None, where: Where | None = None) -> Answers[Clocks]:
    """Fit one clock to each table, or to each value of a column, and say in which unit they agree.

    Parameters
    ----------
    *tables : RunTable, path or data frame
        Runs of the same series and evaluation, or of one each.
    by : str, optional
        A column that is constant in runs; the tables are then read together and compared by its values.
    where : mapping, optional
        Column to a value or a list of values, in each table.

    Raises
    ------
    FitError
        If there is nothing to compare, or no group has three runs.
    """
    asked: dict[str, Callable[[], Clocks]] = {}
    found = _groups([select(one, where) for one in tables], by)
    if not found:
        raise FitError("the tables hold no runs; there is nothing to compare.")
    for key, groups in found.items():
        asked[f"{key[0]} on {key[1]}"] = partial(_study, key, groups)
    return answer_each(asked)


def _groups(tables: Sequence[RunTable], by: str | None) -> dict[tuple[str, str], dict[str, RunTable]]:
    """Return the runs that are compared, by series and evaluation and then by group."""
    parts = [(str(runs.path), runs) for runs in tables]
    if by is not None:
        parts = [part for runs in tables for part in _split(runs, by)]
    named: dict[str, RunTable] = {}
    for name, runs in parts:
        named[name if name not in named else f"{name} ({len(named) + 1})"] = runs
    found: dict[tuple[str, str], dict[str, RunTable]] = {}
    for name, runs in named.items():
        for (series, evaluation), rows in runs.frame.groupby(["series", "eval"], observed=True, sort=True):
            key = ("each series" if by == "series" else str(series), str(evaluation))
            found.setdefault(key, {})[name] = replace(runs, frame=rows)
    if len(found) == len(named) > 1 and all(len(groups) == 1 for groups in found.values()):
        # Every table has one series of its own name: these are what is compared.
        names = " and ".join(dict.fromkeys(key[0] for key in found))
        return {(names, next(iter(found))[1]): {name: runs for some in found.values() for name, runs in some.items()}}
    return found


def _split(runs: RunTable, by: str) -> list[tuple[str, RunTable]]:
    if by not in runs.frame or by not in constant_columns(runs.frame):
        why = "there is none" if by not in runs.frame else "it changes within runs"
        raise FitError(f"{runs.path}: clocks are compared by a column that is constant in runs; {by!r}: {why}.")
    values = runs.frame[by].dropna().unique().tolist()
    return [(f"{by}={one}", replace(runs, frame=runs.frame[runs.frame[by] == one])) for one in sorted(values)]


def _study(key: tuple[str, str], groups: Mapping[str, RunTable]) -> Clocks:
    rows: list[dict[str, Any]] = []
    units: list[dict[str, Any]] = []
    names, warnings = list(groups), []
    for unit, column in UNITS.items():
        if all(column in runs.frame for runs in groups.values()):
            spent = [_spent(runs, unit, group) for group, runs in groups.items()]
            own, common = (share_clocks(spent, shared) for shared in (False, True))
            rows += _rows(unit, names, own, [len(data.params) for data in spent])
            if len(groups) > 1:
                units.append({"unit": unit, **_compare(names, own, common)})
    for one, differ in zip(units, holm(np.array([one["p"] for one in units]), LEVEL).tolist(), strict=True):
        one["differ"] = differ
    by_prompts = [prepare(runs, "samples")[0] for runs in groups.values() if "samples" in runs.frame]
    if len({tuple(data.sizes.tolist()) for data in by_prompts}) > 1:
        warnings.append("the groups hold other sizes: where larger models run ahead, that is part of what differs")
    ahead = [
        {"group": group, **pace(data)}
        for group, data in zip(names, by_prompts, strict=False)
        if len(data.sizes) >= LEAST_SIZES
    ]
    if ahead:
        warnings.append(
            "how far larger models run ahead is by the noise within runs; what another seed changes is not in it"
        )
    return Clocks(*key, names, rows, units, ahead, _verdict(units, rows, ahead), warnings)


def _spent(runs: RunTable, unit: str, group: str) -> FitData:
    """Return the runs of a group, none merged, by what they spent in a unit."""
    each = prepare(runs, UNITS[unit])[0].each
    if (count := len(each.params)) < LEAST_RUNS:
        raise FitError(
            f"{group}: {count} run{'s' if count > 1 else ''}; what a clock is worth takes {LEAST_RUNS} runs."
        )
    spent = each.resource / each.params[:, None] if unit == "FLOPs per parameter" else each.resource
    return replace(each, resource=spent)


def _rows(unit: str, names: Sequence[str], own: SharedClock, runs: Sequence[int]) -> list[dict[str, Any]]:
    """Return each group's own clock with its intervals."""
    rows: list[dict[str, Any]] = []
    for at, name in enumerate(names):
        row: dict[str, Any] = {"unit": unit, "group": name, "runs": runs[at]}
        for part, column in (("X_mid", at), ("B", own.groups + at)):
            found = own.without_each.estimate(lambda theta, column=column: float(theta[column]))  # type: ignore[misc]
            with np.errstate(over="ignore"):
                row |= {
                    part + end: float(np.exp(found[key])) for end, key in zip(("", " low", " high"), found, strict=True)
                }
        rows.append(row)
    return rows


def _compare(names: Sequence[str], own: SharedClock, common: SharedClock) -> dict[str, Any]:
    """Compare half-way points at a common steepness, and steepnesses."""
    G, mid = common.groups, common.theta[: common.groups]
    first, last = int(np.argmin(mid)), int(np.argmax(mid))
    gap = common.without_each.estimate(lambda theta: float(theta[last] - theta[first]))
    with np.errstate(over="ignore"):
        ratio = {name: float(np.exp(gap[key])) for name, key in (("ratio", "value"), ("low", "low"), ("high", "high"))}
    p = _p_equal(common.without_each, slice(0, G))
    return {**ratio, "of": [names[first], names[last]], "p": p, "p_B": _p_equal(own.without_each, slice(G, 2 * G))}


def _p_equal(without: Without, part: slice) -> float:
    """Return the chance of parameters as far apart if they are equal (Hotelling's)."""
    away, covariance, dof = without.spread(lambda theta: np.diff(theta[part]))
    q = len(away)
    dof = max(dof - q + 1, 1.0)
    squares = float(away @ np.linalg.pinv(covariance) @ away) if np.isfinite(covariance).all() else 0.0
    return float(f_tail(q, dof, squares * dof / (q * (dof + q - 1))))


def _verdict(
    units: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], ahead: Sequence[Mapping[str, Any]]
) -> str:
    """Say in which unit the clocks agree, or that the data do not say."""
    said = []
    ratio = {one["unit"]: f"ratio {one['ratio']:.2f} [{one['low']:.2f}, {one['high']:.2f}]" for one in units}
    differ, same = ([one for one in units if bool(one["differ"]) is is_so] for is_so in (True, False))
    if not units:
        said.append(
            "there is nothing to compare it with; "
            + ", ".join(f"half-way at {_quantity(row['X_mid'])} {row['unit']}" for row in rows)
        )
    elif not same:
        best = min(units, key=lambda one: one["ratio"])
        said.append(
            f"no unit makes them one clock: half-way points differ in each, least in {best['unit']} ({ratio[best['unit']]})"
        )
    else:
        within = "equal" if all(one["high"] <= NEAR for one in same) else "not told apart"
        where = ", ".join(f"{one['unit']} ({ratio[one['unit']]})" for one in same)
        text = f"half-way points are {within} in {where}"
        if differ:
            others = ", ".join(f"{one['unit']} ({ratio[one['unit']]})" for one in differ)
            text = f"the clock ticks in {' or '.join(one['unit'] for one in same)}: {text}, and differ in {others}"
        else:
            text += "; in which unit it ticks the data do not say"
        said.append(text)
        if any(one["p_B"] <= LEVEL for one in same):
            said.append("their steepness differs")
    for one in ahead:
        ends = [f"{one[name]:.2f}" if one[name] is not None else "out of reach" for name in ("low", "high")]
        said.append(f"larger models run ahead by N^{one['power']:.2f} [{', '.join(ends)}] in {one['group']}")
    return "; ".join(said) + "."
