"""The trend of the sizes: their own curves continued to another size, without a law of size.

At every value of the resource the losses of the sizes' own power laws are taken as log odds. Between two sizes they go along
a straight line in log N; beyond the outermost they go half of the way from the nearest size to the line through the three
nearest. Source of the damping: Gardner and McKenzie 1985, Management Science 31, 1237 (a trend that is followed only part
of the way forecasts better than a whole one or none).
Shapes: S sizes, G cells of what runs say, n points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import law_resource
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.run_lines import RunLines
from scalefit.fitting.weigh_runs import weigh_runs
from scalefit.laws import OFFSET_FORMS, get_law
from scalefit.laws.law import LN10
from scalefit.numerics.mixtures import Mixture
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
NEAREST = 3
"""Sizes that the line beyond the outermost goes through."""
WAY = 0.5
"""Part of the way that is gone towards it."""
HIGHEST = -1e-3
"""Largest log10 loss that has log odds."""


def shares(sizes: Array, params: float) -> Array:
    """Return what each size (S,) counts for at another; the shares sum to 1."""
    u, at = np.log(sizes), np.log(params)
    found = np.zeros(len(sizes))
    if u[0] <= at <= u[-1]:
        above = int(np.clip(np.searchsorted(u, at), 1, len(u) - 1))
        part = (at - u[above - 1]) / (u[above] - u[above - 1])
        found[above - 1 : above + 1] = 1 - part, part
        return found
    near = np.argsort(np.abs(u - at))[:NEAREST]
    away = u[near] - u[near].mean()
    found[near] = WAY * (1 / len(near) + (at - u[near].mean()) * away / (away**2).sum())
    found[near[0]] += 1 - WAY
    return found


@dataclass(frozen=True)
class Trend:
    """The sizes' own curves and what runs say of them."""

    data: FitData
    lines: RunLines
    """Of the runs, as closed laws see their resource."""

    name: ClassVar[str] = "trend of the sizes"

    @cached_property
    def found(self) -> Hierarchy:
        """A power law of each size's own."""
        return weigh_runs(get_law("power"), self.lines)

    def mean_curve(self, params: float, resource: Array) -> Mixture:
        """Return log10 L of the mean curve at values of the resource (1, n), with what runs leave unknown of it."""
        x = self._seen(np.full(resource.shape[1], params), resource)
        part = shares(self.found.sizes, params)
        used = np.flatnonzero(part)
        own = [self.found.curve(size, x) for size in self.found.sizes[used]]
        logs = np.stack([one.mean for one in own])
        log = from_odds(np.tensordot(part[used], odds(logs), 1))
        by = part[used, None, None] * (1 - 10.0**log) / (1 - 10.0 ** np.minimum(logs, HIGHEST))
        variance = ((by * np.stack([one.sd for one in own])) ** 2).sum(0)
        return Mixture(self.found.weight, log, np.sqrt(variance))

    def draw(self, params: Array, resource: Array, count: int, rng: np.random.Generator) -> Array:
        """Return draws of log10 L of mean curves at points of sizes (n,) and resource (1, n), (count, n)."""
        sizes = self.found.sizes
        k, E = self.found.draw_lines(sizes, count, rng)
        part = np.stack([shares(sizes, size) for size in params], 1)
        x = self._seen(params, resource)
        total = np.zeros((count, len(params)))
        for s in range(len(sizes)):
            total += part[s] * odds(E[:, [s]] - k[:, [s]] * x)
        return from_odds(total)

    def _seen(self, params: Array, resource: Array) -> Array:
        return np.asarray(np.log10(law_resource(OFFSET_FORMS[0], self.data, resource, params)[0]))


def odds(log: Array) -> Array:
    """Return the logarithm of L / (1 - L) of log10 L."""
    log = np.minimum(log, HIGHEST)
    return np.asarray(log * LN10 - np.log1p(-(10.0**log)))


def from_odds(value: Array) -> Array:
    """Return log10 L of the logarithm of L / (1 - L)."""
    return np.asarray(-np.logaddexp(0.0, -value) / LN10)
