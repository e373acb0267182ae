"""A fit as draws in ArviZ's InferenceData, for those whose tools speak it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError, ScalefitError
from scalefit.extras import install_hint
from scalefit.fitting.fit import Fit
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.units import format_quantity

Array = NDArray[np.float64]
SPREADS = ("slope_scatter", "level_scatter", "slope_misfit", "level_misfit")
"""Between runs of one size, and of sizes from the law: of slopes relative, of levels in log10 loss."""


def to_arviz(fit: Fit, draws: int = 1000, seed: int = 0) -> Any:
    """Return draws of a fit as an `arviz.InferenceData`.

    A law of straight lines is drawn from the mixture that its intervals are read from: its parameters, k and E of the
    mean curve of every size, and the scatter and misfit, all of one draw together. Parameters in which a law is not linear
    have the values of a grid. Another law is drawn from the normal distribution of its covariance, on the scale on which it was fitted.

    Parameters
    ----------
    fit : Fit
    draws : int
        In one chain.
    seed : int
        Of numpy's generator.

    Returns
    -------
    arviz.InferenceData
        Groups `posterior`, with the dimension `size`, and `observed_data`: log10 X and the loss of every point.

    Raises
    ------
    ScalefitError
        If ArviZ is not installed.
    FitError
        If the data leave a parameter open, so that there is no normal distribution to draw from.
    """
    try:
        import arviz
    except ImportError:
        raise ScalefitError(f"to_arviz needs ArviZ; install it with: {install_hint('arviz')}.") from None
    rng = np.random.default_rng(seed)
    found = fit.evidence
    drawn = _of_lines(found, draws, rng) if isinstance(found, Hierarchy) else _of_points(fit, draws, rng)
    sizes = [format_quantity(size) for size in fit.data.sizes]
    data = fit.data
    rows = np.nonzero(data.present)[0]
    observed = {name: data.resource[at][data.present] for at, name in enumerate(data.resources)}
    return arviz.from_dict(
        posterior={name: values[None] for name, values in drawn.items()},
        observed_data={**observed, "params": data.params[rows], "loss": data.loss[data.present]},
        coords={"size": sizes},
        dims={
            **{name: ["size"] for name, values in drawn.items() if values.ndim == 2},
            **{name: ["point"] for name in (*observed, "params", "loss")},
        },
        attrs={"law": fit.law.name, "series": data.series, "x": ", ".join(data.resources)},
    )


def _of_lines(found: Hierarchy, draws: int, rng: np.random.Generator) -> dict[str, Array]:
    form = found.law.linear
    assert form is not None
    laws = found.draw_laws(draws, rng)
    cell, coefficients = laws
    k, E = found.lines_of(laws, found.sizes, rng)
    drawn = {name: found.outer[cell][:, at] for at, name in enumerate(form.nonlinear)}
    drawn |= {name: coefficients[:, at] for name, at in form.direct.items()}
    return {**drawn, "k": k, "E": E, **dict(zip(SPREADS, found.spreads[:, cell], strict=True))}


def _of_points(fit: Fit, draws: int, rng: np.random.Generator) -> dict[str, Array]:
    if not np.isfinite(fit.covariance).all():
        raise FitError(
            f"{fit.law.name} on {fit.data.series}: the data leave a parameter open ({fit.status}); there is nothing to draw from."
        )
    flat = rng.multivariate_normal(fit.theta, fit.covariance, draws, method="eigh")
    low, high = fit.bound.bounds
    flat = np.clip(flat, low, high)
    logs = np.asarray(fit.bound.log_scaled)
    flat[:, logs] = np.exp(flat[:, logs])
    drawn = {}
    for param in fit.law.params:
        values = flat[:, fit.bound.columns[param.name]]
        drawn[param.name] = values if param.per_size else values[:, 0]
    return drawn
