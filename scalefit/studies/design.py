"""What to run next: the runs that narrow a prediction most for a budget.

A run's information is J' S^-1 J of its evaluations under AR(1) noise and a level of its own that another seed would
change; the runs are chosen so that the variance of the prediction at the target is least (c-optimal). Source: Fedorov
1972, Theory of Optimal Experiments, for the exchange of design points; the information adds over runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data
from scalefit.laws import OFFSET_FORMS
from scalefit.laws.law import LN10
from scalefit.numerics.ar1 import Noise, ar1_noise, whiten
from scalefit.studies.optimal import Candidate, choose_runs, even_spread, variance
from scalefit.studies.sizes import flops_a_sample
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
LENGTHS = (0.1, 0.25, 0.5, 1.0)
"""Lengths of candidate runs, as shares of the longest run measured."""
EVALUATIONS = 105
"""Evaluations of a run of full length."""
SIMULATIONS = 200


@dataclass(frozen=True, repr=False)
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

    def summary(self) -> str:
        """Return the text that the command prints."""
        goal, simulated = self.target, self.simulated
        rows = [["size", "samples", "runs", "flops"]]
        for run in self.runs:
            size, length = format_quantity(run["params"]), format_quantity(run["samples"])
            rows.append([size, length, f"{run['count']:g}", f"{run['flops']:.3g}"])
        lines = [
            self.headline,
            f"  to predict {format_quantity(goal['params'])} at {format_quantity(goal['samples'])} samples by {self.law}, "
            f"{self.spent:.3g} of {self.budget:.3g} FLOPs",
            text_table(rows),
            f"  width of the 95 % interval of the loss: now {self.width_now:.4f}, with these runs {self.width_after:.4f}, "
            f"the same budget spread evenly {self.width_even:.4f} (ratio {self.ratio:.2f})",
            f"  simulated {simulated['simulations']:g} times: {simulated['after']:.4f} against {simulated['even']:.4f} "
            f"(ratio {simulated['ratio']:.2f}); run-to-run spread {self.run_sd:.4f} decades",
        ]
        return "\n".join([*lines, *warning_lines(self.warnings)])


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
) -> Answers[Design]:
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
    aim = _Aim(float(budget), float(target), samples, None if sizes is None else np.asarray(sizes, float), run_sd, seed)
    return answer_each({data.name: partial(_design, runs, data, aim) for data in prepare(runs, "samples")})


@dataclass(frozen=True)
class _Aim:
    """What is asked for; None is found out from the table."""

    budget: float
    target: float
    samples: float | None
    sizes: Array | None
    run_sd: float | None
    seed: int


def _design(runs: RunTable, data: FitData, aim: _Aim) -> Design:
    fit = _plainest(data)
    longest = float(data.resource[0][data.present].max())
    at, warnings = aim.samples or longest, []
    spread = aim.run_sd if aim.run_sd is not None else run_spread(runs, data)
    if spread is None:
        spread = 0.0
        warnings.append("one seed a size: how runs differ from seed to seed is not known and taken as 0; give --run-sd")
    able = data.sizes[data.sizes != aim.target] if aim.sizes is None else aim.sizes
    candidates = _candidates(fit, able, flops_a_sample(runs, data, able), longest, spread)
    cheapest = min(candidates, key=lambda one: one.flops)
    if cheapest.flops > aim.budget:
        raise FitError(
            f"--budget {aim.budget:.3g} FLOPs does not pay for any run; the cheapest, {format_quantity(cheapest.params)} for "
            f"{format_quantity(cheapest.samples)} samples, costs {cheapest.flops:.3g}."
        )
    log, J = fit.log_curve(np.array([aim.target]), np.array([[at]]))
    loss, gradient = float(10.0 ** log[0]), J[0]
    known = _known(fit, data, spread)
    chosen = choose_runs(known, candidates, gradient, aim.budget)
    even = even_spread(candidates, aim.budget)
    scale = float(2 * fit.quantile * LN10 * loss)
    now, after, evenly = (scale * float(np.sqrt(variance(known, some, gradient))) for some in ([], chosen, even))
    if aim.target > 3 * data.sizes[-1]:
        warnings.append(
            f"{format_quantity(aim.target)} is {aim.target / data.sizes[-1]:.2g} times the largest size: the width is the law's own, not what a wrong form costs"
        )
    counted = Counter((one.params, one.samples) for one in chosen)
    price = {(one.params, one.samples): one.flops for one in candidates}
    made = [
        {"params": size, "samples": length, "count": count, "flops": count * price[size, length]}
        for (size, length), count in sorted(counted.items())
    ]
    return Design(
        series=data.series,
        law=fit.law.name,
        target={"params": aim.target, "samples": at, "loss": loss},
        budget=aim.budget,
        spent=float(sum(one.flops for one in chosen)),
        run_sd=spread,
        runs=made,
        width_now=now,
        width_after=after,
        width_even=evenly,
        ratio=after / evenly,
        simulated=_Simulation(fit, longest, spread, aim.seed).compare(aim.target, at, {"after": chosen, "even": even}),
        warnings=warnings,
    )


def _plainest(data: FitData) -> Fit:
    """Return the plain closed offset with the fewest parameters: a design needs a law that is determined."""
    if len(data.sizes) < 3:
        raise FitError(
            f"series {data.series!r} has {len(data.sizes)} size(s); a design for an unseen size starts from 3."
        )
    fits = [fit_data(law, data) for law in OFFSET_FORMS if not law.name.endswith("bend")]
    settled = [one for one in fits if one.status == "converged"]
    if not settled:
        raise FitError(
            f"series {data.series!r}: no closed-offset law converges on it; more sizes are needed before a design."
        )
    return min(settled, key=lambda one: (len(one.theta), one.cost))


def _candidates(fit: Fit, sizes: Array, prices: Array, longest: float, spread: float) -> list[Candidate]:
    """Return the runs that could be made, of each size and length."""
    sigma, found = float(np.median(fit.noise.sigma)), []
    for (size, price), share in product(zip(sizes.tolist(), prices.tolist(), strict=True), LENGTHS):
        told = information(fit, size, _grid(share * longest, longest), sigma, spread)
        found.append(Candidate(size, share * longest, price * share * longest, told))
    return found


def _grid(samples: float, longest: float) -> Array:
    """Return where a run of a length is evaluated [prompts]."""
    return np.linspace(longest / EVALUATIONS, samples, max(round(samples / longest * EVALUATIONS), 3))


def _known(fit: Fit, data: FitData, spread: float) -> Array:
    """Return the information of the runs that there are, (P, P)."""
    found = np.zeros((len(fit.theta), len(fit.theta)))
    for row, size in enumerate(data.params.tolist()):
        x, sigma = data.resource[0, row][data.present[row]], float(fit.noise.sigma[row])
        found = found + information(fit, size, x, sigma, spread / np.sqrt(data.runs[row]))
    return found


@dataclass(frozen=True)
class _Simulation:
    """Refits of the law to what there is and what would be run, drawn from it."""

    fit: Fit
    longest: float
    spread: float
    seed: int

    def compare(self, target: float, at: float, plans: Mapping[str, Sequence[Candidate]]) -> dict[str, float]:
        """Return how wide predictions at the target spread with each of two plans, and the ratio of the widths."""
        rng, widths = np.random.default_rng(self.seed), {}
        log, J = self.fit.log_curve(np.array([target]), np.array([[at]]))
        for name, extra in plans.items():
            moved = 10.0 ** log[0] * (1 + LN10 * (J[0] @ self._steps(rng, extra)))
            low, high = np.percentile(moved, [2.5, 97.5])
            widths[name] = float(high - low)
        first, second = widths.values()
        return {**widths, "ratio": first / second, "simulations": float(SIMULATIONS)}

    def _steps(self, rng: np.random.Generator, extra: Sequence[Candidate]) -> Array:
        """Return one Gauss-Newton step of generalised least squares from the truth for each draw, (P, B)."""
        X, present, params = self._runs(extra)
        log, J = self.fit.log_curve(np.repeat(params, X.shape[1]), X.reshape(1, -1))
        clean = (10.0**log).reshape(X.shape)
        slopes = (J * LN10 * clean.reshape(-1, 1)).T.reshape(-1, *X.shape)
        sigma = float(np.median(self.fit.noise.sigma))
        noise = Noise(min(max(self.fit.noise.rho, 0.0), 0.97), np.full(len(params), sigma))
        drawn = ar1_noise(rng, noise, (SIMULATIONS, len(params), X.shape[1]))
        level = 1 + LN10 * self.spread * rng.standard_normal((SIMULATIONS, len(params), 1))
        off, root = clean * level + drawn - clean, 1 / noise.innovation[:, None]
        A, b = (whiten(z, noise.rho, root, present).reshape(len(z), -1).T for z in (slopes, off))
        size = np.linalg.norm(A, axis=0)
        return np.asarray(np.linalg.lstsq(A / size, b, rcond=1e-12)[0] / size[:, None])

    def _runs(self, extra: Sequence[Candidate]) -> tuple[Array, NDArray[np.bool_], Array]:
        """Return where the runs there are and those to be made are evaluated, (R, T), and their sizes, ascending."""
        data = self.fit.data
        params = np.concatenate([data.params, [one.params for one in extra]])
        shape = len(params), max(data.present.shape[1], EVALUATIONS)
        X, present = np.ones(shape), np.zeros(shape, bool)
        mine = [data.resource[0, row][data.present[row]] for row in range(len(data.params))]
        for row, grid in enumerate([*mine, *(_grid(one.samples, self.longest) for one in extra)]):
            X[row, : len(grid)], present[row, : len(grid)] = grid, True
        order = np.argsort(params, kind="stable")
        return X[order], present[order], params[order]
