"""Fit a law to prepared curves and judge the result: estimates, covariance, noise, status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError, UsageError, nearest
from scalefit.fitting.binding import BoundLaw, law_resource
from scalefit.fitting.line_problem import LineProblem
from scalefit.fitting.point_problem import PointProblem, Problem
from scalefit.fitting.start import find_start
from scalefit.laws import get_law
from scalefit.laws.law import Law
from scalefit.numerics.ar1 import Noise, effective_points, estimate_noise
from scalefit.numerics.intervals import student
from scalefit.table.prepare import FitData
from scalefit.units import format_quantity, parse_quantity

Array = NDArray[np.float64]
OBJECTIVES = ("loss", "log10-loss")
NOISES = ("ar1", "independent")


DRIFT = 0.97
"""Noise correlation above which residuals are told as misfit rather than noise."""
DRIFT_WORDS = (
    "the law misses the shape of the curves, which is no noise; its lines are the least-squares ones, its intervals "
    "allow for the drift. Try `scalefit compare`"
)


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and 95 % interval; an end the data do not bound is infinite."""

    value: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class Specification:
    """What was asked: objective, noise model, Huber width (None for squared error)."""

    objective: str = "loss"
    noise: str = "ar1"
    huber: float | None = None

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise UsageError(f"objective {self.objective!r}: {nearest(self.objective, OBJECTIVES)}")
        if self.noise not in NOISES:
            raise UsageError(f"noise {self.noise!r}: {nearest(self.noise, NOISES)}")
        if self.huber is not None and not self.huber > 0:
            raise UsageError(f"huber {self.huber}: must be greater than 0, in units of the (whitened) residual.")


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

    def k(self, params: str | float) -> Estimate:
        """Return k(N) at a model size, with a 95 % interval by the delta method on log k.

        Raises
        ------
        FitError
            If the law has no k(N), or none for this size.
        """
        N = np.array([parse_quantity(params, "params")])
        if self.law.line is None:
            raise FitError(f"law {self.law.name!r} has no k(N); fit a line law such as 'saturating'.")
        slope_params = [p for p in self.law.params if p.per_size]
        if any(p.name == "k" for p in slope_params):
            self.bound.at(self.theta, N)
        values = self.bound.values(self.theta)
        shared = {p.name: values[p.name] if not p.per_size else np.zeros(1) for p in self.law.params}
        if any(p.name == "k" for p in slope_params):
            shared = self.bound.at(self.theta, N)
        slope_k, _, by = self.law.line(shared, N)
        k = float(np.ravel(slope_k)[0])
        slope = np.zeros(len(self.theta))
        for param in self.law.params:
            if param.name not in by:
                continue
            part = self.bound.columns[param.name]
            where = part.start + (int(np.argmin(np.abs(self.data.sizes - N[0]))) if param.per_size else 0)
            slope[where] = float(np.ravel(by[param.name][0])[0]) * (
                float(np.ravel(shared[param.name])[0]) if param.scale == "log" else 1.0
            )
        used = slope != 0
        se = float(np.sqrt(max(slope[used] @ self.covariance[np.ix_(used, used)] @ slope[used], 0.0)))
        if k > 0 and se < k:
            spread = float(np.exp(self.quantile * se / k))
            return Estimate(k, se, k / spread, k * spread)
        return Estimate(k, se, k - self.quantile * se, k + self.quantile * se)

    def log_curve(self, params: Array, resource: Array) -> tuple[Array, Array]:
        """Return log10 L and its derivative by theta at points: `params` (n,), `resource` (Q, n) as in the table."""
        seen = law_resource(self.law, self.data, resource, params)
        log = np.broadcast_to(self.bound.log_loss(self.theta, params, seen), params.shape)
        return log, self.bound.jacobian(self.theta, params, seen)

    def predict(
        self, params: str | float, *, samples: Any = None, flops: Any = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Predict the loss curve (not a new evaluation's noise) at given values of the resource.

        Parameters
        ----------
        params : str or float
            Model size [parameters].
        samples, flops : sequence of float
            D [prompts] or C [FLOPs], whichever the law was fitted on; both for `joint`.
        level : float
            Of the interval.

        Returns
        -------
        pandas.DataFrame
            Columns params, samples and/or flops, loss, low, high.
        """
        given = {"samples": samples, "flops": flops}
        wrong = [name for name in given if (given[name] is not None) != (name in self.data.resources)]
        if wrong:
            raise UsageError(
                f"this fit is in {' and '.join(self.data.resources)}; give {' and '.join(self.data.resources)} and nothing else."
            )
        X = np.stack([np.atleast_1d(np.asarray(given[name], float)) for name in self.data.resources])
        N = np.full(X.shape[1], parse_quantity(params, "params"))
        log, J = self.log_curve(N, X)
        se = np.sqrt(
            np.maximum(np.einsum("np,pq,nq->n", J, np.where(np.isfinite(self.covariance), self.covariance, 1e12), J), 0)
        )
        t = student(level, self.dof)
        frame = pd.DataFrame({"params": N, **{name: X[i] for i, name in enumerate(self.data.resources)}})
        frame["loss"] = 10.0**log
        frame["low"], frame["high"] = 10.0 ** (log - t * se), np.minimum(10.0 ** np.minimum(log + t * se, 2.0), 1.0)
        return frame


def make_problem(law: Law, data: FitData, specification: Specification, noise: Noise | None = None) -> Problem:
    """Return the batched problem for line laws with squared error, else the general one."""
    bound = BoundLaw(law, data.sizes)
    if law.line is not None and specification.huber is None:
        return LineProblem(bound, data, specification.objective, noise)
    return PointProblem(bound, data, specification.objective, noise, specification.huber)


def fitted_curves(problem: Problem, theta: Array) -> Array:
    """Return the fitted curves on the problem's scale, shape (R, T)."""
    if isinstance(problem, LineProblem):
        return problem.curves(theta[None])[0]
    return np.asarray(problem.fitted(theta))


def share_explained(problem: Problem, theta: Array) -> float:
    """Return R² on the problem's scale, points weighed as the data say."""
    data = problem.data
    residual = np.where(data.present, problem.y - fitted_curves(problem, theta), 0.0)
    centre = np.average(problem.y, weights=data.weight)
    total = float(np.sum(data.weight * (problem.y - centre) ** 2))
    return 1 - float(np.sum(data.weight * residual**2)) / total


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
    law = get_law(law)
    spec = specification or Specification()
    bound = BoundLaw(law, data.sizes)
    _refuse_hopeless(law, bound, data)
    problem = make_problem(law, data, spec)
    start = find_start(bound, data)
    solution = problem.solve(start[None])
    theta = solution.theta[0]
    problem_residual = np.where(data.present, problem.y - fitted_curves(problem, theta), 0.0)
    noise = estimate_noise(problem_residual, problem.jacobian(theta), data.present) if spec.noise == "ar1" else None
    if noise is not None and spec.huber is None:
        # Feasible generalised least squares: estimate the noise, refit, once more.
        plain = problem, solution, theta
        for _ in range(2):
            if noise.rho > DRIFT:
                break
            problem = make_problem(law, data, spec, noise)
            solution = problem.solve(theta[None])
            theta = solution.theta[0]
            residual = np.where(data.present, problem.y - fitted_curves(problem, theta), 0.0)
            noise = estimate_noise(residual, problem.jacobian(theta), data.present)
        if noise.rho > DRIFT:
            problem, solution, theta = plain
    residual = np.where(data.present, problem.y - fitted_curves(problem, theta), 0.0)
    points, P = data.points, len(theta)
    if noise is None:
        weighted = float(np.sum(data.weight * residual**2))
        variance = max(weighted / max(points - P, 1), 1e-300)
        noise = Noise(0.0, np.full(len(data.params), np.sqrt(variance)))
        scale = variance
    else:
        scale = 1.0
        if spec.huber is not None:
            problem = make_problem(law, data, Specification(spec.objective, spec.noise), noise)
            J = (
                problem.whiten(np.moveaxis(problem.jacobian(theta), -1, 0))
                if isinstance(problem, LineProblem)
                else np.moveaxis(problem.whiten(problem.jacobian(theta)), -1, 0)
            )
            flat = J.reshape(P, -1)
            solution = type(solution)(theta[None], solution.cost, (flat @ flat.T)[None], solution.converged)
    covariance, status, notes = _judge(law, bound, data, theta, solution.normal[0], bool(solution.converged[0]), scale)
    if noise.rho > DRIFT:
        covariance = _sandwich(covariance, problem.jacobian(theta), data, noise)
        notes = (*notes, f"residuals drift (correlation {noise.rho:.2f}): {DRIFT_WORDS}")
    r2 = share_explained(problem, theta)
    dof = max(effective_points(data.present, noise.rho) - P, 3.0)
    return Fit(law, data, spec, theta, covariance, noise, status, notes, r2, float(solution.cost[0]), dof)


def _sandwich(bread: Array, jacobian: Array, data: FitData, noise: Noise) -> Array:
    """Return the covariance of a least-squares estimate under AR(1) noise, V J' W S W J V, from V, the inverse of J' W J.

    Source: Liang and Zeger 1986, Biometrika 73, with the noise's own covariance S in place of the residuals' products.
    """
    known = np.isfinite(np.diag(bread))
    meat = np.zeros(bread.shape)
    for row, present in enumerate(data.present):
        J = data.weight[row, present, None] * jacobian[row, present]
        lag = np.abs(np.subtract.outer(np.arange(len(J)), np.arange(len(J))))
        meat += noise.sigma[row] ** 2 * J.T @ noise.rho**lag @ J
    found = bread.copy()
    inner = np.ix_(known, known)
    found[inner] = bread[inner] @ meat[inner] @ bread[inner]
    return found


def _refuse_hopeless(law: Law, bound: BoundLaw, data: FitData) -> None:
    sizes = ", ".join(format_quantity(size) for size in data.sizes)
    if law.resources != len(data.resources):
        raise FitError(
            f"law {law.name!r} needs {law.resources} resource(s), the data were prepared with {', '.join(data.resources)}."
        )
    if data.points < len(bound.names):
        raise FitError(
            f"series {data.series!r}: {data.points} points for the {len(bound.names)} parameters of {law.name!r}. Give more evaluations or a smaller law."
        )
    shared = [p.name for p in law.params if not p.per_size and p.name != "X_bend"]
    if shared and len(data.sizes) < 2:
        raise FitError(
            f"series {data.series!r} holds a single model size ({sizes}); {law.name!r} describes how curves depend on size. "
            "Fit a law per size ('power', 'sigmoid', ...), or add runs of other sizes."
        )
    loss = data.loss[data.present]
    if np.ptp(loss) == 0:
        raise FitError(
            f"series {data.series!r}: the loss is {loss[0]:g} everywhere; nothing can be learnt from a constant curve. Check the 'loss' column."
        )


def _judge(
    law: Law, bound: BoundLaw, data: FitData, theta: Array, normal: Array, converged: bool, scale: float
) -> tuple[Array, str, tuple[str, ...]]:
    """Return covariance, status and notes: bounds, singular directions and the joint law's split."""
    notes: list[str] = []
    low, high = bound.bounds
    width = np.where(np.isfinite(high - low), high - low, 1.0)
    at = (theta - low < 1e-6 * width) | (high - theta < 1e-6 * width)
    size = np.sqrt(np.maximum(np.diag(normal), 0.0))
    dead = (size <= 1e-12 * max(size.max(), 1e-300)) & ~at
    covariance = np.full(normal.shape, 0.0)
    use = ~at & ~dead
    lost = dead.copy()
    if use.any():
        scaled = normal[np.ix_(use, use)] / np.outer(size[use], size[use])
        values, vectors = np.linalg.eigh(scaled)
        weak = values < 1e-11
        inverse = (vectors[:, ~weak] / values[~weak]) @ vectors[:, ~weak].T
        covariance[np.ix_(use, use)] = scale * inverse / np.outer(size[use], size[use])
        if weak.any():
            lost[np.flatnonzero(use)[(np.abs(vectors[:, weak]) > 0.1).any(1)]] = True
    if law.resources == 2 and (split := _together(data)) is not None:
        # The offsets take up whatever the split does, so no parameter can be printed.
        lost[:] = True
        notes.append(split)
    elif lost.any():
        notes.append(
            "the data do not determine " + ", ".join(np.array(bound.names)[lost]) + " (a direction of no effect)"
        )
    covariance[np.diag_indices_from(covariance)] = np.where(at | lost, np.inf, np.diag(covariance))
    if at.any():
        notes.append("at a bound: " + ", ".join(np.array(bound.names)[at]))
    status = "stopped" if not converged else "unidentified" if lost.any() else "at-bound" if at.any() else "converged"
    if not converged:
        notes.append("the solver stopped before it converged")
    return covariance, status, tuple(notes)


def _together(data: FitData) -> str | None:
    """Say so when log C and log D move together within every size; threshold .05 decades of spread."""
    log = np.log10(data.resource)
    spread, n = 0.0, 0
    for s in range(len(data.sizes)):
        mine = data.present & (data.size_index == s)[:, None]
        C, D = log[0][mine], log[1][mine]
        if len(C) > 2:
            spread += float(np.sum((C - np.polyval(np.polyfit(D, C, 1), D)) ** 2))
            n += len(C)
    away = np.sqrt(spread / max(n, 1))
    if away >= 0.05:
        return None
    return (
        f"C and D move together (log10 C strays {away:.3f} decades from a line in log10 D within a size): "
        "the split between k_C and k_D is unidentified; add runs with another group_size, length or reuse"
    )
