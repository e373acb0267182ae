"""What is predicted for a size: k(N), the curve, what reaches a loss, and how far to trust it.

The one way from a fit to a number, for the command line and for Python alike; `roads` says who answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, text_table, warning_lines
from scalefit.errors import UsageError
from scalefit.fitting.bands import BANDS
from scalefit.fitting.estimate import Estimate
from scalefit.fitting.fit import Fit
from scalefit.fitting.misfit import briefly
from scalefit.fitting.scatter import describe_scatter
from scalefit.prediction.ensemble import Anchor
from scalefit.prediction.roads import BY_LAW, Road, choose_road, is_fitted, range_begin, range_end, round_values
from scalefit.said import Said
from scalefit.table.fit_data import FitData
from scalefit.units import format_amount, format_quantity, parse_quantity, say_amount, say_solved

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
SHOWN = ("loss", *(prefix + end for prefix in BANDS for end in ("low", "high")))
"""The curve and the ends of its three bands."""
NAMED = 12
"""Sizes that are named one by one."""
REACH = 10.0
"""How far beyond the range a loss is looked for, in multiples of it."""


@dataclass(frozen=True, repr=False)
class Prediction(Answer):
    """A prediction with what it rests on.

    Attributes
    ----------
    answered_by : str
        "the law" or "average of closed laws and the trend of the sizes".
    level : float
        Of all intervals.
    k : Estimate or None
        k(N) of the fitted law, where it has one for this size.
    curve : list of dict
        At each value of the resource: loss, low, high (the law's mean curve), run_low, run_high (a new run), eval_low,
        eval_high (one evaluation of it).
    reach : dict or None
        What D or C reaches `--loss`: value, low, high; null where not within ten times the measured range.
    members : list of dict
        Of the average, each form: weight, held-out RMSE (null where it was not scored), loss at the end of the range.
    scatter : str
        What the band of a new run rests on: how far the fit's runs lie apart.
    warnings : list of str
        Why it should be trusted less.
    """

    series: str
    eval: str
    law: str
    params: float
    resource: str
    answered_by: str
    level: float
    k: Estimate | None
    curve: list[dict[str, float]]
    reach: dict[str, Any] | None
    members: list[dict[str, Any]]
    scatter: str
    fitted_on: str
    warnings: list[str]

    ROWS: ClassVar[str] = "curve"

    @property
    def rests_on(self) -> str:
        """Which form answers, and what it was fitted on."""
        by = f"law {self.law!r}" if self.answered_by == BY_LAW else self.answered_by
        return f"{by}, fitted on {self.fitted_on}"

    @property
    def headline(self) -> str:
        """The answer in a sentence: the loss, what that solves, and where one run would lie."""
        end = self.curve[-1]
        at = " and ".join(say_amount(end[name], name) for name in self.resource.split(" and "))
        run = f"one run {end['run_low']:.3f} to {end['run_high']:.3f}, {100 * self.level:g} %"
        return (
            f"{format_quantity(self.params)} {self.series} is expected at loss {end['loss']:.3f} on {self.eval} "
            f"after {at}: {say_solved(end['loss'])} ({run})"
        )

    @property
    def frame(self) -> pd.DataFrame:
        """The curve, with params, what it rests on and the warnings in its attributes."""
        import pandas as pd

        frame = pd.DataFrame(self.curve)
        frame.insert(0, "params", self.params)
        frame.attrs.update(rests_on=self.rests_on, warnings=self.warnings)
        return frame

    def summary(self) -> str:
        """Return the text that `scalefit predict` prints."""
        share = f"{100 * self.level:g} %"
        lines = [self.headline]
        names = self.resource.split(" and ")
        rows = [[*names, "loss", "mean curve low", "high", "new run low", "high", "one eval low", "high"]]
        for point in self.curve:
            numbers = (f"{point[name]:.3f}" for name in SHOWN)
            rows.append([*(format_amount(point[name], name) for name in names), *numbers])
        lines.append(text_table(rows))
        lines.append(f"  {share} of the law's mean curve, of the curve of a new run, and of one evaluation of it")
        if self.reach is not None and self.reach["value"] is not None:
            ends = [
                "not within reach" if self.reach[end] is None else format_amount(self.reach[end], self.resource)
                for end in ("low", "high")
            ]
            at = format_amount(self.reach["value"], self.resource)
            lines.append(
                f"  loss {self.reach['loss']:g} is reached at {at} {self.resource} ({share} {ends[0]} to {ends[1]})"
            )
        return Said([*lines, *warning_lines([*map(briefly, self.warnings)])])

    @property
    def details(self) -> Said:
        """What answers and what it was fitted on, k(N), how far runs lie apart, the forms averaged, warnings with their numbers."""
        lines = [f"  by {self.rests_on}"]
        if self.k is not None:
            lines.append(f"  k({format_quantity(self.params)}) {_k_text(self.k, self.level)}")
        lines.append(f"  new runs: {self.scatter}")
        if self.members:
            table = [["form averaged", "weight", "error on sizes left out", "loss at the end"]]
            for one in self.members:
                error = "not scored" if one["held_out_rmse"] is None else f"{one['held_out_rmse']:.4f}"
                table.append([one["law"], f"{one['weight']:.2f}", error, f"{one['loss_at_end']:.3f}"])
            lines.append(text_table(table))
        return Said([*lines, *warning_lines([text for text in self.warnings if briefly(text) != text])])


def _k_text(k: Estimate, level: float) -> str:
    if not np.isfinite(k.se):
        return "is not determined by the data"
    return f"= {k.value:.4f} ({100 * level:g} % {k.low:.4f} to {k.high:.4f}, if the law holds there)"


def predict_size(
    fit: Fit,
    params: str | float,
    at: Array | None = None,
    *,
    level: float = 0.95,
    loss: float | None = None,
    anchor: Anchor | None = None,
) -> Prediction:
    """Predict a model size from a fit.

    Parameters
    ----------
    fit : Fit
        Any fit; where its law says nothing of the size, its data are what the average is fitted on.
    params : float or str
        Model size [parameters], a number or as in `7B`.
    at : ndarray, shape (n,) or (Q, n), optional
        Values of the fit's Q resources; by default round ones within the measured range and its end.
    level : float
        Of the intervals, between 0 and 1.
    loss : float, optional
        Report what value of the resource reaches this loss.
    anchor : Anchor, optional
        First points of a run of this size; one at resource 0 is the loss of the untrained model.

    Raises
    ------
    FitError
        If the data cannot support a prediction.
    UsageError
        If a value makes no sense.
    """
    data, params = fit.data, _as_fitted(fit, parse_quantity(params, "params"))
    if not 0 < level < 1:
        raise UsageError(f"--level {level:g}: the share that the interval holds lies between 0 and 1, as in 0.95.")
    if loss is not None and not 0 < loss < 1:
        raise UsageError(f"--loss {loss:g}: a loss is 1 - pass@1, between 0 and 1.")
    values = np.atleast_2d(round_values(data, params) if at is None else np.asarray(at, float))
    if len(values) != len(data.resources):
        raise UsageError(
            f"this fit is in {' and '.join(data.resources)}; give {' and '.join(data.resources)}, and for each the same "
            "number of values."
        )
    if not ((values > 0) & np.isfinite(values)).all():
        raise UsageError(f"{data.resources[0]}: values must be finite and greater than 0.")
    ratio = float(values[0].max()) / range_end(data, params)
    road = choose_road(fit, params, ratio if loss is None else max(ratio, REACH), level=level, anchor=anchor)
    found = road.columns(values)
    curve = [
        {
            **{name: float(x) for name, x in zip(data.resources, column, strict=True)},
            **{name: float(found[name][i]) for name in SHOWN},
        }
        for i, column in enumerate(values.T)
    ]
    warnings = [*data.caveats, *_far(data, params, values, road), *road.warnings]
    if fit.status != "converged":
        warnings.append(f"the fit is {fit.status}: {'; '.join(fit.notes)}")
    reach = _reach(data, params, loss, road, warnings) if loss is not None else None
    return Prediction(
        series=data.series,
        eval=str(data.record["eval"]),
        law=fit.law.name,
        params=params,
        resource=" and ".join(data.resources),
        answered_by=road.by,
        level=level,
        k=_own_k(fit, params, level),
        curve=curve,
        reach=reach,
        members=road.members(values[:, -1:]),
        scatter=_run_rests_on(fit, anchor),
        fitted_on=f"{_sizes(data)} ({data.points} points)",
        warnings=warnings,
    )


def _run_rests_on(fit: Fit, anchor: Anchor | None) -> str:
    if anchor is None or anchor.untrained:
        return describe_scatter(fit).sentence
    return "with an anchor all bands are of the run that was begun"


def _sizes(data: FitData) -> str:
    """Name the sizes, of many the first and the last."""
    if len(data.sizes) > NAMED:
        return f"{len(data.sizes)} sizes from {format_quantity(data.sizes[0])} to {format_quantity(data.sizes[-1])}"
    return ", ".join(format_quantity(size) for size in data.sizes)


def _as_fitted(fit: Fit, params: float) -> float:
    """Return the size that was fitted where one is written like it: sizes are printed to three digits."""
    alike = [float(size) for size in fit.data.sizes if format_quantity(size) == format_quantity(params)]
    return alike[0] if len(alike) == 1 and not is_fitted(fit, params) else params


def _own_k(fit: Fit, params: float, level: float) -> Estimate | None:
    """Return k(N) where the law has a line, and for this size."""
    if fit.law.line is None or ("k" in fit.law.per_size and not is_fitted(fit, params)):
        return None
    return fit.k(params, level)


def _far(data: FitData, params: float, values: Array, road: Road) -> list[str]:
    """Say where a size or a resource lies outside what was measured."""
    warnings, top = [], data.sizes[-1]
    if params > top * (1 + 1e-9):
        text = f"{format_quantity(params)} is {params / top:.2g} times the largest size fitted ({format_quantity(top)})"
        warnings.append(text + ("; beyond 3 times, no held-out test supports the interval" if params > 3 * top else ""))
    if params < data.sizes[0] * (1 - 1e-9):
        warnings.append(
            f"{format_quantity(params)} is below the smallest size fitted ({format_quantity(data.sizes[0])})"
        )
    begin, least = range_begin(data, params), float(values[0].min())
    if least < 0.999 * begin:
        warnings.append(
            f"{data.resources[0]} {format_amount(least, data.resources[0])} lies before the range measured, which begins at {format_amount(begin, data.resources[0])}; "
            "how wrong the law is there is not known"
        )
    limit, most = range_end(data, params), float(values[0].max())
    if most > 1.001 * limit:
        warnings.append(
            f"{data.resources[0]} {format_amount(most, data.resources[0])} is {most / limit:.2g} times the range measured; curves flatten there"
        )
        warnings += [road.beyond] if road.beyond else []
    return warnings


def _reach(data: FitData, params: float, loss: float, road: Road, warnings: list[str]) -> dict[str, Any]:
    """Return what value of the resource reaches a loss, and say where that lies beyond what was measured."""
    if len(data.resources) != 1:
        raise UsageError("--loss asks for one resource; this fit is in two.")
    limit = range_end(data, params)
    grid = np.exp(np.linspace(np.log(limit) - np.log(1e3), np.log(limit) + np.log(REACH), 801))
    wide = road.columns(grid[None])
    reach = {"loss": loss, **{end: _first(grid, wide[name], loss) for end, name in _ENDS.items()}}
    if reach["value"] is None:
        warnings.append(
            f"loss {loss:g} is not reached within ten times the measured range; the data do not say what would"
        )
    elif reach["value"] > limit:
        warnings.append(f"loss {loss:g} is reached only beyond the measured range")
        warnings += [road.beyond] if road.beyond and road.beyond not in warnings else []
    return reach


_ENDS = {"value": "loss", "low": "low", "high": "high"}


def _first(grid: Array, curve: Array, loss: float) -> float | None:
    below = np.flatnonzero(curve <= loss)
    return float(grid[below[0]]) if len(below) and below[0] > 0 else None
