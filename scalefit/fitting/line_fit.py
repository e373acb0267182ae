"""Fit a line law to runs: each run's line, what the lines say of the law, and its parameters at their best.

Shapes: P flat parameters, of which Q are shared by all sizes; S sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.problem import EXACT
from scalefit.fitting.run_lines import LEAST, fit_run_lines
from scalefit.fitting.specification import Specification
from scalefit.fitting.status import Judgement, judge
from scalefit.fitting.weigh_runs import weigh_runs
from scalefit.laws.law import Law
from scalefit.numerics.least_squares import Limits, minimise
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
LIMITS = Limits(iterations=200, tolerance=1e-13)
QUICK = Limits(iterations=30, tolerance=1e-6)


@dataclass(frozen=True)
class LineFit:
    """Parameters (P,) on the fitted scale, what they are worth, and what they rest on."""

    theta: Array
    judgement: Judgement
    hierarchy: Hierarchy
    dof: float


def lines_of_runs(law: Law, data: FitData, specification: Specification) -> NDArray[np.bool_] | None:
    """Return which runs (M,) are long enough for lines of their own; None where the law is not fitted by lines."""
    if law.linear is None or law.bends or specification.huber is not None or specification.noise == "independent":
        return None
    # A loss of 0 has no logarithm: such evaluations are seen, but make no line.
    return (data.each.present & (data.each.loss > 0)).sum(1) >= LEAST


def runs_with_lines(law: Law, data: FitData, specification: Specification) -> NDArray[np.bool_] | None:
    """Return the same where every size has such a run, so that no size's runs are passed over; else None: points are fitted."""
    enough = lines_of_runs(law, data, specification)
    return None if enough is None or not np.isin(data.sizes, data.each.params[enough]).all() else enough


def fit_lines(bound: BoundLaw, data: FitData, specification: Specification) -> LineFit:
    """Fit a line law.

    Parameters
    ----------
    bound : BoundLaw
        Bound to the sizes of the data.
    data : FitData
        Runs, not merged, each with a line of its own.
    specification : Specification
        Objective and noise.
    """
    lines = fit_run_lines(bound.law, data, specification)
    hierarchy = weigh_runs(bound.law, lines)
    shared = _Shared(bound, hierarchy)
    if not len(shared.index):
        theta = shared.complete(np.zeros((1, 0)))[0]
        judgement = Judgement(np.zeros((0, 0)), "converged", ())
    else:
        start = shared.start()
        low, high = bound.bounds
        limits = low[shared.index], high[shared.index]
        found = minimise(shared.normal, start[None], limits, ground=shared.rounding(), limits=LIMITS)
        theta = shared.complete(found.theta)[0]
        judgement = judge(bound, shared.index, found, limits)
    covariance = shared.covariance(theta, judgement.covariance)
    observations = 2 * len(lines.params) - len(theta)
    status, notes = judgement.status, judgement.notes
    return LineFit(theta, Judgement(covariance, status, notes), hierarchy, max(float(observations), 1.0))


def refit_lines(bound: BoundLaw, hierarchy: Hierarchy, start: Array, slopes: Array, levels: Array) -> Array:
    """Return the parameters (B, P) at their best for other slopes and levels of the sizes, (B, S) each.

    Parameters
    ----------
    start : ndarray, shape (P,)
        Parameters of the fit.
    """
    shared = _Shared(bound, hierarchy)
    shared.slope, shared.level = slopes, levels
    if not len(shared.index):
        return shared.complete(np.zeros((len(slopes), 0)))
    low, high = bound.bounds
    begin = np.repeat(start[None, shared.index], len(slopes), 0)
    found = minimise(shared.normal, begin, (low[shared.index], high[shared.index]), limits=QUICK)
    return shared.complete(found.theta)


class _Shared:
    """Least squares of the sizes' slopes and levels in the parameters that the sizes share."""

    def __init__(self, bound: BoundLaw, hierarchy: Hierarchy) -> None:
        self.bound, self.law, self.hierarchy = bound, bound.law, hierarchy
        self.free = {param.name for param in self.law.params if param.per_size}
        parts = [np.arange(len(bound.names))[bound.columns[p.name]] for p in self.law.params if not p.per_size]
        self.index = np.concatenate(parts) if parts else np.zeros(0, np.intp)
        self.slope, self.level = hierarchy.means
        self.slope_root, self.level_root = np.sqrt(hierarchy.precision)

    def start(self) -> Array:
        """Return the shared parameters of the likeliest cell, (Q,)."""
        form, hierarchy = self.law.linear, self.hierarchy
        assert form is not None
        best = int(np.argmax(hierarchy.weight))
        values = form.parameters(hierarchy.coefficients[best], hierarchy.outer[best])
        whole = self.bound.internal({**{name: 0.0 for name in self.free}, **values})
        return whole[self.index]

    def _line(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Return k and E of every size for a batch (B, P), (B, S) each, and their derivatives by the shared, (B, S, Q)."""
        values = self.bound.values(theta)
        assert self.law.line is not None
        k, E, by = self.law.line(values, self.bound.sizes)
        shape = (len(theta), len(self.bound.sizes))
        slopes, offsets = [], []
        for param in self.law.params:
            if param.per_size:
                continue
            scale = values[param.name] if param.scale == "log" else 1.0
            dk, dE = by[param.name]
            slopes.append(np.broadcast_to(dk * scale, shape))
            offsets.append(np.broadcast_to(dE * scale, shape))
        return np.broadcast_to(k, shape), np.broadcast_to(E, shape), np.stack(slopes, -1), np.stack(offsets, -1)

    def normal(self, shared: Array) -> tuple[Array, Array, Array]:
        """Return cost (B,), right side (B, Q) and normal matrix (B, Q, Q)."""
        theta = np.zeros((len(shared), len(self.bound.names)))
        theta[:, self.index] = shared
        k, E, by_k, by_E = self._line(theta)
        rest, J = (self.slope - k) * self.slope_root, by_k * self.slope_root[:, None]
        if "E" not in self.free:
            centre = self.hierarchy.centre
            level = (self.level - E + k * centre) * self.level_root
            rest = np.concatenate([rest, level], 1)
            J = np.concatenate([J, (by_E - by_k * centre[:, None]) * self.level_root[:, None]], 1)
        return 0.5 * (rest**2).sum(1), (rest[:, None] @ J)[:, 0], J.swapaxes(1, 2) @ J

    def rounding(self) -> float:
        """Return what rounding leaves of the cost: runs without noise leave no more."""
        level = 1.0 + np.abs(self.level) + np.abs(self.slope * self.hierarchy.centre)
        slope = np.max(np.abs(self.slope)) * self.slope_root
        return float(0.5 * EXACT**2 * (np.sum(slope**2) + np.sum((level * self.level_root) ** 2)))

    def complete(self, shared: Array) -> Array:
        """Return all parameters (B, P) from the shared ones (B, Q) and those that each size has for itself."""
        theta = np.zeros((len(shared), len(self.bound.names)))
        theta[:, self.index] = shared
        if "k" in self.free:
            theta[:, self.bound.columns["k"]] = k = np.broadcast_to(self.slope, (len(shared), len(self.bound.sizes)))
        else:
            k = self._line(theta)[0]
        if "E" in self.free:
            theta[:, self.bound.columns["E"]] = self.level + k * self.hierarchy.centre
        low, high = self.bound.bounds
        return np.minimum(np.maximum(theta, low), high)

    def covariance(self, theta: Array, shared: Array) -> Array:
        """Return the covariance of all parameters (P, P) from that of the shared ones (Q, Q)."""
        out = np.zeros((len(theta), len(theta)))
        slope_variance, level_variance = 1 / self.hierarchy.precision
        if len(self.index):
            by_k = self._line(theta[None])[2][0]
            lost = np.isinf(np.diag(shared))
            known = np.where(lost[:, None] | lost, 0.0, shared)
        if "E" in self.free:
            at, centre = self.bound.columns["E"], self.hierarchy.centre
            out[at, at] = np.diag(level_variance)
            if len(self.index):
                J = by_k * centre[:, None]
                out[at, at] += J @ known @ J.T
                out[self.index, at] = known @ J.T
                out[at, self.index] = out[self.index, at].T
            else:
                out[at, at] += np.diag(slope_variance * centre**2)
        if "k" in self.free:
            k = self.bound.columns["k"]
            out[k, k] = np.diag(slope_variance)
            out[k, at] = np.diag(slope_variance * self.hierarchy.centre)
            out[at, k] = out[k, at].T
        if len(self.index):
            out[np.ix_(self.index, self.index)] = shared
        return out
