"""Least squares for any law and any loss: the law's values and slopes at points, one small Gram matrix a curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.problem import Problem
from scalefit.laws.law import LN10
from scalefit.laws.search import LOOKED_AT, Points, search
from scalefit.numerics.ar1 import Noise, whiten
from scalefit.numerics.least_squares import Limits, Solution, minimise
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
LIMITS = Limits(iterations=1000, tolerance=1e-14, patient=True)
SEARCHED = Limits(iterations=150, tolerance=1e-14, patient=True)
"""Where a search found the start: what so many steps do not end, more of them do not either."""
FEW = 20
"""Sizes up to which their parameters are solved for at once rather than each size's by itself."""
ROUNDS = 6
"""How often what is linear is solved for with weights of the fit, where the objective is not the form's own squares."""


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
        self.size_of_point = np.broadcast_to(self.size_of_curve[:, None], self.present.shape)[self.present]
        self.seen = self.y[self.present]
        self.alone = all(param.per_size for param in bound.law.params)

    def _grid(self, points: Array) -> Array:
        """Put points (..., n) where they lie, (..., R, T); 0 where absent."""
        out = np.zeros(points.shape[:-1] + self.present.shape)
        self._place(points, out)
        return out

    def _place(self, points: Array, out: Array) -> None:
        if self.full:
            out[...] = points.reshape(out.shape) if points.size > 1 else points
        else:
            out[..., self.present] = points

    def _values(self, theta: Array) -> dict[str, Array]:
        """Return the parameters of each point, (n,); shared ones (1,)."""
        values = self.bound.values(theta)
        return {
            one.name: values[one.name][self.size_of_point] if one.per_size else values[one.name]
            for one in self.law.params
        }

    def _points(self, values: dict[str, Array]) -> Array:
        log = np.broadcast_to(self.law.log_loss(values, self.N, self.X), self.N.shape)
        return np.asarray(np.exp(np.minimum(log, 3.0) * LN10) if self.linear else log)

    def curves(self, theta: Array) -> Array:
        """Return the fitted curves of a batch (B, P), shape (B, R, T)."""
        return np.stack([self._grid(self._points(self._values(one))) for one in theta])

    def _slopes(self, values: dict[str, Array], fitted: Array) -> Array:
        """Return the derivative of the curves by their own size's parameters, (R, p, T)."""
        slopes = self.law.slopes(values, self.N, self.X)
        out = np.zeros((len(self.present), len(self.law.params), self.present.shape[1]))
        for at, param in enumerate(self.law.params):
            slope = slopes[param.name]
            if param.scale == "log":
                slope = slope * values[param.name]
            if self.linear:
                slope = slope * (LN10 * fitted)
            self._place(slope, out[:, at])
        return out

    def _sum(self, points: Array) -> Array:
        """Sum points (R, T) within each size, (S,)."""
        out = np.zeros(len(self.bound.sizes))
        np.add.at(out, self.size_of_curve, points.sum(1))
        return out

    def _by_size(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return cost (S,), right side (S, p) and normal matrix (S, p, p) in each size's own parameters."""
        values = self._values(theta)
        fitted = self._points(values)
        r = self.whiten(self._grid(self.seen - fitted))
        J = self.whiten(self._slopes(values, fitted), rows=True)
        cost = 0.5 * r**2
        if self.huber is not None:
            far = np.maximum(np.abs(r) / self.huber, 1.0)
            cost = 0.5 * np.where(far > 1, self.huber**2 * (2 * far - 1), r**2)
            # Beyond its width the loss is straight: a slope, and hardly a curvature.
            root = np.where(far > 1, 0.1 / np.sqrt(far), 1.0)
            r, J = r / far / root, J * root[:, None]
        gram = J @ np.concatenate([J, r[:, None]], 1).swapaxes(1, 2)
        sums = np.zeros((len(self.bound.sizes), *gram.shape[1:]))
        np.add.at(sums, self.size_of_curve, gram)
        return self._sum(cost), sums[..., -1], sums[..., :-1]

    def normal(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return cost (B,), descent direction's right side (B, P) and normal matrix (B, P, P)."""
        B, P = theta.shape
        cost, g, A = np.zeros(B), np.zeros((B, P)), np.zeros((B, P, P))
        index = self.bound.flat_index
        for b, one in enumerate(theta):
            costs, rights, grams = self._by_size(one)
            cost[b] = costs.sum()
            np.add.at(g[b], index, rights)
            np.add.at(A[b], (index[:, :, None], index[:, None, :]), grams)
        return cost, g, A

    def _projected(self, theta: Array) -> Array:
        """Return the nearest minimum (P,) by a search of the parameters that the law is not linear in.

        Straight steps in all parameters crawl along the valleys of such laws. A start that was found by the same search
        needs none, and what sizes share is so well known that weighing noise moves it little.
        """
        basis = self.law.basis
        if basis is None or self.huber is not None:
            return theta
        if basis.of_loss == self.linear and (self.plain or not self.alone):
            return theta
        index = self.bound.flat_index
        cost = self._by_size(theta)[0]
        for _ in range(ROUNDS):
            values = {name: value.ravel() for name, value in self.bound.values(theta[None]).items()}
            moved = self.bound.internal(search(basis, self.law.params, self._linearised(theta), values))
            new = self._by_size(moved)[0]
            # What is each size's own may be better for one and worse for another.
            better = new < cost if self.alone else np.full(len(cost), new.sum() < cost.sum())
            gained = float(np.sum((cost - new)[better]))
            theta = theta.copy()
            theta[index[better]] = moved[index[better]]
            cost = np.where(better, new, cost)
            if gained <= 1e-10 * cost.sum():
                break
        return theta

    def _linearised(self, theta: Array) -> Points:
        """Return the problem in the values of the law's form, straight about a fit."""
        assert self.law.basis is not None
        step = -(-self.present.shape[1] // LOOKED_AT)
        order = np.argsort(self.size_of_curve, kind="stable")
        fitted, root = self.curves(theta[None])[0], self.root
        goal = self.y
        if self.law.basis.of_loss != self.linear:
            fitted = np.where(self.present, fitted, 1.0)
            away = goal - fitted
            if self.linear:
                goal, root = np.log10(fitted) + away / (LN10 * fitted), root * LN10 * fitted
            else:
                loss = 10.0**fitted
                goal, root = loss * (1 + LN10 * away), root / (LN10 * loss)
        X = self._grid(self.X) + ~self.present
        thin = slice(None, None, step)
        root, present, rho = root[order, thin], self.present[order, thin], self.rho**step

        def weigh(z: Array, part: slice) -> Array:
            return whiten(z, rho, root[part], present[part])

        return Points(
            self.data.params[order, None], X[:, order, thin], goal[order, thin], self.size_of_curve[order], weigh
        )

    def solve(self, start: Array, *, limits: Limits | None = None) -> Solution:
        """Minimise from `start` (B, P); a law whose parameters are all per size is so many problems of one size."""
        limits = limits or (LIMITS if self.law.basis is None else SEARCHED)
        if len(start) == 1:
            start = self._projected(start[0])[None]
        low, high = self.bound.bounds
        ground = self._sum(self.rounding())
        # A factor of e^2, or a quarter of what there is.
        reach = np.where(self.bound.log_scaled, 2.0, 0.25 * (high - low))
        if len(start) > 1 or len(self.bound.sizes) == 1 or not self.alone:
            apart = [at for at, one in enumerate(self.law.params) if one.per_size]
            own = self.bound.flat_index[:, apart] if apart and len(self.bound.sizes) > FEW else None
            return minimise(self.normal, start, (low, high), reach=reach, ground=ground.sum(), own=own, limits=limits)
        index = self.bound.flat_index
        # The bounds are those of the law, the same for every size.
        low, high, reach = low[index[0]], high[index[0]], reach[index[0]]
        theta = np.empty(start.shape[1])

        def normal(own: Array) -> tuple[Array, Array, Array]:
            theta[index] = own
            return self._by_size(theta)

        found = minimise(normal, start[0][index], (low, high), reach=reach, ground=ground, limits=limits)
        theta[index] = found.theta
        whole = np.zeros((theta.size, theta.size))
        for at, block in zip(index, found.normal, strict=True):
            whole[np.ix_(at, at)] = block
        return Solution(theta[None], found.cost.sum(keepdims=True), whole[None], np.array([found.converged.all()]))
