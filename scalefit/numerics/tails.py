"""Tails and quantiles of the normal, Student's, F and chi-square distributions, by Python's own `math`.

`scipy.special` has them all and takes a fifth of a second to import, as long as a fit and its answer together; these are
held against it by tests, and where there is much to compute it is still asked.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_LEAST = 1e-300
_SAME = 1e-15
_STEPS = 200_000
"""Of the continued fraction; about the root of the larger degrees of freedom is what it takes."""
_NORMAL_FROM = 1e9
"""Degrees of freedom from which Student's distribution is the normal one to the last digit."""
_MANY = 30_000
"""Values from which on scipy's loop, ten times as fast, makes up for its import."""
_erfc = np.frompyfunc(math.erfc, 1, 1)


def normal_below(z: Any) -> Array:
    """Return the normal distribution's share below z."""
    if np.size(z) > _MANY:
        from scipy.special import ndtr

        return np.asarray(ndtr(z))
    return np.asarray(0.5 * _erfc(np.asarray(z, float) / -math.sqrt(2.0)), float)


def normal_quantile(share: Any) -> Array:
    """Return what a share of the normal distribution lies below; infinite for 0 and 1."""
    from statistics import NormalDist

    inverse, ends = NormalDist().inv_cdf, {0.0: -math.inf, 1.0: math.inf}
    share = np.asarray(share, float)
    return np.array([ends[one] if one in ends else inverse(one) for one in share.ravel().tolist()]).reshape(share.shape)


def student_tail(t: float, dof: float) -> float:
    """Return the chance of a value as far from 0 as t, either side."""
    if not t:
        return 1.0
    if dof > _NORMAL_FROM:
        return math.erfc(abs(t) / math.sqrt(2.0))
    away = t * t / dof
    if math.isinf(away):
        return 0.0
    return _beta_share(1 / (1 + away), away / (1 + away), dof / 2, 0.5)


def student_quantile(tail: float, dof: float) -> float:
    """Return how far from 0 values lie, either side, with a chance of `tail`."""
    if tail <= 0 or tail >= 1:
        return math.inf if tail <= 0 else 0.0
    t = -float(normal_quantile(tail / 2))
    if dof > _NORMAL_FROM:
        return t
    front = math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - 0.5 * math.log(dof * math.pi)
    for _ in range(200):  # The tail is convex and Student's is wider than the normal one: steps go up to the quantile.
        density = 2 * math.exp(front - (dof + 1) / 2 * math.log1p(t * t / dof))
        step = (student_tail(t, dof) - tail) / density
        t += step
        if abs(step) <= 1e-14 * t:
            break
    return t


def f_tail(first: Any, second: Any, f: Any) -> Array:
    """Return the chance of a larger F, of `first` and `second` degrees of freedom."""
    return np.asarray(_f_tails(first, second, f), float)


def chi_square_tail(dof: Any, x: Any) -> Array:
    """Return the chance of a larger chi-square, of whole degrees of freedom from 1 on."""
    return np.asarray(_chi_square_tails(dof, x), float)


def chi_square_quantile(dof: Any, tail: Any) -> Array:
    """Return what a chi-square of whole degrees of freedom is above with a chance of `tail`, from 1e-300 on."""
    return np.asarray(_chi_square_quantiles(dof, tail), float)


def _f_tail(first: float, second: float, f: float) -> float:
    if math.isinf(f):
        return 0.0
    whole = second + first * f
    return _beta_share(second / whole, first * f / whole, second / 2, first / 2)


def _beta_share(x: float, rest: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function at x, `rest` being 1 - x.

    Source: Press et al., Numerical Recipes, 3rd edition, section 6.4: its continued fraction, by Lentz's method.
    """
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    if math.isnan(front):
        return math.nan
    if x < (a + 1) / (a + b + 2):
        return math.exp(front) * _fraction(x, a, b) / a
    return 1.0 - math.exp(front) * _fraction(rest, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / _away(1 + term * d), _away(1 + term / c)
            found *= d * c
        if abs(d * c - 1) <= _SAME:
            break
    return found


def _away(value: float) -> float:
    return value if abs(value) > _LEAST else _LEAST


def _chi_square_tail(dof: int, x: float) -> float:
    """Return a finite sum: that of the Poisson distribution, or for odd degrees of freedom the like from the normal one."""
    half = x / 2
    if half <= 0:
        return 1.0
    odd, log = dof % 2, math.log(half)
    found = math.erfc(math.sqrt(half)) if odd else 0.0
    for i in range(dof // 2):
        found += math.exp((i + odd / 2) * log - half - math.lgamma(i + 1 + odd / 2))
    return min(found, 1.0)


def _chi_square_quantile(dof: int, tail: float) -> float:
    low, high = 0.0, float(dof)
    while _chi_square_tail(dof, high) > tail:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if high - low <= 1e-13 * high:
            break
        above = _chi_square_tail(dof, middle) > tail
        low, high = (middle, high) if above else (low, middle)
    return (low + high) / 2


_f_tails = np.frompyfunc(_f_tail, 3, 1)
_chi_square_tails = np.frompyfunc(_chi_square_tail, 2, 1)
_chi_square_quantiles = np.frompyfunc(_chi_square_quantile, 2, 1)
