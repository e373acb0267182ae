"""Confidence sequences for the difference of two groups of curves: intervals that hold at every look, all at once.

A look rests on what is known by then alone. The evidence against a difference is a ratio of two likelihoods, of the data
under differences a stated distance away and under this one; its mean is 1 where this is the true one, so that it ever
exceeds 1/alpha with probability at most alpha (Ville 1939; Ramdas et al. 2023, arXiv:2210.01948, section 2). The interval of
a look holds the differences against which there is less than that (Howard et al. 2021, arXiv:1810.08240, section 3; Johari
et al. 2022, arXiv:1512.04922, "always valid" p values).

Curves are y(r, t) = common(t) + difference * side(r) + run(r) + noise(r, t): whatever the curves share at equal X drops out,
a run's own effect never averages out along it, noise is AR(1). What the two likelihoods share, the noise's correlation and
spread and the scatter between runs, is averaged over one prior in both. The guarantee is then exact on average over that
prior, flat in the logarithm of spread (its right Haar measure, for which it is exact at every spread: Perez-Ortiz et al.
2022, arXiv:2208.07610) and of how fast correlation fades; at single correlations `benchmarks/gate.py` measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.ar1 import NO_NOISE, smallest_pivots, take_out, whiten

Array = NDArray[np.float64]
RHO = 1 - np.geomspace(1.0, 0.004, 17)
"""Correlations of neighbouring evaluations, 0 to .996, each as likely beforehand: half of them lie above .94."""
SPREADS = np.linspace(-3.0, 9.0, 9)
"""Spreads of noise beside the one estimated, in standard errors of its logarithm; further up, as few points allow more."""
SHARPNESS = 0.35
"""Standard deviation of the differences that are held against one, as a share of their distance from it."""
TREND = 4
"""Coefficients of the smooth course of what curves share: a cubic in log X."""
APART = 3.0
"""How many times further away each lies than the last."""
NEAREST = 0.85
"""Weight of the nearest of them; larger ones share the rest, so that no difference is too far away to be told."""
LEAST_LOOK = 6
"""Evaluations until the first look."""
STEPS = 24
"""Differences on each side of the estimate that are looked at for the limits of an interval."""
FURTHEST = 1.0
"""The largest difference of two losses."""


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
class Sequence:
    """What each look (T,) says of the difference: an estimate, and the interval of a sequence that holds at all looks."""

    estimate: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Evidence:
    """The likelihood of a difference d at each look: a mixture of exp(base + d score - d^2 information / 2), (cells, looks)."""

    base: Array
    score: Array
    information: Array
    distance: float

    def against(self, difference: Array | float) -> Array:
        """Return the logarithm of the evidence against a difference, one a look.

        Held against it are differences some `distance` above and below, and further ones, normal with `SHARPNESS`: a mixture
        as that of Robbins 1970 (Ann. Math. Stat. 41, 1397; Howard et al. 2021, eq. 14), with its mass where the answer
        would change.
        """
        null = self.base + difference * self.score - difference**2 * self.information / 2
        off = self.score - difference * self.information
        parts = []
        for distance, weight in zip(*_distances(self.distance), strict=True):
            variance = (SHARPNESS * distance) ** 2
            wide = 1 + variance * self.information
            middle = (variance * off**2 - distance**2 * self.information) / (2 * wide) - np.log(wide) / 2
            parts.append(np.log(weight) + _log_sum(null + middle + _log_cosh(off * distance / wide)))
        return _log_sum(np.stack(parts)) - _log_sum(null)

    @property
    def estimate(self) -> Array:
        """The mean over the mixture of its most likely differences, one a look."""
        known = np.maximum(self.information, 1e-300)
        weight = self.base + self.score**2 / (2 * known)
        weight = np.exp(weight - weight.max(0))
        return np.asarray((weight * self.score / known).sum(0) / weight.sum(0))

    def widened(self, variance: float) -> Evidence:
        """Return what is known of a difference that these data are off by a normal error of such a variance."""
        wide = 1 + variance * self.information
        base = self.base + variance * self.score**2 / (2 * wide) - np.log(wide) / 2
        return Evidence(base, self.score / wide, self.information / wide, self.distance)

    def sequence(self, alpha: float) -> Sequence:
        """Return the confidence sequence: at each look the differences against which there is less than 1/alpha."""
        middle = np.clip(self.estimate, -0.99 * FURTHEST, 0.99 * FURTHEST)
        low, high = (self._limit(middle, end, -np.log(alpha)) for end in (-FURTHEST, FURTHEST))
        return Sequence(middle, low, high)

    def _limit(self, inside: Array, end: float, enough: float) -> Array:
        """Return the difference beyond which all are excluded: the furthest that is not, and between steps by halving."""
        steps = np.geomspace(self.distance / 50, abs(end - inside), STEPS)
        at = inside + np.sign(end) * np.concatenate([np.zeros((1, len(inside))), steps])
        kept = np.stack([self.against(row) < enough for row in at])
        kept[0] = True
        last = len(at) - 1 - np.argmax(kept[::-1], 0)
        looks = np.arange(len(inside))
        inside, outside = at[last, looks], at[np.minimum(last + 1, len(at) - 1), looks]
        for _ in range(12):
            middle = (inside + outside) / 2
            out = self.against(middle) >= enough
            inside, outside = np.where(out, inside, middle), np.where(out, middle, outside)
        return outside


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


def _log_sum(values: Array) -> Array:
    """Return the logarithm of the sum of exponentials over the first axis."""
    top = values.max(0)
    return np.asarray(top + np.log(np.exp(values - top).sum(0)))


def _distances(nearest: float) -> tuple[Array, Array]:
    """Return how far away differences lie that are held against one, each thrice the last, and their weights."""
    count = max(1, int(np.ceil(np.log(FURTHEST / nearest) / np.log(APART)))) if nearest < FURTHEST else 0
    weight = np.r_[NEAREST, np.full(count, (1 - NEAREST) / max(count, 1))]
    return np.asarray(nearest * APART ** np.arange(count + 1)), weight / weight.sum()


def _log_cosh(values: Array) -> Array:
    return np.asarray(np.logaddexp(values, -values) - np.log(2))
