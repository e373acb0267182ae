"""Least squares for any law and any loss: the law's values and slopes at points, one small Gram matrix a curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.problem import Problem
from scalefit.numerics.ar1 import Noise
from scalefit.numerics.least_squares import Limits, Solution, minimise
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]
LIMITS = Limits(iterations=1000, tolerance=1e-16, patient=True)


class PointProblem(Problem):
    """The least-squares problem of a law on the points of a table, squared or with Huber's loss of a given width."""

    def __init__(
        self,
        bound: BoundLaw,
        data: FitData,
        objective: str = "loss",
        noise: Noise | None = None,
        *,
        huber: float | None = None,
    ) -> None:
        super().__init__(bound, data, objective, noise)
        self.huber = huber
        self.N, self.X = self.points

    def _grid(self, points: Array) -> Array:
        """Put points (..., n) where they lie, (..., R, T); 0 where absent."""
        out = np.zeros(points.shape[:-1] + self.present.shape)
        out[..., self.present] = points
        return out

    def _points(self, theta: Array) -> Array:
        log = np.broadcast_to(self.bound.log_loss(theta, self.N, self.X), self.N.shape)
        return np.asarray(10.0 ** np.minimum(log, 3.0) if self.linear else log)

    def curves(self, theta: Array) -> Array:
        """Return the fitted curves of a batch (B, P), shape (B, R, T)."""
        return np.stack([self._grid(self._points(one)) for one in theta])

    def _by_size(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return cost (S,), right side (S, p) and normal matrix (S, p, p) in each size's own parameters."""
        r = self.whiten(self.residual(theta))
        J = self.whiten(self.by_curve(theta), rows=True)
        cost = 0.5 * (r**2).sum(1)
        if self.huber is not None:
            far = np.maximum(np.abs(r) / self.huber, 1.0)
            cost = (0.5 * np.where(far > 1, self.huber**2 * (2 * far - 1), r**2)).sum(1)
            # Beyond its width the loss is straight: a slope, and hardly a curvature.
            root = np.where(far > 1, 0.1 / np.sqrt(far), 1.0)
            r, J = r / far / root, J * root[:, None]
        gram = J @ np.concatenate([J, r[:, None]], 1).swapaxes(1, 2)
        sums = np.zeros((len(self.bound.sizes), *gram.shape[1:]))
        np.add.at(sums, self.size_of_curve, gram)
        costs = np.zeros(len(sums))
        np.add.at(costs, self.size_of_curve, cost)
        return costs, sums[..., -1], sums[..., :-1]

    def normal(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return cost (B,), descent direction's right side (B, P) and normal matrix (B, P, P)."""
        B, P = theta.shape
        cost, g, A = np.zeros(B), np.zeros((B, P)), np.zeros((B, P, P))
        for b, one in enumerate(theta):
            costs, rights, grams = self._by_size(one)
            cost[b] = costs.sum()
            for at, right, gram in zip(self.bound.flat_index, rights, grams, strict=True):
                g[b, at] += right
                A[b][np.ix_(at, at)] += gram
        return cost, g, A

    def solve(self, start: Array, *, limits: Limits | None = None) -> Solution:
        """Minimise from `start` (B, P); a law whose parameters are all per size is so many problems of one size."""
        limits = limits or LIMITS
        low, high = self.bound.bounds
        # A factor of e^2, or a quarter of what there is.
        reach = np.where(self.bound.log_scaled, 2.0, 0.25 * (high - low))
        if len(start) > 1 or len(self.bound.sizes) == 1 or not all(param.per_size for param in self.law.params):
            return minimise(self.normal, start, (low, high), reach=reach, limits=limits)
        index = self.bound.flat_index
        # The bounds are those of the law, the same for every size.
        low, high, reach = low[index[0]], high[index[0]], reach[index[0]]
        theta = np.empty(start.shape[1])

        def normal(own: Array) -> tuple[Array, Array, Array]:
            theta[index] = own
            return self._by_size(theta)

        found = minimise(normal, start[0][index], (low, high), reach=reach, limits=limits)
        theta[index] = found.theta
        whole = np.zeros((theta.size, theta.size))
        for at, block in zip(index, found.normal, strict=True):
            whole[np.ix_(at, at)] = block
        return Solution(theta[None], found.cost.sum(keepdims=True), whole[None], np.array([found.converged.all()]))
