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

Array = NDArray[np.float64]
SHARPNESS = 0.35
"""Standard deviation of the differences that are held against one, as a share of their distance from it."""
APART = 3.0
"""How many times further away each lies than the last."""
NEAREST = 0.85
"""Weight of the nearest of them; larger ones share the rest, so that no difference is too far away to be told."""
STEPS = 24
"""Differences on each side of the estimate that are looked at for the limits of an interval."""
FURTHEST = 1.0
"""The largest difference of two losses."""


@dataclass(frozen=True)
class ConfidenceSequence:
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

    def sequence(self, alpha: float) -> ConfidenceSequence:
        """Return the confidence sequence: at each look the differences against which there is less than 1/alpha."""
        middle = np.clip(self.estimate, -0.99 * FURTHEST, 0.99 * FURTHEST)
        low, high = (self._limit(middle, end, -np.log(alpha)) for end in (-FURTHEST, FURTHEST))
        return ConfidenceSequence(middle, low, high)

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
