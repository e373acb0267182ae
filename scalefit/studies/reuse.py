"""What repeating data costs: differences at equal D by tau, the effective data of repeats, and whether to buy or repeat.

`D_eff = U + U R* (1 - exp(-R/R*))` for U distinct prompts seen 1 + R times; R* is how many repeats are worth as many
fresh ones, infinite where a repeat is as good as new. Source of the form: Muennighoff et al. 2023, arXiv:2305.16264, eq. 5.
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
from scalefit.studies.ends import MARGIN, differ, endings, pooled_variance, single_runs, varies
from scalefit.table.prepare import FitData
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
GRID = np.geomspace(0.1, 1e5, 241)
"""Values of R* searched; an end of the grid stands for none and for infinite."""
INTERVAL = 3.84
"""Twice the log-likelihood that a 95 % interval gives away."""


@dataclass(frozen=True)
class Reuse(Answer):
    """The effect of reuse at one size.

    Attributes
    ----------
    arms : list of dict
        For each tau: difference of the end loss to the smallest tau at equal D with its 95 % interval, whether it is
        equivalent within the margin, and what another repeat is worth in fresh prompts.
    r_star : dict
        value, low, high (95 %) of R*; high is None where the data do not bound it.
    equivalent_up_to : float or None
        Largest tau such that it and all below are equivalent to the smallest.
    advice : str
        Buy or repeat, or that the data do not say.
    """

    series: str
    eval: str
    params: float
    samples: float
    margin: float
    arms: list[dict[str, Any]]
    r_star: dict[str, float | None]
    equivalent_up_to: float | None
    advice: str
    warnings: list[str]

    ROWS: ClassVar[str] = "arms"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series}, {format_quantity(self.params)}: {self.advice}"


def effective_data(samples: Array, unique: float | Array, r_star: float | Array) -> Array:
    """Return D_eff for `samples` draws from `unique` distinct prompts, gone through again and again.

    Parameters
    ----------
    samples : ndarray
        D, repeats counted [prompts].
    unique : float or ndarray
        U [prompts]; while D is below it nothing has been repeated.
    r_star : float or ndarray
        R*.
    """
    repeats = np.maximum(samples / unique - 1, 0.0)
    return np.asarray(np.minimum(samples, unique) + unique * r_star * -np.expm1(-repeats / r_star))


def study_reuse(runs: Source, *, margin: float = MARGIN, where: Where | None = None) -> list[Reuse]:
    """Study reuse at every size, series and evaluation that was run with several tau.

    Raises
    ------
    FitError
        If nowhere does reuse vary, or a run's tau or samples are missing.
    """
    runs = select(runs, where)
    if "reuse" not in runs.frame or "samples" not in runs.frame:
        raise FitError(
            f"{runs.path}: reuse is studied at equal samples by tau; the columns 'reuse' and 'samples' are needed."
        )
    nothing = FitError(
        f"{runs.path}: reuse does not vary within a size; run the same size with another tau ([sweep] reuse)."
    )
    if not varies(runs, "reuse"):
        raise nothing
    singles = single_runs(runs, "samples")
    groups: dict[tuple[str, str, float], list[tuple[pd.Series, FitData]]] = {}
    for about, data in singles:
        if np.isfinite(about["reuse"]):
            groups.setdefault((str(about["series"]), str(about["eval"]), float(about["params"])), []).append(
                (about, data)
            )
    found = [
        _study(*key, some, margin)
        for key, some in sorted(groups.items(), key=lambda item: item[0])
        if len({a["reuse"] for a, _ in some}) > 1
    ]
    if not found:
        raise nothing
    return found


def _study(series: str, evaluation: str, params: float, some: list[tuple[pd.Series, FitData]], margin: float) -> Reuse:
    until = min(float(d.resource[0][d.present].max()) for _, d in some)
    ends = endings(some, "reuse", until)
    by_tau: dict[float, list[tuple[int, float, float]]] = {}
    for one in ends:
        by_tau.setdefault(float(one.arm), []).append((one.seed, one.level, one.se))
    taus = sorted(by_tau)
    once = by_tau[taus[0]]
    pooled = pooled_variance(_gaps(by_tau[tau], once) for tau in taus[1:])
    star = fit_r_star(some)
    arms: list[dict[str, Any]] = []
    free: float | None = None
    holds, warnings = True, []
    for tau in taus[1:]:
        gap = differ(by_tau[tau], once, pooled)
        low, high = gap.interval()
        equal = gap.equivalent(margin)
        holds = holds and equal
        free = tau if holds else free
        worth = {name: None if value is None else float(np.exp(-(tau - 1) / value)) for name, value in star.items()}
        if star["high"] is None:
            worth["high"] = 1.0
        arms.append(
            {
                "tau": tau,
                "difference": gap.value,
                "low": low,
                "high": high,
                "equivalent": equal,
                "costs": low > 0,
                "runs_differ": gap.runs_differ,
                "repeat_is_worth": worth,
            }
        )
    if not all(arm["runs_differ"] for arm in arms):
        warnings.append("one run an arm: what another seed would change is not in the intervals")
    if star["high"] is None:
        warnings.append("R* has no upper limit in these data: a repeat may be as good as new")
    return Reuse(series, evaluation, params, until, margin, arms, star, free, _advice(arms, free, star), warnings)


def _gaps(arm: list[tuple[int, float, float]], once: list[tuple[int, float, float]]) -> list[float]:
    left, right = ({seed: value for seed, value, _ in some} for some in (arm, once))
    return [left[seed] - right[seed] for seed in left.keys() & right.keys()]


def fit_r_star(some: list[tuple[pd.Series, FitData]]) -> dict[str, float | None]:
    """Fit one power law in D_eff to all arms, R* by profile.

    For each R* the law is linear in log10 D_eff; points weigh as in the loss. The interval counts neighbouring
    evaluations as correlated, n (1 - rho)/(1 + rho) points in all.
    """
    X, U, y, rho = [], [], [], []
    for about, data in some:
        seen = data.present[0]
        x = data.resource[0, 0, seen]
        X.append(x)
        U.append(np.full(len(x), float(x.max()) / float(about["reuse"])))
        y.append(data.loss[0, seen])
        rho.append(fit_data("power", data).noise.rho)
    samples, unique, loss = np.concatenate(X), np.concatenate(U), np.maximum(np.concatenate(y), 1e-4)
    effective = np.log10(effective_data(samples[None], unique[None], GRID[:, None]))
    w, z = loss**2, np.log10(loss)
    mx, mz = effective @ w / w.sum(), float(z @ w / w.sum())
    cx = effective - mx[:, None]
    slope = (cx * w) @ (z - mz) / ((cx**2) @ w)
    squares = np.array([float(w @ (z - mz - k * c) ** 2) for k, c in zip(slope, cx, strict=True)])
    correlation = float(np.clip(np.mean(rho), 0.0, 0.97))
    points = len(loss) * (1 - correlation) / (1 + correlation)
    criterion = points * np.log(squares / squares.min())
    inside = np.flatnonzero(criterion <= INTERVAL)
    best = int(np.argmin(squares))
    # The ends lie between the last value inside and the next one of the grid: the outer one is given.
    return {
        "value": float(GRID[best]),
        "low": float(GRID[max(inside[0] - 1, 0)]),
        "high": None if inside[-1] == len(GRID) - 1 else float(GRID[inside[-1] + 1]),
    }


def _advice(arms: list[dict[str, Any]], free: float | None, star: dict[str, float | None]) -> str:
    costs = [arm["tau"] for arm in arms if arm["costs"]]
    said = []
    if free is not None:
        said.append(f"repeat up to tau {free:g}: equivalent to fresh prompts within the margin")
    if costs:
        first = min(costs)
        arm = next(arm for arm in arms if arm["tau"] == first)
        worth = arm["repeat_is_worth"]
        said.append(
            f"at tau {first:g} repeats cost {arm['difference']:+.3f} of loss, and the next repeat is worth {worth['value']:.2f} "
            f"of a fresh prompt ({worth['low']:.2f} to {worth['high']:.2f}): buy where a fresh prompt costs less than {1 / max(worth['value'], 1e-3):.3g} repeats"
        )
    unclear = [f"{arm['tau']:g}" for arm in arms if not arm["costs"] and not arm["equivalent"]]
    if unclear:
        said.append(f"the data do not say for tau {', '.join(unclear)}: neither a cost nor equivalence is shown")
    return "; ".join(said) + "."
