"""Fit a law to prepared curves and judge the result: estimates, covariance, noise, scatter, status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.bands import Bands, bands_of, interval_of_parameters
from scalefit.fitting.binding import BoundLaw, law_resource
from scalefit.fitting.deviations import Deviations
from scalefit.fitting.estimate import Estimate
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.line_fit import fit_lines, runs_with_lines
from scalefit.fitting.misfit import Misfit, check_sizes
from scalefit.fitting.notes import notes_of
from scalefit.fitting.once import once
from scalefit.fitting.point_fit import fit_points, share_explained, weigh_points
from scalefit.fitting.run_lines import fit_run_lines, has_final_losses
from scalefit.fitting.specification import Specification
from scalefit.fitting.status import refuse_hopeless, rests_on_split, settle
from scalefit.fitting.weigh_runs import weigh_runs
from scalefit.laws import get_law
from scalefit.laws.law import LN10, Law
from scalefit.numerics.ar1 import DRIFT, NO_NOISE, Noise
from scalefit.numerics.intervals import student
from scalefit.numerics.mixtures import Mixture, beside
from scalefit.table.fit_data import FitData
from scalefit.units import parse_quantity

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
BEYOND = 10.0
"""Standard error [decades of loss, or of k] from which nothing is known."""
LEVEL = 0.95
"""Of intervals that are not asked for at another."""


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes
    ----------
    theta : ndarray, shape (P,)
        Flat parameters on the fitted scale (logarithms where the law says so).
    covariance : ndarray, shape (P, P)
        Of `theta`; infinite rows for directions that the data do not determine.
    noise : Noise
        Of a single evaluation of one run, a spread a curve.
    status : str
        Of the search and its parameters: converged, at-bound, unidentified or stopped; see `verdict`.
    notes : tuple of str
        Why the status is what it is.
    cost : float
        Half the weighted sum of squares of the points about the law, or Huber's.
    dof : float
        Slopes and levels of runs beyond the parameters; of runs of one or two evaluations, runs; independent evaluations
        only where the law has as much freedom as the runs.
    """

    law: Law
    data: FitData
    specification: Specification
    theta: Array
    covariance: Array
    noise: Noise
    status: str
    notes: tuple[str, ...]
    r2: float
    cost: float
    dof: float
    written: Mapping[str, tuple[float, float]] | None = field(default=None, compare=False)
    """95 % intervals of parameters as a file holds them; by default computed from what runs say."""

    @cached_property
    def bound(self) -> BoundLaw:
        """The law bound to the sizes of the data."""
        return BoundLaw(self.law, self.data.sizes)

    @cached_property
    def evidence(self) -> Hierarchy | Deviations:
        """What runs say of the law; computed again where the fit was loaded from a file."""
        return _weigh(self.bound, self.data, self.specification, self.theta)

    @cached_property
    def misfit(self) -> Misfit:
        """Whether the law describes every size; computed when it is asked for."""
        return check_sizes(self.bound, self.data, self.specification, self.theta, self.noise)

    @property
    def verdict(self) -> str:
        """The status for a reader: `misfit` where the search converged on a law that misses most of its sizes."""
        return "misfit" if self.status == "converged" and self.misfit.most else self.status

    @cached_property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """95 % intervals of the parameters that runs say more of than theta and its covariance, by name."""
        return self._intervals(LEVEL) if self.written is None else self.written

    def _intervals(self, level: float) -> dict[str, tuple[float, float]]:
        known = np.isfinite(np.diag(self.covariance))
        if isinstance(self.evidence, Hierarchy):
            return interval_of_parameters(self.bound, self.evidence, self.theta, level) if known.all() else {}
        ends = np.stack(self.evidence.curve(self.theta, np.eye(len(self.theta))).interval(level))
        with np.errstate(over="ignore"):
            ends = self.bound.external(np.clip(ends, *self.bound.bounds))
        return {name: (float(ends[0, i]), float(ends[1, i])) for i, name in enumerate(self.bound.names) if known[i]}

    @cached_property
    def quantile(self) -> float:
        """Student's t for a 95 % interval at the degrees of freedom."""
        return student(LEVEL, self.dof)

    def estimates(self, level: float = LEVEL) -> dict[str, Estimate]:
        """Return every parameter by name, per-size ones as `E[7B]`, with its interval."""
        outer = self.bound.external(self.theta)
        se = np.sqrt(np.diag(self.covariance))
        t = student(level, self.dof)
        low, high = self.theta - t * se, self.theta + t * se
        intervals = self.intervals if level == LEVEL else self._intervals(level)
        found = {}
        with np.errstate(over="ignore"):
            for i, name in enumerate(self.bound.names):
                log = bool(self.bound.log_scaled[i])
                ends = (float(np.exp(low[i])), float(np.exp(high[i]))) if log else (float(low[i]), float(high[i]))
                ends = intervals.get(name, ends)
                found[name] = Estimate(float(outer[i]), float(se[i] * outer[i] if log else se[i]), *ends)
        return found

    @property
    def params(self) -> dict[str, Estimate]:
        """Every parameter by name, per-size ones as `E[7B]`, with its 95 % interval."""
        return self.estimates()

    @property
    def frame(self) -> pd.DataFrame:
        """Parameters as a frame: value, se, low, high (95 %), indexed by name."""
        import pandas as pd

        return pd.DataFrame({name: vars(one) for name, one in self.params.items()}).T

    @property
    def drifts(self) -> bool:
        """Whether residuals are so correlated that they are misfit, not noise."""
        return self.noise.rho > DRIFT

    @property
    def single(self) -> bool:
        """Whether runs have too few evaluations to tell their noise from the scatter between them."""
        return has_final_losses(self.data)

    def k(self, params: str | float, level: float = LEVEL) -> Estimate:
        """Return k(N) at a model size, with its interval; infinite if not determined.

        Raises
        ------
        FitError
            If the law has no k(N), or none for this size.
        """
        return self.k_of_sizes([parse_quantity(params, "params")], level)[0]

    def k_of_sizes(self, sizes: Sequence[float], level: float = LEVEL) -> list[Estimate]:
        """Return k(N) at several model sizes at once, as `k` does."""
        every = [self.bound.k(self.theta, size) for size in sizes]
        values, by_theta, depends = (np.stack(part) for part in zip(*every, strict=True))
        said = self.evidence
        if isinstance(said, Hierarchy):
            found = beside([said.k(size) for size in sizes])
        else:
            found = said.curve(values, by_theta)
        loose = (by_theta == 0) | (found.spread >= np.abs(values))[:, None]
        lost = (depends & np.isinf(np.diag(self.covariance)) & loose).any(1) | (found.spread > BEYOND)
        ends = (end.tolist() for end in found.interval(level))
        rows = zip(values.tolist(), found.spread.tolist(), *ends, strict=True)
        return [
            Estimate(k, np.inf, -np.inf, np.inf) if gone else Estimate(k, se, min(low, k), max(high, k))
            for gone, (k, se, low, high) in zip(lost, rows, strict=True)
        ]

    def log_curve(self, params: Array, resource: Array) -> tuple[Array, Array]:
        """Return log10 L and its derivative by theta at points: `params` (n,), `resource` (Q, n) as in the table."""
        seen = law_resource(self.law, self.data, resource, params)
        log = np.broadcast_to(self.bound.log_loss(self.theta, params, seen), params.shape)
        return log, self.bound.jacobian(self.theta, params, seen)

    def _seen(self, params: float, resource: Array) -> Array:
        """Return log10 of the first resource as the law sees it at values of the resource (Q, n), shape (n,)."""
        return np.asarray(np.log10(law_resource(self.law, self.data, resource, np.full(resource.shape[1], params))[0]))

    def log_level(self, params: float, x: float) -> float:
        """Return log10 L of a size where log10 of the resource as the law sees it is x."""
        where = np.array([[10.0**x]])
        return float(np.ravel(self.bound.log_loss(self.theta, np.array([params]), where))[0])

    def mean_curve(self, params: float, resource: Array) -> tuple[Array, Mixture]:
        """Return log10 L of a size at values of the resource (Q, n), shape (n,), and what is known of the law's mean curve.

        Its spread is infinite where the curve rests on what the data do not determine.
        """
        log, J = self.log_curve(np.full(resource.shape[1], params), resource)
        if isinstance(self.evidence, Hierarchy):
            found = self.evidence.curve(params, self._seen(params, resource))
        else:
            found = self.evidence.curve(log, J)
        lost = found.spread > BEYOND
        if isinstance(self.evidence, Deviations):
            # Where rounding has left a variance below 0, it has left nothing of it.
            lost |= (J[:, np.diag(self.evidence.base) < 0] != 0).any(1)
        if len(resource) == 2:
            lost |= rests_on_split(self.data, params, resource)
        return log, replace(found, sd=np.where(lost, np.inf, found.sd)) if lost.any() else found

    def curve(self, params: float, resource: Array) -> tuple[Array, Array]:
        """Return log10 L of a size at values of the resource (Q, n), and the standard error of the law's mean curve; both (n,)."""
        return (found := self.mean_curve(params, resource))[0], found[1].spread

    def evaluation_noise(self, params: float, log: Array) -> Array:
        """Return the variance of one evaluation about its run's curve [log10 loss squared] at values of log10 L (n,).

        It is the measured one, of the size's own runs where there are any; a binomial one only where none was measured.
        """
        own = np.isclose(self.data.params, params, rtol=1e-9)
        rows = own if own.any() else np.ones(len(own), bool)
        loss = 10.0**log
        sigma = np.full(len(loss), float(np.median(self.noise.sigma[rows])))
        sizes = (self.data.eval_size / np.asarray(self.data.runs, float))[rows]
        if not (sigma > NO_NOISE).all() and np.isfinite(sizes).any():
            sigma = np.sqrt(np.clip(loss * (1 - loss), 0, None) / np.nanmedian(sizes))
        return np.asarray((sigma / loss / LN10) ** 2)

    def between_runs(self, params: float, resource: Array) -> Array:
        """Return the variance of a new run's curve about the law's mean curve at values of the resource (Q, n), shape (G, n)."""
        return self.evidence.between_runs(params, self._seen(params, resource))

    def turning(self, params: float, resource: Array, anchor: Array) -> Array:
        """Return the variance of a run's curve about the law's by its slope, its level being known at an anchor (Q, m), shape (n,)."""
        about = float(self._seen(params, anchor).mean())
        return np.asarray(self.evidence.weight @ self.evidence.turning(params, self._seen(params, resource), about))

    def bands(self, params: float, resource: Array, level: float = LEVEL, *, misfit: float = 0.0) -> Bands:
        """Return the curve of a size and its three bands at values of the resource (Q, n).

        `misfit` is how wrong the law's mean curve may be beyond what its runs say of it [log10 loss].
        """
        log, found = self.mean_curve(params, resource)
        found = found.widened(np.full(len(log), misfit**2)) if misfit else found
        between = self.between_runs(params, resource)
        noise = self.evaluation_noise(params, log)
        if self.single:
            # With one evaluation a run, its noise and the scatter between runs are one.
            between, noise = between + noise, 0.0 * noise
        return bands_of(log, found, found.widened(between), noise, level)

    def run_bands(self, row: int, resource: Array, level: float = LEVEL) -> Bands:
        """Return the same for a curve that was fitted, by its row: its bands of a run are those of its own run."""
        params = float(self.data.params[row])
        runs = np.flatnonzero(self.data.run_curve == row)
        used = self.row_of_run[runs]
        if (used < 0).any():
            return self.bands(params, resource, level)
        log, found = self.mean_curve(params, resource)
        # Of the mean of several runs each has a share.
        x = self._seen(params, resource)
        own = np.sum([self.evidence.own_run(int(one), x) for one in used], axis=0) / len(runs) ** 2
        noise = self.evaluation_noise(params, log) / len(runs)
        # What a run departs by is counted from the law's curve, whose own error it holds already.
        ones = np.ones_like(found.mean)
        return bands_of(log, found, replace(found, mean=ones * log, sd=ones * np.sqrt(own)), noise, level)

    @cached_property
    def row_of_run(self) -> NDArray[np.intp]:
        """Where each run (M,) is in the evidence; -1 for one that is too short for a line of its own."""
        rows = runs_with_lines(self.law, self.data, self.specification)
        used = np.ones(len(self.data.each.params), bool) if rows is None else rows
        return np.where(used, np.cumsum(used) - 1, -1)


@once
def fit_data(law: Law | str, data: FitData, specification: Specification | None = None) -> Fit:
    """Fit a law to prepared curves.

    Parameters
    ----------
    law : Law or str
        A law, the name of one of `LAWS`, or `module:NAME` of one's own.
    data : FitData
        From `scalefit.table.prepare.prepare`.
    specification : Specification, optional
        Objective, noise model and robust loss.

    Raises
    ------
    FitError
        If there are fewer points than parameters, one size only for a law of size, or a constant table.
    """
    law, spec = get_law(law), specification or Specification()
    bound = BoundLaw(law, data.sizes)
    refuse_hopeless(bound, data)
    rows = runs_with_lines(law, data, spec)
    evidence: Hierarchy | Deviations
    if rows is None:
        points = fit_points(bound, data.each, spec)
        theta, found, noise, evidence = points.theta, points.judgement, points.noise, points.deviations
        dof = points.dof
    else:
        lines = fit_lines(bound, data.each if rows.all() else data.each.keep(rows), spec)
        theta, found, evidence, dof = lines.theta, lines.judgement, lines.hierarchy, lines.dof
        noise = evidence.lines.noise
        if not rows.all():
            noise = Noise(noise.rho, np.interp(np.arange(len(rows)), np.flatnonzero(rows), noise.sigma))
    found = replace(found, notes=(*found.notes, *notes_of(law, data, spec, noise)))
    counts = np.bincount(data.run_curve, minlength=len(data.params))
    sigma = np.sqrt(np.bincount(data.run_curve, noise.sigma**2, len(data.params)) / counts)
    fit = Fit(
        law, data, spec, theta, found.covariance, Noise(noise.rho, sigma), found.status, found.notes, 0.0, 0.0, dof
    )
    fit.__dict__["evidence"] = evidence
    r2, cost = share_explained(bound, data, spec, theta)
    sides = {name: evidence.is_open(name) for name in evidence.profiles} if isinstance(evidence, Hierarchy) else {}
    status, notes = settle(fit.status, fit.notes, sides)
    done = replace(fit, r2=r2, cost=cost, status=status, notes=notes)
    done.__dict__.update(evidence=evidence, bound=bound)
    return done


def _weigh(bound: BoundLaw, data: FitData, spec: Specification, theta: Array) -> Hierarchy | Deviations:
    """Return what runs say of a law that was fitted before."""
    rows = runs_with_lines(bound.law, data, spec)
    if rows is not None:
        return weigh_runs(bound.law, fit_run_lines(bound.law, data.each.keep(rows), spec))
    return weigh_points(bound, data.each, spec, theta)


__all__ = ["Fit", "Specification", "fit_data", "has_final_losses"]
