"""Clocks of several groups of runs at once: a half-way point of each group, a steepness of each or of all, and every run its start and gain.

Shapes: n evaluations, R runs, G groups, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.one_clock import apart, fit_clock
from scalefit.numerics.least_squares import Limits, minimise, normal_of
from scalefit.numerics.left_out import Without, leave_each_out
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
STEEP = (1e-2, 20.0)
"""Bounds of the steepness, those of the clock law."""


@dataclass(frozen=True)
class SharedClock:
    """The evaluations of all runs, (n,): run, group, log of what was spent and the loss; and each group's own clock, (G, 2).

    `common` says whether groups share one steepness.
    """

    run: NDArray[np.intp]
    group: NDArray[np.intp]
    log_x: Array
    loss: Array
    alone: Array
    starts: Array
    """Start and gain of runs by their own group's clock, (R, 2)."""
    common: bool

    @cached_property
    def groups(self) -> int:
        """How many there are."""
        return len(self.alone)

    def parts(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Return log X_mid (G,), log B (G,), and start and gain (R,) of runs."""
        G, R = self.groups, len(self.starts)
        steep = np.repeat(theta[G : G + 1], G) if self.common else theta[G : 2 * G]
        return theta[:G], steep, theta[-2 * R : -R], theta[-R:]

    def residual(self, theta: Array) -> tuple[Array, Array]:
        """Return loss minus law (n,) and the law's derivatives (n, P)."""
        mid, steep, start, gain = self.parts(theta)
        B, before = np.exp(steep)[self.group], mid[self.group] - self.log_x
        share = 1 / (1 + np.exp(np.clip(B * before, -500, 500)))
        bent = gain[self.run] * share * (1 - share) * B
        J, at, R = np.zeros((len(self.loss), len(theta))), np.arange(len(self.loss)), len(self.starts)
        J[at, self.group] = bent
        J[at, self.groups + (0 if self.common else self.group)] = bent * before
        J[at, len(theta) - 2 * R + self.run] = 1.0
        J[at, len(theta) - R + self.run] = -share
        return self.loss - start[self.run] + gain[self.run] * share, J

    @cached_property
    def theta(self) -> Array:
        """The parameters by least squares, (P,)."""
        mid, steep = self.alone.T
        begin = np.concatenate([mid, [steep.mean()] if self.common else steep, *self.starts.T])
        R, inner = len(self.starts), len(begin) - 2 * len(self.starts) - self.groups
        low = np.concatenate([mid - 30, np.full(inner, np.log(STEEP[0])), np.zeros(R), np.full(R, -2.0)])
        high = np.concatenate([mid + 30, np.full(inner, np.log(STEEP[1])), np.full(R, 2.0), np.full(R, 3.0)])
        limits = Limits(iterations=500, tolerance=1e-12, patient=True)
        start = np.clip(begin, low, high)[None]
        reach = np.where(high - low > 4, 2.0, 0.25 * (high - low))
        return np.asarray(
            minimise(normal_of(self.residual), start, (low, high), reach=reach, ground=0.0, limits=limits).theta[0]
        )

    @cached_property
    def without_each(self) -> Without:
        """The fit without each run, whose own clock may be ahead or steeper."""
        residual, J = self.residual(self.theta)
        G = self.groups
        shapes = np.stack([J[:, :G].sum(1), J[:, G : G + 1 if self.common else 2 * G].sum(1)], 1)
        return leave_each_out(self.theta, residual, J, self.run, shapes)


def share_clocks(groups: Sequence[FitData], common: bool) -> SharedClock:
    """Return the clocks of groups of runs; of data in one resource, none of them merged."""
    parts, alone, starts, runs = [], [], [], 0
    for at, data in enumerate(groups):
        own = replace(apart(data), resources=("spent",))
        clock = fit_clock(own)
        alone.append([float(np.log(clock[name][0])) for name in ("X_mid", "B")])
        starts.append(np.stack([clock["L0"], clock["G"]], 1))
        row, _ = np.nonzero(own.present)
        spent, loss = own.resource[0][own.present], own.loss[own.present]
        parts.append((row + runs, np.full(len(row), at), np.log(spent), loss))
        runs += len(data.params)
    run, group, log_x, loss = (np.concatenate(some) for some in zip(*parts, strict=True))
    return SharedClock(run, group, log_x, loss, np.array(alone), np.concatenate(starts), common)
