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
from scalefit.prediction.started import on_one_clock
from scalefit.table.prepare import prepare

LAGS = range(1, 21)


def by_lag(account: Account) -> dict[str, Any]:
    """Return the autocorrelation of what each law leaves by lag, and where white noise would lie after the sigmoids' fit."""
    low, high = np.quantile(draw_white(account.left["sigmoid"], LAGS), [0.025, 0.975], axis=0)
    found = {law: mean_autocorrelation(left, LAGS) for law, left in account.left.items()}
    return {"lags": list(LAGS), **found, "white": {"low": low, "high": high}}


def main() -> None:
    """Write `results/clock.json`."""
    found: dict[str, Any] = {}
    for series in SERIES:
        for resource in RESOURCES:
            (data,) = prepare(paper_runs(), resource, {"series": series})
            row, account = describe(data)
            found[f"{series} {resource}"] = row | {"by lag": by_lag(account)}
        (by_samples,) = prepare(paper_runs(), "samples", {"series": series})
        found[f"{series} samples"]["on one clock"] = on_one_clock(by_samples)
        found[f"{series} {resource}"] |= {
            "pace": paces(data),
            "ticks": ticks(paper_runs(), series),
        }
    save("clock", found)


if __name__ == "__main__":
    main()
