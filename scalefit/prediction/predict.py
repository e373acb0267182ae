"""What is predicted for a size: k(N), the curve, what reaches a loss, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError, UsageError
from scalefit.fitting.fit import Estimate, Fit
from scalefit.prediction.ensemble import Anchor, average_offsets
from scalefit.table.prepare import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """A prediction with what it rests on.

    Attributes
    ----------
    k : Estimate
        k(N) of the fitted law.
    curve : list of dict
        At each value of the resource: loss, low, high (the curve), new_low, new_high (a new evaluation).
    reach : dict or None
        What D or C reaches `--loss`: value, low, high; null where not within ten times the measured range.
    members : list of dict
        Each offset form: weight, held-out RMSE, loss at the end of the range.
    warnings : list of str
        Why it should be trusted less.
    """

    series: str
    params: float
    resource: str
    k: Estimate | None
    curve: list[dict[str, float]]
    reach: dict[str, Any] | None
    members: list[dict[str, Any]]
    fitted_on: str
    warnings: list[str]


def round_values(data: FitData, params: float, count: int = 5) -> Array:
    """Return round values of the resource within the range measured, and its end; flops scale with size."""
    X = data.resource[0]
    scale = params / data.params[:, None] if data.resources == ("flops",) else 1.0
    seen = (X * scale)[data.present]
    low, high = float(seen.min()), float(seen.max())
    steps = [
        m * 10.0**e for e in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1) for m in (1, 2, 5)
    ]
    inside = [step for step in steps if low <= step < high * 0.95]
    return np.array([*inside[-count:], high])


def predict_size(
    fit: Fit, params: float, at: Array | None = None, *, loss: float | None = None, anchor: Anchor | None = None
) -> Prediction:
    """Predict a model size from a fit's own data with the averaged offset forms.

    Parameters
    ----------
    fit : Fit
        A fit of a line law; its data are what the averaged forms are fitted on.
    params : float
        Model size [parameters].
    at : ndarray, shape (n,), optional
        Values of the resource; by default round ones within the measured range and its end.
    loss : float, optional
        Report what value of the resource reaches this loss.
    anchor : Anchor, optional
        First points of a run of this size.

    Raises
    ------
    FitError
        If the data cannot support a prediction.
    """
    data = fit.data
    if len(data.resources) != 1:
        raise FitError("prediction is in one resource; fit a line law in samples or flops.")
    if loss is not None and not 0 < loss < 1:
        raise UsageError(f"--loss {loss}: a loss is 1 - pass@1, between 0 and 1.")
    ensemble = average_offsets(data, anchor_points=len(anchor.loss) if anchor else 0)
    values = round_values(data, params) if at is None else at
    eval_size = float(np.nanmedian(data.eval_size)) if np.isfinite(data.eval_size).any() else None
    found = ensemble.predict(params, values[None], anchor=anchor, eval_size=eval_size)
    curve = [
        {data.resources[0]: float(x), **{name: float(column[i]) for name, column in found.items()}}
        for i, x in enumerate(values)
    ]
    ends = 10.0 ** ensemble.member_curves(params, values[-1:][None], anchor)[:, 0]
    members = [
        {
            "law": member.law.name,
            "weight": float(ensemble.weights[i]),
            "held_out_rmse": float(ensemble.held_out[i]),
            "loss_at_end": float(ends[i]),
        }
        for i, member in enumerate(ensemble.members)
    ]
    warnings = [data.caveat] if data.caveat else []
    top = data.sizes[-1]
    if params > top:
        text = f"{format_quantity(params)} is {params / top:.2g} times the largest size fitted ({format_quantity(top)})"
        warnings.append(text + ("; beyond 3 times, no held-out test supports the interval" if params > 3 * top else ""))
    if params < data.sizes[0]:
        warnings.append(
            f"{format_quantity(params)} is below the smallest size fitted ({format_quantity(data.sizes[0])})"
        )
    limit = float(round_values(data, params)[-1])
    if values.max() > 1.001 * limit:
        warnings.append(
            f"{data.resources[0]} {format_quantity(values.max())} is {values.max() / limit:.2g} times the range measured; curves flatten there"
        )
    if found["spread"].max() > ensemble.error:
        warnings.append(
            f"the offset forms disagree (loss at the end {ends.min():.3f} to {ends.max():.3f}); a short run with --anchor would settle it"
        )
    if fit.status != "converged":
        warnings.append(f"the fit is {fit.status}: {'; '.join(fit.notes)}")
    reach = None
    if loss is not None:
        grid = np.exp(np.linspace(np.log(limit) - np.log(1e3), np.log(limit) + np.log(10), 801))
        wide = ensemble.predict(params, grid[None], anchor=anchor)
        reach = {
            "loss": loss,
            "value": _first(grid, wide["loss"], loss),
            "low": _first(grid, wide["low"], loss),
            "high": _first(grid, wide["high"], loss),
        }
        if reach["value"] is None:
            warnings.append(
                f"loss {loss:g} is not reached within ten times the measured range; the data do not say what would"
            )
        elif reach["value"] > limit:
            warnings.append(f"loss {loss:g} is reached only beyond the measured range")
    line = fit.law.line is not None and "k" not in fit.law.per_size
    sizes = ", ".join(format_quantity(size) for size in data.sizes)
    return Prediction(
        data.series,
        params,
        data.resources[0],
        fit.k(params) if line else None,
        curve,
        reach,
        members,
        f"{sizes} ({data.points} points)",
        warnings,
    )


def _first(grid: Array, curve: Array, loss: float) -> float | None:
    below = np.flatnonzero(curve <= loss)
    return float(grid[below[0]]) if len(below) and below[0] > 0 else None
