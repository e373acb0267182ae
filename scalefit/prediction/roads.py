"""Who answers for a size, and with what interval: the law itself, or the average of closed laws and the trend of the sizes.

The law answers for a size that it speaks about: one that was fitted, or any where it has nothing of its own for each
size. Within its data its interval is its own; beyond them, and for a size that was not fitted, it is no narrower than the
law was wrong where it had not seen the data (`beyond`, `leave_size_out`). Any other size, and one with an anchor, is
answered by `ensemble`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data, has_final_losses
from scalefit.numerics.intervals import student
from scalefit.prediction.beyond import begun, score_beyond
from scalefit.prediction.ensemble import Anchor, average_offsets
from scalefit.prediction.groups import group_sizes
from scalefit.table.fit_data import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
Columns = dict[str, Array]
BY_LAW, BY_OFFSETS = "the law", "average of closed laws and the trend of the sizes"
LEAST_SIZES = 3
"""Sizes that a closed law needs to be scored on one that it has not seen."""


@dataclass(frozen=True)
class Road:
    """How one fit answers one size: the curve and the ends of its three bands at values of the resource (Q, n)."""

    by: str
    columns: Callable[[Array], Columns]
    members: Callable[[Array], list[dict[str, Any]]] = lambda resource: []
    warnings: list[str] = field(default_factory=list)
    beyond: str | None = None
    """What to say where the range measured is left."""


def _measured(data: FitData, params: float) -> Array:
    """Return where was measured: the size's own values where it has curves, else those of all; flops scale with size."""
    own = np.isclose(data.params, params, rtol=1e-9) & (not has_final_losses(data))
    seen = data.present & own[:, None] if own.any() else data.present
    return np.asarray((data.resource[0] * (1.0 if own.any() else _scale(data, params)))[seen])


def range_begin(data: FitData, params: float) -> float:
    """Return the beginning of the range measured."""
    return float(_measured(data, params).min())


def range_end(data: FitData, params: float) -> float:
    """Return the end of the range measured."""
    return float(_measured(data, params).max())


def round_values(data: FitData, params: float, count: int = 5) -> Array:
    """Return round values of the resource within the range measured, and its end; flops scale with size."""
    low, high = range_begin(data, params), range_end(data, params)
    steps = [
        m * 10.0**e for e in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1) for m in (1, 2, 5)
    ]
    inside = [step for step in steps if low <= step < high * 0.95]
    return np.array([*inside[-count:], high])


def _scale(data: FitData, params: float) -> Array:
    return params / data.params[:, None] if data.resources[0] == "flops" else np.ones((len(data.params), 1))


def is_fitted(fit: Fit, params: float) -> bool:
    """Say whether the fit has seen runs of a size."""
    return bool(np.isclose(fit.data.sizes, params, rtol=1e-9).any())


def choose_road(fit: Fit, params: float, ratio: float, *, level: float, anchor: Anchor | None = None) -> Road:
    """Return who answers for a size: the law where it speaks about it, else the average.

    Parameters
    ----------
    ratio : float
        The furthest that is asked for, in multiples of the range measured.
    """
    if anchor is None and (is_fitted(fit, params) or not fit.law.per_size):
        return _law_road(fit, params, ratio, level)
    if len(fit.data.resources) != 1:
        raise FitError(
            f"law {fit.law.name!r} says nothing of {format_quantity(params)}, and an unseen size is predicted in one "
            "resource; fit a law in samples or flops."
        )
    if anchor is not None and anchor.untrained:
        if is_fitted(fit, params):
            raise FitError(
                f"{format_quantity(params)} was fitted: where it starts its own runs say. Leave out --start."
            )
        ensemble, anchor = average_offsets(fit.data).started(float(anchor.loss.mean())), None
    else:
        ensemble = average_offsets(fit.data, anchor_points=len(anchor.loss) if anchor else 0)

    def columns(resource: Array) -> Columns:
        return ensemble.predict(params, resource, level=level, anchor=anchor)

    def members(end: Array) -> list[dict[str, Any]]:
        ends = 10.0 ** ensemble.curves(params, end, anchor)[:, 0]
        numbers = zip(
            ensemble.voices, ensemble.weights.tolist(), ensemble.held_out.tolist(), ends.tolist(), strict=True
        )
        return [
            {
                "law": one.name,
                "weight": weight,
                "held_out_rmse": error if np.isfinite(error) else None,
                "loss_at_end": loss,
            }
            for one, weight, error, loss in numbers
            if weight
        ]

    at = np.stack([round_values(fit.data, params)])
    warnings = []
    if (columns(at)["spread"] > ensemble.error(params, at)).any():
        ends = 10.0 ** ensemble.curves(params, at[:, -1:], anchor)[:, 0]
        warnings.append(
            f"the forms disagree (loss at the end {ends.min():.3f} to {ends.max():.3f}); a short run with --anchor would settle it"
        )
    return Road(BY_OFFSETS, columns, members, warnings)


def _law_road(fit: Fit, params: float, ratio: float, level: float) -> Road:
    """Return the law's own answer, its interval no narrower than its errors where it had not seen the data."""
    data, warnings = fit.data, []
    limit = range_end(data, params)
    beyond = score_beyond(fit, ratio) if ratio > 1.001 and len(data.resources) == 1 else None
    unseen = None if is_fitted(fit, params) else leave_size_out(fit, params)
    if unseen is not None and not np.isfinite(unseen.error):
        warnings.append(
            f"{format_quantity(params)} was not fitted, and there are too few sizes to leave one out: how wrong the law is there is not known, and its band says nothing"
        )

    def columns(resource: Array) -> Columns:
        if unseen is None:
            bands = fit.bands(params, resource, level)
        else:
            # Few held-out sizes tell the error only roughly; that of a whole size is that of a new run.
            misfit = unseen.misfit * student(0.95, unseen.folds) / student(0.95, np.inf)
            bands = fit.bands(params, resource, level, misfit=misfit)
            bands = bands.runs_at_least(np.full(len(bands.log), student(level, unseen.folds) * unseen.error))
        if beyond is not None:
            bands = bands.at_least(student(level, beyond.dof) * beyond.error(resource[0] / limit))
        return bands.columns()

    words = None if beyond is None else _beyond_words(beyond.reach, ratio, finals=fit.single)
    return Road(BY_LAW, columns, warnings=warnings, beyond=words)


@dataclass(frozen=True)
class Unseen:
    """How wrong a closed law was at sizes that it had not seen [log10 loss].

    Attributes
    ----------
    error : float
        Of a size's whole curve, root mean square.
    misfit : float
        Of it what is beyond the law's own uncertainty there and the scatter of runs.
    folds : int
        Predictions that it rests on.
    """

    error: float
    misfit: float
    folds: int


def leave_size_out(fit: Fit, params: float) -> Unseen:
    """Return how wrong a closed law is at sizes that it has not seen, each size (or group of neighbours) left out in turn.

    For a size beyond those fitted it is no less than on sizes that were predicted from the smaller ones alone (the larger
    ones, for a size below): what holds between sizes may not hold beyond them, and only those predictions count there.
    Infinite where there are too few sizes.
    """
    data = fit.data
    groups = group_sizes(data.sizes)
    if len(groups) <= LEAST_SIZES:
        return Unseen(float("inf"), float("inf"), 1)
    squares = [_left_out(fit, some, ~np.isin(data.params, some)) for some in groups]
    outward = []
    if params > data.sizes[-1]:
        inner = [_left_out(fit, some, data.params < some[0]) for some in groups[LEAST_SIZES:-1]]
        outward = [*inner, squares[-1]]
    elif params < data.sizes[0]:
        inner = [_left_out(fit, some, data.params > some[-1]) for some in groups[1:-LEAST_SIZES]]
        outward = [squares[0], *inner]
    error, misfit = np.max([np.mean(some, axis=0) for some in (squares, outward) if some], axis=0)
    return Unseen(float(np.sqrt(error)), float(np.sqrt(max(misfit, 0.0))), len(outward or squares))


def _left_out(fit: Fit, sizes: Array, rows: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the mean squared error of sizes' mean loss [log10 loss] by the law fitted to some rows, and what is beyond its variance.

    Infinite where the law cannot be fitted to them.
    """
    try:
        without = fit_data(begun(fit), fit.data.keep(rows), fit.specification)
    except FitError:
        return float("inf"), float("inf")
    found = np.array([_missed(without, fit.data.keep(fit.data.params == size), float(size)) for size in sizes])
    square, variance = found.mean(0)
    return square, square - variance if np.isfinite(variance) else float("inf")


def _missed(fit: Fit, here: FitData, size: float) -> tuple[float, float]:
    """Return the squared error of the mean loss of a size that was not fitted [log10 loss], and the variance it was told with."""
    resource = here.resource[:, here.present]
    log, known = fit.mean_curve(size, resource)
    between = known.weight @ fit.between_runs(size, resource)
    if fit.single:
        # With one evaluation a run, its noise and the scatter between runs are one.
        between = between + fit.evaluation_noise(size, log)
    variance = float(np.mean(known.spread**2 + between / max(int(np.sum(here.runs)), 1)))
    off = float(np.log10(np.mean(10.0**log) / max(float(here.loss[here.present].mean()), 1e-6)))
    return off**2, variance


def _beyond_words(reach: float, ratio: float, *, finals: bool) -> str:
    earlier = "those of these runs that were given less" if finals else "the earlier part of these runs"
    scored = (
        f"its band is as wide as the law was wrong when fitted to {earlier} and held against the rest"
        if reach > 1
        else "the runs are too short to score the law there, and its band says nothing"
    )
    more = f"; nothing could be scored beyond {reach:.2g} times" if 1 < reach < 0.999 * ratio else ""
    other = "" if finals else "; for one run `scalefit forecast` weighs several forms"
    return f"beyond its data the law is a guess: {scored}{more}{other}"
