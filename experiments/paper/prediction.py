"""What the law predicts of 72B and of the rest of every run, and what it must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from record import RESOURCES, SERIES, paper_runs, published, save

from scalefit.fitting.fit import Specification, fit_data
from scalefit.prediction.crossval import cross_validate_data
from scalefit.prediction.holdouts import across_sizes, slopes, within_runs
from scalefit.prediction.scores import score
from scalefit.table.prepare import FitData, prepare

OLS = Specification(noise="independent")


def first_part(data: FitData) -> np.ndarray:
    """Return how many points of each run the paper's fits within runs saw."""
    return data.present.sum(1) - published()["paper"]["within_runs_drop"][data.series]


def anchored(data: FitData, points: int = 10) -> dict[str, float]:
    """Return the scores of the largest size after its first points, which are its anchor."""
    folds = cross_validate_data(data, mode="anchored", points=points)
    top = folds[(folds["fold"] == "leave one out") & (folds["params"] == data.sizes[-1])].iloc[0]
    return {name: float(top[name]) for name in ("rmse", "r2", "end_bias", "cover50", "cover95")}


def in_sample(data: FitData) -> dict[str, Any]:
    """Return pooled R², R² within each size, and the mean residual of the last tenth, of the fit of all points."""
    fit = fit_data("saturating", data, OLS)
    within, late = [], []
    for row, size in enumerate(data.params):
        here = data.present[row]
        log, _ = fit.log_curve(np.full(here.sum(), size), data.resource[:, row, here])
        scores = score(10.0**log, data.loss[row, here])
        within.append(scores["r2"])
        late.append(-scores["end_bias"])
    return {"pooled_r2": fit.r2, "r2_within": within, "last_tenth_above_the_line": late}


def one(data: FitData) -> dict[str, Any]:
    """Return everything about one series by one resource."""
    first = first_part(data)
    below = data.keep(data.params < data.sizes[-1])
    cuts = {"all sizes": data, "≤ 32B": below, "first parts": data.keep(np.ones(len(first), bool), first=first)}
    prefix = cross_validate_data(data, "saturating", "prefix", share=0.25)
    return {
        "across": across_sizes(data),
        "within": within_runs(data, first),
        "slopes": slopes(cuts),
        "anchored": anchored(data),
        "prefix": prefix.drop(columns=["series", "law", "mode", "fold"]).to_dict("list"),
        "in_sample": in_sample(data),
    }


def main() -> None:
    """Write `results/prediction_SERIES_RESOURCE.json`."""
    for series in SERIES:
        for resource in RESOURCES:
            (data,) = prepare(paper_runs(), resource, {"series": series})
            save(f"prediction_{series}_{resource}", one(data))


if __name__ == "__main__":
    main()
