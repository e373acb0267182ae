"""What to run next: the runs that narrow a prediction most for a budget.

A run's information is J' S^-1 J of its evaluations under AR(1) noise and a level of its own that another seed would
change; the runs are chosen so that the variance of the prediction at the target is least (c-optimal). Source: Fedorov
1972, Theory of Optimal Experiments, for the exchange of design points; the information adds over runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer
from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data
from scalefit.laws import OFFSET_FORMS
from scalefit.laws.law import LN10
from scalefit.numerics.ar1 import Noise, ar1_noise, whiten
from scalefit.studies.budget import flops_a_sample
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
LENGTHS = (0.1, 0.25, 0.5, 1.0)
"""Lengths of candidate runs, as shares of the longest run measured."""
EVALUATIONS = 105
"""Evaluations of a run of full length."""
MOST_RUNS = 60
SIMULATIONS = 200


@dataclass(frozen=True)
class Candidate:
    """A run that could be made: its size, its samples, what it costs [FLOPs], and its information (P, P)."""

    params: float
    samples: float
    flops: float
    information: Array


@dataclass(frozen=True)
class Design(Answer):
    """Runs to make next.

    Attributes
    ----------
    runs : list of dict
        params, samples, count (seeds) and flops together.
    width_now, width_after, width_even : float
        Width of the 95 % interval of the loss at the target: as things stand, with the design, and with the same budget
        spread evenly over sizes at full length, by the law's information.
    ratio : float
        width_after / width_even.
    simulated : dict
        The same widths and their ratio from refitted simulations, with the number of them.
    """

    series: str
    law: str
    target: dict[str, float]
    budget: float
    spent: float
    run_sd: float
    runs: list[dict[str, float]]
    width_now: float
    width_after: float
    width_even: float
    ratio: float
    simulated: dict[str, float]
    warnings: list[str]

    ROWS: ClassVar[str] = "runs"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        where = format_quantity(self.target["params"])
        widths = f"from {self.width_now:.4f} to {self.width_after:.4f} (spread evenly: {self.width_even:.4f})"
        return f"{self.series}: these runs narrow the 95 % interval at {where} {widths}"


def run_spread(runs: RunTable, data: FitData) -> float | None:
    """Return the standard deviation of a run's mean log10 L around its size's, over seeds; None without several seeds."""
    frame = runs.frame[(runs.frame["series"] == data.series) & (runs.frame["eval"] == data.record["eval"])]
    levels = (
        frame[frame["loss"] > 0]
        .assign(log=lambda rows: np.log10(rows["loss"]))
        .groupby(["params", "run_id"], observed=True)["log"]
        .mean()
    )
    by_size = levels.groupby(level="params")
    if (by_size.size() < 2).all():
        return None
    several = by_size.size() > 1
    return float(np.sqrt(by_size.var(ddof=1)[several].mean()))


def information(fit: Fit, params: float, samples: Array, sigma: float, run_sd: float) -> Array:
    """Return J' S^-1 J of a run [per parameter squared], S the AR(1) covariance and the run's own level.

    Parameters
    ----------
    samples : ndarray, shape (T,)
        Where the run is evaluated [prompts].
    sigma, run_sd : float
        Noise of an evaluation [loss], spread of a run's level [log10 loss].
    """
    log, J = fit.log_curve(np.full(len(samples), params), samples[None])
    slope = LN10 * 10.0**log
    rho = min(max(fit.noise.rho, 0.0), 0.97)
    root = 1 / (sigma * np.sqrt(1 - rho**2))
    W, level = whiten((J * slope[:, None]).T, rho, root), whiten(slope, rho, root) * run_sd
    # Woodbury: the run's level is a rank-one addition to the covariance.
    gain = W @ level
    return np.asarray(W @ W.T - np.outer(gain, gain) / (1 + level @ level))


def even_spread(candidates: Sequence[Candidate], budget: float) -> list[Candidate]:
    """Return full-length runs, one a size from the smallest on, round after round, while the budget lasts."""
    longest = max(one.samples for one in candidates)
    full = sorted((one for one in candidates if one.samples == longest), key=lambda one: one.flops)
    chosen: list[Candidate] = []
    left = budget
    while len(chosen) < MOST_RUNS:
        added = False
        for one in full:
            if one.flops <= left and len(chosen) < MOST_RUNS:
                chosen.append(one)
                left -= one.flops
                added = True
        if not added:
            break
    return chosen


def variances(information_KPP: Array, gradient: Array) -> Array:
    """Return the variance of a prediction, whose derivative by the parameters is `gradient` (P,), for K informations."""
    scale = np.sqrt(np.maximum(np.einsum("kpp->kp", information_KPP), 1e-300))
    scaled = information_KPP / (scale[:, :, None] * scale[:, None, :]) + 1e-12 * np.eye(len(gradient))
    c = gradient / scale
    return np.einsum("kp,kp->k", c, np.linalg.solve(scaled, c[..., None])[..., 0])


def variance(known: Array, chosen: Sequence[Candidate], gradient: Array) -> float:
    """Return the variance of a prediction with some runs beside what is known."""
    total = known + sum((one.information for one in chosen), np.zeros_like(known))
    return float(variances(total[None], gradient)[0])


def choose_runs(known: Array, candidates: Sequence[Candidate], gradient: Array, budget: float) -> list[Candidate]:
    """Choose runs that make the prediction's variance least: greedy by gain for compute and by gain alone, then exchanged."""
    best: list[Candidate] = []
    for power in (1.0, 0.5, 0.0):
        chosen = _greedy(known, candidates, gradient, budget, power)
        chosen = _exchange(known, candidates, gradient, budget, chosen)
        if not best or variance(known, chosen, gradient) < variance(known, best, gradient):
            best = chosen
    return best


def _greedy(
    known: Array, candidates: Sequence[Candidate], gradient: Array, budget: float, power: float
) -> list[Candidate]:
    chosen: list[Candidate] = []
    each = np.stack([one.information for one in candidates])
    price = np.array([one.flops for one in candidates])
    total, left, now = known, budget, variance(known, [], gradient)
    while len(chosen) < MOST_RUNS and (price <= left).any():
        gain = np.where(price <= left, (now - variances(total + each, gradient)) / price**power, -np.inf)
        at = int(np.argmax(gain))
        if gain[at] * price[at] ** power <= 1e-6 * now:
            break
        chosen.append(candidates[at])
        total, left = total + each[at], left - price[at]
        now = float(variances(total[None], gradient)[0])
    return chosen


def _exchange(
    known: Array, candidates: Sequence[Candidate], gradient: Array, budget: float, chosen: list[Candidate]
) -> list[Candidate]:
    """Swap a run for another while that helps and the budget allows."""
    each = np.stack([one.information for one in candidates])
    price = np.array([one.flops for one in candidates])
    for _ in range(30):
        total = known + sum((one.information for one in chosen), np.zeros_like(known))
        now, spent = float(variances(total[None], gradient)[0]), sum(one.flops for one in chosen)
        kinds = {id(one): at for at, one in enumerate(chosen)}
        best, swap = now * (1 - 1e-6), None
        for at in kinds.values():
            after = variances(total - chosen[at].information + each, gradient)
            after = np.where(spent - chosen[at].flops + price <= budget, after, np.inf)
            if after.min() < best:
                best, swap = float(after.min()), (at, int(np.argmin(after)))
        if swap is None:
            break
        chosen = [*chosen[: swap[0]], candidates[swap[1]], *chosen[swap[0] + 1 :]]
    return chosen


def design(
    runs: Source,
    budget: float,
    target: float,
    *,
    samples: float | None = None,
    where: Where | None = None,
    sizes: Sequence[float] | None = None,
    run_sd: float | None = None,
    seed: int = 0,
) -> list[Design]:
    """Design the next runs for every series of a table.

    Parameters
    ----------
    runs : RunTable, path or data frame
        What there is, with samples and flops.
    budget : float
        Compute by the table's count [FLOPs].
    target : float
        Size whose loss is to be predicted [parameters].
    samples : float, optional
        Where it is to be predicted; by default the longest run measured [prompts].
    where : mapping, optional
        Column to value.
    sizes : sequence of float, optional
        Sizes that can be run; by default those measured, but for the target.
    run_sd : float, optional
        Spread of a run's level over seeds [log10 loss]; by default from the table's seeds.

    Raises
    ------
    FitError
        If the table cannot support a closed-offset law, or no run fits the budget.
    """
    runs = select(runs, where)
    return [_design(runs, data, budget, target, samples, sizes, run_sd, seed) for data in prepare(runs, "samples")]


def _design(
    runs: RunTable,
    data: FitData,
    budget: float,
    target: float,
    samples: float | None,
    sizes: Sequence[float] | None,
    run_sd: float | None,
    seed: int,
) -> Design:
    if len(data.sizes) < 3:
        raise FitError(
            f"series {data.series!r} has {len(data.sizes)} size(s); a design for an unseen size starts from 3."
        )
    # the plain closed offset with the fewest parameters: a design needs a law that is determined
    fits = [fit_data(law, data) for law in OFFSET_FORMS if not law.name.endswith("bend")]
    fit = min(
        (one for one in fits if one.status == "converged"), key=lambda one: (len(one.theta), one.cost), default=None
    )
    if fit is None:
        raise FitError(
            f"series {data.series!r}: no closed-offset law converges on it; more sizes are needed before a design."
        )
    longest = float(data.resource[0][data.present].max())
    at = samples or longest
    warnings = []
    spread = run_sd if run_sd is not None else run_spread(runs, data)
    if spread is None:
        spread = 0.0
        warnings.append("one seed a size: how runs differ from seed to seed is not known and taken as 0; give --run-sd")
    able = np.asarray(sizes if sizes is not None else data.sizes[data.sizes != target], float)
    sigma = float(np.median(fit.noise.sigma))
    cost = flops_a_sample(runs, data, able)
    candidates = []
    for (size, price), share in product(zip(able, cost, strict=True), LENGTHS):
        grid = np.linspace(longest / EVALUATIONS, share * longest, max(round(share * EVALUATIONS), 3))
        candidates.append(
            Candidate(
                float(size),
                share * longest,
                float(price * share * longest),
                information(fit, float(size), grid, sigma, spread),
            )
        )
    if min(one.flops for one in candidates) > budget:
        cheapest = min(candidates, key=lambda one: one.flops)
        raise FitError(
            f"--budget {budget:.3g} FLOPs does not pay for any run; the cheapest, {format_quantity(cheapest.params)} for "
            f"{format_quantity(cheapest.samples)} samples, costs {cheapest.flops:.3g}."
        )
    log, J = fit.log_curve(np.array([target]), np.array([[at]]))
    loss, gradient = float(10.0 ** log[0]), J[0]
    known = sum(
        (
            information(
                fit,
                float(size),
                data.resource[0, row][data.present[row]],
                float(fit.noise.sigma[row]),
                spread / np.sqrt(data.runs[row]),
            )
            for row, size in enumerate(data.params)
        ),
        np.zeros((len(fit.theta), len(fit.theta))),
    )
    chosen = choose_runs(known, candidates, gradient, budget)
    even = even_spread(candidates, budget)

    def width(some: Sequence[Candidate]) -> float:
        return float(2 * fit.quantile * LN10 * loss * np.sqrt(variance(known, some, gradient)))

    simulated = _simulate(fit, data, target, at, chosen, even, sigma, spread, longest, seed)
    if target > 3 * data.sizes[-1]:
        warnings.append(
            f"{format_quantity(target)} is {target / data.sizes[-1]:.2g} times the largest size: the width is the law's own, not what a wrong form costs"
        )
    counted: dict[tuple[float, float], int] = {}
    for one in chosen:
        counted[one.params, one.samples] = counted.get((one.params, one.samples), 0) + 1
    price_of = {(one.params, one.samples): one.flops for one in candidates}
    return Design(
        data.series,
        fit.law.name,
        {"params": target, "samples": at, "loss": loss},
        budget,
        float(sum(one.flops for one in chosen)),
        spread,
        [
            {"params": size, "samples": length, "count": count, "flops": count * price_of[size, length]}
            for (size, length), count in sorted(counted.items())
        ],
        width([]),
        width(chosen),
        width(even),
        width(chosen) / width(even),
        simulated,
        warnings,
    )


def _simulate(
    fit: Fit,
    data: FitData,
    target: float,
    at: float,
    chosen: Sequence[Candidate],
    even: Sequence[Candidate],
    sigma: float,
    spread: float,
    longest: float,
    seed: int,
) -> dict[str, float]:
    """Refit the law to what there is and what would be run, drawn from it, and compare the spread of predictions."""
    rng = np.random.default_rng(seed)
    widths = {}
    for name, extra in (("after", chosen), ("even", even)):
        params = np.concatenate([data.params, [one.params for one in extra]])
        order = np.argsort(params, kind="stable")
        T = max(data.present.shape[1], EVALUATIONS)
        X, present = np.ones((len(params), T)), np.zeros((len(params), T), bool)
        for row in range(len(data.params)):
            count = int(data.present[row].sum())
            X[row, :count], present[row, :count] = data.resource[0, row][data.present[row]], True
        for row, one in enumerate(extra, len(data.params)):
            grid = np.linspace(longest / EVALUATIONS, one.samples, max(round(one.samples / longest * EVALUATIONS), 3))
            X[row, : len(grid)], present[row, : len(grid)] = grid, True
        X, present, params = X[order], present[order], params[order]
        log, J = fit.log_curve(np.repeat(params, T), X.reshape(1, -1))
        clean = (10.0**log).reshape(X.shape)
        slope = LN10 * clean.reshape(-1, 1)
        J = (J * slope).T.reshape(-1, *X.shape)
        noise = Noise(min(max(fit.noise.rho, 0.0), 0.97), np.full(len(params), sigma))
        drawn = ar1_noise(rng, noise, (SIMULATIONS, len(params), T))
        level = 1 + LN10 * spread * rng.standard_normal((SIMULATIONS, len(params), 1))
        y = clean * level + drawn - clean
        # One Gauss-Newton step of generalised least squares from the truth, whitened as in `information`.
        root = 1 / noise.innovation[:, None]
        A, b = (whiten(z, noise.rho, root, present).reshape(len(z), -1).T for z in (J, y))
        size = np.linalg.norm(A, axis=0)
        step = np.linalg.lstsq(A / size, b, rcond=1e-12)[0] / size[:, None]
        at_log, at_J = fit.log_curve(np.array([target]), np.array([[at]]))
        moved = 10.0 ** at_log[0] * (1 + LN10 * (at_J[0] @ step))
        low, high = np.percentile(moved, [2.5, 97.5])
        widths[name] = float(high - low)
    return {**widths, "ratio": widths["after"] / widths["even"], "simulations": float(SIMULATIONS)}
