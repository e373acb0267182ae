"""How wrong a law was where its own data had ended: what widens its curve beyond the range measured.

Every run is cut so that its later part lies as far beyond the cut as the prediction lies beyond the data; the law is
fitted to what is before the cuts and held against what came. The error so found is of the form as well as of the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data
from scalefit.laws.law import Curves, Law

Array = NDArray[np.float64]
RATIOS = (1.25, 1.6, 2.5, 4.0, 6.3, 10.0)
"""How far beyond a cut the law is scored, in multiples of the resource there."""
ENDS = (1.0, 0.7, 0.5)
"""Where runs are taken to end, as shares of their resource; each is an occasion to score every ratio."""
WINDOW = 0.8
"""What is scored lies between this share of the end and the end; its mean residual leaves little of the noise."""
LEAST_POINTS = 5
"""Evaluations of a run that a cut must leave, so that the law can be fitted."""


@dataclass(frozen=True)
class Beyond:
    """Error of a law beyond its data.

    Attributes
    ----------
    ratios, errors : ndarray, shape (m,)
        Multiples of the range, ascending from 1, and the root mean square error of the curve there [log10 loss].
    dof : float
        Curves that were scored.
    """

    ratios: Array
    errors: Array
    dof: float

    def error(self, ratio: Array) -> Array:
        """Return the error at multiples of the range (1 and below: 0); beyond the last it grows in log X as on the way there."""
        x, at = np.log(self.ratios), np.log(np.maximum(ratio, 1.0))
        inside = np.interp(at, x, self.errors)
        if len(x) < 2:
            return np.where(at > 0, np.inf, 0.0)
        slope = self.errors[-1] / x[-1]
        return np.asarray(np.where(at > x[-1], self.errors[-1] + slope * (at - x[-1]), inside))

    @property
    def reach(self) -> float:
        """The largest multiple that was scored."""
        return float(self.ratios[-1])


def score_beyond(fit: Fit, furthest: float) -> Beyond:
    """Score a law on the later parts of its own runs, as far as `furthest` times the range or what the runs allow.

    Parameters
    ----------
    fit : Fit
        Its law and specification are fitted again to the earlier parts.
    furthest : float
        Largest multiple of the range that is asked for.
    """
    data, law, ratios, errors = fit.data, begun(fit), [1.0], [0.0]
    tops = np.where(data.present, data.resource[0], 0.0).max(1)
    score: Callable[[Law, Fit, Array, float], list[float]] = _squares
    if fit.single:
        # Final losses have no later part: what was given more is predicted from what was given less.
        score, tops = _squares_of_finals, tops.max(keepdims=True)
    for ratio in RATIOS:
        squares = [square for end in ENDS for square in score(law, fit, tops * end, ratio)]
        if squares:
            ratios.append(ratio)
            # Further is never better known.
            errors.append(max(float(np.sqrt(np.mean(squares))), errors[-1]))
        if not squares or ratio >= furthest:
            break
    curves = len(ENDS) if fit.single else max(len(data.params), 2)
    return Beyond(np.array(ratios), np.array(errors), float(curves))


def begun(fit: Fit) -> Law:
    """Return a fit's law, which begins where this fit ended if it has no start of its own and would have to search."""
    law, theta = fit.law, fit.bound.external(fit.theta)
    if law.start is not None:
        return law
    values = {param.name: theta[fit.bound.columns[param.name]] for param in law.params}

    def start(curves: Sequence[Curves]) -> dict[str, Any]:
        at = np.searchsorted(fit.data.sizes, [curve.params for curve in curves])
        return {param.name: values[param.name][at] if param.per_size else values[param.name][0] for param in law.params}

    return replace(law, start=start)


def _squares(law: Law, fit: Fit, ends: Array, ratio: float) -> list[float]:
    """Return each run's squared mean error [log10 loss] in the window before `ends`, from what lies before ends / ratio."""
    data = fit.data
    x = data.resource[0]
    first = (data.present & (x <= (ends / ratio)[:, None])).sum(1)
    window = data.present & (x > (WINDOW * ends)[:, None]) & (x <= (ends * (1 + 1e-9))[:, None])
    rows = np.flatnonzero((first >= LEAST_POINTS) & window.any(1))
    if not len(rows):
        return []
    try:
        earlier = fit_data(law, data.keep(rows, first=first[rows]), fit.specification)
    except FitError:
        return []
    found = []
    for row in rows:
        there = window[row] & (np.arange(x.shape[1]) >= first[row])
        if there.any():
            log, _ = earlier.log_curve(np.full(int(there.sum()), data.params[row]), data.resource[:, row, there])
            found.append(float(np.log10(np.mean(10.0**log) / max(float(data.loss[row, there].mean()), 1e-6)) ** 2))
    return found


def _squares_of_finals(law: Law, fit: Fit, end: Array, ratio: float) -> list[float]:
    """Return the squared mean error [log10 loss] of runs that were given up to `end` (1,), from those up to end / ratio."""
    data, x = fit.data, np.where(fit.data.present, fit.data.resource[0], 0.0).max(1)
    below, there = x <= end / ratio, (x > end / ratio) & (x <= end)
    if not there.any():
        return []
    try:
        earlier = fit_data(law, data.keep(below), fit.specification)
    except FitError:
        return []
    held = data.keep(there)
    params = np.repeat(held.params[:, None], held.present.shape[1], 1)[held.present]
    log, _ = earlier.log_curve(params, held.resource[:, held.present])
    return [float(np.mean(log - np.log10(np.maximum(held.loss[held.present], 1e-6)))) ** 2]
