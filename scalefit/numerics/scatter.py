"""How far the units of one kind lie apart beyond their own errors, with the uncertainty of that integrated over.

A spread tau has the prior: one chance in four that there is none, else half-normal. With few units what they say of tau
is weak, and a plugged-in estimate (often 0) makes intervals that do not cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NONE = 0.25
"""Prior chance that there is no spread. Chosen, as the prior's shape, on simulations of other laws than the paper's."""
POINTS = 13
"""Values of a spread that are integrated over, beside 0."""
TOLD, FINER = 0.9, 14
"""Share that two neighbouring values of a spread hold about which others are looked at, and how many."""
NO_SPREAD_GRID = (np.zeros(1), np.zeros(1))


def spread_prior(scale: float, finest: float, points: int = POINTS, more: Array | None = None) -> tuple[Array, Array]:
    """Return values of a spread, 0 first, and the logarithm of their prior mass, two of shape (n,).

    Parameters
    ----------
    scale : float
        Of the half-normal.
    finest : float
        A spread that errors hide: the grid begins at half of it, or at a 25th of the scale if that is less.
    points : int
        Values beside 0.
    more : ndarray, optional
        Values to look at beside these.
    """
    low = max(min(0.5 * finest, scale / 25), 1e-4 * scale)
    some = np.geomspace(low, 6 * scale, points)
    some = some if more is None else np.union1d(some, more)
    mass = np.exp(-0.5 * (some / scale) ** 2) * np.gradient(some)
    return np.append(0.0, some), np.log(np.append(NONE, (1 - NONE) * mass / mass.sum()))


def between(spread: Array, share: Array) -> Array | None:
    """Return values of a spread to look at where two neighbours of those looked at hold what data say; None elsewhere.

    Parameters
    ----------
    spread : ndarray, shape (n,)
        Ascending, 0 first.
    share : ndarray, shape (n,)
        Of what fits, not normalised.
    """
    top = int(np.argmax(share))
    two = share[top] + share[top - 1 : top + 2 : 2].max(initial=0.0)
    if top < 2 or two < TOLD * share.sum():
        return None
    return np.geomspace(spread[max(top - 2, 1)], spread[min(top + 2, len(spread) - 1)], FINER + 2)[1:-1]


@dataclass(frozen=True)
class Groups:
    """What units say of their groups' means when the units' spread is one of A values.

    Attributes
    ----------
    mean, variance : ndarray, shape (A, S)
        Of each group, by generalised least squares.
    within : ndarray, shape (A,)
        Log-likelihood of what the units of each group say of the spread among themselves.
    """

    mean: Array
    variance: Array
    within: Array


def group_units(value: Array, variance: Array, first: NDArray[np.intp]) -> Groups:
    """Pool units (M,) or (A, M) whose variances are (A, M); `first` (S,) is where each group begins."""
    weight = 1 / variance
    total = np.add.reduceat(weight, first, 1)
    mean = np.add.reduceat(weight * value, first, 1) / total
    counts = np.diff(np.append(first, variance.shape[1]))
    off = value - np.repeat(mean, counts, 1)
    within = -0.5 * (np.log(variance).sum(1) + np.log(total).sum(1) + (weight * off**2).sum(1))
    return Groups(mean, 1 / total, within)
