"""A closed-offset law as a member of the average: fitted to the lines of runs where it is straight, else to their points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import law_resource
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.run_lines import RunLines
from scalefit.fitting.weigh_runs import weigh_runs
from scalefit.laws.law import Law
from scalefit.numerics.mixtures import Mixture
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]
PLAIN = Specification(noise="independent")
OPEN = 1.0
"""Standard error of a member's curve where it is not determined [log10 loss]."""


@dataclass(frozen=True)
class Member:
    """One law, and what runs say of it; shapes: n points, G cells."""

    law: Law
    data: FitData
    found: Hierarchy | Fit

    def mean_curve(self, params: float, resource: Array) -> Mixture:
        """Return log10 L of the law's mean curve at values of the resource (1, n)."""
        if isinstance(self.found, Fit):
            found = self.found.mean_curve(params, resource)[1]
            # A bend that no curve has may leave a curve open far away; it is one voice among others.
            return replace(found, sd=np.minimum(found.sd, OPEN))
        return self.found.curve(params, self._seen(np.full(resource.shape[1], params), resource))

    def between_runs(self, params: float, resource: Array) -> Array:
        """Return the variance of a new run's curve about it, (G, n)."""
        if isinstance(self.found, Fit):
            return self.found.between_runs(params, resource)
        return self.found.between_runs(params, self._seen(np.full(resource.shape[1], params), resource))

    def draw(self, params: Array, resource: Array, count: int, rng: np.random.Generator) -> Array:
        """Return draws of log10 L of mean curves at points of sizes (n,) and resource (1, n), (count, n)."""
        if isinstance(self.found, Hierarchy):
            k, E = self.found.draw_lines(params, count, rng)
            return E - k * self._seen(params, resource)
        fit = self.found
        known = np.isfinite(np.diag(fit.covariance))
        theta = np.repeat(fit.theta[None], count, 0)
        block = fit.covariance[np.ix_(known, known)]
        theta[:, known] = rng.multivariate_normal(fit.theta[known], (block + block.T) / 2, count, method="eigh")
        low, high = fit.bound.bounds
        values = fit.bound.values(np.clip(theta, low, high))
        log = fit.law.log_loss(values, params, law_resource(fit.law, self.data, resource, params))
        return np.broadcast_to(np.asarray(log), (count, len(params)))

    def _seen(self, params: Array, resource: Array) -> Array:
        return np.asarray(np.log10(law_resource(self.law, self.data, resource, params)[0]))


def make_member(law: Law, data: FitData, lines: RunLines) -> Member:
    """Fit a member to data whose runs have these lines, as closed laws see their resource."""
    return Member(law, data, fit_data(law, data, PLAIN) if law.bends else weigh_runs(law, lines))
