"""What can ten points hold? The largest size's run with its shape known from the whole of it, and runs drawn like it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import law_resource
from scalefit.fitting.describe import PLAIN
from scalefit.fitting.fit import Fit, fit_data
from scalefit.fitting.left import left_by
from scalefit.fitting.one_clock import fit_clock
from scalefit.fitting.scatter import describe_scatter
from scalefit.laws import get_law
from scalefit.laws.clocks import clock_share
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.prediction.crossval import AVERAGE, cross_validate_data
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]
POINTS, GOAL = 10, 0.0125
"""Points seen, and the error that was asked for."""
DRAWS, SEED = 4000, 0
QUANTILES = (0.05, 0.5, 0.95)


def levelled(shape: Array, loss: Array, points: int = POINTS) -> Array:
    """Return errors (..., n - points) of a shape (..., n) after its level is set by the first points of `loss` (..., n).

    The level is the ratio of the sums, as an anchor sets it.
    """
    ratio = loss[..., :points].sum(-1) / shape[..., :points].sum(-1)
    return np.asarray(ratio[..., None] * shape[..., points:] - loss[..., points:])


def rms_of(errors: Array) -> Array:
    """Return the root mean square over the last axis."""
    return np.asarray(np.sqrt(np.mean(errors**2, axis=-1)))


def curve(fit: Fit, data: FitData) -> Array:
    """Return a fit's loss at the points of one curve, (n,)."""
    resource = data.resource[:, data.present]
    return np.asarray(10.0 ** fit.log_curve(np.full(resource.shape[1], data.params[0]), resource)[0])


def drawn_like(shape: Array, noise: Noise, rng: np.random.Generator) -> Array:
    """Return runs (draws, n) that are a shape (n,) with noise."""
    return np.asarray(shape + ar1_noise(rng, noise, (DRAWS, 1, len(shape)))[:, 0])


def turned(shape: Array, x: Array, slope: Array | float) -> Array:
    """Return a curve whose slope in log10 X is steeper by so much."""
    return np.asarray(shape * 10.0 ** (-slope * x))


def straight_on(loss: Array, x: Array, points: int = POINTS) -> Array:
    """Return the power law through the first points of runs (..., n), by least squares of log10 of the loss."""
    log, away = np.log10(np.maximum(loss[..., :points], 1e-4)), x[:points] - x[:points].mean()
    slope = (log @ away / (away @ away))[..., None]
    return np.asarray(10.0 ** (log.mean(-1, keepdims=True) + slope * (x - x[:points].mean())))


def may_be_off(shape: Array, x: Array, k: float, missed: float) -> float:
    """Return the share of its slope that a power law may be wrong by, to either side, until GOAL is missed.

    `missed` is the RMSE with the slope known; what the slope adds is added in squares.
    """
    steps = np.arange(0, 1, 0.001)
    each = [rms_of(levelled(turned(shape, x, side * k * steps[:, None]), shape)) for side in (1, -1)]
    within = (np.hypot(np.stack(each), missed) <= GOAL).all(0)
    return float(steps[int(np.argmin(within)) - 1]) if within[0] else 0.0


def by_clock(below: FitData, own: FitData) -> dict[str, Array]:
    """Return curves of a run by the clock of smaller sizes, up to their level: with its own gain as of its start, and with that of the next size."""
    clock = fit_clock(below)
    x = law_resource(get_law("clock"), own, own.resource[:, own.present], np.full(own.points, own.params[0]))
    share = clock_share(clock, x[0])
    start, gain = np.linalg.lstsq(np.stack([np.ones_like(share), -share], 1), own.loss[own.present], rcond=None)[0]
    gains = {"own gain known": gain / start, "the next size's gain": clock["G"][-1] / clock["L0"][-1]}
    return {f"others' clock, {name}": 1 - one * share for name, one in gains.items()}


def ten_points(data: FitData) -> dict[str, Any]:
    """Return what is reached on the largest size, what its whole run would let ten points say, and what drawn runs say."""
    size = float(data.sizes[-1])
    own, below = data.keep(data.params == size), data.keep(data.params < size)
    loss = own.loss[own.present]
    power, sigmoid = (fit_data(law, own, PLAIN) for law in ("power", "sigmoid"))
    told = cross_validate_data(data, AVERAGE, "anchored", points=POINTS)
    reached = told[(told["params"] == size) & (told["fold"] == "leave one out")]["rmse"]
    lines, bends = curve(power, own), curve(sigmoid, own)
    known = {
        "reached": float(reached.iloc[0]),
        "slope known": float(rms_of(levelled(lines, loss))),
        "sigmoid's shape known": float(rms_of(levelled(bends, loss))),
        **{name: float(rms_of(levelled(shape, loss))) for name, shape in by_clock(below, own).items()},
        "power law of the whole run": float(rms_of(lines[POINTS:] - loss[POINTS:])),
        "sigmoid of the whole run": float(rms_of(bends[POINTS:] - loss[POINTS:])),
    }
    noise, rng = left_by(sigmoid).noise, np.random.default_rng(SEED)
    scatter = describe_scatter(fit_data("saturating", below)).slope
    assert scatter is not None
    k, x = float(power.k(size).value), np.log10(own.resource[0][own.present])
    straight, bent = (drawn_like(shape, noise, rng) for shape in (lines, bends))
    away = turned(lines, x, k * scatter[1] * rng.standard_normal((DRAWS, 1)))
    misses = {
        "power law, slope known": rms_of(levelled(lines, straight)),
        f"power law, slope to within {100 * scatter[1]:.0f} %": rms_of(levelled(away, straight)),
        "power law, slope from the ten points": rms_of(levelled(straight_on(straight, x), straight)),
        "sigmoid, shape known": rms_of(levelled(bends, bent)),
        "sigmoid, best power law's slope known": rms_of(levelled(lines, bent)),
        "sigmoid, power law's slope from the ten points": rms_of(levelled(straight_on(bent, x), bent)),
    }
    simulated = {
        name: {"quantiles": np.quantile(each, QUANTILES).tolist(), "share": float(np.mean(each <= GOAL))}
        for name, each in misses.items()
    }
    about = {"size": size, "evaluations": len(loss), "rho": noise.rho, "sigma": float(noise.sigma[0]), "k": k}
    known["slope may be off by"] = may_be_off(lines, x, k, float(np.median(misses["power law, slope known"])))
    return {**about, "scatter of slopes": scatter[1], "known": known, "simulated": simulated}
