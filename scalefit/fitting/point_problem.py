"""Least squares for any law and any loss: scipy's trust region with the analytic Jacobian."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw, law_resource
from scalefit.fitting.line_problem import Solution
from scalefit.laws.law import LN10
from scalefit.numerics.ar1 import Noise
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]


class PointProblem:
    """The least-squares problem of a law on the points of a table; same face as `LineProblem` for one fit."""

    def __init__(
        self,
        bound: BoundLaw,
        data: FitData,
        objective: str = "loss",
        noise: Noise | None = None,
        huber: float | None = None,
    ) -> None:
        self.bound, self.data, self.linear, self.huber = bound, data, objective == "loss", huber
        self.objective, self.noise = objective, noise
        self.present = data.present
        seen = law_resource(bound.law, data, data.resource, data.params)
        self.X = seen[:, self.present]
        self.N = np.broadcast_to(data.params[:, None], self.present.shape)[self.present]
        floor = 0.5 / np.where(np.isfinite(data.eval_size), data.eval_size, 1e4)[:, None]
        self.y = data.loss if self.linear else np.log10(np.maximum(data.loss, floor))
        self.rho = 0.0 if noise is None else noise.rho
        self.root = (
            np.sqrt(data.weight) if noise is None else self.present / (noise.sigma[:, None] * np.sqrt(1 - noise.rho**2))
        )

    def whiten(self, z: Array) -> Array:
        """Weight and decorrelate along the time axis of (R, T, ...)."""
        scaled = z * self.root.reshape(self.root.shape + (1,) * (z.ndim - 2))
        if self.rho == 0.0:
            return scaled
        out = scaled.copy()
        out[:, 1:] -= self.rho * scaled[:, :-1]
        out[:, 0] *= np.sqrt(1 - self.rho**2)
        return np.asarray(out * self.present.reshape(self.present.shape + (1,) * (z.ndim - 2)))

    def _grid(self, points: Array) -> Array:
        out = np.zeros(self.present.shape + points.shape[1:])
        out[self.present] = points
        return out

    def fitted(self, theta: Array) -> Array:
        """Return the fitted curves, shape (R, T); 0 where absent."""
        log = np.broadcast_to(self.bound.log_loss(theta, self.N, self.X), self.N.shape)
        return self._grid(10.0 ** np.minimum(log, 3.0) if self.linear else log)

    def residual(self, theta: Array) -> Array:
        """Return the whitened residuals of the points present, shape (n,)."""
        return np.asarray(self.whiten(np.where(self.present, self.fitted(theta) - self.y, 0.0))[self.present])

    def jacobian(self, theta: Array) -> Array:
        """Return the unweighted derivative of the curves, shape (R, T, P)."""
        J = self.bound.jacobian(theta, self.N, self.X)
        if self.linear:
            J = J * (LN10 * self.fitted(theta)[self.present])[:, None]
        return self._grid(J)

    def _whitened_jacobian(self, theta: Array) -> Array:
        return self.whiten(self.jacobian(theta))[self.present]

    def solve(self, start: Array) -> Solution:
        """Minimise from `start` (1, P); a law whose parameters are all per size is solved size by size."""
        if len(self.bound.sizes) > 1 and all(param.per_size for param in self.bound.law.params):
            return self._solve_each_size(start)
        return self._solve_whole(start)

    def _solve_each_size(self, start: Array) -> Solution:
        count = len(self.bound.sizes)
        # Flat order is parameter by parameter; row s of `where` picks those of size s.
        where = np.arange(start.shape[1]).reshape(-1, count).T
        theta, cost, normal, converged = start.copy(), 0.0, np.zeros((1, start.size, start.size)), True
        for own, size in zip(where, self.bound.sizes, strict=True):
            rows = self.data.params == size
            noise = None if self.noise is None else Noise(self.noise.rho, self.noise.sigma[rows])
            bound = BoundLaw(self.bound.law, np.array([size]))
            data = replace(self.data.keep(rows), weight=self.data.weight[rows])
            part = PointProblem(bound, data, self.objective, noise, self.huber)._solve_whole(start[:, own])
            theta[0, own] = part.theta[0]
            normal[0][np.ix_(own, own)] = part.normal[0]
            cost, converged = cost + float(part.cost[0]), converged and bool(part.converged[0])
        return Solution(theta, np.array([cost]), normal, np.array([converged]))

    def _solve_whole(self, start: Array) -> Solution:
        from scipy.optimize import least_squares

        low, high = self.bound.bounds
        width = np.where(np.isfinite(high - low), high - low, 1.0)
        options: dict[str, Any] = {"loss": "huber", "f_scale": self.huber} if self.huber else {}
        result = least_squares(
            self.residual,
            np.clip(start[0], low + 1e-9 * width, high - 1e-9 * width),
            jac=self._whitened_jacobian,
            bounds=(low, high),
            x_scale="jac",
            ftol=1e-13,
            xtol=1e-11,
            gtol=1e-12,
            max_nfev=2000,
            **options,
        )
        J = self._whitened_jacobian(result.x)
        return Solution(result.x[None], np.array([result.cost]), (J.T @ J)[None], np.array([result.status > 0]))


Problem = Any
"""A `LineProblem` or a `PointProblem`."""
