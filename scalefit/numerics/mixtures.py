"""Mixtures of normal distributions: what is left of an uncertain spread when it is integrated over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.tails import normal_below, normal_quantile

Array = NDArray[np.float64]
MOST = 600
"""Parts that a mixture is represented by."""
EXACT = 1e-6
"""How near the share below a quantile is to the one asked for."""
_TINY = 1e-300


@dataclass(frozen=True)
class Mixture:
    """G normal distributions of n quantities.

    Attributes
    ----------
    weight : ndarray, shape (G,)
        Sums to 1.
    mean, sd : ndarray, shape (G, n)
    """

    weight: Array
    mean: Array
    sd: Array

    @property
    def centre(self) -> Array:
        """Mean of each quantity, shape (n,)."""
        return np.asarray(self.weight @ self.mean)

    @property
    def spread(self) -> Array:
        """Standard deviation of each quantity, shape (n,)."""
        off = self.mean - self.centre
        return np.asarray(np.sqrt(self.weight @ (self.sd**2 + off**2)))

    def widened(self, variance: Array) -> Mixture:
        """Return the mixture of the quantities plus independent normal noise of a variance, (G, n) or what broadcasts to it."""
        return Mixture(self.weight, self.mean, np.sqrt(self.sd**2 + variance))

    def quantiles(self, shares: Sequence[float]) -> Array:
        """Return where a share of each quantity's distribution lies below, shape (len(shares), n).

        Newton's steps within a bracket that shrinks, so that a flat stretch cannot throw it off.
        """
        shape = (len(shares), self.mean.shape[1])
        goal = np.broadcast_to(np.asarray(shares, float)[:, None], shape).ravel()
        which = np.tile(np.arange(shape[1]), shape[0])
        sd = np.maximum(self.sd, 1e-12 * np.abs(self.mean) + _TINY)
        low, high = (self.mean - 9 * sd).min(0)[which], (self.mean + 9 * sd).max(0)[which]
        at = np.clip(self.centre[which] + normal_quantile(goal) * self.spread[which], low, high)
        left = np.arange(len(goal))
        for _ in range(60):
            below, density = self._distribution(at[left], which[left], sd)
            off = below - goal[left]
            wrong = np.abs(off) > EXACT
            left, off, density = left[wrong], off[wrong], density[wrong]
            if not len(left):
                break
            low[left], high[left] = np.where(off < 0, at[left], low[left]), np.where(off < 0, high[left], at[left])
            new = at[left] - off / np.maximum(density, _TINY)
            inside = (new > low[left]) & (new < high[left])
            at[left] = np.where(inside, new, (low[left] + high[left]) / 2)
        return at.reshape(shape)

    def _distribution(self, at: Array, which: NDArray[np.intp], sd: Array) -> tuple[Array, Array]:
        """Return the share below and the density at values (m,) of quantities `which` (m,)."""
        spread = sd[:, which]
        z = (at - self.mean[:, which]) / spread
        density = np.exp(-0.5 * z**2) / spread
        return self.weight @ normal_below(z), self.weight @ density / np.sqrt(2 * np.pi)

    def interval(self, level: float) -> tuple[Array, Array]:
        """Return the ends of the central interval, two of shape (n,); infinite where a spread is."""
        ends = np.full((2, self.mean.shape[1]), np.inf) * np.array([[-1.0], [1.0]])
        known = np.isfinite(self.sd).all(0)
        if known.any():
            part = Mixture(self.weight, self.mean[:, known], self.sd[:, known])
            ends[:, known] = part.quantiles([(1 - level) / 2, (1 + level) / 2])
        return ends[0], ends[1]


def beside(mixtures: Sequence[Mixture]) -> Mixture:
    """Return the mixture of all quantities of mixtures of the same parts."""
    means, sds = (np.concatenate([getattr(one, part) for one in mixtures], 1) for part in ("mean", "sd"))
    return Mixture(mixtures[0].weight, means, sds)


def join(mixtures: Sequence[Mixture], weights: Array) -> Mixture:
    """Return the mixture of mixtures of the same quantities."""
    return Mixture(
        np.concatenate([share * one.weight for share, one in zip(weights, mixtures, strict=True)]),
        np.concatenate([one.mean for one in mixtures]),
        np.concatenate([one.sd for one in mixtures]),
    )


def weights_of(log_weight: Array) -> tuple[NDArray[np.intp], Array]:
    """Return which parts stand for all, at most `MOST` or so, and their weights, which sum to 1, from logarithms up to a constant.

    A part that weighs more than its share stands for itself; the others are represented by some, evenly along their order.
    """
    weight = np.exp(log_weight - log_weight.max())
    weight = weight / weight.sum()
    heavy = weight > 1 / MOST
    kept, light = np.flatnonzero(heavy), np.flatnonzero(~heavy)
    if not len(light):
        return kept, weight[kept]
    below = np.cumsum(weight[light])
    count = max(int(np.ceil(below[-1] * MOST)), 1)
    picked, times = np.unique(np.searchsorted(below, (np.arange(count) + 0.5) / count * below[-1]), return_counts=True)
    parts = np.concatenate([kept, light[picked]])
    return parts, np.concatenate([weight[kept], times * (below[-1] / count)])
