"""Variable projection: what enters linearly is solved for, within bounds, so that a search is left for the rest.

Everything is done on Gram matrices of columns and target, many problems in one vectorised call.
Shapes: B problems, c columns that enter linearly, M columns in all, the target last.
Source: Golub and Pereyra 1973, SIAM J. Numer. Anal. 10, 413; Kaufman 1975, BIT 15, 49 (the Jacobian).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RIDGE = 1e-14
"""Added to a Gram matrix of unit diagonal, so that columns that are all but equal share their coefficient."""


def solve_bounded(gram: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Solve small linear least-squares problems within bounds by going through every set of columns at a bound.

    Parameters
    ----------
    gram : ndarray, shape (B, c + 1, c + 1)
        Products of the columns and, last, of the target.
    low, high : ndarray, shape (c,)

    Returns
    -------
    coefficients : ndarray, shape (B, c)
    squares : ndarray, shape (B,)
        Sum of squares that is left.
    """
    count = len(low)
    ends = [[at for at in (np.nan, a, b) if not np.isinf(at)] for a, b in zip(low, high, strict=True)]
    held = np.array(list(product(*ends)))[:, None, :]
    free = np.isnan(held)
    given = np.where(free, 0.0, held)
    products, goal = gram[:, :count, :count], gram[:, :count, count]
    size = np.sqrt(np.maximum(products.diagonal(axis1=1, axis2=2), 1e-300))
    scaled = products / size[:, :, None] / size[:, None, :]
    right = goal / size - ((given * size)[..., None, :] @ scaled)[..., 0, :]
    M = np.where(free[..., None] & free[..., None, :], scaled, np.eye(count))
    found = _solve_positive(M, np.where(free, right, 0.0)) / size
    inside = np.minimum(np.maximum(np.where(free, found, held), low), high)
    # Whatever was held, what is clipped is within the bounds; the lowest of all sets is the optimum.
    whole = np.concatenate([inside, np.full((*inside.shape[:2], 1), -1.0)], 2)
    squares = ((whole[:, :, None, :] @ gram)[:, :, 0] * whole).sum(2)
    best = squares.argmin(0)
    every = np.arange(len(gram))
    return inside[best, every], np.maximum(squares[best, every], 0.0)


def _solve_positive(M: Array, v: Array) -> Array:
    """Solve M x = v for positive M (..., c, c) of unit diagonal, which needs no pivots; quick for many small ones."""
    count = v.shape[-1]
    rows = [[M[..., a, b] for b in range(count)] for a in range(count)]
    x = [v[..., a] for a in range(count)]
    for a in range(count):
        rows[a][a] = np.maximum(rows[a][a], 0.0) + RIDGE
        for b in range(a + 1, count):
            share = rows[b][a] / rows[a][a]
            for k in range(a + 1, count):
                rows[b][k] = rows[b][k] - share * rows[a][k]
            x[b] = x[b] - share * x[a]
    for a in reversed(range(count)):
        for b in range(a + 1, count):
            x[a] = x[a] - rows[a][b] * x[b]
        x[a] = x[a] / rows[a][a]
    return np.stack(x, -1) if x else v


def solve_scaled(gram: Array, right: Array) -> Array:
    """Solve normal equations (..., c, c) for right sides (..., c), their columns scaled; those that are all but equal share."""
    size = np.sqrt(np.maximum(gram.diagonal(axis1=-2, axis2=-1), 1e-300))
    return _solve_positive(gram / size[..., None] / size[..., None, :], right / size) / size


def eliminate(gram: Array, count: int, free: NDArray[np.bool_] | None = None) -> Array:
    """Return the Gram matrices (..., M, M) of what is left of the later columns once the first `count` are taken out.

    Where `free` (..., count) is given, only those columns are taken out that it says.
    """
    inner, cross = gram[..., :count, :count], gram[..., :count, count:]
    size = np.sqrt(np.maximum(inner.diagonal(axis1=-2, axis2=-1), 1e-300))
    inner, cross = inner / size[..., None] / size[..., None, :], cross / size[..., None]
    if free is not None:
        inner = np.where(free[..., None] & free[..., None, :], inner, 0.0)
        cross = np.where(free[..., None], cross, 0.0)
    inner = inner + RIDGE * np.eye(count)
    if free is not None:
        inner += np.where(free, 0.0, 1.0)[..., None] * np.eye(count)
    return gram[..., count:, count:] - cross.swapaxes(-1, -2) @ np.linalg.solve(inner, cross)


def local_minima(cost: Array, most: int) -> NDArray[np.intp]:
    """Return the flat indices of the lowest cells of a grid (one or two axes) that no neighbour is below."""
    padded = np.pad(cost, 1, constant_values=np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3,) * cost.ndim)
    lowest = np.flatnonzero((cost <= around.min(axis=tuple(range(cost.ndim, 2 * cost.ndim)))).ravel())
    return lowest[np.argsort(cost.ravel()[lowest], kind="stable")[:most]]
