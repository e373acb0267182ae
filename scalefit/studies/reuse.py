"""What repeating data costs: differences at equal D by tau, the effective data of repeats, and whether to buy or repeat.

`D_eff = U + U R* (1 - exp(-R/R*))` for U distinct prompts seen 1 + R times; R* is how many repeats are worth as many
fresh ones, infinite where a repeat is as good as new. Source of the form: Muennighoff et al. 2023, arXiv:2305.16264, eq. 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.said import Said
from scalefit.studies.differences import MARGIN, Difference, Measured, Scatter, difference
from scalefit.studies.ends import Arms, Key, Single, answer_arms, common_reach, ends_at, known_scatter
from scalefit.studies.passes import Passes, compare_lengths, split_lengths
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
GRID = np.geomspace(0.1, 1e5, 241)
"""Values of R* searched; an end of the grid stands for none and for infinite."""
INTERVAL = 3.84
"""Twice the log-likelihood that a 95 % interval gives away."""
ONE_LENGTH = (
    "tau and the number of distinct problems are one in runs of one length; runs of a second one with the same tau tell "
    "which of them matters"
)
LEAST_ARMS = 4
"""Arms of one run each whose scatter can be told from a cost."""


@dataclass(frozen=True, repr=False)
class Reuse(Answer):
    """The effect of reuse at one size.

    Attributes
    ----------
    arms : list of dict
        For each tau above the smallest: end loss, its difference at equal D with its 95 % interval, whether it is
        equivalent within the margin or costs, and what another repeat is worth in fresh prompts. With several runs an
        arm the difference is to the smallest tau; with one run each, to the mean of the other arms up to `trend["tau"]`.
    trend : dict or None
        With one run an arm: the largest tau up to which no arm costs, what the trend in log tau up to there is worth
        (90 %), and whether that is equivalent.
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
    trend: dict[str, Any] | None
    r_star: dict[str, float | None]
    equivalent_up_to: float | None
    advice: str
    warnings: list[str]

    ROWS: ClassVar[str] = "arms"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        size, samples = format_quantity(self.params), format_quantity(self.samples)
        return f"{self.series} on {self.eval}, {size}, at {samples} samples: {self.advice}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        rows = [
            ["tau", "difference", "95 % low", "high", f"within {self.margin:g}", "a repeat is worth", "low", "high"]
        ]
        for arm in self.arms:
            said = "yes" if arm["equivalent"] else "costs" if arm["costs"] else "not shown"
            worth = [f"{arm['repeat_is_worth'][name]:.2f}" for name in ("value", "low", "high")]
            gap = [f"{arm[name]:+.4f}" for name in ("difference", "low", "high")]
            rows.append([f"{arm['tau']:g}", *gap, said, *worth])
        star, high = self.r_star, self.r_star["high"]
        limit = "no upper limit" if high is None else f"{high:.3g}"
        lines = [
            self.headline,
            text_table(rows),
            f"  effective data: R* = {star['value']:.3g} (95 % {star['low']:.3g} to {limit})",
        ]
        return Said([*lines, *warning_lines(self.warnings)])


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


def study_reuse(runs: Source, *, margin: float = MARGIN, where: Where | None = None) -> Answers[Reuse | Passes]:
    """Study reuse at every size, series and evaluation that was run with several tau.

    Runs of several lengths are compared within each, and together say whether passes or distinct problems matter.

    Parameters
    ----------
    runs : RunTable, path or data frame
        With columns `reuse` and `samples`.
    margin : float
        What still counts as the same loss.
    where : mapping, optional
        Column to a value or a list of values.

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
    study: Callable[..., Reuse | Passes] = partial(_study, margin)
    whole: Callable[..., Reuse | Passes] = partial(compare_lengths, margin)
    found = answer_arms(runs, "samples", "reuse", study, split=split_lengths, whole=whole)
    apart = {(one.series, one.eval, one.params) for one in found if isinstance(one, Passes)}
    told = [
        one
        if isinstance(one, Passes) or (one.series, one.eval, one.params) in apart
        else replace(one, warnings=[*one.warnings, ONE_LENGTH])
        for one in found
    ]
    return Answers(told, found.unanswered)


def _study(margin: float, key: Key, by_tau: Arms[Single], siblings: Sequence[Arms[Single]]) -> Reuse:
    some = [one for arm in by_tau.values() for one in arm]
    _, until = common_reach(some)
    ends = ends_at(by_tau, until)
    known = known_scatter(ends, siblings)
    by_arms = known.runs is None and known.pairs is None and len(ends) >= LEAST_ARMS
    star, trend = fit_r_star(some), None
    if by_arms:
        arms, trend = _against_arms({tau: arm[0].value for tau, arm in ends.items()}, margin)
    else:
        arms = _against_once(ends, known, margin)
    for arm in arms:
        arm["repeat_is_worth"] = {
            name: 1.0 if value is None else float(np.exp(-(arm["tau"] - 1) / value)) for name, value in star.items()
        }
    equal = list(takewhile(lambda arm: arm["equivalent"], arms))
    free = equal[-1]["tau"] if equal else None
    warnings = []
    if by_arms:
        warnings.append(
            "one run an arm: the scatter between arms stands for what another seed would change; that of R* and of what a "
            "repeat is worth holds noise within runs only"
        )
    elif not all(arm["runs_differ"] for arm in arms):
        warnings.append("one run an arm: what another seed would change is not in the intervals")
    if star["high"] is None:
        warnings.append("R* has no upper limit in these data: a repeat may be as good as new")
    advice = _advice(arms, free, trend, margin)
    return Reuse(*key, until, margin, arms, trend, star, free, advice, warnings)


def _against_once(ends: Arms[Measured], known: Scatter, margin: float) -> list[dict[str, Any]]:
    """Compare each arm with the smallest tau."""
    (_, once), *others = ends.items()
    found = []
    for tau, arm in others:
        gap = difference(arm, once, known)
        row = {"tau": tau, "loss": float(np.mean([run.value for run in arm])), **gap.row}
        equal = gap.equivalent(margin)
        found.append(row | {"equivalent": equal, "costs": gap.sign > 0, "runs_differ": gap.runs_differ})
    return found


def _against_arms(levels: dict[float, float], margin: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Compare each arm with those up to the largest tau that does not cost, whose scatter is that between runs.

    Upwards from the three smallest tau, an arm joins them unless it lies above their mean by more than a new run of theirs
    would (97.5 %). Whether those that joined are equivalent is asked of their trend in log tau.
    """
    taus, y = np.array(list(levels)), np.array(list(levels.values()))
    count = LEAST_ARMS - 1
    while count < len(y) and _new_run(y[count], y[:count]).interval()[0] <= 0:
        count += 1
    x = np.log(taus[:count] / taus[0])
    cx = x - x.mean()
    reach, slope = float(x[-1]), float(cx @ y[:count] / (cx @ cx))
    rest = y[:count] - y[:count].mean() - slope * cx
    rise = Difference(slope * reach, reach * float(np.sqrt(rest @ rest / (count - 2) / (cx @ cx))), count - 2, 0, True)
    low, high = rise.interval(0.90)
    trend = {"tau": float(taus[count - 1]), "rise": rise.value, "low90": low, "high90": high}
    trend["equivalent"] = rise.equivalent(margin)
    found = []
    for at in range(1, len(y)):
        gap = _new_run(y[at], np.delete(y[:count], at) if at < count else y[:count])
        row = {"tau": float(taus[at]), "loss": float(y[at]), **gap.row}
        row |= {"equivalent": at < count and trend["equivalent"], "costs": at >= count and gap.sign > 0}
        found.append(row | {"runs_differ": True})
    return found, trend


def _new_run(value: float, others: Array) -> Difference:
    """Return how far a run lies from the mean of others, with the error of a run of their kind."""
    se = float(others.std(ddof=1) * np.sqrt(1 + 1 / len(others)))
    return Difference(float(value - others.mean()), se, float(len(others) - 1), 0, True)


def fit_r_star(some: Sequence[Single]) -> dict[str, float | None]:
    """Fit one power law in D_eff to all arms, R* by profile.

    For each R* the law is linear in log10 D_eff; points weigh as in the loss. The interval counts neighbouring
    evaluations as correlated, n (1 - rho)/(1 + rho) points in all.
    """
    curves = [one.curve for one in some]
    X, y = [x for x, _ in curves], [loss for _, loss in curves]
    U = [np.full(len(x), float(x.max()) / float(one.about["reuse"])) for one, x in zip(some, X, strict=True)]
    rho = [one.power.noise.rho for one in some]
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


def _advice(arms: list[dict[str, Any]], free: float | None, trend: dict[str, Any] | None, margin: float) -> str:
    said = []
    if free is not None:
        said.append(f"repeat up to tau {free:g}: equivalent to fresh prompts within the margin")
    if trend is not None and free is None:
        seen = "no cost is shown and none is excluded"
        if trend["low90"] > 0:
            seen = "no arm stands out, but together they rise"
        said.append(
            f"up to tau {trend['tau']:g} {seen}: the trend over these arms is worth {trend['rise']:+.3f} (90 % {trend['low90']:+.3f} "
            f"to {trend['high90']:+.3f}), and within the margin of {margin:g} it is not shown to stay"
        )
    costs = [arm for arm in arms if arm["costs"]]
    if costs:
        worth = costs[0]["repeat_is_worth"]
        said.append(
            f"at tau {costs[0]['tau']:g} repeats cost {costs[0]['difference']:+.3f} of loss, and the next repeat is worth {worth['value']:.2f} "
            f"of a fresh prompt ({worth['low']:.2f} to {worth['high']:.2f}): buy where a fresh prompt costs less than {1 / max(worth['value'], 1e-3):.3g} repeats"
        )
    unclear = [
        f"{arm['tau']:g}"
        for arm in arms
        if not arm["costs"] and not arm["equivalent"] and (trend is None or arm["tau"] > trend["tau"])
    ]
    if unclear:
        said.append(f"the data do not say for tau {', '.join(unclear)}: neither a cost nor equivalence is shown")
    return "; ".join(said) + "."
