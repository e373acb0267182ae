"""ScaleRL's sigmoids: whether the ceiling A is recovered from curves synthesised with the published constants.

Table 1 gives C_mid, B and A; the pass rate at the start R0 and the noise are this script's assumptions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from record import published, save

from scalefit.fitting.fit import Specification, fit_data
from scalefit.table.io import as_runs
from scalefit.table.prepare import prepare

R0 = 0.3
NOISE = 0.01
EVALUATIONS, DRAWS, SEED = 40, 40, 0
TOLERANCE = 0.02
"""The error of A that ScaleRL found between repeated runs."""
REACH = {"to ten times C_mid": 10.0, "to twice C_mid": 2.0}


def synthesise(C_mid: float, B: float, A: float, reach: float, noise: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return a runs table of one curve from C_mid/10 on [GPU hours in the place of FLOPs]."""
    C = np.geomspace(C_mid / 10, reach * C_mid, EVALUATIONS)
    loss = 1 - (R0 + (A - R0) / (1 + (C_mid / C) ** B)) + noise * rng.standard_normal(EVALUATIONS)
    what = {"run_id": "one", "series": "scalerl", "params": 8e9, "seed": 0, "eval": "held-out"}
    return pd.DataFrame({**what, "step": np.arange(EVALUATIONS), "flops": C, "loss": np.clip(loss, 0, 1)})


def ceiling(frame: pd.DataFrame) -> float:
    """Return the fitted A."""
    (data,) = prepare(as_runs(frame), "flops")
    fit = fit_data("sigmoid", data, Specification(noise="independent"))
    return next(estimate.value for name, estimate in fit.params.items() if name.startswith("A["))


def main() -> None:
    """Write `results/scalerl.json`."""
    known, rng, rows = published()["scalerl"], np.random.default_rng(SEED), []
    for C_mid, B, A in zip(known["C_mid"], known["B"], known["A"], strict=True):
        row: dict[str, object] = {"C_mid": C_mid, "B": B, "A": A}
        row["without_noise"] = ceiling(synthesise(C_mid, B, A, 10.0, 0.0, rng))
        for name, reach in REACH.items():
            found = np.array([ceiling(synthesise(C_mid, B, A, reach, NOISE, rng)) for _ in range(DRAWS)])
            near = float(np.mean(np.abs(found - A) <= TOLERANCE))
            row[name] = {"mean": found.mean(), "sd": found.std(ddof=1), "within": near}
        rows.append(row)
    assumed = {"R0": R0, "noise": NOISE, "evaluations": EVALUATIONS, "draws": DRAWS, "tolerance": TOLERANCE}
    save("scalerl", {"assumed": assumed, "curves": rows})


if __name__ == "__main__":
    main()
