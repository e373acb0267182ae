"""What curves of two groups tell of their difference: the likelihood of `anytime.Evidence`, gathered at every look.

The noise is AR(1), and each run has an effect of its own. At one correlation and spread of the noise and one scatter of the
runs the likelihood of a difference is normal, so that three numbers a look hold it; they are cumulative sums over
evaluations. What the curves share tells of the noise as well, about a smooth course that is taken out as in REML.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.anytime import Evidence
from scalefit.numerics.ar1 import NO_NOISE, smallest_pivots, take_out, whiten

Array = NDArray[np.float64]
RHO = 1 - np.geomspace(1.0, 0.004, 17)
"""Correlations of neighbouring evaluations, 0 to .996, each as likely beforehand: half of them lie above .94."""
SPREADS = np.linspace(-3.0, 9.0, 9)
"""Spreads of noise beside the one estimated, in standard errors of its logarithm; further up, as few points allow more."""
TREND = 4
"""Coefficients of the smooth course of what curves share: a cubic in log X."""
LEAST_LOOK = 6
"""Evaluations until the first look."""


@dataclass(frozen=True)
class Scatter:
    """What is known of the standard deviation of a run's own effect: values (S,) and their weights (S,)."""

    sd: Array
    weight: Array

    @classmethod
    def known(cls, sd: float) -> Scatter:
        """Return one that is known; 0 asks about these runs alone."""
        return cls(np.array([sd]), np.ones(1))


@dataclass(frozen=True)
class Curves:
    """Curves at equal X, and what is known of them beside the difference.

    Attributes
    ----------
    values : ndarray, shape (R, T)
        A run each, or the difference of a pair, not a number from where it has ended.
    side : ndarray, shape (R,)
        0 or 1; of pairs 1.
    common : ndarray, shape (T,)
        What they share, with the noise of one of them: it tells of the noise as well, about its own smooth course.
    x : ndarray, shape (T,)
        Where they were evaluated.
    paired : bool
        Whether they are differences, which share nothing.
    """

    values: Array
    side: Array
    common: Array
    x: Array
    paired: bool = False

    @classmethod
    def of_runs(cls, first: Array, second: Array, x: Array, *, paired: bool = False) -> Curves:
        """Return those of two groups of runs, (R, T) each; `paired` where run r of both shares a seed."""
        if paired:
            gap = second - first
            return cls(gap, np.ones(len(gap)), (second + first).mean(0) * np.sqrt(len(gap)), x, True)
        values = np.concatenate([first, second])
        side = np.repeat([0.0, 1.0], [len(first), len(second)])
        return cls(values, side, values.mean(0) * np.sqrt(len(values)), x)


@dataclass(frozen=True)
class _Moments:
    """What all looks (L,) know at one correlation: sums of squares, points, and of runs' effects the score and precision."""

    squares: Array
    points: Array
    score: Array
    precision: Array
    constant: Array


def gather_evidence(curves: Curves, *, scatter: Scatter, distance: float, looks: NDArray[np.intp]) -> Evidence:
    """Return the evidence that curves hold on the difference of their sides.

    Parameters
    ----------
    scatter : Scatter
        Of the effect of a run, or of a pair.
    distance : float
        How far away those differences lie that are held against one: what is worth telling apart.
    looks : ndarray of int
        How many evaluations each look has, from `LEAST_LOOK`.
    """
    present = np.isfinite(curves.values)
    count, lost = present.sum(0), 0 if curves.paired else 1
    centring = present.T[:, :, None] * np.eye(len(present))
    if not curves.paired:
        centring = centring - present.T[:, :, None] * present.T[:, None, :] / np.maximum(count, 1)[:, None, None]
    whole = int(np.isfinite(curves.common).sum())
    rows = np.stack([*np.vander(_unit(np.log(curves.x)), TREND, True).T, curves.common])[:, :whole]
    found = []
    for rho in map(float, RHO):
        z = np.einsum("trs,st->rt", centring, whiten(np.where(present, curves.values, 0.0), rho, 1.0, present))
        h = np.r_[np.sqrt(1 - rho**2), np.full(present.shape[1] - 1, 1 - rho)]
        squares, points, constant = _about_trend(whiten(rows, rho, 1.0), looks)
        moments = _Moments(
            squares + np.cumsum((z**2).sum(0))[looks - 1],
            points + np.cumsum(count - lost)[looks - 1],
            np.cumsum(h * z, 1).T[looks - 1],
            np.cumsum(h[:, None, None] ** 2 * centring, 0)[looks - 1],
            constant + (count[0] - lost + 1) * np.log(1 - rho**2) / 2,
        )
        found.append(_one_correlation(moments, curves.side, scatter))
    base, score, information = (np.concatenate(one) for one in zip(*found, strict=True))
    return Evidence(base, score, information, distance)


def _about_trend(rows: Array, looks: NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Return of whitened rows (trend and curve, T) the sum of squares left by the trend, its freedom and -log det / 2."""
    products = np.cumsum(np.einsum("pt,qt->tpq", rows, rows), 0)[np.minimum(looks, rows.shape[1]) - 1][:, None]
    log_det, _ = take_out(products, range(TREND), smallest_pivots(products))
    freedom = np.minimum(looks, rows.shape[1]) - TREND
    return np.maximum(products[:, 0, TREND, TREND], 0.0), freedom.astype(float), -log_det[:, 0] / 2


def _one_correlation(moments: _Moments, side: Array, scatter: Scatter) -> tuple[Array, Array, Array]:
    """Return base, score and information (spreads * scatters, looks) at one correlation of the noise.

    The effects of runs have the likelihood exp(a'effect - effect' P effect / 2); in the basis of P's eigenvectors the
    random part of each is integrated by itself.
    """
    own, basis = np.linalg.eigh(moments.precision)
    own = np.where(own > 1e-9 * own[:, -1:], own, 0.0)
    a = np.where(own > 0, np.einsum("tri,tr->ti", basis, moments.score), 0.0)
    u = np.einsum("tri,r->ti", basis, side)
    least = moments.squares - np.divide(a**2, own, out=np.zeros_like(a), where=own > 0).sum(1)
    freedom = np.maximum(moments.points - (own > 0).sum(1), 1.0)
    middle = np.sqrt(np.maximum(least, 0.0) / freedom + NO_NOISE**2)
    sigma = middle * np.exp(SPREADS[:, None] / np.sqrt(2 * freedom))
    precision = sigma[None, :, :, None] ** -2.0
    variance = scatter.sd[:, None, None, None] ** 2
    shrunk = 1 + variance * own * precision
    base = (
        np.log(scatter.weight)[:, None, None]
        + moments.constant
        - moments.points * np.log(sigma)
        - moments.squares / (2 * sigma**2)
        + (variance * (a * precision) ** 2 / (2 * shrunk) - np.log(shrunk) / 2).sum(-1)
    )
    score = (u * a * precision / shrunk).sum(-1)
    information = (u**2 * own * precision / shrunk).sum(-1)
    looks = len(moments.points)
    return base.reshape(-1, looks), score.reshape(-1, looks), information.reshape(-1, looks)


def _unit(values: Array) -> Array:
    """Return values moved and scaled to -1 ... 1."""
    low, high = values.min(), values.max()
    return np.asarray(2 * (values - low) / max(high - low, 1e-300) - 1)
