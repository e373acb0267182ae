"""What the paper's data say beyond its law: what laws leave along the curves, one clock for all sizes, and what it ticks in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from record import RESOURCES, SERIES, paper_runs, save

sys.path.append(str(Path(__file__).parents[1] / "clock"))
from describe import describe, paces, ticks

from scalefit.fitting.describe import Account
from scalefit.fitting.whiteness import draw_white, mean_autocorrelation
from scalefit.laws.clocks import clock_share
from scalefit.table.prepare import FitData, prepare

LAGS = range(1, 21)
TOGETHER = 5
"""Neighbouring evaluations that are one point of the picture: small models gain little beside their noise."""
GRID = 60


def by_lag(account: Account) -> dict[str, Any]:
    """Return the autocorrelation of what each law leaves by lag, and where white noise would lie after the sigmoids' fit."""
    low, high = np.quantile(draw_white(account.left["sigmoid"], LAGS), [0.025, 0.975], axis=0)
    found = {law: mean_autocorrelation(left, LAGS) for law, left in account.left.items()}
    return {"lags": list(LAGS), **found, "white": {"low": low, "high": high}}


def collapsed(data: FitData, row: dict[str, Any]) -> dict[str, Any]:
    """Return every size's share of its gain, (L0 - L)/G, by X, and the clock."""
    clock, curves = row["clock"], []
    for at, (size, start, gain) in enumerate(zip(clock["params"], clock["L0"], clock["G"], strict=True)):
        x, loss = data.resource[0, at, data.present[at]], data.loss[at, data.present[at]]
        parts = np.arange(len(x) // TOGETHER * TOGETHER).reshape(-1, TOGETHER)
        curves.append(
            {"params": size, "x": np.exp(np.log(x[parts]).mean(1)), "share": (start - loss[parts].mean(1)) / gain}
        )
    ends = [float(of(data.resource[0][data.present])) for of in (np.min, np.max)]
    x, about = np.geomspace(*ends, GRID), {name: np.array(clock[name]["value"]) for name in ("X_mid", "B")}
    return {"curves": curves, "line": {"x": x, "share": clock_share(about, x)}}


def main() -> None:
    """Write `results/clock.json`."""
    found: dict[str, Any] = {}
    for series in SERIES:
        for resource in RESOURCES:
            (data,) = prepare(paper_runs(), resource, {"series": series})
            row, account = describe(data)
            found[f"{series} {resource}"] = row | {"by lag": by_lag(account)}
        found[f"{series} {resource}"] |= collapsed(data, row) | {
            "pace": paces(data),
            "ticks": ticks(paper_runs(), series),
        }
    save("clock", found)


if __name__ == "__main__":
    main()
