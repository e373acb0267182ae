"""The slopes and the starts of the runs of several sizes: how both rise with size, and how much of the one goes with the other.

Source of the interval of a ratio: `ratio_ends`. Shapes: M runs, S sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.intervals import ratio_ends, student
from scalefit.units import format_quantity

Array = NDArray[np.float64]
APART = 0.9
"""Largest correlation of start and log N at which a regression on both is told: there its standard errors are 2.3 times what they were if the two were apart, 1/sqrt(1 - r^2), and grow fast."""
RELIABLE = 0.5
"""Least share of what starts differ by within sizes that is no noise of evaluating them: below, more of the coefficient is a correction than was measured."""
MOST = 0.5
"""Share of a difference from which on a cause is most of it."""
SAME = 1e-6
"""Share of a size up to which two arms' sizes are one."""
TOLD = 10.0
"""Largest share that is told: an interval beyond says that the difference itself is hardly told from 0."""


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


def within_sizes(arm: Arm) -> dict[str, Any]:
    """Return the coefficient of k on the start within sizes, and the share of the rise that it makes."""
    start, slope = arm.within(arm.start), arm.within(arm.slope)
    square = float(start @ start)
    dof = len(start) - len(arm.sizes) - 1
    found: dict[str, Any] = {"arm": arm.name, "coefficient": None, "low": None, "high": None, "share": None}
    found |= {"share_low": None, "share_high": None, "reliability": None, "says": ""}
    if dof < 1 or square <= 0:
        return found | {"says": "the data do not say: no two runs of a size start differently"}
    count = np.bincount(arm.index)
    by_noise = float(np.sum(arm.noise * (1 - 1 / count[arm.index])))
    reliable = 1 - by_noise / square
    found["reliability"] = reliable
    if reliable < RELIABLE:
        return found | {
            "says": f"the data do not say: starts of a size differ by {np.sqrt(square / (dof + 1)):.3f} [sd, log10 loss], and {min(1 - reliable, 1.0):.0%} "
            "of that variance is noise of evaluating them"
        }
    # Noise in what is regressed on draws a coefficient towards 0. Source: Fuller 1987, Measurement Error Models, eq. 1.1.13.
    value = float(start @ slope) / square / reliable
    left = slope - start * float(start @ slope) / square
    variance = float(left @ left) / dof / square / reliable**2
    half = student(0.95, dof) * float(np.sqrt(variance))
    rise, start_rise = arm.rise(arm.slope), arm.rise(arm.start)
    between_runs, _ = arm.of_rise
    low, high = ratio_ends(
        value * start_rise, rise, np.diag([start_rise**2 * variance, between_runs]), student(0.95, dof)
    )
    found |= {"coefficient": value, "low": value - half, "high": value + half, "share": value * start_rise / rise}
    share = _finite(low, high)
    says = f"k by {value:+.3f} [{value - half:+.3f}, {value + half:+.3f}] a decade of loss at the start, which makes {share_text(found['share'], share)} of the rise"
    return found | {"share_low": share[0], "share_high": share[1], "says": says}


def _finite(low: float, high: float) -> tuple[float | None, float | None]:
    return (low, high) if max(abs(low), abs(high)) < TOLD else (None, None)


def share_text(value: float, ends: tuple[float | None, float | None]) -> str:
    """Return a share with its interval, in per cent."""
    if ends[0] is None or ends[1] is None:
        return f"{value:.0%} [not told]"
    return f"{value:.0%} [{ends[0]:.0%}, {ends[1]:.0%}]"


def between_sizes(arm: Arm) -> dict[str, Any]:
    """Return how the sizes' starts go with log N, and k on both over sizes' means where they can be told apart."""
    u, start, k = np.log10(arm.sizes), arm.mean(arm.start), arm.mean(arm.slope)
    r = float(np.corrcoef(u, start)[0, 1]) if np.ptp(start) > 0 else 0.0
    found: dict[str, Any] = {"arm": arm.name, "r": r, "level": None, "size": None}
    dof = len(u) - 3
    if dof < 1 or abs(r) > APART:
        return found
    design = np.stack([np.ones(len(u)), start, u], 1)
    held, *_ = np.linalg.lstsq(design, k, rcond=None)
    variance = float(np.sum((k - design @ held) ** 2)) / dof * np.linalg.inv(design.T @ design)
    for at, name in ((1, "level"), (2, "size")):
        half = student(0.95, dof) * float(np.sqrt(variance[at, at]))
        found[name] = {"value": float(held[at]), **ends_at(float(held[at]), half), "dof": dof}
    return found


def left_at_equal_start(equal: Arm, other: Arm) -> dict[str, Any]:
    """Return the share of the other arm's rise of k that is left at equal start.

    Starts are never quite equal. What both arms say is solved for a part by size and a part that goes with the rise of
    starts: rise = size + c start rise, in each.
    """
    rises, starts = ([arm.rise(getattr(arm, name)) for arm in (equal, other)] for name in ("slope", "start"))
    found: dict[str, Any] = {"share": None, "low": None, "high": None, "dof": 0, "start_rises": starts}
    if abs(starts[0]) > MOST * abs(starts[1]):
        return found | {
            "why": f"starts rise by {starts[0]:+.3f} in the one arm and by {starts[1]:+.3f} in the other: too much alike to tell"
        }
    weights = np.array([starts[1], -starts[0]]) / (starts[1] - starts[0])
    (first, first_dof), (second, second_dof) = equal.of_rise, other.of_rise
    size = float(weights @ rises)
    found |= {"share": size / rises[1], "why": ""}
    if not (first_dof and second_dof):
        return found | {"why": "an arm has one run a size: what other runs would change is not known"}
    covariance = np.array(
        [[weights[0] ** 2 * first + weights[1] ** 2 * second, weights[1] * second], [weights[1] * second, second]]
    )
    # Satterthwaite 1946, Biometrics 2, 110.
    dof = (first + second) ** 2 / (first**2 / first_dof + second**2 / second_dof)
    low, high = ratio_ends(size, rises[1], covariance, student(0.95, dof))
    share = _finite(low, high)
    why = "" if share[0] is not None else "the rise where starts differ is not told from 0"
    return found | {"low": share[0], "high": share[1], "dof": dof, "why": why}
