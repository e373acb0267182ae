"""How many rollouts a prompt: the best G for a budget of prompts or of compute, and why, by the share of uniform groups.

A group whose rollouts all earn the same teaches nothing: with pass rate p that happens with probability p^G + (1-p)^G.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.numerics.intervals import student
from scalefit.said import Said
from scalefit.studies.best_group import best_groups, said_best
from scalefit.studies.differences import WITHIN_DOF, difference, in_pairs
from scalefit.studies.ends import LAST_SHARE, Arms, Key, Single, answer_arms, common_reach, ends_at, known_scatter
from scalefit.table.schema import USUAL
from scalefit.table.select import Source, Where, select
from scalefit.units import format_amount, format_quantity

Array = NDArray[np.float64]
BUDGETS = 5
DRAWS = 4000
SURE = 0.95


@dataclass(frozen=True, repr=False)
class Rollouts(Answer):
    """The comparison of group sizes at one model size.

    Attributes
    ----------
    frontier : dict
        For each resource, a list of budgets: `best` G, its probability, each arm's loss with its 95 % interval, and
        whether the scatter between runs is in these (`runs_differ`).
    steps : dict
        For each resource, at its largest budget: the difference of each G to the next smaller, with its 95 % interval.
    curve : dict
        For each resource, the best G by budget with its interval, and whether it rises; see `best_groups`. None where fewer
        than three group sizes have budgets in common or no arm has two runs.
    mechanism : list of dict
        For each G: pass rate over the run, the probability of a uniform group at it, and the share measured (None
        where the table has no `uniform_groups`).
    """

    series: str
    eval: str
    params: float
    frontier: dict[str, list[dict[str, Any]]]
    steps: dict[str, list[dict[str, Any]]]
    curve: dict[str, dict[str, Any] | None]
    mechanism: list[dict[str, Any]]
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "mechanism"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series} on {self.eval}, {format_quantity(self.params)}: {self.verdict}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        lines = [self.headline]
        for resource, budgets in self.frontier.items():
            if not budgets:
                continue
            rows = [[resource, *(f"G = {arm['group_size']}" for arm in budgets[0]["arms"]), "best", "probability"]]
            for row in budgets:
                losses = [f"{arm['loss']:.3f} ±{arm['high'] - arm['loss']:.3f}" for arm in row["arms"]]
                rows.append(
                    [format_amount(row["budget"], resource), *losses, str(row["best"]), f"{row['probability']:.2f}"]
                )
            lines.append(text_table(rows))
            gaps = [
                f"{step['from']} to {step['to']} {step['difference']:+.3f} [{step['low']:+.3f}, {step['high']:+.3f}]"
                for step in self.steps[resource]
            ]
            lines.append(f"  at the last: G {', '.join(gaps)}")
            if curve := self.curve[resource]:
                told = [f"{said_best(row)} at {format_amount(row['budget'], resource)}" for row in curve["rows"]]
                lines.append(f"  best G by a parabola in log G: {', '.join(told)}")
        rows = [["G", "pass rate", "uniform at it", "uniform measured"]]
        for arm in self.mechanism:
            measured = "" if arm["uniform_measured"] is None else f"{arm['uniform_measured']:.3f}"
            share = [f"{arm[name]:.3f}" for name in ("pass_rate", "uniform_at_mean_rate")]
            rows.append([str(arm["group_size"]), *share, measured])
        return Said([*lines, text_table(rows), *warning_lines(self.warnings)])


def uniform_group(pass_rate: Array | float, group_size: Array | float) -> Array:
    """Return the probability that all rollouts of a group earn the same, p^G + (1-p)^G."""
    p = np.asarray(pass_rate, float)
    return np.asarray(p**group_size + (1 - p) ** group_size)


def study_rollouts(runs: Source, *, where: Where | None = None, seed: int = 0) -> Answers[Rollouts]:
    """Compare group sizes at every size, series and evaluation that was run with several.

    Parameters
    ----------
    runs : RunTable, path or data frame
        With a column `group_size`.
    where : mapping, optional
        Column to a value or a list of values.

    Raises
    ------
    FitError
        If nowhere does group_size vary.
    """
    runs = select(runs, where)
    if "group_size" not in runs.frame:
        raise FitError(f"{runs.path}: the column 'group_size' is needed.")
    resources = [name for name in USUAL if name in runs.frame]
    return answer_arms(runs, resources[0], "group_size", partial(_study, resources, seed))


def _study(
    resources: Sequence[str], seed: int, key: Key, arms: Arms[Single], siblings: Sequence[Arms[Single]]
) -> Rollouts:
    frontier, steps, best, warnings = {}, {}, {}, []
    for resource in resources:
        mine, *others = (_in(resource, some) for some in (arms, *siblings))
        frontier[resource], steps[resource] = _frontier(mine, others, seed)
        best[resource] = best_groups(mine, resource)
    if min(map(len, arms.values())) < 2:
        warnings.append("one run an arm: what another seed would change is not in the intervals")
    verdict = "; ".join([_verdict(frontier), *(one["verdict"] for one in best.values() if one)]) + "."
    return Rollouts(*key, frontier, steps, best, [_mechanism(*arm) for arm in arms.items()], verdict, warnings)


def _in(resource: str, arms: Arms[Single]) -> Arms[Single]:
    return {arm: [replace(one, x=resource) for one in some] for arm, some in arms.items()}


def _mechanism(size: float, some: Sequence[Single]) -> dict[str, Any]:
    """Return how often a group of this size is uniform, by the pass rate and as measured."""
    rows = pd.concat([one.table.frame for one in some])
    p = 1 - rows["loss"].to_numpy(float)
    measured = rows["uniform_groups"].mean() if "uniform_groups" in rows else np.nan
    return {
        "group_size": int(size),
        "pass_rate": float(p.mean()),
        "uniform_at_mean_rate": float(uniform_group(p, size).mean()),
        "uniform_measured": float(measured) if np.isfinite(measured) else None,
    }


def _frontier(
    arms: Arms[Single], siblings: Sequence[Arms[Single]], seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Compare arms where each run is at budgets that all have reached; each arm with the next smaller at the largest."""
    low, high = common_reach(chain(*arms.values()))
    low /= 1 - LAST_SHARE
    if high < low:
        return [], []
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for budget in np.geomspace(low, high, BUDGETS):
        ends = ends_at(arms, float(min(budget, high)))
        known = known_scatter(ends, siblings)
        rows, dof = [], WITHIN_DOF
        for size, some in ends.items():
            spread = known.pairs if known.pairs and in_pairs(list(ends.values())) else known.runs
            within = float(np.mean([run.se**2 for run in some]))
            error = float(np.sqrt((spread.variance if spread else within) / len(some)))
            mean, dof = float(np.mean([run.value for run in some])), float(spread.dof if spread else WITHIN_DOF)
            half = student(0.95, dof) * error
            rows.append({"group_size": int(size), "loss": mean, "low": mean - half, "high": mean + half, "se": error})
        draws = np.array([row["loss"] for row in rows]) + np.array([row["se"] for row in rows]) * rng.standard_t(
            dof, (DRAWS, len(rows))
        )
        chance = np.bincount(draws.argmin(1), minlength=len(rows)) / DRAWS
        best = int(chance.argmax())
        row = {"budget": float(budget), "best": rows[best]["group_size"], "probability": float(chance[best])}
        found.append(row | {"runs_differ": bool(known.runs or known.pairs), "arms": rows})
    steps = [
        {"from": int(before), "to": int(after), **difference(ends[after], ends[before], known).row}
        for before, after in pairwise(ends)
    ]
    return found, steps


def _verdict(frontier: dict[str, list[dict[str, Any]]]) -> str:
    """Say the best G at the largest common budget of each resource, or that the data do not say."""
    said = []
    for resource, rows in frontier.items():
        if not rows:
            said.append(f"by {resource} the runs have no budget in common")
            continue
        best, chance = rows[-1]["best"], f"(probability {rows[-1]['probability']:.2f})"
        if not rows[-1]["runs_differ"]:
            which = f"G = {best} ended lowest with one run each; what another seed changes is not known, so the data do not say which is best"
        elif rows[-1]["probability"] >= SURE:
            which = f"G = {best} is best {chance}"
        else:
            which = f"the data do not say which G is best, likeliest {best} {chance}"
        said.append(f"within the same {resource}, {which}")
    return "; ".join(said)
