"""The paper's fits: k_max, N0 and R² as its authors fitted, beside an estimate whose interval allows for what runs differ by.

The authors minimise the squared error of the loss with equal total weight a size. Ours keeps the form, takes the noise to be
AR(1) and a run for the unit of evidence: how far slopes lie from the law beyond noise is integrated over.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
from record import ROOT, paper_runs, published, save

from scalefit.fitting.fit import Specification, fit_data
from scalefit.fitting.scatter import describe_scatter
from scalefit.table.prepare import FitData, prepare

OLS = Specification(noise="independent")
DIGITISATION = 5e-5
"""Standard deviation of the error with which losses were read off the figures (data/paper/manifest.json)."""
DRAWS, SEED = 50, 0


def cut(data: FitData, fitted_on: str, drop: dict[str, int]) -> tuple[FitData, str]:
    """Return the part of the data that a published fit saw, and what kind of fit that is."""
    if "0.5B-32B" in fitted_on:
        return data.keep(data.params < data.sizes[-1]), "across sizes"
    if "dropped" in fitted_on:
        every = np.ones(len(data.params), bool)
        return data.keep(every, first=data.present.sum(1) - drop[data.series]), "within runs"
    return data, "all sizes"


def reading_error(data: FitData) -> dict[str, float]:
    """Return how far k_max, N0 and R² move, as a standard deviation, with losses disturbed by the reading error."""
    rng, found = np.random.default_rng(SEED), []
    for _ in range(DRAWS):
        disturbed = replace(data, loss=data.loss + DIGITISATION * rng.standard_normal(data.loss.shape))
        fit = fit_data("saturating", disturbed, OLS)
        found.append([fit.params["k_max"].value, fit.params["N0"].value, fit.r2])
    return dict(zip(("k_max", "N0", "r2"), np.std(found, axis=0, ddof=1), strict=True))


def main() -> None:
    """Fit every published fit again and write `results/fits.json`."""
    runs, known = paper_runs(), published()
    rows = []
    for _, row in pd.read_csv(ROOT / "data" / "paper" / "published_fits.csv").iterrows():
        found = {}
        for weights in ("size", "uniform"):
            (data,) = prepare(runs, row.x, {"series": row.source}, clip=int(row.warmup_clip), weights=weights)
            part, kind = cut(data, row.fitted_on, known["paper"]["within_runs_drop"])
            found[weights] = fit_data("saturating", part, OLS if weights == "size" else None)
        fit = found["uniform"]
        ours = {name: asdict(fit.params[name]) for name in ("k_max", "N0")}
        as_published = {name: found["size"].params[name].value for name in ("k_max", "N0")}
        rows.append(
            {
                "series": row.source,
                "x": row.x,
                "kind": kind,
                "fitted_on": row.fitted_on.split(";")[0],
                "published": {"k_max": row.k_max, "N0": row.N0, "r2": None if np.isnan(row.r2) else row.r2},
                "as_published": as_published | {"r2": found["size"].r2, "points": found["size"].data.points},
                "reading_error": reading_error(found["size"].data),
                "by_runs": {
                    **ours,
                    "rho": fit.noise.rho,
                    "status": fit.status,
                    "scatter": asdict(describe_scatter(fit)),
                },
            }
        )
    save("fits", rows)


if __name__ == "__main__":
    main()
