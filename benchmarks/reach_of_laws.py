"""How often a law's band beyond its own data holds what came: each run cut at a share of its length, the rest predicted.

    python benchmarks/reach_of_laws.py TABLE --out benchmarks/reach_of_laws.json

Made for tables of another origin than the paper's, such as the accuracies along the pre-training of the OLMo ladder
(allenai/OLMo-ladder, Apache-2.0), on which the method was chosen. A band counts as holding where it holds the mean loss of
the last tenth, the noise of that mean allowed for; `own` is the same with the law's own interval alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import scalefit as sf
from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data
from scalefit.laws.law import LN10
from scalefit.numerics.ar1 import effective_points
from scalefit.output import write_json
from scalefit.prediction.predict import predict_size
from scalefit.table.prepare import FitData, prepare

LAWS = ("saturating", "power", "exponential", "sigmoid")
RATIOS = (1.5, 2.0, 4.0, 8.0)
LEAST_POINTS = 8
LATE = 0.9
"""What is predicted lies between this share of a run's end and the end."""


def holds(fit: Fit, data: FitData, row: int) -> tuple[bool, bool]:
    """Return whether the predicted band, and the law's own, hold the end of a run that the fit has not seen."""
    size, x = float(data.params[row]), data.resource[0, row]
    late = data.present[row] & (x > LATE * x[data.present[row]].max())
    at, truth = x[late], np.log10(data.loss[row, late].mean())
    mine = np.flatnonzero(fit.data.params == size)[0]
    few = max(effective_points(late[None], fit.noise.rho), 1.0)
    noise = fit.noise.sigma[mine] / 10**truth / LN10 / np.sqrt(few)
    curve = pd.DataFrame(predict_size(fit, size, at).curve)
    middle, low = (np.log10(curve[name].clip(lower=1e-12)).mean() for name in ("loss", "low"))
    log, se = fit.curve(size, at[None])
    own = fit.quantile * float(se.mean())
    away = abs(truth - middle)
    return bool(away <= np.hypot(middle - low, 2 * noise)), bool(abs(truth - log.mean()) <= np.hypot(own, 2 * noise))


def measure(table: pd.DataFrame, law: str) -> list[dict[str, Any]]:
    """Return for each multiple of the range how many runs' ends are held."""
    held: dict[float, list[tuple[bool, bool]]] = {}
    for data in prepare(table, "samples"):
        ends = np.where(data.present, data.resource[0], 0.0).max(1)
        for ratio in RATIOS:
            first = (data.present & (data.resource[0] <= (ends / ratio)[:, None])).sum(1)
            rows = np.flatnonzero(first >= LEAST_POINTS)
            try:
                fit = fit_data(law, data.keep(rows, first=first[rows]))
            except FitError:
                continue
            held.setdefault(ratio, []).extend(holds(fit, data, row) for row in rows)
    return [
        {"law": law, "times the range": ratio, "runs": len(some), "held": sum(a for a, _ in some)}
        | {"held by its own": sum(b for _, b in some)}
        for ratio, some in held.items()
    ]


def main() -> None:
    """Measure every law, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    table = pd.read_csv(given.table)
    table["run_id"] = table["run_id"] + "/" + table["series"]
    rows = [row for law in LAWS for row in measure(sf.as_runs(table), law)]
    print(pd.DataFrame(rows).to_string(index=False))
    total = {name: sum(row[name] for row in rows) for name in ("runs", "held", "held by its own")}
    print(total)
    write_json(given.out, {"table": given.table.name, "rows": rows, "all": total}, 4)


if __name__ == "__main__":
    main()
