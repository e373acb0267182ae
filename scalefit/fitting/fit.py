"""Fit a law to prepared curves and judge the result: estimates, covariance, noise, status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw, law_resource
from scalefit.fitting.line_problem import LineProblem
from scalefit.fitting.point_problem import PointProblem
from scalefit.fitting.problem import Problem
from scalefit.fitting.specification import Specification
from scalefit.fitting.start import find_start
from scalefit.fitting.status import DRIFT, allow_for_drift, inverse, judge, refuse_hopeless, rests_on_split, sandwich
from scalefit.laws import get_law
from scalefit.laws.law import Law
from scalefit.numerics.ar1 import Noise, effective_points
from scalefit.numerics.intervals import student
from scalefit.numerics.least_squares import Solution
from scalefit.table.prepare import FitData
from scalefit.units import format_quantity, parse_quantity

Array = NDArray[np.float64]
BEYOND = 10.0
"""Standard error [decades of loss, or of k] from which nothing is known."""


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and 95 % interval; an end the data do not bound is infinite."""

    value: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes
    ----------
    theta : ndarray, shape (P,)
        Flat parameters on the fitted scale (logarithms where the law says so).
    covariance : ndarray, shape (P, P)
        Of `theta`; infinite rows for directions that the data do not determine.
    status : str
        converged, at-bound, unidentified or stopped.
    notes : tuple of str
        Why the status is what it is.
    """

    law: Law
    data: FitData
    specification: Specification
    theta: Array
    covariance: Array
    noise: Noise
    status: str
    notes: tuple[str, ...]
    r2: float
    cost: float
    dof: float
    profiles: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def bound(self) -> BoundLaw:
        """The law bound to the sizes of the data."""
        return BoundLaw(self.law, self.data.sizes)

    @cached_property
    def quantile(self) -> float:
        """Student's t for a 95 % interval at the effective degrees of freedom."""
        return student(0.95, self.dof)

    @property
    def params(self) -> dict[str, Estimate]:
        """Every parameter by name, per-size ones as `E[7B]`, with its 95 % interval."""
        outer = self.bound.external(self.theta)
        se = np.sqrt(np.diag(self.covariance))
        low, high = self.theta - self.quantile * se, self.theta + self.quantile * se
        found = {}
        with np.errstate(over="ignore"):
            for i, name in enumerate(self.bound.names):
                log = bool(self.bound.log_scaled[i])
                ends = (float(np.exp(low[i])), float(np.exp(high[i]))) if log else (float(low[i]), float(high[i]))
                ends = self.profiles.get(name, ends)
                found[name] = Estimate(float(outer[i]), float(se[i] * outer[i] if log else se[i]), *ends)
        return found

    @property
    def frame(self) -> pd.DataFrame:
        """Parameters as a frame: value, se, low, high (95 %), indexed by name."""
        return pd.DataFrame({name: vars(one) for name, one in self.params.items()}).T

    def _repr_html_(self) -> str:
        from html import escape

        data = self.data
        sizes = ", ".join(format_quantity(size) for size in data.sizes)
        about = f"{data.series}, {self.law.name} in {', '.join(data.resources)}: {self.status}; {sizes}; {data.points} points"
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table: str = self.frame.to_html(float_format="{:.4g}".format, border=0)
        return f"<p><b>{escape(about)}</b><br><code>{escape(self.law.formula)}</code></p>{table}{f'<ul>{notes}</ul>' if notes else ''}"

    @property
    def drifts(self) -> bool:
        """Whether residuals are so correlated that they are misfit, not noise."""
        return self.noise.rho > DRIFT

    @property
    def whitening(self) -> Noise | None:
        """The noise whose inverse weighs residuals; None where they are weighed as in ordinary least squares."""
        return None if self.specification.noise == "independent" or self.drifts else self.noise

    @cached_property
    def _everywhere(self) -> Array:
        """Covariance of all directions, also of parameters at a bound; one of no effect has a variance beyond all bounds."""
        if np.isfinite(self.covariance).all():
            return self.covariance
        squared = Specification(self.specification.objective, self.specification.noise)
        problem = make_problem(self.bound, self.data, squared, self.whitening)
        J = problem.whitened_jacobian(self.theta)
        found = inverse(J.T @ J)
        if self.drifts:
            return sandwich(found, problem, self.theta, self.noise)
        return found if self.whitening else found * float(np.mean(self.noise.sigma**2))

    def curve_error(self, slope: Array) -> Array:
        """Return the standard error of what has these derivatives by theta, (n, P) -> (n,).

        It is infinite where it rests on a direction that the data do not determine.
        """
        variance = np.einsum("np,pq,nq->n", slope, self._everywhere, slope)
        # Where rounding has left a variance below 0, it has left nothing of it.
        drowned = (slope[:, np.diag(self._everywhere) < 0] != 0).any(1) | (variance < -1e-12)
        return np.where((variance > BEYOND**2) | drowned, np.inf, np.sqrt(np.maximum(variance, 0)))

    def k(self, params: str | float) -> Estimate:
        """Return k(N) at a model size, with a 95 % interval by the delta method on log k; infinite if not determined.

        Raises
        ------
        FitError
            If the law has no k(N), or none for this size.
        """
        k, slope, depends = self.bound.k(self.theta, parse_quantity(params, "params"))
        se = float(self.curve_error(slope[None])[0])
        undetermined = depends & np.isinf(np.diag(self.covariance))
        if (undetermined & ((slope == 0) | (se >= abs(k)))).any():
            se = np.inf
        if k > 0 and se < k:
            spread = float(np.exp(self.quantile * se / k))
            return Estimate(k, se, k / spread, k * spread)
        return Estimate(k, se, k - self.quantile * se, k + self.quantile * se)

    def log_curve(self, params: Array, resource: Array) -> tuple[Array, Array]:
        """Return log10 L and its derivative by theta at points: `params` (n,), `resource` (Q, n) as in the table."""
        seen = law_resource(self.law, self.data, resource, params)
        log = np.broadcast_to(self.bound.log_loss(self.theta, params, seen), params.shape)
        return log, self.bound.jacobian(self.theta, params, seen)

    def curve(self, params: float, resource: Array) -> tuple[Array, Array]:
        """Return log10 L of a size at values of the resource (Q, n), and its standard error by the law; both (n,).

        The error is infinite where the curve rests on what the data do not determine.
        """
        log, J = self.log_curve(np.full(resource.shape[1], params), resource)
        se = self.curve_error(J)
        return log, np.where(rests_on_split(self.data, params, resource), np.inf, se) if len(resource) == 2 else se


def make_problem(bound: BoundLaw, data: FitData, specification: Specification, noise: Noise | None = None) -> Problem:
    """Return the batched problem for line laws with squared error, else the general one."""
    if bound.law.line is not None and specification.huber is None:
        return LineProblem(bound, data, specification.objective, noise)
    return PointProblem(bound, data, specification.objective, noise, huber=specification.huber)


def share_explained(problem: Problem, theta: Array) -> float:
    """Return R² on the problem's scale, points weighed as the data say."""
    weight = problem.data.weight
    centre = np.average(problem.y, weights=weight)
    total = float(np.sum(weight * (problem.y - centre) ** 2))
    return 1 - float(np.sum(weight * problem.residual(theta) ** 2)) / total


def fit_data(law: Law | str, data: FitData, specification: Specification | None = None) -> Fit:
    """Fit a law to prepared curves.

    Parameters
    ----------
    law : Law or str
        A law, the name of one of `LAWS`, or `module:NAME` of one's own.
    data : FitData
        From `scalefit.table.prepare.prepare`.
    specification : Specification, optional
        Objective, noise model and robust loss.

    Raises
    ------
    FitError
        If there are fewer points than parameters, one size only for a law of size, or a constant table.
    """
    law, spec = get_law(law), specification or Specification()
    bound = BoundLaw(law, data.sizes)
    refuse_hopeless(bound, data)
    problem = make_problem(bound, data, spec)
    solution = problem.solve(find_start(bound, data)[None])
    if spec.noise == "ar1":
        problem, solution, noise = _allow_for_noise(problem, solution, spec)
        scale = 1.0
    else:
        squares = float(np.sum(data.weight * problem.residual(solution.theta[0]) ** 2))
        scale = max(squares / max(data.points - solution.theta.shape[1], 1), 1e-300)
        noise = Noise(0.0, np.full(len(data.params), np.sqrt(scale)))
    theta = solution.theta[0]
    found = judge(problem, solution, scale)
    if noise.rho > DRIFT:
        found = allow_for_drift(found, problem, theta, noise)
    dof = max(effective_points(data.present, noise.rho) - len(theta), 3.0)
    r2, cost = share_explained(problem, theta), float(solution.cost[0])
    return Fit(law, data, spec, theta, found.covariance, noise, found.status, found.notes, r2, cost, dof)


def _allow_for_noise(problem: Problem, solution: Solution, spec: Specification) -> tuple[Problem, Solution, Noise]:
    """Estimate the noise and weigh by it (feasible generalised least squares), unless it is drift; Huber's fit stays."""
    bound, data, plain = problem.bound, problem.data, (problem, solution)
    noise = problem.noise_at(solution.theta[0])
    if spec.huber is not None:
        squared = make_problem(bound, data, Specification(spec.objective, spec.noise), noise)
        J = squared.whitened_jacobian(solution.theta[0])
        return problem, replace(solution, normal=(J.T @ J)[None]), noise
    for _ in range(2):
        if noise.rho > DRIFT:
            return *plain, noise
        problem = make_problem(bound, data, spec, noise)
        solution = problem.solve(solution.theta)
        noise = problem.noise_at(solution.theta[0])
    return (*plain, noise) if noise.rho > DRIFT else (problem, solution, noise)


__all__ = ["Estimate", "Fit", "Specification", "fit_data", "make_problem", "share_explained"]
