"""Normal equations of line laws, many fits in one vectorised call.

Within a curve a line law has only the coordinates k, E (and the bend), so the normal equations of a
whole fit are assembled from a small matrix a curve. Shapes as in `scalefit.fitting.binding`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.problem import Problem
from scalefit.laws.law import LN10, Line, bend
from scalefit.numerics.ar1 import Noise
from scalefit.numerics.least_squares import Limits, Solution, minimise
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]


class LineProblem(Problem):
    """The least-squares problem of a line law on given curves."""

    def __init__(self, bound: BoundLaw, data: FitData, objective: str = "loss", noise: Noise | None = None) -> None:
        super().__init__(bound, data, objective, noise)
        assert bound.law.line is not None
        self.line = bound.law.line
        # Where there is one curve a size, in order, a size's values are its curve's: no copy.
        whole = data.ordered and len(data.sizes) == len(bound.sizes)
        self.index = slice(None) if whole else np.searchsorted(bound.sizes, data.params)
        self.every = np.arange(len(bound.sizes))
        self.coordinates_count = 3 if bound.law.bends else 2

    def curves(self, theta: Array) -> Array:
        """Return the fitted curves, shape (B, R, T)."""
        values = self.bound.values(theta)
        return self._curves(values, self.line(values, self.bound.sizes))[0]

    def _curves(self, values: dict[str, Array], line: Line) -> tuple[Array, Array, tuple[Array, Array]]:
        """Return the curves (B, R, T), k of each curve (B, R, 1), and the resource term and its derivative by the bend (B or 1, R, T)."""
        k, E, _ = line
        h = by_bend = self.x
        if self.law.bends:
            h, by_bend = bend(self.x, np.log10(values["X_bend"])[..., None])
        k, E = k[:, self.index, None], E[:, self.index, None]
        log = E - k * h
        return (np.exp(np.minimum(log * LN10, 3.0)) if self.linear else log), k, (h, by_bend)

    def cost(self, theta: Array) -> Array:
        """Return half the sum of squares, shape (B,)."""
        r = self.whiten(self.y - self.curves(theta))
        return np.asarray(0.5 * np.einsum("brt,brt->b", r, r))

    def _local(self, values: dict[str, Array], line: Line) -> Array:
        """Return the derivatives of each curve's coordinates (k, E, ln X_bend) by theta, shape (B, R, U, P)."""
        gradient = line[2]
        B, S = len(next(iter(values.values()))), len(self.bound.sizes)
        out = np.zeros((B, S, self.coordinates_count, len(self.bound.names)))
        for param in self.law.params:
            part = self.bound.columns[param.name]
            if param.name == "X_bend":
                out[:, :, 2, part.start] = 1.0
                continue
            for row, slope in enumerate(gradient[param.name]):
                if isinstance(slope, float):
                    continue
                if param.scale == "log":
                    slope = slope * values[param.name]
                if param.per_size:
                    out[:, self.every, row, part.start + self.every] = slope
                else:
                    out[:, :, row, part.start] = slope
        return out[:, self.index]

    def _slopes(self, fitted: Array, k: Array, terms: tuple[Array, Array], out: Array) -> None:
        """Write the derivatives of the curves by their coordinates into `out` (B, R, U, T)."""
        by_E = out[:, :, 1]
        by_E[...] = LN10 * fitted if self.linear else 1.0
        np.multiply(by_E, -terms[0], out=out[:, :, 0])
        if self.law.bends:
            out[:, :, 2] = -by_E * k * terms[1]

    def normal(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return cost (B,), descent direction's right side (B, P) and normal matrix (B, P, P)."""
        values = self.bound.values(theta)
        line = self.line(values, self.bound.sizes)
        fitted, k, terms = self._curves(values, line)
        B, R, T = fitted.shape
        U = self.coordinates_count
        u = np.empty((B, R, U + 1, T))
        self._slopes(fitted, k, terms, u[:, :, :U])
        np.subtract(self.y, fitted, out=u[:, :, U])
        u = self.whiten(u, rows=True)
        # One small Gram matrix a curve holds the normal matrix, the right side and the cost.
        gram = u @ u.swapaxes(-1, -2)
        G = self._local(values, line)
        flat = G.reshape(B, R * U, -1)
        A = flat.swapaxes(1, 2) @ (gram[:, :, :U, :U] @ G).reshape(B, R * U, -1)
        g = (gram[:, :, :U, U].reshape(B, 1, -1) @ flat)[:, 0]
        return 0.5 * gram[:, :, U, U].sum(1), g, A

    def solve(self, start: Array, *, limits: Limits | None = None) -> Solution:
        """Minimise from `start` (B, P)."""
        return minimise(self.normal, start, self.bound.bounds, ground=self.rounding().sum(), limits=limits)
