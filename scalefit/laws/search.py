"""Where the optimum of a law lies that is linear in some of its parameters: a grid over the others, and its best cells.

Shapes: G cells of the grid, K candidates, R curves of at most T evaluations, S sizes, d parameters that are searched,
B blocks: sizes where each has its own searched parameters, else one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.laws.law import Array, Basis, Param
from scalefit.numerics.least_squares import Limits, minimise, minimise_between
from scalefit.numerics.projection import eliminate, local_minima, solve_bounded, solve_scaled

CANDIDATES = 3
"""The best cells that no neighbour is below, from each of which the search goes on."""
LOOKED_AT = 256
"""Evaluations of a curve that a search looks at; the fit that follows it looks at all."""
AT_ONCE = 2**21
"""Numbers held at once: few enough that what a chunk of curves needs stays small."""
ZOOMS = 1
LATTICE = {1: 9, 2: 5}
"""How often a cell is gone through again, and at how many values, by the number of parameters searched."""
CLOSE = 1e-5
"""Distance over which the gradient's change is seen, on the fitted scale."""
_NEAR, _FIRST, _LAST = (Limits(iterations=count, tolerance=1e-7) for count in (2, 8, 22))
"""The steps from what is near already, from every candidate, and from the lowest of each block."""


@dataclass(frozen=True)
class Points:
    """Curves as matrices: `N` (R, 1), `X` (Q, R, T), `goal` (R, T) that the form is held against, the `size` (R,) of each.

    `whiten` takes (..., R, T) and the slice of curves it holds, and weighs; absent points become 0.
    """

    N: Array
    X: Array
    goal: Array
    size: NDArray[np.intp]
    whiten: Callable[[Array, slice], Array]


def search(
    basis: Basis, params: tuple[Param, ...], points: Points, near: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """Return values of all parameters that minimise the whitened squares; per-size ones have the shape (S,).

    The lowest of all cells of the grid and of the minima that its best few lead to, or, where `near` is given, the
    minimum that those values lead to.
    """
    return _Search(basis, {one.name: one for one in params}, points).run(near)


@dataclass(frozen=True)
class _Search:
    basis: Basis
    params: Mapping[str, Param]
    points: Points

    @cached_property
    def searched(self) -> list[str]:
        return list(self.basis.grid)

    @cached_property
    def blocks(self) -> bool:
        """Whether each size is a search of its own."""
        return any(self.params[name].per_size for name in self.searched)

    @cached_property
    def own(self) -> list[str]:
        """Coefficients that each size has its own of in a search that they share."""
        return [] if self.blocks else [n for n, p in self.params.items() if p.per_size]

    @cached_property
    def shared(self) -> list[str]:
        return [name for name in self.params if name not in self.basis.grid and name not in self.own]

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        return self._bounds_of(self.shared)

    def _bounds_of(self, names: list[str]) -> tuple[Array, Array]:
        low, high = np.array([self.params[name].bounds for name in names]).reshape(-1, 2).T
        return low, high

    @cached_property
    def first(self) -> NDArray[np.intp]:
        """The first curve of each size; curves are ordered by size."""
        return np.flatnonzero(np.r_[True, np.diff(self.points.size) > 0])

    def run(self, near: Mapping[str, Array] | None) -> dict[str, Array]:
        if near is None:
            cells = self._zoom(self._candidates())
            tried, cost = self._refine(cells, _FIRST)
            best = cost.argmin(0), np.arange(cost.shape[1])
            u, _ = self._refine(np.stack([cells[0][best], tried[best], cells[2][best]])[:, None], _LAST)
        else:
            at = self._inner(near)
            u, _ = self._refine(np.stack([at - self.reach, at, at + self.reach]), _NEAR)
        _, coefficients, own = self._linear(self._values(u), (1,))
        values = {name: self._outer(name, u[0, :, i]) for i, name in enumerate(self.searched)}
        values |= {name: coefficients[0, :, i] for i, name in enumerate(self.shared)}
        if self.blocks:
            return values
        return {name: value[0] for name, value in values.items()} | {
            name: own[0, :, i] for i, name in enumerate(self.own)
        }

    def _inner(self, near: Mapping[str, Array]) -> Array:
        """Return searched parameters on the fitted scale, (1, B, d)."""
        logs = [np.log(near[n]) if self.params[n].scale == "log" else near[n] for n in self.searched]
        return np.stack([np.ravel(one) for one in logs], 1)[None]

    def _outer(self, name: str, inner: Array) -> Array:
        return np.exp(inner) if self.params[name].scale == "log" else inner

    def _inner_bounds(self) -> tuple[Array, Array]:
        low, high = np.array([self.params[name].bounds for name in self.searched]).T
        log = np.array([self.params[name].scale == "log" for name in self.searched])
        return np.where(log, np.log(np.where(log, low, 1)), low), np.where(log, np.log(np.where(log, high, 1)), high)

    @cached_property
    def reached(self) -> tuple[Array, Array]:
        """The smallest and the largest X of each curve's block, (R or 1, 1)."""
        seen = self.points.whiten(np.ones(self.points.goal.shape), slice(None))
        low = np.where(seen != 0, self.points.X[0], np.inf).min(1)
        high = np.where(seen != 0, self.points.X[0], 0.0).max(1)
        if not self.blocks:
            return low.min(keepdims=True)[:, None], high.max(keepdims=True)[:, None]
        low, high = np.minimum.reduceat(low, self.first), np.maximum.reduceat(high, self.first)
        return low[self.points.size, None], high[self.points.size, None]

    def _candidates(self) -> Array:
        """Return the best cells of the grid: below, at and above, (3, K, B, d) on the fitted scale."""
        d, values = len(self.searched), []
        for name in self.searched:
            axis = np.clip(self.basis.grid[name](self.points.N, *self.reached), *self.params[name].bounds)
            values.append(np.log(axis) if self.params[name].scale == "log" else axis)
        cost = self._costs(values)
        lowest = [local_minima(cost[..., b], CANDIDATES) for b in range(cost.shape[-1])]
        most = max(map(len, lowest))
        found = np.empty((3, most, len(lowest), d))
        for b, flat in enumerate(lowest):
            cells = np.unravel_index(np.resize(flat, most), cost.shape[:-1])
            for i, axis in enumerate(values):
                beside = np.clip(cells[i] + np.array([[-1], [0], [1]]), 0, len(axis) - 1)
                found[:, :, b, i] = axis[beside, self.first[b] if axis.shape[1] > 1 else 0, 0]
        return found

    def _costs(self, axes: list[Array]) -> Array:
        """Return the cost at all combinations of values on the fitted scale, (n, ..., R or 1, 1) each, (n, n, ..., B)."""
        d = len(axes)
        placed = [np.expand_dims(axis, tuple(k for k in range(d) if k != i)) for i, axis in enumerate(axes)]
        lead = np.broadcast_shapes(*(axis.shape[:-2] for axis in placed))
        values = {name: self._outer(name, axis) for name, axis in zip(self.searched, placed, strict=True)}
        return self._linear(values, lead)[0]

    def _zoom(self, cells: Array) -> Array:
        """Return smaller cells about the lowest places of these, by grids of them, (3, K, B, d)."""
        below, at, above = cells
        d = at.shape[2]
        size = self.points.size if self.blocks else slice(None)
        for _ in range(ZOOMS):
            shares = np.linspace(0, 1, LATTICE[d])[:, None, None, None]
            inner = below + shares * (above - below)
            cost = self._costs([inner[:, :, size, i, None] for i in range(d)])
            best = np.unravel_index(cost.reshape(-1, *cost.shape[d:]).argmin(0), cost.shape[:d])
            for i, cell in enumerate(best):
                k, b = np.ogrid[: cell.shape[0], : cell.shape[1]]
                inside = np.clip(cell + np.array([-1, 0, 1])[:, None, None], 0, len(inner) - 1)
                below[..., i], at[..., i], above[..., i] = inner[inside, k, b, i]
        return cells

    @cached_property
    def reach(self) -> Array:
        """How far a step may go, on the fitted scale."""
        return np.array([2.0 if self.params[name].scale == "log" else 0.5 for name in self.searched])

    def _refine(self, cells: Array, limits: Limits) -> tuple[Array, Array]:
        """Go from each candidate (K, B, d) towards the minimum of its cell; return where to and its cost (K, B)."""
        shape = cells.shape[1:]
        below, at, above = np.clip(cells, *self._inner_bounds()).reshape(3, -1, shape[2])

        def normal(flat: Array) -> tuple[Array, Array, Array]:
            return self._newton(flat.reshape(shape))

        if shape[2] == 1:
            found = minimise_between(normal, at, (below, above), limits)
        else:
            found = minimise(normal, at, self._inner_bounds(), reach=self.reach, limits=limits)
        return found.theta.reshape(shape), found.cost.reshape(shape[:2])

    def _values(self, u: Array) -> dict[str, Array]:
        """Return the searched parameters of each curve, (K, R or 1, 1)."""
        inner = u[:, self.points.size] if self.blocks else u
        return {name: self._outer(name, inner[..., i, None]) for i, name in enumerate(self.searched)}

    def _gram(self, rows: Callable[[slice], list[Array]], lead: tuple[int, ...], count: int) -> Array:
        """Return the products of whitened rows, summed within each size, or over all where no size has its own anything.

        Shape (*lead, S or 1, rows, rows).
        """
        R, T = self.points.goal.shape
        apart = self.blocks or bool(self.own)
        step = max(AT_ONCE // (int(np.prod(lead)) * count * T), 1)
        parts = []
        for at in range(0, R, step):
            part = slice(at, min(at + step, R))
            found = rows(part)
            if len(lead) > 1 and any(row.shape[: len(lead)] != lead for row in found):
                parts.append(self._pairs(found, part, lead, apart))
                continue
            z = np.empty((*lead, count, part.stop - at, T))
            for i, row in enumerate(found):
                z[..., i, :, :] = row
            z = self.points.whiten(z, part)
            z = z.swapaxes(-3, -2) if apart else z.reshape(*lead, 1, count, -1)
            parts.append(z @ z.swapaxes(-1, -2))
        gram = np.concatenate(parts, -3)
        return np.add.reduceat(gram, self.first, axis=-3) if apart else gram.sum(-3, keepdims=True)

    def _pairs(self, rows: list[Array], part: slice, lead: tuple[int, ...], apart: bool) -> Array:
        """Return the products of rows of which some depend on one axis of the grid only, each pair on its own axes."""
        shape = self.points.goal[part].shape
        z = [self.points.whiten(np.broadcast_to(row, row.shape[:-2] + shape), part) for row in rows]
        gram = np.empty((*lead, shape[0] if apart else 1, len(z), len(z)))
        for i, one in enumerate(z):
            for j, other in enumerate(z[: i + 1]):
                product = np.einsum("...rt,...rt->...r", one, other)
                gram[..., i, j] = gram[..., j, i] = product if apart else product.sum(-1, keepdims=True)
        return gram

    def _part(self, values: dict[str, Array], part: slice) -> tuple[dict[str, Array], Array, Array]:
        p = {name: value[..., part, :] if value.shape[-2] > 1 else value for name, value in values.items()}
        return p, self.points.N[part], self.points.X[:, part]

    def _linear(self, values: dict[str, Array], lead: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Return half the squares left (*lead, B), the shared coefficients (*lead, B, c) and own ones (*lead, S, o)."""
        order, o = [*self.own, *self.shared], len(self.own)

        def rows(part: slice) -> list[Array]:
            columns = self.basis.columns(*self._part(values, part))
            return [*(columns[name] for name in order), self.points.goal[part] - self.basis.constant]

        gram = self._gram(rows, lead, len(order) + 1)
        left = eliminate(gram, o) if o else gram
        if not self.blocks:
            left = left.sum(-3, keepdims=True)
        low, high = self.bounds
        found, squares = solve_bounded(left.reshape(-1, *left.shape[-2:]), low, high)
        coefficients = found.reshape(*left.shape[:-2], -1)
        squares = squares.reshape(left.shape[:-2])
        if not o:
            return 0.5 * squares, coefficients, np.zeros((*gram.shape[:-2], 0))
        rest = gram[..., :o, -1] - (gram[..., :o, o:-1] @ coefficients[..., None])[..., 0]
        own = solve_scaled(gram[..., :o, :o], rest)
        low, high = self._bounds_of(self.own)
        if ((own < low) | (own > high)).any():
            own, squares = self._own_within(gram, coefficients)
        return 0.5 * squares, coefficients, own

    def _own_within(self, gram: Array, coefficients: Array) -> tuple[Array, Array]:
        """Return the own coefficients within their bounds, the shared ones given, and the squares left of all sizes.

        Clipped one by one, they would be those of another curve, which may lie below a loss of 0 and lead nowhere.
        """
        o, c = len(self.own), coefficients.shape[-1]
        target = np.concatenate(
            [np.zeros((*coefficients.shape[:-1], o)), -coefficients, np.ones((*coefficients.shape[:-1], 1))], -1
        )
        rows = np.broadcast_to(np.eye(o, o + c + 1), (*target.shape[:-1], o, o + c + 1))
        turn = np.concatenate([rows, target[..., None, :]], -2)
        inner = turn @ gram @ turn.swapaxes(-1, -2)
        own, squares = solve_bounded(inner.reshape(-1, o + 1, o + 1), *self._bounds_of(self.own))
        return own.reshape(*gram.shape[:-2], o), squares.reshape(gram.shape[:-2]).sum(-1, keepdims=True)

    def _newton(self, u: Array) -> tuple[Array, Array, Array]:
        """Return cost, right side and curvature, which is that of the squares where they are convex.

        What the residuals add to a normal matrix makes the steps of Gauss and Newton overshoot along valleys; with one
        or two parameters left, differences of the gradient cost little.
        """
        K, B, d = u.shape
        near = np.concatenate([u, *(u + CLOSE * np.eye(d)[i] for i in range(d))])
        cost, right, normal = (one.reshape(d + 1, K * B, *one.shape[1:]) for one in self._normal(near))
        curved = np.moveaxis(right[0] - right[1:], 0, -1) / CLOSE
        curved = 0.5 * (curved + curved.swapaxes(1, 2))
        main = np.diagonal(curved, axis1=1, axis2=2)
        # At least a tenth of the normal matrix: between valley and pass its steps are the safer ones.
        convex = (main > 0.1 * np.diagonal(normal[0], axis1=1, axis2=2)).all(1) & (
            np.linalg.det(curved) > 0.01 * np.linalg.det(normal[0])
        )
        return cost[0], right[0], np.where(convex[:, None, None], curved, normal[0])

    def _normal(self, u: Array) -> tuple[Array, Array, Array]:
        """Return cost, right side and normal matrix of the searched parameters, what is linear solved for."""
        values, names, o = self._values(u), [*self.own, *self.shared], len(self.own)
        _, coefficients, own = self._linear(values, (len(u),))
        size = self.points.size
        for i, name in enumerate(self.own):
            values[name] = own[:, size, i, None]
        for i, name in enumerate(self.shared):
            values[name] = (coefficients[:, size] if self.blocks else coefficients)[..., i, None]

        def rows(part: slice) -> list[Array]:
            p, N, X = self._part(values, part)
            columns, bent = self.basis.columns(p, N, X), self.basis.bent(p, N, X)
            fitted = self.basis.constant + sum(p[name] * columns[name] for name in names)
            slopes = [bent[n] * (p[n] if self.params[n].scale == "log" else 1.0) for n in self.searched]
            return [*(columns[name] for name in names), *slopes, self.points.goal[part] - fitted]

        gram = self._gram(rows, (len(u),), len(names) + u.shape[2] + 1)
        if o:
            low, high = self._bounds_of(self.own)
            gram = eliminate(gram, o, (own > low) & (own < high))
        if not self.blocks:
            gram = gram.sum(-3, keepdims=True)
        low, high = self.bounds
        left = eliminate(gram, len(self.shared), (coefficients > low) & (coefficients < high))
        left = left.reshape(-1, *left.shape[-2:])
        return 0.5 * left[:, -1, -1], left[:, :-1, -1], left[:, :-1, :-1]
