"""What a fitted law leaves of the merged curves it was fitted to: a curve is a set-up of one size, the mean of its seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.fit import Fit
from scalefit.laws.law import LN10
from scalefit.numerics.ar1 import Noise, estimate_noise

Array = NDArray[np.float64]
TANGENT = 1e-9
"""Share of the largest direction of a law's parameters below which one has no effect."""


@dataclass(frozen=True)
class Left:
    """What a fitted law leaves of the curves, each point scaled to the spread that least squares takes it for.

    Attributes
    ----------
    values : ndarray, shape (n,)
        Loss minus law, times the root of the weight.
    by : ndarray, shape (n, P)
        Derivative of the law's values by its parameters, scaled alike.
    own : ndarray, shape (R, p, T)
        Derivative of each curve by the p parameters it is described by, scaled alike.
    root : ndarray, shape (R, T)
        The scale; 0 where no point is.
    """

    fit: Fit
    values: Array
    by: Array
    own: Array
    root: Array

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Where a point is, shape (R, T)."""
        return self.root > 0

    @cached_property
    def curves(self) -> Array:
        """The values by curve, shape (R, T)."""
        return self.by_curve(self.values)

    def by_curve(self, values: Array) -> Array:
        """Return points (..., n) as curves (..., R, T)."""
        curves = np.zeros((*values.shape[:-1], *self.root.shape))
        curves[..., self.present] = values
        return curves

    @cached_property
    def tangent(self) -> Array:
        """Orthonormal directions in which the parameters move the law's values, (n, r)."""
        length = np.sqrt((self.by**2).sum(0))
        u, s, _ = np.linalg.svd(self.by[:, length > 0] / length[length > 0], full_matrices=False)
        return np.asarray(u[:, s > TANGENT * s[0]])

    @cached_property
    def rms(self) -> float:
        """Root mean square of loss minus law."""
        return float(np.sqrt(np.mean((self.values / self.root[self.present]) ** 2)))

    @cached_property
    def squares(self) -> float:
        """Sum of squares of the values."""
        return float(self.values @ self.values)

    @cached_property
    def noise(self) -> Noise:
        """AR(1) noise of the values, by restricted likelihood about what describes each curve."""
        return estimate_noise(self.curves, self.own, self.present)

    def of_size(self, size: float) -> Left:
        """Return the same of the curves of one size."""
        rows = self.fit.data.params == size
        points = np.repeat(rows, self.present.sum(1))
        return Left(self.fit, self.values[points], self.by[points], self.own[rows], self.root[rows])


def left_by(fit: Fit) -> Left:
    """Return what a fit leaves of the merged curves."""
    data, bound = fit.data, fit.bound
    root = np.sqrt(data.weight * np.asarray(data.runs, float)[:, None])
    present = data.present
    params = np.broadcast_to(data.params[:, None], data.loss.shape)[present]
    log, by_log = fit.log_curve(params, data.resource[:, present])
    loss = 10.0**log
    by = by_log * (loss * LN10 * root[present])[:, None]
    own = np.zeros((*data.loss.shape, bound.flat_index.shape[1]))
    which = np.broadcast_to(bound.flat_index[data.size_index][:, None], own.shape)[present]
    own[present] = np.take_along_axis(by, which, 1)
    values = (data.loss[present] - loss) * root[present]
    return Left(fit, values, by, own.swapaxes(1, 2), root)
