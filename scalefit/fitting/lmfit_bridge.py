"""A fit as an lmfit Minimizer, for its reports, `conf_interval` and parameter expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from scalefit.fitting.fit import Fit
from scalefit.fitting.point_problem import PointProblem


def to_lmfit(fit: Fit) -> Any:
    """Return an lmfit Minimizer of the fit's points: same residuals, noise and bounds, begun at its parameters.

    Its intervals are those of the points, as if every run lay on the law; the fit's own allow for the scatter of runs.

    Parameters carry lmfit-safe names (`E[7B]` becomes `E_7B`), log-scaled ones as natural logarithms
    with a `log_` prefix.
    """
    import lmfit

    noise = None if fit.specification.noise == "independent" or fit.drifts else fit.noise
    problem = PointProblem(fit.bound, fit.data, fit.specification.objective, noise)
    low, high = fit.bound.bounds
    parameters = lmfit.Parameters()
    names = []
    for i, name in enumerate(fit.bound.names):
        safe = ("log_" if fit.bound.log_scaled[i] else "") + name.replace("[", "_").replace("]", "").replace(".", "p")
        names.append(safe)
        parameters.add(safe, value=float(fit.theta[i]), min=float(low[i]), max=float(high[i]))

    def residual(current: Any) -> Any:
        return problem.whitened(np.array([current[name].value for name in names]))

    return lmfit.Minimizer(residual, parameters, scale_covar=noise is None)
