"""What counts of right answers say: the exact interval of a share, and pass@k."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import UsageError

RATES = "pass_rates"
"""Column with every problem's share of right answers among `eval_samples`."""
COLUMN = "pass_at_"
"""Columns with pass@k are called this and k."""


def binomial_interval(right: Any, n: Any, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the exact interval of shares, `right` of `n`; `right` need not be whole.

    Source: Clopper and Pearson 1934, Biometrika 26, 404.
    """
    from scipy.special import betaincinv

    right, n, tail = np.asarray(right, float), np.asarray(n, float), (1 - level) / 2
    some, missed = right > 0, right < n
    low = np.where(some, betaincinv(np.where(some, right, 1.0), n - right + 1, tail), 0.0)
    high = np.where(missed, betaincinv(right + 1, np.where(missed, n - right, 1.0), 1 - tail), 1.0)
    return low, high


def pass_at_k(rates: NDArray[Any], samples: int, k: Sequence[int]) -> NDArray[np.float64]:
    """Return each problem's chance that one of k answers is right, without bias: 1 - C(n - c, k)/C(n, k).

    Source: Chen et al. 2021, arXiv:2107.03374, eq. 1.

    Parameters
    ----------
    rates : ndarray, shape (M,)
        Share of right answers to each problem.
    samples : int
        n, answers a problem.
    k : sequence of int
        From 1 to n each.

    Returns
    -------
    ndarray, shape (M, K)

    Raises
    ------
    UsageError
        If a k is larger than the samples.
    """
    wrong = samples - np.rint(np.asarray(rates, float) * samples)
    m = np.arange(1, samples + 1)
    found = []
    for one in k:
        if not 1 <= one <= samples:
            raise UsageError(f"pass@{one} needs at least {one} samples a problem, there are {samples}.")
        # The product of 1 - k/m over m from n - c + 1 to n; with fewer than k wrong answers one of k is right.
        fails = np.where(m > wrong[:, None], 1 - one / m, 1.0).prod(1)
        found.append(np.where(wrong < one, 1.0, 1 - fails))
    return np.stack(found, 1)
