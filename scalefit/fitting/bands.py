"""The three bands of a prediction, each with a name of its own: the law's mean curve, a new run, one evaluation of it.

Shapes: n points, G cells of a mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.numerics.mixtures import Mixture, beside
from scalefit.units import format_quantity

Array = NDArray[np.float64]
BANDS: Mapping[str, str] = {"": "the law's mean curve", "run_": "a new run", "eval_": "one evaluation of it"}
"""What each pair of columns `low` and `high` is of, by the prefix of their names."""


@dataclass(frozen=True)
class Bands:
    """A curve and its three bands, in log10 loss.

    Attributes
    ----------
    log : ndarray, shape (n,)
        The law's curve.
    low, high : ndarray, shape (n,)
        Interval of the law's mean curve.
    run_low, run_high : ndarray, shape (n,)
        Of the curve of a new run.
    eval_low, eval_high : ndarray, shape (n,)
        Of one evaluation of a new run.
    """

    log: Array
    low: Array
    high: Array
    run_low: Array
    run_high: Array
    eval_low: Array
    eval_high: Array

    def at_least(self, width: Array) -> Bands:
        """Return bands of which that of the mean curve has at least a half width [log10 loss], and the others with it."""
        out = {}
        for end, sign in (("low", -1.0), ("high", 1.0)):
            mean = sign * (getattr(self, end) - self.log)
            wide = np.maximum(mean, width)
            for prefix in BANDS:
                rest = sign * (getattr(self, prefix + end) - self.log)
                out[prefix + end] = self.log + sign * np.hypot(_beyond(rest, mean), wide)
        return Bands(self.log, **out)

    def runs_at_least(self, width: Array) -> Bands:
        """Return bands of which that of a new run has at least a half width [log10 loss], and that of an evaluation with it."""
        out = {}
        for end, sign in (("low", -1.0), ("high", 1.0)):
            run, point = (sign * (getattr(self, prefix + end) - self.log) for prefix in ("run_", "eval_"))
            wide = np.maximum(run, width)
            out[f"run_{end}"] = self.log + sign * wide
            out[f"eval_{end}"] = self.log + sign * np.hypot(_beyond(point, run), wide)
        return replace(self, **out)

    def columns(self) -> dict[str, Array]:
        """Return loss, low, high, run_low, run_high, eval_low, eval_high as losses, at most 1 each."""
        ends = {prefix + end: getattr(self, prefix + end) for prefix in BANDS for end in ("low", "high")}
        return {name: 10.0 ** np.minimum(log, 0.0) for name, log in {"loss": self.log, **ends}.items()}


def _beyond(outer: Array, inner: Array) -> Array:
    """Return what an outer half width has beyond an inner one, their squares being variances; 0 where the inner is endless."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(inner), np.sqrt(np.maximum(outer**2 - inner**2, 0)), 0.0)


def bands_of(log: Array, mean: Mixture, run: Mixture, noise: Array, level: float) -> Bands:
    """Return the bands of a curve.

    Parameters
    ----------
    log : ndarray, shape (n,)
        The law's curve.
    mean, run : Mixture
        What is known of the law's mean curve, and of a run's; of the same parts.
    noise : ndarray, shape (n,)
        Variance of an evaluation about its run's curve.
    level : float
        Of the intervals.
    """
    low, high = beside([mean, run, run.widened(noise)]).interval(level)
    ends = zip(np.split(low, 3), np.split(high, 3), strict=True)
    # The curve is that of the best parameters, which need not lie within an interval of, say, 10 %.
    pairs = [(np.minimum(below, log), np.maximum(above, log)) for below, above in ends]
    return Bands(log, *(end for pair in pairs for end in pair))


def interval_of_parameters(
    bound: BoundLaw, found: Hierarchy, theta: Array, level: float
) -> dict[str, tuple[float, float]]:
    """Return intervals of the parameters that a mixture says more of than its moments, by name.

    An end that the data leave open is infinite, or 0 for a logarithm.
    """
    law = bound.law
    form = law.linear
    assert form is not None
    named: dict[str, tuple[Mixture, bool]] = {}
    for param in law.params:
        if not param.per_size and (one := found.parameter(param.name)) is not None:
            named[param.name] = (one, param.scale == "log")
        elif param.per_size:
            for size in bound.sizes:
                part = found.k(size) if param.name == "k" else found.curve(size, np.zeros(1))
                named[f"{param.name}[{format_quantity(size)}]"] = (part, False)
    lows, highs = beside([one for one, _ in named.values()]).interval(level)
    values = dict(zip(bound.names, theta, strict=True))
    limits = dict(zip(bound.names, zip(*bound.bounds, strict=True), strict=True))
    ends = {}
    for (name, (_, log)), low, high in zip(named.items(), lows, highs, strict=True):
        least, most = limits[name]
        pair = float(max(min(low, values[name]), least)), float(min(max(high, values[name]), most))
        ends[name] = (float(np.exp(pair[0])), float(np.exp(pair[1]))) if log else pair
    if form.nonlinear:
        ends.update(_open_ends(bound, found, ends))
    return ends


def _open_ends(
    bound: BoundLaw, found: Hierarchy, ends: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return the intervals of parameters that the data leave open on a side."""
    changed = {}
    for param in bound.law.params:
        if param.name in found.profiles:
            below, above = found.is_open(param.name)
            nothing = 0.0 if param.scale == "log" else -np.inf
            changed[param.name] = (nothing if below else ends[param.name][0], np.inf if above else ends[param.name][1])
    if "N0" in changed and "k_max" in ends and changed["N0"][1] == np.inf:
        # Where k(N) may go on growing, nothing bounds what it grows to.
        changed["k_max"] = (ends["k_max"][0], np.inf)
    return changed
