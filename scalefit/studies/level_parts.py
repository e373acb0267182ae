"""How much of a rise of slopes goes with the starts: by runs of one size, by the sizes' means, and by two arms."""

from __future__ import annotations

from typing import Any

import numpy as np

from scalefit.numerics.intervals import ratio_ends, student
from scalefit.studies.rises import Arm, ends_at

APART = 0.9
"""Largest correlation of start and log N at which a regression on both is told: there its standard errors are 2.3 times what they were if the two were apart, 1/sqrt(1 - r^2), and grow fast."""
RELIABLE = 0.5
"""Least share of what starts differ by within sizes that is no noise of evaluating them: below, more of the coefficient is a correction than was measured."""
MOST = 0.5
"""Share of a difference from which on a cause is most of it."""
TOLD = 10.0
"""Largest share that is told: an interval beyond says that the difference itself is hardly told from 0."""


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
    # The correction is as uncertain as the variance of starts that it is made of.
    variance += (value * (1 - reliable) / reliable) ** 2 * 2 / dof
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
