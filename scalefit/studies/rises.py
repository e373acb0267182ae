"""The slopes and the starts of the runs of several sizes, and by how much both rise from the smallest to the largest.

Shapes: M runs, S sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.intervals import student
from scalefit.units import format_quantity

Array = NDArray[np.float64]
SAME = 1e-6
"""Share of a size up to which two arms' sizes are one."""


@dataclass(frozen=True)
class Arm:
    """Runs of several sizes: of each its size's log10 N, slope k, start (log10 L at step 0), and what noise makes of the start.

    Attributes
    ----------
    size, slope, start, noise : ndarray, shape (M,)
        `noise` is a variance.
    """

    name: str
    params: Array
    slope: Array
    start: Array
    noise: Array

    @property
    def sizes(self) -> Array:
        """Distinct sizes (S,)."""
        return np.unique(self.params)

    @property
    def index(self) -> NDArray[np.intp]:
        """The size of each run (M,)."""
        return np.searchsorted(self.sizes, self.params)

    def mean(self, values: Array) -> Array:
        """Return the mean over the runs of each size (S,)."""
        return np.asarray(np.bincount(self.index, values) / np.bincount(self.index))

    def within(self, values: Array) -> Array:
        """Return how runs depart from the mean of their size (M,)."""
        return np.asarray(values - self.mean(values)[self.index])

    @property
    def contrast(self) -> Array:
        """What sizes (S,) count for in the rise from the smallest to the largest along the line in log N through their means."""
        u = np.log10(self.sizes)
        away = u - u.mean()
        return np.asarray(away / (away @ away) * (u[-1] - u[0]))

    def rise(self, values: Array) -> float:
        """Return by how much the means of sizes rise from the smallest to the largest."""
        return float(self.contrast @ self.mean(values))

    @property
    def between_runs(self) -> tuple[Array, int]:
        """The variance of slopes within each size (S,), and its degrees of freedom, 0 where every size has one run.

        Runs scatter in proportion to the slope, or nearly so; a size that hardly learns is taken to scatter as one that
        learns half as fast as the mean. Where all scatter alike, intervals are wider for it than they need to be.
        """
        k, count = self.mean(self.slope), np.bincount(self.index)
        scale = np.maximum(np.abs(k), np.abs(k).mean() / 2)
        dof = int(np.sum(count - 1))
        share = float(np.sum(np.square(self.within(self.slope) / scale[self.index]))) / dof if dof else np.inf
        return share * scale**2, dof

    @property
    def of_rise(self) -> tuple[float, int]:
        """The variance that runs give the rise of slopes, and its degrees of freedom."""
        variance, dof = self.between_runs
        return float(np.sum(self.contrast**2 * variance / np.bincount(self.index))), dof


def in_common(arms: list[Arm]) -> list[Arm]:
    """Keep the sizes that both arms have."""
    first, second = arms
    kept = [
        np.isclose(a.params[:, None], b.sizes, rtol=SAME, atol=0).any(1) for a, b in ((first, second), (second, first))
    ]
    return [
        Arm(arm.name, arm.params[some], arm.slope[some], arm.start[some], arm.noise[some])
        for arm, some in zip(arms, kept, strict=True)
    ]


def ends_at(value: float, half: float | None) -> dict[str, float | None]:
    """Return low and high of an interval, None of what no second run tells."""
    return {"low": None, "high": None} if half is None else {"low": value - half, "high": value + half}


def rise_of(arm: Arm) -> dict[str, Any]:
    """Return by how much slopes and starts rise from the smallest size to the largest."""
    value = arm.rise(arm.slope)
    variance, dof = arm.of_rise
    half = student(0.95, dof) * float(np.sqrt(variance)) if dof else None
    return {"arm": arm.name, "k": value, **ends_at(value, half), "dof": dof, "start": arm.rise(arm.start)}


def say_bent(arm: Arm) -> str | None:
    """Say so where k falls again towards the largest size by more than runs differ: a line hides that."""
    k, count, (variance, dof) = arm.mean(arm.slope), np.bincount(arm.index), arm.between_runs
    top = int(np.argmax(k))
    apart = float(np.sqrt(variance[top] / count[top] + variance[-1] / count[-1]))
    if not dof or k[top] - k[-1] <= student(0.95, dof) * apart:
        return None
    peak, last = (format_quantity(float(arm.sizes[at])) for at in (top, -1))
    return f"{arm.name}: k is largest at {peak} ({k[top]:.3f}) and {k[-1]:.3f} at {last}; the rise is that of a line, which they do not follow"
