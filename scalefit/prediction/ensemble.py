"""The default prediction: closed-offset laws averaged by how they predicted sizes they had not seen.

Each member is fitted with every size left out in turn. Its weight is the inverse of its mean squared error there. What the
members say of their own errors, their disagreement, and what the average was wrong by beyond both make the bands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.bands import Bands, bands_of
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.line_fit import runs_with_lines
from scalefit.fitting.run_lines import fit_run_lines
from scalefit.laws import OFFSET_FORMS
from scalefit.laws.law import LN10, Law
from scalefit.numerics.intervals import student
from scalefit.numerics.mixtures import Mixture, join
from scalefit.prediction.groups import MANY, group_sizes
from scalefit.prediction.members import Member, make_member
from scalefit.table.prepare import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
LEAST_SIZES = 4
"""Sizes needed: three to fit a closed offset and k(N), one to hold out."""


@dataclass(frozen=True)
class Anchor:
    """The first points of a run of the size to be predicted: `params`, `resource` (Q, n), `loss` (n,)."""

    params: float
    resource: Array
    loss: Array


@dataclass(frozen=True)
class Fold:
    """One held-out size: members' log10 L (M, n), their variance (n,), and what was measured (n,)."""

    params: float
    predicted: Array
    variance: Array
    loss: Array
    upward: bool
    """Whether the size lay above all those fitted."""


@dataclass(frozen=True)
class Ensemble:
    """Members, weights and held-out error.

    Attributes
    ----------
    members : tuple of Member
        The closed-offset laws.
    weights : ndarray, shape (M,)
        Sum to 1.
    held_out : ndarray, shape (M,)
        Each member's root mean squared error of the loss on held-out sizes.
    error : float
        What the average was wrong by on held-out sizes beyond what is known to be uncertain [log10 loss]; with an anchor,
        all that it was wrong by beyond the noise of evaluations.
    folds : int
        Sizes that were held out.
    alone : Fit
        A line for each size, for the noise of evaluations.
    anchor_points : int
        How many first points of a target each fold was allowed to see (0: none).
    """

    data: FitData
    members: tuple[Member, ...]
    weights: Array
    held_out: Array
    error: float
    folds: int
    alone: Fit
    anchor_points: int

    def member_curves(self, params: float, resource: Array, anchor: Anchor | None = None) -> Array:
        """Return each member's log10 L at points, shape (M, n); anchored ones moved onto the anchor."""
        return np.stack([m.mean_curve(params, resource).centre + _shift(m, anchor) for m in self.members])

    def mean_curve(self, params: float, resource: Array) -> tuple[Mixture, Array]:
        """Return what is known of the mean curve of a size, (G, n), and the variance of a new run's about it, (G, n)."""
        own = [one.mean_curve(params, resource) for one in self.members]
        between = np.concatenate([one.between_runs(params, resource) for one in self.members])
        # Few held-out sizes tell the error only roughly.
        unseen = self.error * student(0.95, self.folds) / student(0.95, np.inf)
        return join(own, self.weights).widened(np.full(resource.shape[1], unseen**2)), between

    def predict(
        self, params: float, resource: Array, *, level: float = 0.95, anchor: Anchor | None = None
    ) -> dict[str, Array]:
        """Predict loss with the three bands.

        Parameters
        ----------
        params : float
            Model size [parameters].
        resource : ndarray, shape (Q, n)
            Compute [FLOPs] or data [prompts].
        level : float
            Of the intervals.
        anchor : Anchor, optional
            First points of a run of this size, for an ensemble built for anchors; all bands are then of that run.

        Returns
        -------
        dict
            loss, low, high, run_low, run_high, eval_low, eval_high and spread (disagreement of members, log10 loss), (n,).
        """
        curves = self.member_curves(params, resource, anchor)
        mean = self.weights @ curves
        spread = np.sqrt(self.weights @ (curves - mean) ** 2)
        noise = self.alone.evaluation_noise(params, mean)
        if anchor is None:
            known, between = self.mean_curve(params, resource)
            bands = bands_of(mean, known, between, noise, level)
        else:
            bands = self._anchored(mean, np.sqrt(spread**2 + self.error**2), noise, level)
        return {**bands.columns(), "spread": spread}

    def _anchored(self, mean: Array, error: Array, noise: Array, level: float) -> Bands:
        t = student(level, self.folds)
        curve, point = t * error, t * np.sqrt(error**2 + noise)
        return Bands(mean, mean - curve, mean + curve, mean - curve, mean + curve, mean - point, mean + point)


def _shift(member: Member, anchor: Anchor | None) -> float:
    """Return by how much a member's curve is moved onto an anchor [log10 loss]."""
    if anchor is None:
        return 0.0
    there = member.mean_curve(anchor.params, anchor.resource).centre
    # Log of the mean ratio: a least-squares level that a loss of 0 cannot throw off.
    return float(np.log10(max(float(anchor.loss.sum()), 1e-6) / float((10.0**there).sum())))


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
        If the series has fewer than four sizes, or runs are too short for lines of their own.
    """
    if len(data.sizes) < LEAST_SIZES:
        names = ", ".join(format_quantity(size) for size in data.sizes)
        raise FitError(
            f"series {data.series!r} has {len(data.sizes)} size(s) ({names}); predicting an unseen size needs {LEAST_SIZES}, "
            "of which each is held out once. Add sizes, or fit one law with --law."
        )
    asked = Specification()
    rows = runs_with_lines(forms[0], data, asked)
    if rows is None:
        raise FitError(
            f"series {data.series!r}: its runs have too few evaluations for a line each, from which an unseen size is "
            "predicted. Fit one closed law with --law, such as chinchilla."
        )
    # A run's line does not depend on what other sizes are fitted.
    lines = fit_run_lines(forms[0], data.each.keep(rows), asked)
    folds = []
    for sizes, fitted in _occasions(data):
        train, part = data.keep(fitted(data.params)), lines.keep(fitted(lines.params))
        without = [make_member(form, train, part) for form in forms]
        held = [_hold_out(data, without, float(size), anchor_points) for size in sizes]
        folds += [fold for fold in held if fold is not None]
    if not folds:
        raise FitError(f"series {data.series!r}: no run is longer than the {anchor_points} anchor points.")
    squared = np.array([np.mean((10.0**fold.predicted - fold.loss) ** 2, axis=1) for fold in folds])
    upward = np.array([fold.upward for fold in folds])
    mean_square = squared[upward if upward.any() and not anchor_points else slice(None)].mean(0)
    weights = 1 / (mean_square + 1e-12)
    weights = weights / weights.sum()
    alone = fit_data("power", data)
    error = _unexplained(folds, weights, alone, bool(anchor_points))
    members = tuple(make_member(form, data, lines) for form in forms)
    return Ensemble(data, members, weights, np.sqrt(mean_square), error, len(folds), alone, anchor_points)


def _occasions(data: FitData) -> list[tuple[Array, Callable[[Array], NDArray[np.bool_]]]]:
    """Return the sizes held out together, and which are fitted for them: all others, and for large ones those below."""
    groups = group_sizes(data.sizes, MANY)
    others = [(some, lambda N, out=some: ~np.isin(N, out)) for some in groups]
    return [*others, *((some, lambda N, out=some: out[0] > N) for some in groups[LEAST_SIZES:-1])]


def _hold_out(data: FitData, members: list[Member], size: float, anchor_points: int) -> Fold | None:
    """Return how members predicted a size; None where nothing of it is left to score."""
    here = data.keep(data.params == size)
    anchor = first_points(data, size, anchor_points) if anchor_points else None
    present = here.present.copy()
    present[:, :anchor_points] = False
    if not present.any():
        return None
    resource, loss = here.resource[:, present], here.loss[present]
    known = [one.mean_curve(size, resource) for one in members]
    centres = np.stack([one.centre for one in known])
    curves = centres + np.array([[_shift(one, anchor)] for one in members])
    runs = max(int(np.sum(here.runs)), 1)
    between = [own.weight @ one.between_runs(size, resource) for one, own in zip(members, known, strict=True)]
    variance = np.mean([own.spread**2 for own in known], axis=0) + centres.var(0) + np.mean(between, axis=0) / runs
    return Fold(size, curves, variance, loss, bool(size > members[0].data.sizes[-1]))


def _unexplained(folds: Sequence[Fold], weights: Array, alone: Fit, anchored: bool) -> float:
    """Return by how much the average was wrong beyond noise and, but for anchors, beyond what it is known to be uncertain by."""
    beyond: list[float] = []
    for fold in folds:
        average = 10.0 ** (weights @ fold.predicted)
        own = alone.data.params == fold.params
        noise = float(np.mean(alone.noise.sigma[own] ** 2 / np.asarray(alone.data.runs, float)[own]))
        square = (float(np.mean((average - fold.loss) ** 2)) - noise) / float(np.mean(average) * LN10) ** 2
        beyond.append(max(square, 0.0) if anchored else square - float(np.mean(fold.variance)))
    return float(np.sqrt(max(float(np.mean(beyond)), 0.0)))
