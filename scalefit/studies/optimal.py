"""Which runs narrow a prediction most for a budget: the variance at the target made least (c-optimal), greedy and exchanged.

Source: Fedorov 1972, Theory of Optimal Experiments, for the exchange of design points. Over the runs of a size the
information of the law and of the size's own departures from it adds; over sizes that of the law.
Shapes: S sizes, K candidates, P parameters, Q = P + 2 with slope and level of a size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST_RUNS = 60


@dataclass(frozen=True)
class Candidate:
    """A run that could be made: its size, its samples, what it costs [FLOPs], and its information (Q, Q)."""

    params: float
    samples: float
    flops: float
    information: Array


@dataclass(frozen=True)
class Evidence:
    """What runs say: the sizes (S,), and the information of each one's runs (S, Q, Q)."""

    sizes: Array
    told: Array

    def moved(self, runs: Sequence[Candidate], sign: int = 1) -> Evidence:
        """Return the evidence with some runs more, or less."""
        told = self.told.copy()
        for one in runs:
            told[self._at(one)] += sign * one.information
        return Evidence(self.sizes, told)

    def _at(self, one: Candidate) -> int:
        return int(np.searchsorted(self.sizes, one.params))

    def with_each(self, candidates: Sequence[Candidate]) -> Array:
        """Return the information of the law with each of K runs more, (K, P, P)."""
        at = np.array([self._at(one) for one in candidates])
        apart = condense(self.told)
        more = condense(self.told[at] + np.stack([one.information for one in candidates]))
        return np.asarray(apart.sum(0) - apart[at] + more)

    def variance(self, gradient: Array) -> float:
        """Return the variance of a prediction whose derivative by the parameters is `gradient` (P,)."""
        return float(variances(condense(self.told).sum(0)[None], gradient)[0])


def condense(told: Array) -> Array:
    """Return the information of the law alone (..., P, P) from that with a size's departures (..., Q, Q), of variance 1."""
    law, both, own = told[..., :-2, :-2], told[..., :-2, -2:], told[..., -2:, -2:]
    return np.asarray(law - both @ np.linalg.solve(np.eye(2) + own, both.swapaxes(-1, -2)))


def variances(information_KPP: Array, gradient: Array) -> Array:
    """Return the variance of a prediction, whose derivative by the parameters is `gradient` (P,), for K informations."""
    scale = np.sqrt(np.maximum(np.einsum("kpp->kp", information_KPP), 1e-300))
    scaled = information_KPP / (scale[:, :, None] * scale[:, None, :]) + 1e-12 * np.eye(len(gradient))
    c = gradient / scale
    return np.einsum("kp,kp->k", c, np.linalg.solve(scaled, c[..., None])[..., 0])


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


@dataclass(frozen=True)
class Search:
    """What is known, what could be run, the prediction's derivative (P,), the budget [FLOPs], and runs allowed a size."""

    known: Evidence
    candidates: Sequence[Candidate]
    gradient: Array
    budget: float
    most: int = MOST_RUNS

    def choose(self) -> list[Candidate]:
        """Choose runs that make the prediction's variance least: greedy by gain for compute and by gain alone, then exchanged."""
        found = [self._exchange(self._greedy(power)) for power in (1.0, 0.5, 0.0)]
        return min(found, key=self.variance)

    def variance(self, chosen: Sequence[Candidate]) -> float:
        """Return the variance of the prediction with some runs beside what is known."""
        return self.known.moved(chosen).variance(self.gradient)

    @property
    def _price(self) -> Array:
        return np.array([one.flops for one in self.candidates])

    def _able(self, chosen: Sequence[Candidate]) -> NDArray[np.bool_]:
        """Return which candidates can be added: the budget pays for them, and their size has room."""
        counts = Counter(one.params for one in chosen)
        room = np.array([counts[one.params] < self.most for one in self.candidates])
        return np.asarray(room & (self._price <= self.budget - sum(one.flops for one in chosen)))

    def _greedy(self, power: float) -> list[Candidate]:
        chosen: list[Candidate] = []
        price, known = self._price, self.known
        while len(chosen) < MOST_RUNS and (able := self._able(chosen)).any():
            now = known.variance(self.gradient)
            gain = now - variances(known.with_each(self.candidates), self.gradient)
            at = int(np.argmax(np.where(able, gain / price**power, -np.inf)))
            if gain[at] <= 1e-6 * now:
                break
            chosen.append(self.candidates[at])
            known = known.moved(chosen[-1:])
        return chosen

    def _exchange(self, chosen: list[Candidate]) -> list[Candidate]:
        """Swap a run for another while that helps and the budget allows."""
        for _ in range(30):
            total = self.known.moved(chosen)
            best, swap = total.variance(self.gradient) * (1 - 1e-6), None
            for at in {id(one): at for at, one in enumerate(chosen)}.values():
                after = variances(total.moved([chosen[at]], -1).with_each(self.candidates), self.gradient)
                after = np.where(self._able([*chosen[:at], *chosen[at + 1 :]]), after, np.inf)
                if after.min() < best:
                    best, swap = float(after.min()), (at, int(np.argmin(after)))
            if swap is None:
                break
            chosen = [*chosen[: swap[0]], self.candidates[swap[1]], *chosen[swap[0] + 1 :]]
        return chosen
