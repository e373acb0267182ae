"""How often is a law told to miss its sizes where it is true, and where it is not? Simulated tables, counted.

Run as `make bench-misfit`; writes `benchmarks/misfit.json`, one row a case. Runs scatter about the truth in slope (10 % in one
half of the tables, 25 % in the other) and in level (3 %), evaluations have AR(1) noise of spread .01. Seeds decide everything.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray

import scalefit as sf
from scalefit.fitting.fit import Fit, fit_data
from scalefit.output import write_json
from scalefit.table.prepare import prepare

Array = NDArray[np.float64]
OUT = Path(__file__).parents[1] / "benchmarks" / "misfit.json"
SEED = 20261
SIGMA, SLOPES, LEVELS = 0.01, (0.1, 0.25), 0.013
"""Noise [loss], scatter of slopes as a share, and of levels [log10 loss]."""
STEP, STEPS = 512.0, 105
"""Samples of a step; steps of a run, which fewer evaluations are spread over."""
SIZES: dict[int, tuple[float, ...]] = {
    4: (1e9, 4e9, 14e9, 50e9),
    7: (0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 72e9),
}
LINES = ("saturating", "power")


@dataclass(frozen=True)
class Case:
    """Tables of one kind: the law they are drawn from, the one fitted, sizes, runs of each, evaluations, correlation."""

    truth: str
    law: str
    sizes: int
    runs: int
    evaluations: int
    rho: float

    @property
    def true(self) -> bool:
        """Whether the law fitted is the one drawn from."""
        return self.truth == self.law


def truth(law: str, sizes: int) -> dict[str, Any]:
    """Return parameters of a law that are like the paper's curves."""
    N = np.array(SIZES[sizes])
    big = np.log(N / N[0]) / np.log(N[-1] / N[0])
    k = 0.1 * N / (N + 6e9)
    level = np.log10(0.82 - 0.3 * big)
    middle = np.log10(STEP * np.sqrt(STEPS))
    values: dict[str, dict[str, Any]] = {
        "saturating": {"k_max": 0.1, "N0": 6e9, "E": level + k * middle},
        "saturating-linear": {"k_max": 0.1, "N0": 6e9, "E0": 0.02, "E_log": 0.05},
        "power": {"k": k, "E": level + k * middle},
        "clock": {"L0": 0.85 - 0.25 * big, "G": 0.03 + 0.27 * big, "X_mid": 5400.0, "B": 1.5},
        "sigmoid": {
            "R0": 0.15 + 0.25 * big,
            "A": 0.18 + 0.52 * big,
            "C_mid": 4000.0 * 2.0**big,
            "B": 2.0 - 0.7 * big,
        },
        # Losses that fall to a floor of .25, faster for larger sizes.
        "saturating-power": {
            "A": 0.75 + 0 * N,
            "D": (0.62 - 0.2 * big) * STEP ** (0.05 + 0.3 * big),
            "B": 0.05 + 0.3 * big,
        },
        # Slopes that fall to a third.
        "broken-power": {
            "E": level + (0.03 + 0.12 * big) * np.log10(1e4),
            "k": 0.03 + 0.12 * big,
            "k_late": 0.01 + 0.04 * big,
            "X_break": 1e4 + 0 * N,
        },
    }
    return values[law]


def every_case() -> Iterator[Case]:
    """Return the cases: laws that are true, by size of table and correlation, and curves that are no power law."""
    for sizes, runs, evaluations, rho in product(SIZES, (1, 3), (12, 30, 105), (0.0, 0.3, 0.6, 0.85)):
        yield Case("saturating", "saturating", sizes, runs, evaluations, rho)
    for law, runs, rho in product(("saturating-linear", "clock", "sigmoid"), (1, 3), (0.0, 0.6)):
        yield Case(law, law, 7, runs, STEPS, rho)
    for curve, law, runs, rho in product(("saturating-power", "broken-power", "sigmoid"), LINES, (1, 3), (0.0, 0.3)):
        yield Case(curve, law, 7, runs, STEPS, rho)


def fitted(case: Case, table: int) -> Fit:
    """Draw a table and fit the law."""
    samples = STEP * np.linspace(1, STEPS, case.evaluations)
    runs = sf.simulate(
        case.truth,
        truth(case.truth, case.sizes),
        params=SIZES[case.sizes],
        samples=samples.tolist(),
        sigma=SIGMA,
        rho=case.rho,
        seeds=case.runs,
        slope_sd=SLOPES[table % 2],
        level_sd=LEVELS,
        seed=SEED + 1009 * table + int(1e7 * case.rho) + case.evaluations,
    )
    return fit_data(case.law, prepare(runs, "samples")[0])


def count(task: tuple[Case, int]) -> dict[str, Any]:
    """Return how many of a case's tables are told as missed, in which way, and how many fits have the status."""
    case, tables = task
    told = dict.fromkeys(("told", "bend", "slope", "level", "misfit"), 0)
    for table in range(tables):
        fit = fitted(case, table)
        missed = {way for size in fit.misfit.sizes for way in size.missed}
        told["told"] += bool(missed)
        told["misfit"] += fit.misfit.most
        for way in missed:
            told[way] += 1
    return {**vars(case), "tables": tables, **told}


def summary(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the shares told, pooled and at their worst: of true laws, and of others."""

    def shares(some: list[Mapping[str, Any]], name: str) -> Array:
        return np.array([row[name] / row["tables"] for row in some])

    right = [row for row in rows if row["truth"] == row["law"]]
    wrong = [row for row in rows if row["truth"] != row["law"]]
    return {
        "true": {"mean": float(shares(right, "told").mean()), "most": float(shares(right, "told").max())},
        "others": {"mean": float(shares(wrong, "told").mean()), "least": float(shares(wrong, "told").min())},
        "others_status": {"mean": float(shares(wrong, "misfit").mean()), "least": float(shares(wrong, "misfit").min())},
    }


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=400, help="tables of a case in which the law is true; else half")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    tasks = [(case, asked.tables if case.true else asked.tables // 2) for case in every_case()]
    rows = []
    with ProcessPoolExecutor(asked.jobs) as pool:
        for row in pool.map(count, tasks):
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    write_json(asked.out, {"seed": SEED, "sigma": SIGMA, "summary": summary(rows), "cases": rows})


if __name__ == "__main__":
    main()
