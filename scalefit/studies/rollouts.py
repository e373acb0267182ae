"""How many rollouts a prompt: the best G for a budget of prompts or of compute, and why, by the share of uniform groups.

A group whose rollouts all earn the same teaches nothing: with pass rate p that happens with probability p^G + (1-p)^G.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.answer import Answer
from scalefit.errors import FitError
from scalefit.fitting.fit import fit_data
from scalefit.numerics.intervals import student
from scalefit.studies.ends import pooled_variance, single_runs, varies
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData
from scalefit.table.schema import RESOURCES
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
BUDGETS = 5
DRAWS = 4000
SURE = 0.95


@dataclass(frozen=True)
class Rollouts(Answer):
    """The comparison of group sizes at one model size.

    Attributes
    ----------
    frontier : dict
        For each resource, a list of budgets: `best` G, its probability, and each arm's loss with its 95 % interval.
    mechanism : list of dict
        For each G: pass rate over the run, the probability of a uniform group at it, and the share measured (None
        where the table has no `uniform_groups`).
    """

    series: str
    eval: str
    params: float
    frontier: dict[str, list[dict[str, Any]]]
    mechanism: list[dict[str, Any]]
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "mechanism"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series}, {format_quantity(self.params)}: {self.verdict}"


def uniform_group(pass_rate: Array | float, group_size: Array | float) -> Array:
    """Return the probability that all rollouts of a group earn the same, p^G + (1-p)^G."""
    p = np.asarray(pass_rate, float)
    return np.asarray(p**group_size + (1 - p) ** group_size)


def study_rollouts(runs: Source, *, where: Where | None = None, seed: int = 0) -> list[Rollouts]:
    """Compare group sizes at every size, series and evaluation that was run with several.

    Raises
    ------
    FitError
        If nowhere does group_size vary.
    """
    runs = select(runs, where)
    if "group_size" not in runs.frame:
        raise FitError(f"{runs.path}: the column 'group_size' is needed.")
    nothing = FitError(
        f"{runs.path}: group_size does not vary within a size; run the same size with another G ([sweep] group_size)."
    )
    if not varies(runs, "group_size"):
        raise nothing
    resources = [name for name in RESOURCES if name in runs.frame and runs.frame[name].notna().all()]
    groups: dict[tuple[str, str, float], dict[str, list[tuple[pd.Series, FitData]]]] = {}
    for resource in resources:
        for about, data in single_runs(runs, resource):
            key = str(about["series"]), str(about["eval"]), float(about["params"])
            groups.setdefault(key, {}).setdefault(resource, []).append((about, data))
    found = [
        _study(runs, key, by_resource, seed)
        for key, by_resource in sorted(groups.items(), key=lambda item: item[0])
        if len({about["group_size"] for about, _ in next(iter(by_resource.values()))}) > 1
    ]
    if not found:
        raise nothing
    return found


def _study(
    runs: RunTable, key: tuple[str, str, float], by_resource: dict[str, list[tuple[pd.Series, FitData]]], seed: int
) -> Rollouts:
    series, evaluation, params = key
    frontier, warnings = {}, []
    for resource, some in by_resource.items():
        frontier[resource] = _frontier(some, seed)
    counts = {g: sum(about["group_size"] == g for about, _ in some) for g in {about["group_size"] for about, _ in some}}
    if min(counts.values()) < 2:
        warnings.append("one run an arm: what another seed would change is not in the intervals")
    rows = runs.frame[
        (runs.frame["series"] == series) & (runs.frame["eval"] == evaluation) & (runs.frame["params"] == params)
    ]
    mechanism = []
    for size in sorted(counts):
        mine = rows[rows["group_size"] == size]
        p = 1 - mine["loss"].to_numpy(float)
        measured = mine["uniform_groups"].mean() if "uniform_groups" in mine else np.nan
        mechanism.append(
            {
                "group_size": int(size),
                "pass_rate": float(p.mean()),
                "uniform_at_mean_rate": float(uniform_group(p, float(size)).mean()),
                "uniform_measured": float(measured) if np.isfinite(measured) else None,
            }
        )
    return Rollouts(series, evaluation, params, frontier, mechanism, _verdict(frontier), warnings)


def _frontier(some: list[tuple[pd.Series, FitData]], seed: int) -> list[dict[str, Any]]:
    """Compare arms at budgets that every run has reached, by each run's own power law."""
    low = max(float(d.resource[0][d.present].min()) for _, d in some)
    high = min(float(d.resource[0][d.present].max()) for _, d in some)
    if high <= low:
        return []
    budgets = np.geomspace(low, high, BUDGETS + 1)[1:]
    lines: dict[int, dict[int, tuple[Array, Array]]] = {}
    for about, data in some:
        fit = fit_data("power", data)
        log, J = fit.log_curve(np.full(BUDGETS, data.params[0]), budgets[None])
        covariance = np.where(np.isfinite(fit.covariance), fit.covariance, 0.0)
        loss = 10.0**log
        se = np.log(10) * loss * np.sqrt(np.maximum(np.einsum("np,pq,nq->n", J, covariance, J), 0))
        arm = lines.setdefault(int(about["group_size"]), {})
        seed_of = int(about.get("seed", 0) or 0)
        arm[seed_of if seed_of not in arm else -len(arm) - 1] = loss, se
    rng = np.random.default_rng(seed)
    found = []
    for at, budget in enumerate(budgets):
        pooled = _spread(
            {size: {seed: float(loss[at]) for seed, (loss, _) in arm.items()} for size, arm in lines.items()}
        )
        arms = []
        for size, arm in sorted(lines.items()):
            mean = float(np.mean([loss[at] for loss, _ in arm.values()]))
            within = float(np.mean([se[at] ** 2 for _, se in arm.values()]))
            # The spread of runs holds their noise too; without several runs there is only that.
            error = float(np.sqrt((pooled[0] if pooled else within) / len(arm)))
            t = student(0.95, pooled[1] if pooled else 30.0)
            arms.append(
                {"group_size": size, "loss": mean, "low": mean - t * error, "high": mean + t * error, "se": error}
            )
        dof = float(pooled[1]) if pooled else 30.0
        draws = np.array([arm["loss"] for arm in arms]) + np.array([arm["se"] for arm in arms]) * rng.standard_t(
            dof, (DRAWS, len(arms))
        )
        chance = np.bincount(draws.argmin(1), minlength=len(arms)) / DRAWS
        best = int(chance.argmax())
        found.append(
            {
                "budget": float(budget),
                "best": arms[best]["group_size"],
                "probability": float(chance[best]),
                "arms": arms,
            }
        )
    return found


def _spread(losses: dict[int, dict[int, float]]) -> tuple[float, int] | None:
    """Return the variance of a run within its arm and its degrees of freedom.

    Where every arm has the same seeds, runs of one seed share their start: what a seed adds to all arms is taken out,
    since it does not change which arm is best.
    """
    seeds = [set(arm) for arm in losses.values()]
    if len(seeds[0]) < 2 or any(one != seeds[0] for one in seeds):
        return pooled_variance(list(arm.values()) for arm in losses.values())
    table = np.array([[arm[seed] for seed in sorted(seeds[0])] for arm in losses.values()])
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    dof = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float((rest**2).sum() / dof), dof


def _verdict(frontier: dict[str, list[dict[str, Any]]]) -> str:
    """Say the best G at the largest common budget of each resource, or that the data do not say."""
    said = []
    for resource, rows in frontier.items():
        if not rows:
            said.append(f"by {resource} the runs have no budget in common")
            continue
        last = rows[-1]
        sure = (
            f"G = {last['best']} is best"
            if last["probability"] >= SURE
            else f"the data do not say which G is best (likeliest {last['best']})"
        )
        said.append(f"within the same {resource}, {sure} (probability {last['probability']:.2f})")
    return "; ".join(said) + "."
