"""The default prediction: closed laws averaged by how they predicted sizes they had not seen, and the trend of the sizes.

Each closed law is fitted with every size left out in turn, and with only the smaller ones below each large one; its weight is
the inverse of its mean squared error there. Half of the prediction is their average, half the trend (`trend`), a share that
is fixed. The bands are as wide as the whole was wrong at the sizes left out (`misses`), each of them predicted with weights
in which it had no part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.bands import Bands
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.line_fit import runs_with_lines
from scalefit.fitting.once import once
from scalefit.fitting.run_lines import fit_run_lines
from scalefit.laws import ANCHORED, AVERAGED
from scalefit.laws.law import Law
from scalefit.numerics.intervals import student
from scalefit.prediction.groups import MANY, group_sizes
from scalefit.prediction.members import Member, make_member
from scalefit.prediction.misses import DOF, Misses, miss_of, way_to
from scalefit.prediction.started import Started
from scalefit.prediction.trend import Trend
from scalefit.table.fit_data import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
LEAST_SIZES = 4
"""Sizes needed: three to fit a closed offset and k(N), one to hold out."""
SHARE = 0.5
"""The trend's part of a prediction that has no anchor; what an anchor settles the trend knows no better."""


BEGUN = 0.25
"""The part of a prediction that the start of the untrained model has."""


@dataclass(frozen=True)
class Anchor:
    """The first points of a run of the size to be predicted: `params`, `resource` (Q, n), `loss` (n,).

    One at resource 0 is the untrained model.
    """

    params: float
    resource: Array
    loss: Array

    @property
    def untrained(self) -> bool:
        """Whether it says nothing but where the size starts."""
        return not self.resource.any()


@dataclass(frozen=True)
class Fold:
    """One held-out size: log10 L of the closed laws and, last, of the trend (M + 1, n), and what was measured (n,).

    Where there is an anchor, each is moved onto it; `between` is the variance of the mean of the size's runs.
    """

    params: float
    predicted: Array
    between: Array
    x: Array
    loss: Array
    way: float
    runs: int


@dataclass(frozen=True)
class Ensemble:
    """Closed laws, the trend, and what they were wrong by.

    Attributes
    ----------
    members : tuple of Member
        The closed laws.
    trend : Trend
        Of the sizes' own curves.
    weights : ndarray, shape (M + 1,)
        Of the members, of the trend and, where it is known, of the start; sum to 1.
    held_out : ndarray, shape (M + 1,)
        Root mean squared error of the loss on held-out sizes, each member's and the trend's.
    misses : Misses
        What the whole was wrong by at sizes left out.
    alone : Fit
        A line for each size, for the noise of evaluations.
    anchor_points : int
        How many first points of a target each fold was allowed to see (0: none).
    """

    data: FitData
    members: tuple[Member, ...]
    trend: Trend
    weights: Array
    held_out: Array
    misses: Misses
    alone: Fit
    anchor_points: int
    begun: Started | None = None

    @property
    def sources(self) -> tuple[Member | Trend, ...]:
        """What can be drawn from: closed laws and the trend."""
        return (*self.members, self.trend)

    @property
    def voices(self) -> tuple[Member | Trend | Started, ...]:
        """What is averaged."""
        return self.sources if self.begun is None else (*self.sources, self.begun)

    def started(self, start: float) -> Ensemble:
        """Return the same with the loss of the untrained model of the size to be predicted.

        The bands stay: tables seldom hold the starts by which what it adds could be measured.
        """
        weights = np.append((1 - BEGUN) * self.weights, BEGUN)
        return replace(
            self, weights=weights, held_out=np.append(self.held_out, np.nan), begun=Started(self.data, start)
        )

    def curves(self, params: float, resource: Array, anchor: Anchor | None = None) -> Array:
        """Return log10 L of each voice at points, (V, n); with an anchor moved onto it."""
        return np.stack([one.mean_curve(params, resource).centre + _shift(one, anchor) for one in self.voices])

    def between_runs(self, params: float, resource: Array) -> tuple[Array, Array]:
        """Return weights (G,) of what a new run's curve departs by from the mean curve, and its variance (G, n)."""
        x = self.members[0].seen(np.full(resource.shape[1], params), resource)
        return _between(self.members, params, x)

    def error(self, params: float, resource: Array) -> Array:
        """Return the standard error of the mean curve of a size at points (n,) [log10 loss]."""
        return np.sqrt(self.misses.variance(*self._where(params, resource), mean_curve=True))

    def _where(self, params: float, resource: Array) -> tuple[float, Array]:
        return way_to(self.data.sizes, params), self.members[0].seen(np.full(resource.shape[1], params), resource)

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
            loss, low, high, run_low, run_high, eval_low, eval_high and spread (disagreement of voices, log10 loss), (n,).
        """
        curves = self.curves(params, resource, anchor)
        mean = self.weights @ curves
        spread = np.sqrt(self.weights @ (curves - mean) ** 2)
        noise = self.alone.evaluation_noise(params, mean)
        where = self._where(params, resource)
        whole = self.misses.variance(*where)
        if anchor is None:
            inner = self.misses.variance(*where, mean_curve=True)
            weight, between = self.between_runs(params, resource)
            # What was missed were means of so many runs; the scatter of one is in it already.
            scatter = (1 - self.misses.run_share) * (weight @ between)
        else:
            inner, scatter = whole, 0.0 * whole
        t, z = student(level, DOF), student(level, np.inf)
        run = t**2 * whole + z**2 * scatter
        halves = (t * np.sqrt(inner), np.sqrt(run), np.sqrt(run + z**2 * noise))
        bands = Bands(mean, *(mean + sign * half for half in halves for sign in (-1, 1)))
        return {**bands.columns(), "spread": spread}


def _between(members: Sequence[Member], params: float, x: Array) -> tuple[Array, Array]:
    """Return weights (G,) and variance (G, n) of a new run's curve about the mean curve, as line laws tell it."""
    found = [one.found for one in members if isinstance(one.found, Hierarchy)]
    weight = np.concatenate([one.weight for one in found]) / len(found)
    return weight, np.concatenate([one.between_runs(params, x) for one in found])


def _shift(voice: Member | Trend | Started, anchor: Anchor | None) -> float:
    """Return by how much a curve is moved onto an anchor [log10 loss]."""
    if anchor is None:
        return 0.0
    there = voice.mean_curve(anchor.params, anchor.resource).centre
    # Log of the mean ratio: a least-squares level that a loss of 0 cannot throw off.
    return float(np.log10(max(float(anchor.loss.sum()), 1e-6) / float((10.0**there).sum())))


def first_points(data: FitData, params: float, count: int) -> Anchor:
    """Return the first `count` points of a size as an anchor."""
    part = data.keep(data.params == params, first=count)
    here = part.present
    return Anchor(params, part.resource[:, here], part.loss[here])


@once
def average_offsets(data: FitData, forms: Sequence[Law] | None = None, *, anchor_points: int = 0) -> Ensemble:
    """Fit every closed law, score each and the trend on held-out sizes, and weigh them; the first is a line law.

    Raises
    ------
    FitError
        If the series has fewer than four sizes, or runs are too short for lines of their own.
    """
    if len(data.sizes) < LEAST_SIZES:
        names = ", ".join(format_quantity(size) for size in data.sizes)
        raise FitError(
            f"series {data.series!r} has {len(data.sizes)} size(s) ({names}); predicting an unseen size needs {LEAST_SIZES}, "
            "of which each is held out once. Add sizes, or fit one closed law with --law, such as saturating-linear."
        )
    asked, forms = Specification(), forms or (ANCHORED if anchor_points else AVERAGED)
    rows = runs_with_lines(forms[0], data, asked)
    if rows is None:
        raise FitError(
            f"series {data.series!r}: its runs have too few evaluations for a line each, from which an unseen size is "
            "predicted. Fit one closed law with --law, such as chinchilla."
        )
    # A run's line does not depend on what other sizes are fitted.
    lines = fit_run_lines(forms[0], data.each.keep(rows), asked)
    members = tuple(make_member(form, data, lines) for form in forms)
    folds = []
    for sizes, fitted in _occasions(data):
        train, part = data.keep(fitted(data.params)), lines.keep(fitted(lines.params))
        without = [make_member(one.law, train, part, one.near) for one in members]
        held = [_hold_out(data, (without, Trend(train, part)), float(size), anchor_points) for size in sizes]
        folds += [fold for fold in held if fold is not None]
    if not folds:
        raise FitError(f"series {data.series!r}: no run is longer than the {anchor_points} anchor points.")
    squared = np.array([np.mean((10.0**fold.predicted - fold.loss) ** 2, axis=1) for fold in folds])
    share = 0.0 if anchor_points else SHARE
    return Ensemble(
        data,
        members,
        Trend(data, lines),
        _weigh(squared, share),
        np.sqrt(squared.mean(0)),
        _miss(folds, squared, share),
        fit_data("power", data),
        anchor_points,
    )


def _weigh(squared: Array, share: float) -> Array:
    """Return weights of the closed laws and of the trend, whose share is given, from the squared errors of folds (F, M + 1)."""
    weights = 1 / (squared[:, :-1].mean(0) + 1e-12)
    return np.append((1 - share) * weights / weights.sum(), share)


def _miss(folds: Sequence[Fold], squared: Array, share: float) -> Misses:
    """Return what the whole was wrong by, each size predicted with weights from the others."""
    names = np.array([fold.params for fold in folds])
    each = []
    for fold in folds:
        others = names != fold.params
        weights = _weigh(squared[others] if others.any() else squared, share)
        each.append(miss_of(weights @ fold.predicted, fold.loss, fold.x, fold.way, fold.between))
    middle = float(np.mean([fold.x.mean() for fold in folds]))
    run_share = float(np.mean([1 / fold.runs for fold in folds]))
    return Misses(tuple(each), middle, run_share)


def _occasions(data: FitData) -> list[tuple[Array, Callable[[Array], NDArray[np.bool_]]]]:
    """Return the sizes held out together, and which are fitted for them: all others, and for large ones those below."""
    groups = group_sizes(data.sizes, MANY)
    others = [(some, lambda N, out=some: ~np.isin(N, out)) for some in groups]
    return [*others, *((some, lambda N, out=some: out[0] > N) for some in groups[LEAST_SIZES - 1 : -1])]


def _hold_out(data: FitData, voices: tuple[Sequence[Member], Trend], size: float, anchor_points: int) -> Fold | None:
    """Return how members and trend predicted a size; None where nothing of it is left to score."""
    members, trend = voices
    here = data.keep(data.params == size)
    anchor = first_points(data, size, anchor_points) if anchor_points else None
    present = here.present.copy()
    present[:, :anchor_points] = False
    if not present.any():
        return None
    resource, loss = here.resource[:, present], here.loss[present]
    every = [one.mean_curve(size, resource).centre + _shift(one, anchor) for one in members]
    every.append(trend.mean_curve(size, resource).centre + _shift(trend, anchor))
    runs = max(int(np.sum(here.runs)), 1)
    x = members[0].seen(np.full(len(loss), size), resource)
    weight, between = _between(members, size, x)
    way = way_to(members[0].data.sizes, size)
    return Fold(size, np.stack(every), weight @ between / runs, x, loss, way, runs)
