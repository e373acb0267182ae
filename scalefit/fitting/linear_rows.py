"""A line law on the sizes of a table, as rows that are linear in its coefficients: slopes, and levels where offsets are closed.

Shapes: S sizes, G values of the q nonlinear parameters, c coefficients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.hierarchy import log_scaled, outer_values
from scalefit.laws.law import Law, LinearForm
from scalefit.numerics.linear import normal_cells

Array = NDArray[np.float64]


class LinearRows:
    """The law's linear form on the sizes of a table."""

    def __init__(self, law: Law, form: LinearForm, sizes: Array, centre: Array) -> None:
        self.law, self.form, self.sizes, self.centre = law, form, sizes, centre
        self.logs = log_scaled(law)
        grids = form.grids(sizes)
        self.grids = [np.log(grid) if log else grid for grid, log in zip(grids, self.logs, strict=True)]
        self.values = self.product(self.grids)
        self.coarse = self.design(self.values)

    def design(self, values: Array) -> Array:
        """Return what slopes and (closed offsets) levels are linear in, (G, rows, c)."""
        slopes, offsets = self.form.columns(self.sizes, outer_values(self.law, values))
        assert slopes is not None
        return slopes if offsets is None else np.concatenate([slopes, offsets - slopes * self.centre[:, None]], 1)

    def product(self, grids: list[Array]) -> Array:
        """Return all combinations of values of the nonlinear parameters, (G, q)."""
        if not grids:
            return np.zeros((1, 0))
        return np.stack([one.ravel() for one in np.meshgrid(*grids, indexing="ij")], -1)

    def near(self, target: Array, variance: Array) -> Array:
        """Return the best of the grid's nonlinear parameters, (q,)."""
        fit = self._fit(self.coarse, target, variance)
        return np.asarray(self.values[int(np.argmax(fit))])

    def slopes(self, values: Array, target: Array, variance: Array) -> Array:
        """Return the slopes (S,) of least squares at nonlinear parameters (q,)."""
        design = self.design(values[None])
        mean = normal_cells(design, target[None], variance[None], variance).mean[0, 0]
        return np.asarray((design[0] @ mean)[: len(self.sizes)])

    def best(self, target: Array, variance: Array) -> Array:
        """Return the nonlinear parameters (q,) of least squares."""
        values = self.near(target, variance)
        for which in range(len(values)):
            values = self._refine(values, which, target, variance)
        return values

    def _fit(self, design: Array, target: Array, variance: Array) -> Array:
        """Return minus half the weighted sum of squares that each design leaves, (G,)."""
        weight = 1 / variance
        found = normal_cells(design, target[None], variance[None], variance)
        rest = target - (design @ found.mean[0][..., None])[..., 0]
        return np.asarray(-0.5 * (weight * rest**2).sum(1))

    def _line(self, values: Array, which: int, at: Array) -> Array:
        some = np.repeat(values[None], len(at), 0)
        some[:, which] = at
        return some

    def _refine(self, values: Array, which: int, target: Array, variance: Array) -> Array:
        """Return the values with one of them at its optimum, the cell of the grid being narrowed."""
        grid = self.grids[which]
        near = int(np.argmin(np.abs(grid - values[which])))
        low, high = grid[max(near - 1, 0)], grid[min(near + 1, len(grid) - 1)]
        for _ in range(2):
            some = np.linspace(low, high, 9)
            fit = self._fit(self.design(self._line(values, which, some)), target, variance)
            top = int(np.argmax(fit))
            low, high = some[max(top - 1, 0)], some[min(top + 1, 8)]
        return self._line(values, which, some[[top]])[0]

    def width(self, values: Array, which: int, target: Array, variance: Array) -> float:
        """Return the standard error of a nonlinear parameter by the curvature at its optimum, no wider than its grid."""
        grid = self.grids[which]
        step = 0.02 * (grid[1] - grid[0])
        fit = self._fit(
            self.design(self._line(values, which, values[which] + step * np.arange(-1, 2))), target, variance
        )
        curvature = -(fit[0] - 2 * fit[1] + fit[2]) / step**2
        most = (grid[-1] - grid[0]) / 8
        return float(min(1 / np.sqrt(curvature), most)) if curvature > 1 / most**2 else float(most)
