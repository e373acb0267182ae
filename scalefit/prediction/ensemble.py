"""The default prediction: closed-offset laws averaged by how they predicted sizes they had not seen.

Each member is fitted with every size left out in turn. Its weight is the inverse of its mean squared
error there; the members' disagreement and the average's own held-out error make the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.laws import OFFSET_FORMS
from scalefit.laws.law import LN10, Law
from scalefit.numerics.ar1 import Noise
from scalefit.numerics.intervals import loss_ends, student
from scalefit.table.prepare import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
LEAST_SIZES = 4
"""Sizes needed: three to fit a closed offset and k(N), one to hold out."""
PLAIN = Specification(noise="independent")


@dataclass(frozen=True)
class Anchor:
    """The first points of a run of the size to be predicted: `params`, `resource` (Q, n), `loss` (n,)."""

    params: float
    resource: Array
    loss: Array


@dataclass(frozen=True)
class Fold:
    """One held-out size: members' log10 L (M, n), and what was measured (n,)."""

    params: float
    predicted: Array
    loss: Array
    upward: bool
    """Whether the size lay above all those fitted."""


@dataclass(frozen=True)
class Ensemble:
    """Members, weights and held-out error.

    Attributes
    ----------
    weights : ndarray, shape (M,)
        Sum to 1.
    held_out : ndarray, shape (M,)
        Each member's root mean squared error of the loss on held-out sizes.
    error : float
        The average's own error on held-out sizes beyond measurement noise [log10 loss].
    noise : Noise
        Noise of a single evaluation [loss], from a line per size.
    anchor_points : int
        How many first points of a target each fold was allowed to see (0: none).
    """

    members: tuple[Fit, ...]
    weights: Array
    held_out: Array
    error: float
    dof: float
    noise: Noise
    anchor_points: int

    @property
    def data(self) -> FitData:
        """The data the members were fitted on."""
        return self.members[0].data

    def member_curves(self, params: float, resource: Array, anchor: Anchor | None = None) -> Array:
        """Return each member's log10 L at points, shape (M, n); anchored ones moved onto the anchor."""
        return np.stack([_curve(fit, params, resource, anchor) for fit in self.members])

    def predict(
        self,
        params: float,
        resource: Array,
        *,
        level: float = 0.95,
        anchor: Anchor | None = None,
        eval_size: float | None = None,
    ) -> dict[str, Array]:
        """Predict loss with intervals for the curve and for a new evaluation.

        Parameters
        ----------
        params : float
            Model size [parameters].
        resource : ndarray, shape (Q, n)
            Compute [FLOPs] or data [prompts].
        level : float
            Of the intervals.
        anchor : Anchor, optional
            First points of a run of this size; only for an ensemble built for anchors.
        eval_size : float, optional
            Problems in the new evaluation, for its binomial error where the table's noise is smaller.

        Returns
        -------
        dict
            loss, low, high, new_low, new_high and spread (disagreement of members, log10 loss), each (n,).
        """
        curves = self.member_curves(params, resource, anchor)
        mean = self.weights @ curves
        spread = np.sqrt(self.weights @ (curves - mean) ** 2)
        se = np.sqrt(spread**2 + self.error**2)
        loss = 10.0**mean
        t = student(level, self.dof)
        sigma = np.full(len(loss), float(np.median(self.noise.sigma)))
        if eval_size:
            sigma = np.maximum(sigma, np.sqrt(np.clip(loss * (1 - loss), 0, None) / eval_size))
        se_new = np.sqrt(se**2 + (sigma / loss / LN10) ** 2)

        low, high = loss_ends(mean, t * se)
        new_low, new_high = loss_ends(mean, t * np.asarray(se_new))
        return {
            "loss": np.minimum(loss, 1.0),
            "low": low,
            "high": high,
            "new_low": new_low,
            "new_high": new_high,
            "spread": spread,
        }


def _curve(fit: Fit, params: float, resource: Array, anchor: Anchor | None) -> Array:
    log, _ = fit.log_curve(np.full(resource.shape[1], params), resource)
    if anchor is not None:
        there, _ = fit.log_curve(np.full(anchor.resource.shape[1], params), anchor.resource)
        # Log of the mean ratio: a least-squares level that a loss of 0 cannot throw off.
        log = log + np.log10(max(float(anchor.loss.sum()), 1e-6) / float((10.0**there).sum()))
    return np.asarray(log)


def first_points(data: FitData, params: float, count: int) -> Anchor:
    """Return the first `count` points of a size as an anchor."""
    part = data.keep(data.params == params, first=count)
    here = part.present
    return Anchor(params, part.resource[:, here], part.loss[here])


def average_offsets(data: FitData, forms: Sequence[Law] = OFFSET_FORMS, *, anchor_points: int = 0) -> Ensemble:
    """Fit every closed-offset law, score each on held-out sizes, and weigh them.

    Raises
    ------
    FitError
        If the series has fewer than four sizes.
    """
    if len(data.sizes) < LEAST_SIZES:
        sizes = ", ".join(format_quantity(size) for size in data.sizes)
        raise FitError(
            f"series {data.series!r} has {len(data.sizes)} size(s) ({sizes}); predicting an unseen size needs {LEAST_SIZES}, "
            "of which each is held out once. Add sizes, or fit one law with --law."
        )
    members = tuple(fit_data(form, data, PLAIN) for form in forms)
    pure = fit_data("power", data)
    trains = [(float(size), data.params != size) for size in data.sizes]
    trains += [(float(size), data.params < size) for size in data.sizes[LEAST_SIZES:-1]]
    folds = []
    for size, rows in trains:
        train = data.keep(rows)
        here = data.keep(data.params == size)
        anchor = first_points(data, size, anchor_points) if anchor_points else None
        present = here.present.copy()
        present[:, :anchor_points] = False
        if not present.any():
            continue
        resource, loss = here.resource[:, present], here.loss[present]
        curves = np.stack([_curve(fit_data(form, train, PLAIN), size, resource, anchor) for form in forms])
        folds.append(Fold(size, curves, loss, bool(size > train.sizes[-1])))
    if not folds:
        raise FitError(f"series {data.series!r}: no run is longer than the {anchor_points} anchor points.")
    squared = np.array([np.mean((10.0**fold.predicted - fold.loss) ** 2, axis=1) for fold in folds])
    upward = np.array([fold.upward for fold in folds])
    mean_square = squared[upward if upward.any() and not anchor_points else slice(None)].mean(0)
    weights = 1 / (mean_square + 1e-12)
    weights = weights / weights.sum()
    sigma2 = {size: float(np.mean(pure.noise.sigma[data.params == size] ** 2)) for size in data.sizes}
    beyond = []
    for fold in folds:
        average = 10.0 ** (weights @ fold.predicted)
        slope = np.mean(average) * LN10
        beyond.append(max(float(np.mean((average - fold.loss) ** 2)) - sigma2[fold.params], 0.0) / slope**2)
    error = float(np.sqrt(np.mean(beyond)))
    return Ensemble(members, weights, np.sqrt(mean_square), error, float(len(folds)), pure.noise, anchor_points)
