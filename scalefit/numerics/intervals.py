"""Quantiles and multiple tests that intervals and verdicts share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.tails import student_quantile, student_tail

Array = NDArray[np.float64]
LEVEL = 0.05


def student(level: float, dof: float) -> float:
    """Return the two-sided Student quantile."""
    return student_quantile(1 - level, max(dof, 1.0))


def student_p(value: float, se: float, dof: float) -> float:
    """Return the chance of a value as far from 0, either side; 0 where it has no error."""
    return student_tail(value / se, max(dof, 1.0)) if se > 0 else float(value == 0)


def loss_ends(log: Array, width: Array) -> tuple[Array, Array]:
    """Return the ends of an interval of the loss from its middle and half width, both in log10; a loss is at most 1."""
    return 10.0 ** np.minimum(log - width, 0.0), 10.0 ** np.minimum(log + width, 0.0)


def ratio_ends(above: float, below: float, covariance: Array, width: float) -> tuple[float, float]:
    """Return the ends of an interval of above / below, both known with errors; infinite where `below` may be 0.

    Source: Fieller 1954, J. R. Stat. Soc. B 16, 175: the ratios at which above - ratio below is not told from 0.

    Parameters
    ----------
    covariance : ndarray, shape (2, 2)
        Of the two.
    width : float
        Quantile, such as Student's t, that a difference from 0 is held against.
    """
    square = below**2 - width**2 * covariance[1, 1]
    middle = above * below - width**2 * covariance[0, 1]
    last = above**2 - width**2 * covariance[0, 0]
    if square <= 0:
        return -np.inf, np.inf
    half = np.sqrt(max(middle**2 - square * last, 0.0))
    return float((middle - half) / square), float((middle + half) / square)


def holm(p: Array, level: float = LEVEL) -> NDArray[np.bool_]:
    """Return which hypotheses are rejected with a chance of at most `level` of any false one (Holm 1979)."""
    order, rejected = np.argsort(p), np.zeros(len(p), bool)
    for done, at in enumerate(order):
        if p[at] > level / (len(p) - done):
            break
        rejected[at] = True
    return rejected
