"""Table 7: the loss of base 3B to 72B as a floor, a part of size and a part that data removes."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from record import paper_runs, published, save

from scalefit.fitting.fit import fit_data
from scalefit.prediction.holdouts import fitted_curves
from scalefit.table.prepare import prepare
from scalefit.units import format_quantity

GRID = 60


def main() -> None:
    """Write `results/decomposition.json`."""
    sizes = np.array(published()["table7"]["params"])
    (data,) = prepare(paper_runs(), "samples", {"series": "base"})
    data = data.keep(np.isin(data.params, sizes))
    fit = fit_data("decomposition", data)
    estimates = {name: asdict(estimate) for name, estimate in fit.params.items()}
    curves = []
    for curve in fitted_curves(fit, GRID)["curves"]:
        size = curve["params"]
        curves.append(
            {
                **{name: curve[name] for name in ("params", "x", "loss")},
                "line": curve["fitted"],
                "floor": estimates["L_inf"]["value"],
                "size_part": (estimates["N0"]["value"] / size) ** estimates["alpha"]["value"],
                **{name: estimates[f"{name}[{format_quantity(size)}]"] for name in ("lam", "D0")},
            }
        )
    shared = {name: estimates[name] for name in ("L_inf", "N0", "alpha", "beta")}
    save(
        "decomposition", {"status": fit.status, "r2": fit.r2, "rho": fit.noise.rho, "shared": shared, "curves": curves}
    )


if __name__ == "__main__":
    main()
