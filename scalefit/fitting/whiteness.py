"""Whether what a law leaves is white along the curves, or has a shape that the law misses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import erfc

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.left import Left
from scalefit.numerics.ar1 import NO_NOISE, autocorrelations

Array = NDArray[np.float64]
LAGS = (1, 2, 3, 5, 10)
"""Evaluations apart at which what is left is looked at."""
DRAWS, SEED, BLOCK = 999, 0, 2_000_000
"""White residuals drawn to say what chance does, and numbers held of them at a time."""
MANY = 20_000
"""Points from which the limit of long curves is taken in place of draws."""


@dataclass(frozen=True)
class Whiteness:
    """Whether what a law leaves is white along the curves.

    Attributes
    ----------
    autocorrelation : tuple of float
        At `LAGS`, mean over curves, as it is; nan where no curve is that long.
    if_white : tuple of float
        What white noise would show there, after the same parameters were fitted to it: below 0.
    p : float
        Chance that white noise, of each curve's own spread and with the same parameters fitted to it, leaves as much
        autocorrelation, meaned over `LAGS`; of residuals that alternate it says nothing.
    """

    autocorrelation: tuple[float, ...]
    if_white: tuple[float, ...]
    p: float


def judge_whiteness(left: Left) -> Whiteness:
    """Test whether what a law leaves is white: against draws of white noise to which the same parameters are fitted.

    Near its optimum the law is linear in its parameters, so what it would leave of white noise is a projection. A law that
    misses curves leaves the same sign at every lag, so their mean is asked and not, as Ljung and Box do, their squares:
    under truths that are no power law it tells the misfit of one far more often. From `MANY` points on, the limit of long
    curves stands for the draws.
    """
    lags, lengths = [lag for lag in LAGS if lag < left.root.shape[1]], left.present.sum(1)
    mean = mean_autocorrelation(left, lags)
    spare = (np.nan,) * (len(LAGS) - len(lags))
    if left.squares < NO_NOISE**2 * len(left.values) or not np.isfinite(mean).any():
        return Whiteness((np.nan,) * len(LAGS), (np.nan,) * len(LAGS), np.nan)
    if len(left.values) >= MANY:
        apart = np.maximum(lengths[:, None] - np.array(lags), 0)
        variance = (apart / lengths[:, None] ** 2).sum(0) / (apart > 0).sum(0) ** 2
        p = 0.5 * erfc(float(np.nansum(mean)) / np.sqrt(2 * variance.sum()))
        white = np.zeros(len(lags))
    else:
        every = draw_white(left, lags)
        white = every.mean(0)
        p = (1 + np.count_nonzero(np.nanmean(every, 1) >= np.nanmean(mean))) / (1 + DRAWS)
    return Whiteness((*mean.tolist(), *spare), (*white.tolist(), *spare), float(p))


def mean_autocorrelation(left: Left, lags: Sequence[int]) -> Array:
    """Return the autocorrelation of what a law leaves at lags [evaluations], mean over the curves that are long enough."""
    return _mean(autocorrelations(left.curves, left.present, lags))


def draw_white(left: Left, lags: Sequence[int]) -> Array:
    """Return the same of white noise to which the law's parameters are fitted, `DRAWS` times, shape (draws, L)."""
    drawn = (autocorrelations(left.by_curve(noise), left.present, lags) for noise in _white(left))
    return np.concatenate([_mean(one) for one in drawn])


def _mean(each: Array) -> Array:
    """Return the mean over curves (..., R, L) of those that are long enough."""
    known = np.isfinite(each)
    count = known.sum(-2)
    return np.asarray(np.where(count > 0, np.where(known, each, 0.0).sum(-2) / np.maximum(count, 1), np.nan))


def _white(left: Left) -> Iterable[Array]:
    """Yield what the law leaves of white noise with each curve's spread, in blocks (b, n)."""
    lengths = left.present.sum(1)
    spread = np.sqrt((left.curves**2).sum(1) / np.maximum(lengths, 1))
    each, rng = np.repeat(spread, lengths), np.random.default_rng(SEED)
    for at in range(0, DRAWS, block := max(1, BLOCK // len(each))):
        noise = each * rng.standard_normal((min(block, DRAWS - at), len(each)))
        yield noise - (noise @ left.tangent) @ left.tangent.T
