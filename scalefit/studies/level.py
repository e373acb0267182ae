"""Larger models learn faster, and start elsewhere: how much of the one is the other.

A larger model starts at another loss, and what starts lower may fall faster whatever its size. Two things tell level from
size. Seeds of one size start differently: the slope of k on the start within sizes, carried over to how far the sizes' starts
lie apart, says how much the level would explain. And two arms, one in which all sizes were brought to an equal start and one
in which they differ as they do, say it without carrying anything over: what is left of the difference at equal start is size.
The run is the unit of evidence throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import FitError, UsageError, nearest
from scalefit.fitting.run_lines import LEAST, fit_run_lines
from scalefit.fitting.specification import Specification
from scalefit.laws import get_law
from scalefit.numerics.intervals import student
from scalefit.said import Said
from scalefit.studies.level_parts import (
    APART,
    MOST,
    between_sizes,
    left_at_equal_start,
    share_text,
    within_sizes,
)
from scalefit.studies.rises import Arm, ends_at, in_common, rise_of, say_bent
from scalefit.studies.untrained import read_untrained
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity


@dataclass(frozen=True, repr=False)
class Level(Answer):
    """How much of what larger models learn faster goes with where they start.

    Attributes
    ----------
    sizes : list of dict
        Of each arm and size: runs, start (log10 L at step 0), loss there, k with its 95 % interval over runs.
    rises : list of dict
        Of each arm: by how much k and the start rise from the smallest size to the largest, along the line in log N, with
        the 95 % interval of the former over runs.
    within : list of dict
        Of each arm: the coefficient of k on the start within sizes, with 95 %; `share` of the rise of k that the rise of
        starts then makes; `reliability` of starts; `says`.
    between : list of dict
        Of each arm: correlation r of sizes' starts with log N, and the coefficients of k on both; None where r is too large
        or the sizes too few.
    left : dict or None
        Of two arms: the `share` of the rise in the second that is left at equal start, with 95 %.
    """

    series: str
    eval: str
    resource: str
    sizes: list[dict[str, Any]]
    rises: list[dict[str, Any]]
    within: list[dict[str, Any]]
    between: list[dict[str, Any]]
    left: dict[str, Any] | None
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "sizes"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series} on {self.eval}, {self.resource}: {self.verdict}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        rows = [["arm", "size", "runs", "start (loss)", "log10", "k", "95 % low", "high"]]
        for row in self.sizes:
            ends = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("low", "high")]
            cells = [str(row["runs"]), f"{10 ** row['start']:.3f}", f"{row['start']:.3f}", f"{row['k']:.3f}"]
            rows.append([row["arm"], format_quantity(row["params"]), *cells, *ends])
        lines = [self.headline, text_table(rows)]
        for rise, within, between in zip(self.rises, self.within, self.between, strict=True):
            lines.append(
                f"  {rise['arm']}: k rises by {rise['k']:+.3f}{_span(rise)} from the smallest size to the largest, the start by "
                f"{rise['start']:+.3f}; r of start and log N {between['r']:+.2f}"
            )
            lines.append(f"    within sizes: {within['says']}")
            if between["level"] is not None:
                level, size = between["level"], between["size"]
                lines.append(
                    f"    over sizes' means: k by {level['value']:+.3f}{_span(level)} a decade of loss at the start, "
                    f"{size['value']:+.3f}{_span(size)} a decade of N"
                )
        return Said([*lines, *warning_lines(self.warnings)])


def _span(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"


def study_level(
    runs: Source,
    other: Source | None = None,
    x: str | None = None,
    where: Where | None = None,
    *,
    arms: Sequence[str] = (),
) -> Answers[Level]:
    """Say how much of "larger models learn faster" is where they start.

    Parameters
    ----------
    runs : RunTable, path or data frame
        With rows at step 0. With another table or `arms`, the runs whose sizes start alike.
    other : RunTable, path or data frame, optional
        The runs whose sizes start where they do.
    x : str, optional
        Resource of which k is the slope.
    arms : sequence of str, optional
        Two series of one table that stand for the two tables, the one of equal start first.

    Raises
    ------
    FitError
        If there are no rows at step 0, fewer than three sizes, or two arms have fewer than three sizes in common.
    UsageError
        If arms are named that are not there, or beside a second table.
    """
    table = select(runs, where)
    if arms:
        if other is not None or len(arms) != 2:
            raise UsageError("--arms names two series of one table, as in --arms equal-start,equal-tokens.")
        known = list(map(str, table.frame["series"].unique()))
        for arm in arms:
            if arm not in known:
                raise UsageError(f"--arms: no series {arm!r}; {nearest(arm, known)}")
        first, second = (select(table, {"series": arm}) for arm in arms)
        return _of_arms((first, second), x, tuple(arms))
    if other is not None:
        return _of_arms((table, select(other, where)), x, ("equal start", "other start"))
    prepared = prepare(table, x)
    asked = {data.name: partial(_study, [(table, data, "all runs")]) for data in prepared}
    return answer_each(asked, prepared.unanswered)


def _of_arms(tables: tuple[RunTable, RunTable], x: str | None, names: tuple[str, ...]) -> Answers[Level]:
    """Hold two tables of one series each against each other, on every evaluation that both have."""
    found = [{str(data.record["eval"]): data for data in prepare(table, x)} for table in tables]
    for table, name in zip(tables, names, strict=True):
        if len(series := table.frame["series"].unique()) > 1:
            raise UsageError(
                f"{name}: series {', '.join(map(str, series))} in {table.path}; choose one with --where series=..."
            )
    common = [name for name in found[0] if name in found[1]]
    if not common:
        raise FitError(f"the arms have no evaluation in common: {', '.join(found[0])} and {', '.join(found[1])}.")
    asked = {}
    for name in common:
        pairs = [(table, some[name], arm) for table, some, arm in zip(tables, found, names, strict=True)]
        asked[f"{pairs[0][1].series} against {pairs[1][1].series} on {name}"] = partial(_study, pairs)
    return answer_each(asked)


def _study(parts: Sequence[tuple[RunTable, FitData, str]]) -> Level:
    warnings: list[str] = []
    each = [_measure(*part, warnings) for part in parts]
    if len(each) == 2:
        each = in_common(each)
    for arm in each:
        if len(arm.sizes) < 3:
            raise FitError(
                f"{parts[0][1].name}, {arm.name}: sizes with a row at step 0: {len(arm.sizes)}; a line of k in log N needs three."
            )
    warnings += [said for arm in each if (said := say_bent(arm))]
    rises = [rise_of(arm) for arm in each]
    within = [within_sizes(arm) for arm in each]
    between = [between_sizes(arm) for arm in each]
    left = left_at_equal_start(each[0], each[1]) if len(each) == 2 else None
    data = parts[-1][1]
    names = list(dict.fromkeys(part[1].series for part in parts))
    return Level(
        series=" against ".join(names),
        eval=str(data.record["eval"]),
        resource=data.resources[0],
        sizes=[row for arm in each for row in _rows(arm)],
        rises=rises,
        within=within,
        between=between,
        left=left,
        verdict=_verdict(rises, within, between, left),
        warnings=list(dict.fromkeys([*data.caveats, *warnings])),
    )


def _measure(table: RunTable, data: FitData, name: str, warnings: list[str]) -> Arm:
    """Return the slope and the start of every run that has both."""
    one = read_untrained(table, data)
    warnings += one.warnings
    each = one.data.each
    told = np.isfinite(one.start) & (each.present.sum(1) >= LEAST)
    if not told.all():
        warnings.append(
            f"{int((~told).sum())} runs without a start, or with fewer than {LEAST} evaluations, are left out"
        )
    lines = fit_run_lines(get_law("power"), each.keep(told), Specification())
    loss = np.clip(one.start[told], 1e-3, 1 - 1e-3)
    # Of answers alone: the problems are the same for all runs.
    answers = np.where(np.isfinite(one.answers[told]), one.answers[told], np.inf)
    noise = (1 - loss) / (loss * answers) / np.log(10) ** 2
    return Arm(name, each.params[told], lines.slope, np.log10(loss), noise)


def _rows(arm: Arm) -> list[dict[str, Any]]:
    variance, dof = arm.between_runs
    count, k, start = np.bincount(arm.index), arm.mean(arm.slope), arm.mean(arm.start)
    rows = []
    for s, size in enumerate(arm.sizes.tolist()):
        half = student(0.95, dof) * float(np.sqrt(variance[s] / count[s])) if dof else None
        ends = ends_at(float(k[s]), half)
        rows.append(
            {"arm": arm.name, "params": size, "runs": int(count[s]), "start": float(start[s]), "k": float(k[s]), **ends}
        )
    return rows


def _verdict(
    rises: list[dict[str, Any]],
    within: list[dict[str, Any]],
    between: list[dict[str, Any]],
    left: dict[str, Any] | None,
) -> str:
    last = rises[-1]
    said = f"k rises by {last['k']:+.3f}{_span(last)} from the smallest size to the largest while the start rises by {last['start']:+.3f} [log10 loss]"
    if left is not None:
        said += f" where starts differ, by {rises[0]['k']:+.3f}{_span(rises[0])} at equal start"
        if left["low"] is None:
            return f"the data do not say how much of it is level: {left['why']}; {said}"
        share = share_text(left["share"], (left["low"], left["high"]))
        if left["low"] > MOST:
            return f"most of the difference in slope is size: {share} of it is left at equal start; {said}"
        if left["high"] < MOST:
            return f"most of the difference in slope is level: {share} of it is left at equal start; {said}"
        return f"the data do not say whether level or size is most of it: {share} of it is left at equal start; {said}"
    only, r = within[0], between[0]["r"]
    apart = f"start and log N go together, r {r:+.2f}" + (
        ", so sizes alone cannot tell them apart" if abs(r) > APART else ""
    )
    if only["share_low"] is None:
        return f"the data do not say how much of it is level; {said}; {apart}; within sizes {only['says'] or 'nothing is told'}"
    low, high = only["share_low"], only["share_high"]
    share = share_text(only["share"], (low, high))
    if high < MOST or low > MOST:
        what = "level" if low > MOST else "size"
        return f"most of the difference in slope is {what}: {share} of it goes with the start, as it does within sizes; {said}; {apart}"
    return f"the data do not say whether level or size is most of it: {share} of it goes with the start, as it does within sizes; {said}; {apart}"
