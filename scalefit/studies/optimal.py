"""Which runs narrow a prediction most for a budget: the variance at the target made least (c-optimal), greedy and exchanged.

Source: Fedorov 1972, Theory of Optimal Experiments, for the exchange of design points; the information adds over runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST_RUNS = 60


@dataclass(frozen=True)
class Candidate:
    """A run that could be made: its size, its samples, what it costs [FLOPs], and its information (P, P)."""

    params: float
    samples: float
    flops: float
    information: Array


def even_spread(candidates: Sequence[Candidate], budget: float) -> list[Candidate]:
    """Return full-length runs, one a size from the smallest on, round after round, while the budget lasts."""
    longest = max(one.samples for one in candidates)
    full = sorted((one for one in candidates if one.samples == longest), key=lambda one: one.flops)
    chosen: list[Candidate] = []
    left = budget
    while len(chosen) < MOST_RUNS:
        added = False
        for one in full:
            if one.flops <= left and len(chosen) < MOST_RUNS:
                chosen.append(one)
                left -= one.flops
                added = True
        if not added:
            break
    return chosen


def variances(information_KPP: Array, gradient: Array) -> Array:
    """Return the variance of a prediction, whose derivative by the parameters is `gradient` (P,), for K informations."""
    scale = np.sqrt(np.maximum(np.einsum("kpp->kp", information_KPP), 1e-300))
    scaled = information_KPP / (scale[:, :, None] * scale[:, None, :]) + 1e-12 * np.eye(len(gradient))
    c = gradient / scale
    return np.einsum("kp,kp->k", c, np.linalg.solve(scaled, c[..., None])[..., 0])


def variance(known: Array, chosen: Sequence[Candidate], gradient: Array) -> float:
    """Return the variance of a prediction with some runs beside what is known."""
    total = known + sum((one.information for one in chosen), np.zeros_like(known))
    return float(variances(total[None], gradient)[0])


def choose_runs(known: Array, candidates: Sequence[Candidate], gradient: Array, budget: float) -> list[Candidate]:
    """Choose runs that make the prediction's variance least: greedy by gain for compute and by gain alone, then exchanged."""
    best: list[Candidate] = []
    for power in (1.0, 0.5, 0.0):
        chosen = _greedy(known, candidates, gradient, budget, power)
        chosen = _exchange(known, candidates, gradient, budget, chosen)
        if not best or variance(known, chosen, gradient) < variance(known, best, gradient):
            best = chosen
    return best


def _greedy(
    known: Array, candidates: Sequence[Candidate], gradient: Array, budget: float, power: float
) -> list[Candidate]:
    chosen: list[Candidate] = []
    each = np.stack([one.information for one in candidates])
    price = np.array([one.flops for one in candidates])
    total, left, now = known, budget, variance(known, [], gradient)
    while len(chosen) < MOST_RUNS and (price <= left).any():
        gain = np.where(price <= left, (now - variances(total + each, gradient)) / price**power, -np.inf)
        at = int(np.argmax(gain))
        if gain[at] * price[at] ** power <= 1e-6 * now:
            break
        chosen.append(candidates[at])
        total, left = total + each[at], left - price[at]
        now = float(variances(total[None], gradient)[0])
    return chosen


def _exchange(
    known: Array, candidates: Sequence[Candidate], gradient: Array, budget: float, chosen: list[Candidate]
) -> list[Candidate]:
    """Swap a run for another while that helps and the budget allows."""
    each = np.stack([one.information for one in candidates])
    price = np.array([one.flops for one in candidates])
    for _ in range(30):
        total = known + sum((one.information for one in chosen), np.zeros_like(known))
        now, spent = float(variances(total[None], gradient)[0]), sum(one.flops for one in chosen)
        kinds = {id(one): at for at, one in enumerate(chosen)}
        best, swap = now * (1 - 1e-6), None
        for at in kinds.values():
            after = variances(total - chosen[at].information + each, gradient)
            after = np.where(spent - chosen[at].flops + price <= budget, after, np.inf)
            if after.min() < best:
                best, swap = float(after.min()), (at, int(np.argmin(after)))
        if swap is None:
            break
        chosen = [*chosen[: swap[0]], candidates[swap[1]], *chosen[swap[0] + 1 :]]
    return chosen
