"""A line law on the sizes of a table, as rows that are linear in its coefficients: slopes, and levels where offsets are closed.

Shapes: S sizes, G values of the q nonlinear parameters, c coefficients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.hierarchy import log_scaled, outer_values
from scalefit.laws.law import Law, LinearForm
from scalefit.numerics.linear import Designs, solve_cells

Array = NDArray[np.float64]


class LinearRows:
    """The law's linear form on the sizes of a table."""

    def __init__(self, law: Law, form: LinearForm, sizes: Array, centre: Array) -> None:
        self.law, self.form, self.sizes, self.centre = law, form, sizes, centre
        self.logs = log_scaled(law)
        grids = form.grids(sizes)
        self.grids = [np.log(grid) if log else grid for grid, log in zip(grids, self.logs, strict=True)]
        self.values = self.product(self.grids)
        self.coarse = Designs(self.design(self.values))

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

    def near(self, target: Array, variance: Array, tilt: Array | None = None) -> Array:
        """Return the best of the grid's nonlinear parameters (m, q) for m targets (m, rows)."""
        return np.asarray(self.values[self._fit(self.coarse, target, variance, tilt).argmax(1)])

    def slopes(self, values: Array, target: Array, variance: Array) -> Array:
        """Return the slopes (S,) of least squares at nonlinear parameters (q,)."""
        design = self.design(values[None])
        mean, _ = solve_cells(design, target[None], variance[None])
        return np.asarray((design[0] @ mean[0])[: len(self.sizes)])

    def best(self, target: Array, variance: Array, tilt: Array | None = None) -> Array:
        """Return the nonlinear parameters (m, q) of least squares for m targets (m, rows)."""
        values = self.near(target, variance, tilt)
        for which in range(values.shape[1]):
            self._refine(values, which, target, variance, tilt)
        return values

    def _fit(self, designs: Designs, target: Array, variance: Array, tilt: Array | None) -> Array:
        """Return minus half the weighted sum of squares that each of G designs leaves of each target, (m, G)."""
        return -0.5 * designs.reduce(target, 1 / variance, tilt)[1]

    def _along(self, values: Array, which: int, at: Array, target: Array, variance: Array, tilt: Array | None) -> Array:
        """Return the same for each target with one of its parameters (m, q) at some values (m, n), shape (m, n)."""
        m, n = at.shape
        some = np.repeat(values, n, 0)
        some[:, which] = at.ravel()
        fit = self._fit(Designs(self.design(some)), target, variance, tilt).reshape(m, m, n)
        return np.asarray(fit.diagonal().T)

    def _refine(self, values: Array, which: int, target: Array, variance: Array, tilt: Array | None) -> None:
        """Move one of the parameters (m, q) to its optimum, the cell of the grid being narrowed."""
        grid, every = self.grids[which], np.arange(len(values))
        near = np.abs(grid - values[:, which, None]).argmin(1)
        low, high = grid[np.maximum(near - 1, 0)], grid[np.minimum(near + 1, len(grid) - 1)]
        for _ in range(2):
            some = np.linspace(low, high, 9, axis=1)
            fit = self._along(values, which, some, target, variance, tilt)
            top = fit.argmax(1)
            low, high = some[every, np.maximum(top - 1, 0)], some[every, np.minimum(top + 1, 8)]
        # The optimum of the parabola through the best three.
        top = top.clip(1, 7)
        below, at, above = (fit[every, top + off] for off in (-1, 0, 1))
        bend = np.maximum(2 * at - below - above, 1e-300)
        values[:, which] = some[every, top] + (0.5 * (above - below) / bend).clip(-1, 1) * (some[:, 1] - some[:, 0])

    def width(self, values: Array, which: int, target: Array, variance: Array, tilt: Array | None = None) -> Array:
        """Return the standard errors (m,) of a nonlinear parameter by the curvature at its optima (m, q), no wider than its grid."""
        grid = self.grids[which]
        step = 0.02 * (grid[1] - grid[0])
        some = values[:, which, None] + step * np.arange(-1, 2)
        below, at, above = self._along(values, which, some, target, variance, tilt).T
        most = (grid[-1] - grid[0]) / 8
        return np.asarray(1 / np.sqrt(np.maximum((2 * at - below - above) / step**2, 1 / most**2)))
