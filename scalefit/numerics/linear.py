"""Linear least squares: inverses of normal matrices, and many problems at once whose coefficients are integrated over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NOTHING = 1e-12
"""Share of the largest effect below which a parameter has none."""
AT_ONCE = 4096
"""Cells that are gone through at once: what is held of them stays near the processor."""


def inverse(normal: Array) -> Array:
    """Return the inverse of a normal matrix, in which a direction of no effect has a variance beyond all bounds."""
    size = np.sqrt(np.maximum(np.diag(normal), 0.0))
    size = np.maximum(size, NOTHING * max(size.max(), 1e-100))
    values, vectors = np.linalg.eigh(normal / np.outer(size, size))
    return np.asarray((vectors / np.maximum(values, 1e-15)) @ vectors.T / np.outer(size, size))


class Designs:
    """G designs of least squares with the products of their columns, for many targets and variances.

    Parameters
    ----------
    design : ndarray, shape (G, rows, c)
    """

    def __init__(self, design: Array) -> None:
        self.design = design
        self.columns = np.ascontiguousarray(design.T)
        self.products = self.columns[:, None] * self.columns

    @cached_property
    def _crossed(self) -> Array:
        """The products, and those of the first half of the rows with the second."""
        half = self.columns.shape[1] // 2
        first, second = self.columns[:, :half], self.columns[:, half:]
        return np.concatenate([self.products, first[:, None] * second + second[:, None] * first], 2)

    def reduce(self, target: Array, weight: Array, tilt: Array | None = None) -> tuple[Array, Array]:
        """Return pivots of normal matrices (c, n, G) and the weighted squares that are left (n, G), of targets and weights (n, rows).

        With a tilt (n, rows / 2) the targets of the second half are of that half's rows less so much of those of the first.
        Gauss's elimination in all cells at once: a column is taken out of those after it and of the target. One of which
        nothing is left by those before it has no effect. The product of the pivots is the determinant.
        """
        c = len(self.columns)
        gram = np.zeros((c + 1, c + 1, len(weight), len(self.design)))
        pulled, products = weight * target, self.products
        gram[c, c] = (pulled * target).sum(1)[:, None]
        if tilt is not None:
            half, products = tilt.shape[1], self._crossed
            leaned = weight[:, half:] * tilt
            pulled[:, :half] -= pulled[:, half:] * tilt
            weight = np.concatenate([weight[:, :half] + leaned * tilt, weight[:, half:], -leaned], 1)
        np.matmul(weight, products, out=gram[:c, :c])
        np.matmul(pulled, self.columns, out=gram[:c, c])
        pivots = gram.diagonal().transpose(2, 0, 1)[:c]
        least = NOTHING * pivots + 1e-300
        for at in range(c):
            row = gram[at, at + 1 :]
            pivot = np.maximum(gram[at, at], least[at], out=gram[at, at])
            gram[at + 1 :, at + 1 :] -= (row / pivot)[:, None] * row
        # Rounding may leave less than nothing of the squares.
        return pivots, np.maximum(gram[c, c], 0.0)


@dataclass(frozen=True)
class NormalCells:
    """Least squares in n cells of targets and variances (n, rows) times G designs, and the cells' log-likelihood (n, G)."""

    design: Array
    target: Array
    variance: Array
    log: Array
    tilt: Array | None = None

    def coefficients(self, n: NDArray[np.intp], g: NDArray[np.intp]) -> tuple[Array, Array]:
        """Return mean (K, c) and covariance (K, c, c) of the coefficients in K of the cells."""
        known = np.broadcast_to(self.target, self.variance.shape)
        return solve_cells(
            tilted(self.design[g], None if self.tilt is None else self.tilt[n]), known[n], self.variance[n]
        )


def tilted(design: Array, tilt: Array | None) -> Array:
    """Return designs (K, rows, c) whose second half of rows has so much less of the first, (K, rows / 2)."""
    if tilt is None:
        return design
    half = tilt.shape[1]
    return np.concatenate([design[:, :half], design[:, half:] - tilt[..., None] * design[:, :half]], 1)


def solve_cells(design: Array, target: Array, variance: Array) -> tuple[Array, Array]:
    """Return mean (K, c) and covariance (K, c, c) of the coefficients of K designs (K, rows, c) for targets and variances (K, rows)."""
    root = np.sqrt(variance)[..., None]
    weighed = design / root
    size = np.sqrt((weighed**2).sum(1))
    rows = (weighed / size[:, None]).swapaxes(1, 2)
    inverse = np.linalg.inv(rows @ rows.swapaxes(1, 2) + NOTHING * np.eye(size.shape[1]))
    mean = (inverse @ (rows @ (target[..., None] / root)))[..., 0]
    return mean / size, inverse / (size[:, :, None] * size[:, None, :])


def normal_cells(
    design: Array, target: Array, variance: Array, reference: Array, tilt: Array | None = None
) -> NormalCells:
    """Weigh n cells of variances times G designs of least squares, the coefficients being integrated over.

    Parameters
    ----------
    design : ndarray, shape (G, rows, c)
    target, variance : ndarray, shape (n, rows)
        What is explained, and the variance of its errors; targets of shape (1, rows) are the same in all cells.
    reference : ndarray, shape (rows,)
        A variance at which the integral over the coefficients is 1 for every design: what the units of a coefficient
        would add to a design's likelihood is taken out, and what a variance does to it stays (REML).
    tilt : ndarray, shape (n, rows / 2), optional
        As `Designs.reduce` takes it.
    """
    designs = Designs(design)
    known = np.broadcast_to(target, variance.shape)
    units = np.log(designs.reduce(reference[None], 1 / reference[None])[0]).sum(0)
    log = 0.5 * (units - np.log(variance).sum(1)[:, None])
    step = max(AT_ONCE // len(design), 1)
    for at in range(0, len(variance), step):
        part = slice(at, at + step)
        pivots, rest = designs.reduce(known[part], 1 / variance[part], None if tilt is None else tilt[part])
        log[part] -= 0.5 * (np.log(pivots).sum(0) + rest)
    return NormalCells(design, target, variance, log, tilt)
