"""The least-squares problem of a law on given curves: what every solver of one shares.

Shapes as in `scalefit.fitting.binding`; time is the last axis everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw, law_resource
from scalefit.laws.law import LN10, Law
from scalefit.numerics.ar1 import Noise, estimate_noise, whiten
from scalefit.numerics.least_squares import Limits, Solution
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
EXACT = 4e-16
"""What rounding leaves of a residual, as a share of the value."""


class WeighedCurves:
    """Curves on the objective's scale, and how residuals about them are weighed.

    Attributes
    ----------
    y, present : ndarray, shape (R, T)
        The data on the objective's scale, and where a point is.
    x : ndarray, shape (R, T)
        log10 of the (first) resource as the law sees it.
    root : ndarray, shape (R, T)
        What a residual is multiplied with before its correlation `rho` to the one before is taken out.
    """

    def __init__(self, law: Law, data: FitData, objective: str = "loss", noise: Noise | None = None) -> None:
        self.law, self.data = law, data
        self.linear = objective == "loss"
        self.y = data.loss if self.linear else np.log10(np.maximum(data.loss, smallest_loss(data)))
        self.present = data.present
        self.full = bool(self.present.all())
        self.x = np.log10(law_resource(law, data, data.resource, data.params)[0])
        self.weigh(noise)

    def weigh(self, noise: Noise | None) -> None:
        """Weigh by a noise from now on, or by the data's weights."""
        self.rho = 0.0 if noise is None else noise.rho
        self.root = np.sqrt(self.data.weight) if noise is None else self.present / noise.innovation[:, None]
        self.plain = self.full and self.rho == 0.0 and bool((self.root == 1).all())

    def whiten(self, z: Array, rows: bool = False) -> Array:
        """Weight and decorrelate (..., R, T), or (..., R, rows, T)."""
        if self.plain:
            return z
        root, present = (self.root[:, None], self.present[:, None]) if rows else (self.root, self.present)
        # The root is 0 where no point is; only what a neighbour leaves there has to go.
        return whiten(z, self.rho, root, None if self.full or self.rho == 0.0 else present)


def smallest_loss(data: FitData) -> Array:
    """Return what stands for a loss of 0 where its logarithm is taken, half a problem, shape (R, 1)."""
    return np.asarray(0.5 / np.where(np.isfinite(data.eval_size), data.eval_size, 1e4)[:, None])


class Problem(WeighedCurves, ABC):
    """A bound law, the curves it is held against, and how residuals are weighed."""

    def __init__(self, bound: BoundLaw, data: FitData, objective: str = "loss", noise: Noise | None = None) -> None:
        super().__init__(bound.law, data, objective, noise)
        self.bound = bound

    @abstractmethod
    def curves(self, theta: Array) -> Array:
        """Return the fitted curves of a batch (B, P), shape (B, R, T)."""

    @abstractmethod
    def normal(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return cost (B,), descent direction's right side (B, P) and normal matrix (B, P, P)."""

    @abstractmethod
    def solve(self, start: Array, *, limits: Limits | None = None) -> Solution:
        """Minimise from `start` (B, P)."""

    def rounding(self) -> Array:
        """Return what rounding leaves of half the squared residuals, (R, T): less tells no solution from another."""
        return np.asarray(0.5 * (EXACT * self.whiten(np.where(self.present, self.y, 0.0))) ** 2)

    @cached_property
    def points(self) -> tuple[Array, Array]:
        """Sizes (n,) and resource as the law sees it (Q, n) of the points present."""
        N = np.broadcast_to(self.data.params[:, None], self.present.shape)[self.present]
        return N, law_resource(self.law, self.data, self.data.resource, self.data.params)[:, self.present]

    @cached_property
    def size_of_curve(self) -> NDArray[np.intp]:
        """Which of the law's sizes each curve is of, shape (R,)."""
        return np.searchsorted(self.bound.sizes, self.data.params)

    def by_curve(self, theta: Array) -> Array:
        """Return each curve's unweighted derivatives by the p parameters of its own size, (R, p, T)."""
        N, X = self.points
        slopes = self.bound.slopes(theta, N, X)
        if self.linear:
            slopes = slopes * (LN10 * self.curves(theta[None])[0][self.present])
        out = np.zeros((len(slopes), *self.present.shape))
        out[:, self.present] = slopes
        return out.swapaxes(0, 1)

    def residual(self, theta: Array) -> Array:
        """Return data minus fit, shape (R, T); 0 where absent."""
        return np.where(self.present, self.y - self.curves(theta[None])[0], 0.0)

    def whitened(self, theta: Array) -> Array:
        """Return the whitened residuals of the points present, shape (n,)."""
        return np.asarray(self.whiten(self.residual(theta))[self.present])

    def deviations(self, theta: Array) -> Array:
        """Return derivatives of the curves by what a run has of its own, its level and its slope, shape (R, 2, T).

        The level is log10 of the loss at the run's mean log10 X, the slope that of log10 of the loss in log10 X.
        """
        counts = np.maximum(self.present.sum(1, keepdims=True), 1)
        x = self.x - (self.x * self.present).sum(1, keepdims=True) / counts
        level = LN10 * self.curves(theta[None])[0] if self.linear else np.ones_like(x)
        return np.stack([level, level * x], 1) * self.present[:, None]

    def noise_at(self, theta: Array) -> Noise:
        """Estimate the noise of the residuals about what each run has of its own: all of its size's, or level and slope."""
        own = all(param.per_size for param in self.law.params)
        basis = self.by_curve(theta) if own else self.deviations(theta)
        return estimate_noise(self.residual(theta), basis, self.present)
