"""The law in compute and data at once on the evaluations of runs: fitted, and fitted without each run.

Shapes: n evaluations, R runs, G groups (a size of a table), S sizes, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.status import away_from_line
from scalefit.numerics.least_squares import Limits, minimise, normal_of
from scalefit.numerics.left_out import Without, leave_each_out
from scalefit.studies.ends import Single
from scalefit.studies.reuse import effective_data

Array = NDArray[np.float64]
LEAST_LOSS = 1e-4
STILL = 1e-9
STARTS = ((0.3, 0.05), (0.7, 0.5), (0.3, 2.0))
"""Share and wear where the search begins."""


@dataclass(frozen=True)
class Points:
    """All evaluations, (n,): run, group (a table's size) and size of each, what was spent, and the loss.

    `log_C` and `log_D` are taken from their means in the group, which the offset takes up.
    """

    run: NDArray[np.intp]
    group: NDArray[np.intp]
    size: NDArray[np.intp]
    samples: Array
    unique: Array
    log_C: Array
    centre_D: Array
    log_L: Array
    root: Array
    sizes: Array

    @cached_property
    def apart(self) -> Array:
        """How far log C strays from a line in log D, of the groups of each size the farthest [decades], (S,)."""
        found = np.zeros(len(self.sizes))
        for group in range(self.group.max() + 1):
            mine = self.group == group
            if mine.sum() > 2:
                _, squares = away_from_line(self.log_C[mine], np.log10(self.samples[mine]))
                at = self.size[mine][0]
                found[at] = max(found[at], float(np.sqrt(squares / mine.sum())))
        return found

    @cached_property
    def passes(self) -> float:
        """The most passes that a run made."""
        return float((self.samples / self.unique).max())

    def effective(self, wear: float) -> Array:
        """Return log10 D_eff about the group's mean log10 D."""
        r_star = 1 / (wear if abs(wear) > STILL else STILL)
        return np.asarray(np.log10(effective_data(self.samples, self.unique, r_star)) - self.centre_D)


def collect(singles: Sequence[tuple[int, Single]]) -> Points:
    """Return the evaluations of runs, each with the number of its table."""
    sizes = np.unique([one.key[2] for _, one in singles])
    keys = sorted({(table, one.key[2]) for table, one in singles})
    parts: dict[str, list[Array]] = {
        name: [] for name in ("run", "group", "size", "samples", "unique", "flops", "loss")
    }
    for number, (table, one) in enumerate(singles):
        rows = one.table.frame
        rows = rows[(rows["samples"] > 0) & (rows["flops"] > 0)]
        if rows.empty:
            raise FitError(f"run {one.about['run_id']}: no row with samples and flops above 0.")
        samples, tau = rows["samples"].to_numpy(float), float(one.about.get("reuse", 1.0))
        tau = tau if np.isfinite(tau) else 1.0
        same: dict[str, Any] = {
            "run": number,
            "group": keys.index((table, one.key[2])),
            "size": np.searchsorted(sizes, one.key[2]),
        }
        same |= {"unique": samples.max() / tau}
        for name, value in same.items():
            parts[name].append(np.full(len(rows), value))
        parts["samples"].append(samples)
        parts["flops"].append(rows["flops"].to_numpy(float))
        parts["loss"].append(np.maximum(rows["loss"].to_numpy(float), LEAST_LOSS))
    flat = {name: np.concatenate(some) for name, some in parts.items()}
    run, group, size = (flat[name].astype(np.intp) for name in ("run", "group", "size"))
    # As in the loss, and every run as much as another: otherwise those evaluated often would say most.
    weight = flat["loss"] ** 2 / np.bincount(run)[run]

    def centre(values: Array) -> Array:
        return np.asarray((np.bincount(group, weight * values) / np.bincount(group, weight))[group])

    log_C, log_D = np.log10(flat["flops"]), np.log10(flat["samples"])
    return Points(
        run,
        group,
        size,
        flat["samples"],
        flat["unique"],
        log_C - centre(log_C),
        centre(log_D),
        np.log10(flat["loss"]),
        np.sqrt(weight / weight.mean()),
        sizes,
    )


@dataclass(frozen=True)
class JointLaw:
    """The law on points: share and wear where they are asked, then k of each size, then E of each group."""

    points: Points
    with_share: bool
    with_wear: bool

    @cached_property
    def first(self) -> int:
        """Where k begins among the parameters."""
        return self.with_share + self.with_wear

    def parts(self, theta: Array) -> tuple[float, float, Array, Array]:
        """Return share, wear, k of sizes and E of groups."""
        share = float(theta[0]) if self.with_share else 0.0
        wear = float(theta[int(self.with_share)]) if self.with_wear else 0.0
        middle = self.first + len(self.points.sizes)
        return share, wear, theta[self.first : middle], theta[middle:]

    def residual(self, theta: Array) -> tuple[Array, Array]:
        """Return log10 L minus law (n,) and the law's derivatives (n, P), weighed."""
        one, (share, wear, k, E) = self.points, self.parts(theta)
        D = one.effective(wear)
        x, own = (1 - share) * D + share * one.log_C, k[one.size]
        slopes = []
        if self.with_share:
            slopes.append(-own * (one.log_C - D))
        if self.with_wear:
            step = 1e-5 * max(abs(wear), 1e-2)
            slopes.append(-own * (1 - share) * (one.effective(wear + step) - one.effective(wear - step)) / (2 * step))
        J = np.zeros((len(x), len(theta)))
        J[:, : self.first] = np.stack(slopes, 1) if slopes else 0.0
        at = np.arange(len(x))
        J[at, self.first + one.size] = -x
        J[at, self.first + len(one.sizes) + one.group] = 1.0
        return (one.log_L - E[one.group] + own * x) * one.root, J * one.root[:, None]

    def fit(self) -> Array:
        """Return the parameters (P,) by least squares, the best from several starts."""
        one = self.points
        S, G = len(one.sizes), one.group.max() + 1
        rest = np.concatenate([np.full(S, 0.1), np.bincount(one.group, one.log_L) / np.bincount(one.group)])
        asked = [at for at, on in enumerate((self.with_share, self.with_wear)) if on]
        starts = np.array([[*(begin[at] for at in asked), *rest] for begin in STARTS])
        low = np.array([(-10.0, -0.2)[at] for at in asked] + [-5.0] * S + [-40.0] * G)
        high = np.array([(11.0, 50.0)[at] for at in asked] + [5.0] * S + [40.0] * G)
        limits = Limits(iterations=300, tolerance=1e-12, patient=True)
        found = minimise(
            normal_of(self.residual), starts, (low, high), reach=0.25 * (high - low), ground=0.0, limits=limits
        )
        return np.asarray(found.theta[int(np.argmin(found.cost))])

    def repeats_cost(self) -> float:
        """Return how far a wear of 0 is off, in standard errors by run: above 0 where repeats cost.

        The score of the wear at the fit without it, what the other parameters take up taken out. A wear that is told to be
        above 0 may be told badly in size, as it and the share make up for one another.
        """
        free = JointLaw(self.points, self.with_share, False).fit()
        residual, J = self.residual(np.insert(free, int(self.with_share), 0.0))
        wear, others = J[:, int(self.with_share)], np.delete(J, int(self.with_share), 1)
        alone = wear - others @ np.linalg.lstsq(others, wear, rcond=None)[0]
        scores = np.bincount(self.points.run, alone * residual)
        return float(scores.sum() / np.sqrt((scores**2).sum()))

    def without_each(self, theta: Array) -> Without:
        """Return the fit without each run, which may be off by a level or by a slope."""
        residual, J = self.residual(theta)
        slope = self.points.effective(0.0) * self.parts(theta)[2][self.points.size]
        shapes = np.stack([np.ones_like(slope), slope], 1) * self.points.root[:, None]
        return leave_each_out(theta, residual, J, self.points.run, shapes)
