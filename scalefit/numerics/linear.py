"""Linear least squares: inverses of normal matrices, and many problems at once whose coefficients are integrated over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NOTHING = 1e-12
"""Share of the largest effect below which a parameter has none."""


def inverse(normal: Array) -> Array:
    """Return the inverse of a normal matrix, in which a direction of no effect has a variance beyond all bounds."""
    size = np.sqrt(np.maximum(np.diag(normal), 0.0))
    size = np.maximum(size, NOTHING * max(size.max(), 1e-300))
    values, vectors = np.linalg.eigh(normal / np.outer(size, size))
    return np.asarray((vectors / np.maximum(values, 1e-15)) @ vectors.T / np.outer(size, size))


@dataclass(frozen=True)
class NormalCells:
    """Coefficients in n x G cells: mean (n, G, c), covariance (n, G, c, c), and the cells' log-likelihood (n, G)."""

    mean: Array
    covariance: Array
    log: Array


def normal_cells(design: Array, target: Array, variance: Array, reference: Array) -> NormalCells:
    """Solve least squares in n cells of variances times G designs, the coefficients being integrated over.

    Parameters
    ----------
    design : ndarray, shape (G, rows, c)
    target, variance : ndarray, shape (n, rows)
        What is explained, and the variance of its errors; targets of shape (1, rows) are the same in all cells.
    reference : ndarray, shape (rows,)
        A variance at which the integral over the coefficients is 1 for every design: what the units of a coefficient
        would add to a design's likelihood is taken out, and what a variance does to it stays (REML).
    """
    G, rows, c = design.shape
    flat = np.moveaxis(design, 1, 0)
    squares = (flat[..., :, None] * flat[..., None, :]).reshape(rows, -1)
    weight = 1 / variance
    A = (weight @ squares).reshape(-1, G, c, c)
    b = ((weight * target) @ flat.reshape(rows, -1)).reshape(-1, G, c)
    total = (weight * target**2).sum(1)[:, None]
    ref = ((1 / reference) @ squares).reshape(G, c, c)
    if c == 1:
        inverse, log_det = 1 / A, np.log(A[..., 0, 0]) - np.log(ref[:, 0, 0])
    else:
        size = np.sqrt(np.einsum("gcc->gc", ref))
        outer = size[:, :, None] * size[:, None, :]
        ridge = NOTHING * np.eye(c)
        scaled = A / outer
        scaled += ridge * np.einsum("ngcc->ng", scaled)[..., None, None]
        inverse = np.linalg.inv(scaled) / outer
        log_det = np.linalg.slogdet(scaled)[1] - np.linalg.slogdet(ref / outer + ridge)[1]
    mean = (inverse @ b[..., None])[..., 0]
    # Rounding may leave less than nothing of the squares.
    rest = np.maximum(total - (b * mean).sum(-1), 0.0)
    log = -0.5 * (np.log(variance).sum(1)[:, None] + log_det + rest)
    return NormalCells(mean, inverse, log)
