"""The least-squares problem of a law on given curves: what every solver of one shares.

Shapes as in `scalefit.fitting.binding`; time is the last axis everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.numerics.ar1 import Noise, estimate_noise, whiten
from scalefit.numerics.least_squares import Limits, Solution
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]


class Problem(ABC):
    """A bound law, the data it is held against, and how residuals are weighed.

    Attributes
    ----------
    y, present : ndarray, shape (R, T)
        The data on the objective's scale, and where a point is.
    root : ndarray, shape (R, T)
        What a residual is multiplied with before its correlation `rho` to the one before is taken out.
    """

    def __init__(self, bound: BoundLaw, data: FitData, objective: str = "loss", noise: Noise | None = None) -> None:
        self.bound, self.law, self.data = bound, bound.law, data
        self.linear = objective == "loss"
        floor = 0.5 / np.where(np.isfinite(data.eval_size), data.eval_size, 1e4)[:, None]
        self.y = data.loss if self.linear else np.log10(np.maximum(data.loss, floor))
        self.present = data.present
        self.full = bool(self.present.all())
        self.rho = 0.0 if noise is None else noise.rho
        self.root = np.sqrt(data.weight) if noise is None else self.present / noise.innovation[:, None]
        self.plain = self.full and self.rho == 0.0 and bool((self.root == 1).all())

    @abstractmethod
    def curves(self, theta: Array) -> Array:
        """Return the fitted curves of a batch (B, P), shape (B, R, T)."""

    @abstractmethod
    def jacobian(self, theta: Array) -> Array:
        """Return the unweighted derivative of the curves, shape (R, P, T), for one theta (P,)."""

    @abstractmethod
    def solve(self, start: Array, *, limits: Limits | None = None) -> Solution:
        """Minimise from `start` (B, P)."""

    def whiten(self, z: Array, rows: bool = False) -> Array:
        """Weight and decorrelate (..., R, T), or (..., R, rows, T)."""
        if self.plain:
            return z
        root, present = (self.root[:, None], self.present[:, None]) if rows else (self.root, self.present)
        # The root is 0 where no point is; only what a neighbour leaves there has to go.
        return whiten(z, self.rho, root, None if self.full or self.rho == 0.0 else present)

    def residual(self, theta: Array) -> Array:
        """Return data minus fit, shape (R, T); 0 where absent."""
        return np.where(self.present, self.y - self.curves(theta[None])[0], 0.0)

    def whitened(self, theta: Array) -> Array:
        """Return the whitened residuals of the points present, shape (n,)."""
        return np.asarray(self.whiten(self.residual(theta))[self.present])

    def whitened_jacobian(self, theta: Array) -> Array:
        """Return the derivative of `whitened` by theta, shape (n, P)."""
        return -np.moveaxis(self.whiten(self.jacobian(theta), rows=True), 1, -1)[self.present]

    def noise_at(self, theta: Array) -> Noise:
        """Estimate the noise of the residuals."""
        return estimate_noise(self.residual(theta), self.jacobian(theta), self.present)
