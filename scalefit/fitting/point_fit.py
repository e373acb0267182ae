"""Fit a law by least squares of points, and add what the scatter of runs does to its parameters: laws that are no straight line, and the published way for those that are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.deviations import Deviations, weigh_deviations
from scalefit.fitting.line_problem import LineProblem
from scalefit.fitting.point_problem import PointProblem
from scalefit.fitting.problem import Problem
from scalefit.fitting.run_lines import LEAST, has_final_losses
from scalefit.fitting.specification import Specification
from scalefit.fitting.start import find_start
from scalefit.fitting.status import Judgement, judge, judge_split
from scalefit.numerics.ar1 import DRIFT, Noise, effective_points
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PointFit:
    """Parameters (P,) on the fitted scale, what they are worth, each run's noise, how runs depart, degrees of freedom."""

    theta: Array
    judgement: Judgement
    noise: Noise
    deviations: Deviations
    dof: float


def make_problem(bound: BoundLaw, data: FitData, spec: Specification) -> LineProblem | PointProblem:
    """Return the batched problem for line laws with squared error, else the general one."""
    if bound.law.line is not None and spec.huber is None:
        return LineProblem(bound, data, spec.objective)
    return PointProblem(bound, data, spec.objective, huber=spec.huber)


def share_explained(bound: BoundLaw, data: FitData, spec: Specification, theta: Array) -> tuple[float, float]:
    """Return R² on the objective's scale, points weighed as the data say, and what least squares (or Huber's) would make least."""
    problem = make_problem(bound, data, spec)
    weight = problem.data.weight
    centre = np.average(problem.y, weights=weight)
    total = float(np.sum(weight * (problem.y - centre) ** 2))
    rest = float(np.sum(weight * problem.residual(theta) ** 2))
    return 1 - rest / total, 0.5 * rest if spec.huber is None else float(problem.normal(theta[None])[0][0])


def fit_points(bound: BoundLaw, data: FitData, spec: Specification) -> PointFit:
    """Fit a law to the points of runs, none merged; weighed by the inverse of AR(1) noise unless that is drift."""
    problem = make_problem(bound, data, spec)
    solution = plain = problem.solve(find_start(bound, data)[None])
    noise, whitened = _noise_of(problem, solution.theta[0], spec), False
    if _correlated(data, spec) and spec.huber is None:
        for _ in range(2):
            if noise.rho > DRIFT:
                break
            problem.weigh(noise)
            whitened = True
            solution = problem.solve(solution.theta)
            noise = _noise_of(problem, solution.theta[0], spec)
        if noise.rho > DRIFT:
            solution, whitened = plain, False
    theta = solution.theta[0]
    deviations = _weigh(problem, spec, theta, (noise, whitened))
    scale = 1.0 if whitened else float(np.mean(noise.sigma**2))
    found = judge(bound, np.arange(len(theta)), solution, bound.bounds, scale)
    if bound.law.resources == 2:
        found = judge_split(found, data)
    covariance = deviations.covariance()
    lost = np.isinf(np.diag(found.covariance)) | (np.diag(covariance) < 0)
    covariance = np.where(lost[:, None] | lost, 0.0, covariance)
    covariance[lost, lost] = np.inf
    dof = degrees_of_freedom(data, noise.rho, deviations.known, len(theta))
    return PointFit(theta, replace(found, covariance=covariance), noise, deviations, dof)


def degrees_of_freedom(data: FitData, rho: float, known: bool, count: int) -> float:
    """Return what there is beyond `count` parameters: runs, of longer runs their slopes and levels, or else evaluations.

    Evaluations are counted where how runs scatter is not `known`.
    """
    lengths = data.present.sum(1)
    if has_final_losses(data):
        units = float(len(lengths))
    elif known:
        units = 2.0 * float(np.sum(lengths >= LEAST))
    else:
        units = effective_points(data.present, rho)
    return max(units - count, 1.0)


def weigh_points(bound: BoundLaw, data: FitData, spec: Specification, theta: Array) -> Deviations:
    """Return how runs depart from a law that was fitted before."""
    problem = make_problem(bound, data, spec)
    noise = _noise_of(problem, theta, spec)
    whitened = _correlated(data, spec) and spec.huber is None and noise.rho <= DRIFT
    return _weigh(problem, spec, theta, (noise, whitened))


def _weigh(problem: Problem, spec: Specification, theta: Array, noise: tuple[Noise, bool]) -> Deviations:
    if spec.huber is not None:
        problem = make_problem(problem.bound, problem.data, replace(spec, huber=None))
    problem.weigh(noise[0] if noise[1] else None)
    return weigh_deviations(problem, theta, problem.normal(theta[None])[2][0], *noise)


def _correlated(data: FitData, spec: Specification) -> bool:
    return spec.noise == "ar1" and bool((data.present.sum(1) >= LEAST).any())


def _noise_of(problem: Problem, theta: Array, spec: Specification) -> Noise:
    """Estimate the noise about a curve: correlated where runs have evaluations enough and it was asked for."""
    data = problem.data
    if _correlated(data, spec):
        return problem.noise_at(theta)
    squares = float(np.sum(data.weight * problem.residual(theta) ** 2))
    variance = max(squares / max(data.points - len(theta), 1), 1e-300)
    return Noise(0.0, np.full(len(data.params), np.sqrt(variance)))
