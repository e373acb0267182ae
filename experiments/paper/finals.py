"""Table 5's final losses, and how much of Table 4's lead over it is the choice of the best of many noisy evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from record import ROOT, SERIES, paper_runs, published, save

from scalefit.fitting.fit import fit_data
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.table.prepare import prepare

RUNS = 3
"""Runs a size that the curves are means of."""
DRAWS, SEED = 2000, 0


def luck_of_the_best(line: np.ndarray, sigma: float, rho: float) -> float:
    """Return how far the best evaluation of three runs lies below the last one's expectation, by noise alone."""
    rng = np.random.default_rng(SEED)
    single = Noise(rho, np.full(RUNS, sigma * np.sqrt(RUNS)))
    drawn = ar1_noise(rng, single, (DRAWS, RUNS, len(line)))
    return float(np.mean((line + drawn).min(axis=(1, 2))) - line[-1])


def report(series: str, tables: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a size."""
    (data,) = prepare(paper_runs(), "samples", {"series": series})
    alone, known = fit_data("power", data), published()["table5"]
    mine = tables[tables["system"] == series].set_index("params")
    rows = []
    for row, size in enumerate(data.params):
        x, loss = data.resource[:, row, data.present[row]], data.loss[row, data.present[row]]
        line = 10.0 ** alone.log_curve(np.full(x.shape[1], size), x)[0]
        last, best = (mine[mine["table"].str.startswith(table)].loc[size] for table in ("5", "4"))
        binomial = float(np.sqrt(loss[-1] * (1 - loss[-1]) / data.eval_size[row]))
        rows.append(
            {
                "params": size,
                "last_published": known[series][known["params"].index(size)],
                "se_published": last["sem"],
                "last": loss[-1],
                "binomial_se": binomial,
                "noise": alone.noise.sigma[row],
                "best_published": best["loss"],
                "gap": best["loss"] - last["loss"],
                "gap_by_noise_alone": luck_of_the_best(line, alone.noise.sigma[row], alone.noise.rho),
            }
        )
    return rows


def main() -> None:
    """Write `results/finals.json`."""
    tables = pd.read_csv(ROOT / "data" / "paper" / "final_losses.csv")
    tables = tables[tables["kind"].isin(["last_step", "best"]) & (tables["quality"] == "table")]
    save("finals", {series: report(series, tables) for series in SERIES})


if __name__ == "__main__":
    main()
