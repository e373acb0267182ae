"""Where a run goes: the shapes that it may have and its own power law, each as far as it can be trusted.

The share of its power law that a run keeps is known of other families, and better of runs of the same table that have been
there; so is what the shapes were wrong by. The two are weighed by the inverse of their squared errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalefit.prediction.prior import Prior
from scalefit.prediction.rolling import LEAST_POINTS, Curve, trend_of
from scalefit.prediction.shapes import Likely, thin, weigh_shapes

Array = NDArray[np.float64]
MOST_SIBLINGS = 12
"""Siblings whose shapes are weighed too; of more, these many evenly."""
ALIKE = 0.5
"""Correlation of the errors of the two."""
LAST = 0.1
"""Share of a run's evaluations that is its end."""
FIRM = 4.0
"""Runs that what is known of other families is worth."""


@dataclass(frozen=True)
class Lessons:
    """What siblings teach: what to add to the share kept and its variance, how far runs differ in it, and how wrong shapes were.

    `shift` and `off` are mean and root mean square of the shapes' errors in units of their standard errors.
    """

    kept: float
    variance: float
    within: float
    shift: float
    off: float
    runs: float


ALONE = Lessons(0.0, 0.0, 1.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Said:
    """Mean and standard error of a run's curve (m,)."""

    mean: Array
    se: Array


@dataclass(frozen=True)
class Outlook:
    """A run so far with what is known before it and what its siblings have shown by `until`."""

    curve: Curve
    prior: Prior
    lessons: Lessons

    @cached_property
    def likely(self) -> Likely:
        """Return the shapes that the run may have."""
        return weigh_shapes(thin(self.curve.x, self.curve.loss), self.prior.population)

    @property
    def freedom(self) -> float:
        """Return the degrees of freedom of the band: families and siblings."""
        return len(self.prior.families) + self.lessons.runs

    def by_shapes(self, x: Array) -> Said:
        """Return what the shapes say."""
        horizon = np.log(x / self.curve.x[-1])
        mean, se = self.likely.ahead(horizon)
        off = self.prior.at("shapes_off", horizon)
        return Said(mean - self.lessons.shift * se, se * off * self.lessons.off)

    def by_trend(self, x: Array) -> Said:
        """Return what the power law says, as far as runs keep to it."""
        horizon = np.log(x / self.curve.x[-1])
        trend = trend_of(self.curve, x)
        kept = self.prior.at("kept", horizon) + self.lessons.kept
        differ = self.lessons.variance + self.lessons.within * self.prior.at("within", horizon) ** 2
        differ = differ + self.prior.at("between", horizon) ** 2 * (self.lessons.runs == 0)
        wander = self.prior.wander**2 * max(trend.level * (1 - trend.level), 0.01) * horizon**2
        noise = (self.prior.noise * trend.sigma) ** 2 / trend.points
        return Said(trend.level + kept * trend.change, np.sqrt(noise + differ * trend.change**2 + wander))

    def ahead(self, x: Array) -> Said:
        """Return the run's curve at `x` (m,), its error as large as such errors were."""
        one, two = self.by_shapes(x), self.by_trend(x)
        share = 1 / one.se**2
        share = share / (share + 1 / two.se**2)
        mean = share * one.mean + (1 - share) * two.mean
        both = (share * one.se) ** 2 + ((1 - share) * two.se) ** 2
        both = (
            both + 2 * ALIKE * share * (1 - share) * one.se * two.se + share * (1 - share) * (one.mean - two.mean) ** 2
        )
        return Said(np.clip(mean, 0.0, 1.0), np.sqrt(both) * self.prior.at("off", np.log(x / self.curve.x[-1])))

    def shares(self, x: Array) -> Array:
        """Return the weight of the shapes at `x` (m,)."""
        one, two = self.by_shapes(x).se, self.by_trend(x).se
        return np.asarray(two**2 / (one**2 + two**2))

    def end(self, until: float) -> tuple[float, float, int]:
        """Return mean, standard error and points of the last evaluations of the run if it ends at `until`."""
        curve = self.curve
        later = curve.x[-1] + curve.step * np.arange(1, max(int((until - curve.x[-1]) / curve.step + 1e-6), 1) + 1)
        points = max(round(LAST * (len(curve.x) + len(later))), 1)
        known = curve.loss[len(curve.x) - max(points - len(later), 0) :]
        later = later[-points:]
        # A few of many say the same: the curve is smooth.
        said = self.ahead(later[np.unique(np.linspace(0, len(later) - 1, 12).astype(int))])
        unseen = len(later) / points
        mean = (known.sum() + len(later) * said.mean.mean()) / points
        noise = (self.prior.noise * trend_of(curve, later[-1:]).sigma) ** 2 / len(later)
        return float(mean), float(unseen * np.sqrt(said.se.mean() ** 2 + noise)), points


@dataclass(frozen=True)
class Siblings:
    """Other runs of a table on the same evaluation; `known` keeps what their shapes were wrong by."""

    curves: Sequence[Curve] = ()
    known: dict[tuple[str, int, float], tuple[float, float]] = field(default_factory=dict)


def look(curve: Curve, until: float, prior: Prior, siblings: Siblings | None = None) -> Outlook:
    """Return what is known of a run's way to `until`."""
    return Outlook(curve, prior, learn(curve, until, prior, siblings or Siblings()))


def learn(curve: Curve, until: float, prior: Prior, siblings: Siblings) -> Lessons:
    """Hold what would have been said of siblings at the same place against what they did."""
    far = float(np.log(until / curve.x[-1]))
    between, within = (float(prior.at(name, np.array(far))) for name in ("between", "within"))
    told = [one for one in (_of(sibling, curve, until, prior) for sibling in siblings.curves) if one is not None]
    if not told:
        return ALONE
    change, missed, noise, near = np.array([one[:4] for one in told]).T
    runs = float(near.sum())
    # The share kept: normal between tables and between runs of one.
    weight = near / (noise**2 + (within * change) ** 2)
    precision = 1 / between**2 + float((weight * change**2).sum())
    kept = float((weight * change * missed).sum()) / precision
    left = np.maximum((missed - kept * change) ** 2 - noise**2, 0) * near / (noise**2 + (within * change) ** 2)
    wide = (FIRM + float(left.sum())) / (FIRM + runs)
    shift, off = _of_shapes(siblings, curve, until, prior)
    return Lessons(kept, 1 / precision, wide, shift, off, runs)


def _past(sibling: Curve, curve: Curve, until: float) -> tuple[Curve, Array, float, float] | None:
    """Return a sibling as it was when it stood where the run stands, the end that it then had, and how near both are."""
    clock = sibling.unit / curve.unit
    end = min(until * clock, float(sibling.x[-1]))
    seen = sibling.until(end * float(curve.x[-1]) / until)
    whole = sibling.until(end)
    points = max(round(LAST * len(whole.x)), 1)
    if len(seen.x) < LEAST_POINTS or len(whole.x) - len(seen.x) < max(points, 1):
        return None
    return seen, whole.x[-points:], float(whole.loss[-points:].mean()), end / (until * clock)


def _of(sibling: Curve, curve: Curve, until: float, prior: Prior) -> tuple[float, float, float, float] | None:
    """Return the change by a sibling's power law, what more than the usual share of it came, its noise, and how near it was."""
    past = _past(sibling, curve, until)
    if past is None:
        return None
    seen, x, loss, near = past
    trend = trend_of(seen, x)
    horizon = np.log(x / seen.x[-1])
    usual = float((prior.at("kept", horizon) * trend.change).mean())
    wander = prior.wander * np.sqrt(max(trend.level * (1 - trend.level), 0.01)) * float(horizon.mean())
    noise = float(np.hypot(prior.noise * trend.sigma * np.sqrt(1 / trend.points + 1 / len(x)), wander))
    return float(trend.change.mean()), loss - trend.level - usual, noise, near


def _of_shapes(siblings: Siblings, curve: Curve, until: float, prior: Prior) -> tuple[float, float]:
    """Return mean and root mean square of the shapes' errors, in units of their standard errors, shrunk to none and one."""
    curves = siblings.curves
    some = np.unique(np.linspace(0, len(curves) - 1, min(MOST_SIBLINGS, len(curves))).astype(int))
    errors = []
    for at in some:
        past = _past(curves[at], curve, until)
        if past is not None:
            mark = (curves[at].name, len(past[0].x), float(past[1][-1]))
            if mark not in siblings.known:
                siblings.known[mark] = _shape_error(past, prior)
            errors.append((*siblings.known[mark], past[3]))
    if not errors:
        return 0.0, 1.0
    z, off, near = np.array(errors).T
    shift = float((near * z).sum() / (near.sum() + FIRM))
    return shift, float(np.sqrt((FIRM + (near * ((z - shift) / off) ** 2).sum()) / (FIRM + near.sum())))


def _shape_error(past: tuple[Curve, Array, float, float], prior: Prior) -> tuple[float, float]:
    """Return a sibling's error by its shapes in units of its standard error, and how large such errors usually are."""
    seen, x, loss, _ = past
    horizon = np.log(x / seen.x[-1])
    likely = weigh_shapes(thin(seen.x, seen.loss), prior.population)
    mean, se = likely.ahead(horizon)
    error = np.hypot(se.mean(), prior.noise * likely.sigma / np.sqrt(len(x)))
    return float((mean.mean() - loss) / error), float(prior.at("shapes_off", horizon).mean())
