"""The tables by which the prediction of an unseen size was chosen: measured ones without the paper's 72B, and simulated ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd

import scalefit as sf
from scalefit.prediction.ensemble import LEAST_SIZES
from scalefit.table.prepare import FitData, prepare

ROOT = Path(__file__).parents[1]
LARGEST = 33e9
"""No measured size above it is looked at."""

SIZES = (5e8, 1.5e9, 3e9, 7e9, 1.4e10, 3.2e10, 7.2e10, 2.4e11)
PROMPTS = np.geomspace(500, 50_000, 25)
SCATTER = {"sigma": 0.008, "rho": 0.3, "slope_sd": 0.12, "level_sd": 0.015}
TRUTHS: dict[str, tuple[str, Mapping[str, float]]] = {
    "affine": ("saturating-affine", {"k_max": 0.14, "N0": 1.2e10, "E0": 0.004, "x0": 1.6}),
    "affine, early": ("saturating-affine", {"k_max": 0.25, "N0": 3e9, "E0": 0.05, "x0": 0.8}),
    "linear": ("saturating-linear", {"k_max": 0.12, "N0": 1e10, "E0": 0.05, "E_log": 0.02}),
    "saturating": ("saturating-saturating", {"k_max": 0.13, "N0": 1.5e10, "E0": 0.02, "E_sat": 0.1, "N_E": 5e9}),
    "crossing": ("saturating-crossing", {"k_max": 0.14, "N0": 8e9, "E0": 0.02, "x0": 1.2, "r": 0.3}),
    "log k": ("log-k-linear", {"k1": 0.05, "k_log": 0.045, "E0": 0.05, "E_log": 0.03}),
    "clock, affine": ("clock-affine", {"X_mid": 6e3, "B": 1.2, "g_max": 0.5, "N_g": 1.1e10, "S0": 0.995, "S_g": -0.65}),
    "clock, saturating": (
        "clock-saturating",
        {"X_mid": 1.1e4, "B": 1.7, "g_max": 0.35, "N_g": 1.2e10, "S0": 0.995, "S_sat": -0.5, "N_S": 8e9},
    ),
    "clock, linear": ("clock-linear", {"X_mid": 3e3, "B": 0.8, "g_max": 0.5, "N_g": 6e9, "S0": 0.95, "S_log": -0.1}),
}


@dataclass(frozen=True)
class Table:
    """A series of one resource; of a simulated one the curves without scatter and noise."""

    family: str
    name: str
    data: FitData
    truth: FitData | None = None

    def __post_init__(self) -> None:
        assert self.truth is not None or self.data.sizes[-1] <= LARGEST, f"{self.name}: what the method is judged by"

    @property
    def steps(self) -> Iterator[tuple[FitData, float]]:
        """Each size with at least four smaller ones, after those."""
        for size in self.data.sizes[LEAST_SIZES:]:
            yield self.data.keep(self.data.params < size), float(size)

    @property
    def gaps(self) -> Iterator[tuple[FitData, float]]:
        """Each size, after all others."""
        for size in self.data.sizes:
            yield self.data.keep(self.data.params != size), float(size)


def measured_tables(paths: Sequence[Path]) -> Iterator[Table]:
    """Yield the paper's sizes up to 32B, the studies, and tables by path, whose family is the file's name."""
    for x in ("samples", "flops"):
        for data in prepare(sf.read_runs(ROOT / "data/paper/runs.parquet"), x):
            yield Table("paper", f"paper {data.series} {x}", data.keep(data.params <= LARGEST))
    for path in sorted((ROOT / "data/study").glob("e0[15]*.parquet")):
        if path.stem != "e01_rates":
            for data in prepare(sf.read_runs(path), "samples"):
                yield Table(path.stem[:3], f"{path.stem} {data.series}", data)
    for path in paths:
        rows = pd.read_csv(path)
        # A run that is evaluated on several things is a curve in each.
        rows["run_id"] = rows["run_id"] + "/" + rows["series"]
        for data in prepare(sf.as_runs(rows), "samples"):
            yield Table(path.stem, f"{path.stem} {data.series}", data)


def simulated_tables(count: int) -> Iterator[Table]:
    """Yield so many tables of each truth."""
    for family, (law, theta) in TRUTHS.items():
        (truth,) = prepare(sf.simulate(law, theta, params=SIZES, samples=PROMPTS))
        for seed in range(count):
            (data,) = prepare(sf.simulate(law, theta, params=SIZES, samples=PROMPTS, seed=seed, **SCATTER))
            yield Table(family, f"{family} {seed}", data, truth)
