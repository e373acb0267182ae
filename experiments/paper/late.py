"""Which law catches the late flattening? The first part of every run fitted with each, the rest predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
from record import SERIES, paper_runs, save

from scalefit.fitting.fit import Specification, fit_data
from scalefit.table.prepare import FitData, prepare

OLS = Specification(noise="independent")
LAWS = ("saturating", "power", "sigmoid", "saturating-power", "exponential", "broken-power")
SHARES = (0.9, 0.5)
"""Parts of every run that are fitted before the rest is predicted."""


def ends(data: FitData, law: str, share: float) -> dict[str, Any]:
    """Return the error of a law on the part of every run that it was not fitted on."""
    first = (share * data.present.sum(1)).astype(int)
    fit = fit_data(law, data.keep(np.ones(len(first), bool), first=first), OLS)
    rest = data.present & (np.arange(data.present.shape[1]) >= first[:, None])
    errors = []
    for row, size in enumerate(data.params):
        x = data.resource[:, row, rest[row]]
        errors.append(10.0 ** fit.log_curve(np.full(x.shape[1], size), x)[0] - data.loss[row, rest[row]])
    rmse = np.array([np.sqrt(np.mean(error**2)) for error in errors])
    return {
        "rmse": float(np.sqrt(np.mean(rmse**2))),
        "status": fit.status,
        "rmse_by_size": rmse,
        "bias_by_size": [error.mean() for error in errors],
    }


def main() -> None:
    """Write `results/late.json`."""
    found = {}
    for series in SERIES:
        (data,) = prepare(paper_runs(), "samples", {"series": series})
        found[series] = {f"{share:g}": {law: ends(data, law, share) for law in LAWS} for share in SHARES}
        found[series] |= {"params": data.sizes}
    save("late", found)


if __name__ == "__main__":
    main()
