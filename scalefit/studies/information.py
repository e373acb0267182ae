"""What a run says of a law, and how far refits would spread with some runs more.

A run's line departs from its size's, and a size's from the law (`scalefit.fitting.hierarchy`); evaluations are AR(1) about
the run. The parameters and the two departures of the size are what a run informs of; over the runs of a size that adds.
Shapes: P parameters of the law, Q = P + 2 with slope and level of the size; T evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.fit import Fit
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.run_lines import FARTHEST
from scalefit.laws.law import LN10
from scalefit.numerics.ar1 import Noise, ar1_noise, whiten
from scalefit.studies.optimal import Candidate, Evidence, condense

Array = NDArray[np.float64]
EVALUATIONS = 105
"""Evaluations of a run of full length."""
SIMULATIONS = 200


@dataclass(frozen=True)
class Planned:
    """A run, made or to be made: its size, where it is evaluated [prompts], and the noise of an evaluation [loss]."""

    params: float
    samples: Array
    sigma: float


def planned_run(fit: Fit, params: float, samples: float, longest: float) -> Planned:
    """Return a run of a length, evaluated as often as one of full length."""
    count = max(round(samples / longest * EVALUATIONS), 3)
    grid = np.linspace(longest / EVALUATIONS, samples, count)
    return Planned(params, grid, float(np.median(fit.noise.sigma)))


@dataclass(frozen=True)
class _Weighed:
    """A run's log10 L by the law (T,), its own and its size's departures [log10 loss] (2, T), and both weighed by noise.

    `W` (Q, T) are derivatives of the loss by what the run informs of, `U` (2, T) by the run's own departures; one of 1 is
    a standard deviation.
    """

    log: Array
    own: Array
    size: Array
    W: Array
    U: Array

    def solve(self, right: Array) -> Array:
        """Return W S^-1 of what is weighed by noise alone (n, T), (Q, n), S the covariance with the run's own departures.

        They are an addition of rank two. Source: Woodbury 1950, Inverting modified matrices.
        """
        inner = np.eye(2) + self.U @ self.U.T
        return np.asarray(self.W @ right.T - (self.W @ self.U.T) @ np.linalg.solve(inner, self.U @ right.T))


@dataclass(frozen=True)
class Informer:
    """Tells what runs say of a fitted law.

    Attributes
    ----------
    run_sd : float, optional
        Scatter of levels between runs [log10 loss], instead of what the fit says.
    """

    fit: Fit
    run_sd: float | None = None

    @cached_property
    def spreads(self) -> Array:
        """Scatter of slopes (relative) and levels [log10 loss] between runs, and the same of sizes about the law, (4,)."""
        found = np.sqrt(self.fit.evidence.spreads**2 @ self.fit.evidence.weight)
        if self.run_sd is not None:
            found[1] = self.run_sd
        return np.asarray(found)

    @cached_property
    def measured(self) -> list[Planned]:
        """The runs that there are."""
        each, sigma = self.fit.data.each, self.fit.noise.sigma[self.fit.data.run_curve]
        x = (each.resource[0, row][each.present[row]] for row in range(len(each.params)))
        return [Planned(*one) for one in zip(each.params.tolist(), x, sigma.tolist(), strict=True)]

    @cached_property
    def _middle(self) -> float:
        """Where sizes turn, in prompts: the geometric middle of what was measured."""
        data = self.fit.data
        return float(np.exp(np.mean(np.log(data.resource[0][data.present]))))

    @cached_property
    def _turn(self) -> int:
        """How runs turn as the fit has it most likely, one of `turns.TURNS`."""
        found = self.fit.evidence
        return int(np.argmax(np.bincount(found.turn, found.weight))) if isinstance(found, Hierarchy) else 0

    def _begin(self, samples: Array) -> float:
        """Return where a run turns if not about its centre, in prompts."""
        return 1.0 if self._turn == 2 and np.log10(samples).mean() <= FARTHEST else float(samples[0])

    def _whiten(self, z: Array, sigma: float) -> Array:
        return whiten(z, self._rho, 1 / (sigma * np.sqrt(1 - self._rho**2)))

    @cached_property
    def _rho(self) -> float:
        return min(max(self.fit.noise.rho, 0.0), 0.97)

    def weigh(self, run: Planned) -> _Weighed:
        """Return a run with its derivatives."""
        x = np.append(run.samples, [self._begin(run.samples), self._middle])
        curve, slopes = self.fit.log_curve(np.full(len(x), run.params), x[None])
        log, J, slope = curve[:-2], slopes[:-2], LN10 * 10.0 ** curve[:-2]
        # A straight line turns by a share of its own fall: a run's about its centre or where it begins, a size's about the middle.
        one = np.ones(len(log))
        about = curve[-2] if self._turn else np.average(log, weights=slope**2)
        own = np.stack([log - about, one]) * self.spreads[:2, None]
        size = np.stack([log - curve[-1], one]) * self.spreads[2:, None]
        told = np.concatenate([J.T, size])
        return _Weighed(log, own, size, *(self._whiten(some * slope, run.sigma) for some in (told, own)))

    def inform(self, run: Planned) -> Array:
        """Return a run's information of the parameters and of its size's departures, (Q, Q)."""
        weighed = self.weigh(run)
        return weighed.solve(weighed.W)

    def known(self, sizes: Array) -> Evidence:
        """Return what the runs that there are say, with room for runs of other sizes."""
        Q = len(self.fit.theta) + 2
        every = np.unique(np.concatenate([self.fit.data.sizes, sizes]))
        told = np.zeros((len(every), Q, Q))
        for run in self.measured:
            told[np.searchsorted(every, run.params)] += self.inform(run)
        return Evidence(every, told)

    def simulate(
        self, plans: Mapping[str, Sequence[Candidate]], target: tuple[float, float], longest: float, seed: int
    ) -> dict[str, float]:
        """Return how wide predictions at the target (size, prompts) spread with each of two plans, and the ratio of the widths."""
        rng, widths = np.random.default_rng(seed), {}
        log, J = self.fit.log_curve(np.array(target[:1]), np.array([target[1:]]))
        for name, extra in plans.items():
            runs = [planned_run(self.fit, one.params, one.samples, longest) for one in extra]
            moved = 10.0 ** log[0] * (1 + LN10 * (J[0] @ self._steps(rng, [*self.measured, *runs])))
            low, high = np.percentile(moved, [2.5, 97.5])
            widths[name] = float(high - low)
        first, second = widths.values()
        return {**widths, "ratio": first / second, "simulations": float(SIMULATIONS)}

    def _steps(self, rng: np.random.Generator, runs: Sequence[Planned]) -> Array:
        """Return one Gauss-Newton step of generalised least squares from the truth for each draw of all runs, (P, B)."""
        P = len(self.fit.theta)
        told, right = np.zeros((P, P)), np.zeros((P, SIMULATIONS))
        for size in sorted({run.params for run in runs}):
            shift = rng.standard_normal((SIMULATIONS, 2))
            mine, sums = np.zeros((P + 2, P + 2)), np.zeros((P + 2, SIMULATIONS))
            for run in (one for one in runs if one.params == size):
                weighed = self.weigh(run)
                noise = Noise(self._rho, np.array([run.sigma]))
                drawn = ar1_noise(rng, noise, (SIMULATIONS, 1, len(run.samples)))[:, 0]
                departs = shift @ weighed.size + rng.standard_normal((SIMULATIONS, 2)) @ weighed.own
                off = 10.0**weighed.log * (10.0**departs - 1) + drawn
                mine, sums = mine + weighed.solve(weighed.W), sums + weighed.solve(self._whiten(off, run.sigma))
            told = told + condense(mine)
            right = right + sums[:P] - mine[:P, P:] @ np.linalg.solve(np.eye(2) + mine[P:, P:], sums[P:])
        scale = np.sqrt(np.diag(told))
        step = np.linalg.lstsq(told / np.outer(scale, scale), right / scale[:, None], rcond=1e-12)[0]
        return np.asarray(step / scale[:, None])
