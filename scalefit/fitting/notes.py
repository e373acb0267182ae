"""What has to be known of how runs were fitted, in sentences: which have no line, what weights did, noise that is none."""

from __future__ import annotations

import numpy as np

from scalefit.fitting.line_fit import lines_of_runs, runs_with_lines
from scalefit.fitting.run_lines import LEAST, has_final_losses
from scalefit.fitting.specification import Specification
from scalefit.laws.law import Law
from scalefit.numerics.ar1 import DRIFT, NO_NOISE, Noise
from scalefit.table.fit_data import FitData
from scalefit.units import format_quantity

DRIFT_WORDS = (
    "the law misses the shape of the curves, which is no noise; its lines are the least-squares ones, its intervals "
    "allow for the drift. Try `scalefit compare`"
)


def notes_of(law: Law, data: FitData, specification: Specification, noise: Noise) -> tuple[str, ...]:
    """Return the sentences that are true of a fit of a law with this noise."""
    said = [
        _short(law, data, specification),
        _unheeded(law, data, specification, noise),
        "no noise was measured (runs are smooth to rounding), so that no interval holds any"
        if noise.sigma.max() < NO_NOISE
        else None,
        f"residuals drift (correlation {noise.rho:.2f}): {DRIFT_WORDS}" if noise.rho > DRIFT else None,
    ]
    return tuple(filter(None, said))


def _short(law: Law, data: FitData, specification: Specification) -> str | None:
    """Name what has too few evaluations for a line where a law is fitted by lines."""
    enough = lines_of_runs(law, data, specification)
    if enough is None or enough.all() or has_final_losses(data):
        return None
    what = f"fewer than {LEAST} evaluations with a loss above 0"
    if runs_with_lines(law, data, specification) is not None:
        return f"{int((~enough).sum())} of {len(enough)} runs have {what}, no line of their own, and are not fitted"
    without = data.sizes[~np.isin(data.sizes, data.each.params[enough])]
    return (
        f"all runs of {', '.join(map(format_quantity, without))} have {what}, no line of their own, so the law is fitted "
        "to the points of all sizes, where a run counts by its evaluations; leave such sizes out with --where to fit the "
        "lines of runs"
    )


def _unheeded(law: Law, data: FitData, specification: Specification, noise: Noise) -> str | None:
    """Say so where weights were asked for and had no part in the fit: noise as it was measured weighs in their place."""
    weights = data.record.get("weights", "uniform")
    if weights == "uniform" or specification.huber is not None or specification.noise == "independent":
        return None
    if runs_with_lines(law, data, specification) is None:
        heeded = noise.rho > DRIFT or has_final_losses(data)
    else:
        heeded = noise.rho > DRIFT and weights != "size"
    if heeded:
        return None
    return (
        f"weights {weights!r} have no part in the estimates, only in R²: with AR(1) noise a run weighs by the noise and the "
        "scatter that were measured; --noise independent heeds them"
    )
