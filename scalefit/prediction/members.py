"""A closed law as a member of the average: fitted to the lines of runs where it is straight, else to their points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw, law_resource
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.point_fit import make_problem
from scalefit.fitting.run_lines import RunLines
from scalefit.fitting.weigh_runs import weigh_runs
from scalefit.laws.law import Law
from scalefit.numerics.mixtures import Mixture
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
PLAIN = Specification(noise="independent")
OPEN = 1.0
"""Standard error of a member's curve where it is not determined [log10 loss]."""


@dataclass(frozen=True)
class Solved:
    """Parameters (P,) on the fitted scale and nothing of what they are worth: enough to score a law."""

    bound: BoundLaw
    theta: Array


@dataclass(frozen=True)
class Member:
    """One law, and what runs say of it; shapes: n points, G cells."""

    law: Law
    data: FitData
    found: Hierarchy | Fit | Solved

    @property
    def name(self) -> str:
        """Of its law."""
        return self.law.name

    @property
    def near(self) -> dict[str, Array] | None:
        """Values of the parameters from which a search can begin; None where none is needed."""
        if not isinstance(self.found, Fit):
            return None
        outer, columns = self.found.bound.external(self.found.theta), self.found.bound.columns
        return {name: outer[part] for name, part in columns.items()}

    def mean_curve(self, params: float, resource: Array) -> Mixture:
        """Return log10 L of the law's mean curve at values of the resource (1, n)."""
        if isinstance(self.found, Fit):
            found = self.found.mean_curve(params, resource)[1]
            # A bend that no curve has may leave a curve open far away; it is one voice among others.
            return replace(found, sd=np.minimum(found.sd, OPEN))
        if isinstance(self.found, Solved):
            every = np.full(resource.shape[1], params)
            log = self.found.bound.log_loss(self.found.theta, every, law_resource(self.law, self.data, resource, every))
            return Mixture(np.ones(1), np.broadcast_to(log, (1, len(every))), np.zeros((1, len(every))))
        return self.found.curve(params, self.seen(np.full(resource.shape[1], params), resource))

    def draw(self, params: Array, resource: Array, count: int, rng: np.random.Generator) -> Array:
        """Return draws of log10 L of mean curves at points of sizes (n,) and resource (1, n), (count, n)."""
        if isinstance(self.found, Hierarchy):
            k, E = self.found.draw_lines(params, count, rng)
            return E - k * self.seen(params, resource)
        assert isinstance(self.found, Fit)
        fit = self.found
        known = np.isfinite(np.diag(fit.covariance))
        theta = np.repeat(fit.theta[None], count, 0)
        block = fit.covariance[np.ix_(known, known)]
        theta[:, known] = rng.multivariate_normal(fit.theta[known], (block + block.T) / 2, count, method="eigh")
        low, high = fit.bound.bounds
        values = fit.bound.values(np.clip(theta, low, high))
        log = fit.law.log_loss(values, params, law_resource(fit.law, self.data, resource, params))
        return np.broadcast_to(np.asarray(log), (count, len(params)))

    def seen(self, params: Array, resource: Array) -> Array:
        """Return log10 of the resource (1, n) as the law sees it at sizes (n,)."""
        return np.asarray(np.log10(law_resource(self.law, self.data, resource, params)[0]))


def make_member(law: Law, data: FitData, lines: RunLines, near: Mapping[str, Array] | None = None) -> Member:
    """Fit a member to data whose runs have these lines, as closed laws see their resource.

    Parameters
    ----------
    near : mapping, optional
        Where the search for a law that is no line begins; what its parameters are worth is then not asked.
    """
    if law.linear is not None and not law.bends:
        return Member(law, data, weigh_runs(law, lines))
    if near is None:
        return Member(law, data, fit_data(law, data, PLAIN))
    bound = BoundLaw(law, data.sizes)
    found = make_problem(bound, data.each, PLAIN).solve(bound.internal(dict(near))[None])
    return Member(law, data, Solved(bound, found.theta[0]))
