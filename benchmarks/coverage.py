"""Do the intervals hold what they name? Coverage by simulation: tables drawn from known laws whose runs scatter.

Run as `make bench-coverage`; writes `benchmarks/coverage.json`, a case as it comes, and goes on where it was stopped.
Everything is decided by seeds; table i of every case is drawn by the same seed, so that cases differ by what they name.
A case may cover less than it says by chance: the counts of tables are in each row, and `bounds` says what chance allows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import scalefit as sf
from benchmarks.surrogates import draw_surrogate
from scalefit.fitting import hierarchy
from scalefit.fitting.bands import BANDS
from scalefit.fitting.fit import Fit, fit_data
from scalefit.fitting.weigh_runs import weigh_runs
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.numerics.scatter import NO_SPREAD_GRID
from scalefit.output import write_json
from scalefit.prediction.predict import predict_size
from scalefit.table.io import RunTable
from scalefit.table.prepare import prepare

Array = NDArray[np.float64]
ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "coverage.json"
SEED = 20260
STEP, STEPS = 512.0, 105
"""Samples of a step, and steps of a run."""
PROBLEMS = 500
LEVELS = {"95": 0.95, "50": 0.5}
ASKED = {"95": (0.90, 1.0), "50": (0.40, 0.65)}
"""What an interval of each level is asked to cover."""
FOUR, SIX = (1e9, 4e9, 14e9, 50e9), (0.6e9, 1.7e9, 4e9, 8e9, 14e9, 50e9)
EIGHT = (0.5e9, 1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 64e9)
NAMES = {"run_": "new run", "eval_": "one evaluation", "": "mean curve"}
HELD = (
    *(f"{one} {level}" for level in LEVELS for one in ("k", "k_max", "N0")),
    *(f"{part} {name}" for part in ("seen", "unseen", "averaged") for name in NAMES.values()),
)
"""What is to be held, as the rows name it."""
Truth = Mapping[str, float]


@dataclass(frozen=True)
class Case:
    """What tables are drawn from: log10 L = E - k log10 X, k = k_max N / (N + N0), E = E0 + x0 k, and how runs depart."""

    slope: float = 0.0
    """Spread of runs' slopes, as a share."""
    level: float = 0.0
    """Spread of runs' levels [log10 loss]."""
    misfit: float = 0.0
    """Spread of sizes' slopes about the law, as a share."""
    seeds: int = 1
    sizes: tuple[float, ...] = SIX
    rho: float = 0.5
    sigma: float = 0.012
    evaluations: int = STEPS
    binomial: bool = False
    """Evaluations are answers to `PROBLEMS` problems, and their only noise that of counting."""
    unequal: bool = False
    """Every run has a length and a spacing of its own."""
    turn: int = 0
    """Where slopes turn, by `turns.TURNS`: about the middle of the run, its first evaluation, or X = 1."""
    residuals: str = ""
    """A series of the paper whose residuals about each size's own power law are the noise, their phases drawn anew."""
    truth: Truth = field(default_factory=lambda: {"k_max": 0.17, "N0": 8e9, "E0": -0.03, "x0": 1.1})

    @property
    def settings(self) -> dict[str, Any]:
        """What is drawn from, as a report holds it."""
        return {key: value for key, value in json.loads(json.dumps(asdict(self))).items() if value != ""}

    def line(self, params: float) -> tuple[float, float]:
        """Return k and E of a size by the law."""
        k = self.truth["k_max"] * params / (params + self.truth["N0"])
        return k, self.truth["E0"] + self.truth["x0"] * k

    @property
    def scatters(self) -> bool:
        """Whether anything departs from the law but evaluations from their run."""
        return bool(self.slope or self.level or self.misfit)


TEN = Case(slope=0.1)
BOTH = Case(slope=0.1, level=0.01)
CASES: dict[str, Case] = {
    "no scatter": Case(),
    "slopes 5 %": Case(slope=0.05),
    "slopes 10 %": TEN,
    "slopes 20 %": Case(slope=0.2),
    "levels .005": Case(level=0.005),
    "levels .01": Case(level=0.01),
    "levels .02": Case(level=0.02),
    "slopes 10 %, levels .01": BOTH,
    "no scatter, 3 seeds": Case(seeds=3),
    "slopes 10 %, 2 seeds": replace(TEN, seeds=2),
    "slopes 10 %, 3 seeds": replace(TEN, seeds=3),
    "slopes 10 %, 5 seeds": replace(TEN, seeds=5),
    "slopes 20 %, 3 seeds": Case(slope=0.2, seeds=3),
    "slopes 10 %, levels .01, 3 seeds": replace(BOTH, seeds=3),
    "misfit 5 %": Case(misfit=0.05),
    "misfit 10 %": Case(misfit=0.1),
    "misfit 5 %, 3 seeds": Case(misfit=0.05, seeds=3),
    "misfit 10 %, 3 seeds": Case(misfit=0.1, seeds=3),
    "slopes 10 %, misfit 5 %, 3 seeds": Case(slope=0.1, misfit=0.05, seeds=3),
    "4 sizes": Case(sizes=FOUR),
    "4 sizes, slopes 10 %": replace(TEN, sizes=FOUR),
    "8 sizes": Case(sizes=EIGHT),
    "8 sizes, slopes 10 %": replace(TEN, sizes=EIGHT),
    "correlation 0": Case(rho=0.0),
    "correlation .8": Case(rho=0.8),
    "correlation .95": Case(rho=0.95),
    "correlation .95, slopes 10 %": replace(TEN, rho=0.95),
    "500 problems": Case(binomial=True),
    "500 problems, slopes 10 %": replace(TEN, binomial=True),
    "unequal runs": Case(unequal=True),
    "unequal runs, slopes 10 %": replace(TEN, unequal=True),
    "12 evaluations a run": Case(evaluations=12),
    "6 evaluations a run": Case(evaluations=6),
    "4 evaluations a run": Case(evaluations=4),
    "12 evaluations a run, slopes 10 %": replace(TEN, evaluations=12),
    "6 evaluations a run, slopes 10 %": replace(TEN, evaluations=6),
    "4 evaluations a run, slopes 10 %": replace(TEN, evaluations=4),
    "k_max .25, N0 3B, slopes 10 %": replace(TEN, truth={"k_max": 0.25, "N0": 3e9, "E0": 0.05, "x0": 0.8}),
    "k_max .1, N0 20B, slopes 10 %": replace(TEN, truth={"k_max": 0.1, "N0": 2e10, "E0": -0.03, "x0": 1.1}),
    "slopes 10 % from the first evaluation": replace(TEN, turn=1),
    "slopes 10 % from the first evaluation, 3 seeds": replace(TEN, turn=1, seeds=3),
    "slopes 10 % from X = 1": replace(TEN, turn=2),
    "slopes 10 % from X = 1, 3 seeds": replace(TEN, turn=2, seeds=3),
    "residuals of the paper's base": Case(residuals="base"),
    "residuals of the paper's base, slopes 10 %": replace(TEN, residuals="base"),
    "residuals of the paper's instruct": Case(residuals="instruct"),
    "residuals of the paper's instruct, slopes 10 %": replace(TEN, residuals="instruct"),
}


@dataclass(frozen=True)
class Drawn:
    """A table, and the losses of the largest size and of twice it at `end`: by the law, of a new run, and of one evaluation of it."""

    runs: RunTable
    end: float
    losses: Mapping[str, Mapping[str, float]]


def _grid(case: Case, rng: np.random.Generator) -> Array:
    last, count = STEPS, case.evaluations
    if case.unequal:
        last, count = int(rng.integers(50, 2 * STEPS)), int(rng.integers(12, 60))
    return STEP * last * np.arange(1, count + 1) / count


def _evaluate(case: Case, log: Array, rng: np.random.Generator) -> Array:
    """Return losses that evaluations of a run show."""
    loss = np.minimum(10.0**log, 1.0)
    if case.binomial:
        return np.asarray(rng.binomial(PROBLEMS, loss) / PROBLEMS)
    if case.residuals:
        noise = draw_surrogate(case.residuals, len(loss), rng)
    else:
        noise = ar1_noise(rng, Noise(case.rho, np.array([case.sigma])), (1, 1, len(loss)))[0, 0]
    return np.clip(loss + noise, 0, 1)


def _turn(case: Case, line: tuple[float, float], samples: Array, rng: np.random.Generator) -> Array:
    """Return log10 of the loss of a run that departs from its size's line."""
    k, E = line
    x = np.log10(samples)
    off = x - (x.mean(), x[0], 0.0)[case.turn]
    return np.asarray(E - k * (x + case.slope * rng.standard_normal() * off) + case.level * rng.standard_normal())


def draw(case: Case, seed: int) -> Drawn:
    """Draw a table of a case, and what a new run of the largest size and of twice it would show."""
    rng = np.random.default_rng((SEED, seed))
    frames, losses = [], {}
    grids: list[Array] = []
    for size in (*case.sizes, 2 * case.sizes[-1]):
        seen = size in case.sizes
        k, E = case.line(size)
        if seen:
            grids = [_grid(case, rng) for _ in range(case.seeds)]
        middle = np.log10(grids[-1]).mean()
        turned = case.misfit * rng.standard_normal()
        own = k * (1 + turned), E + k * turned * middle
        for which, samples in enumerate(grids if seen else []):
            loss = _evaluate(case, _turn(case, own, samples, rng), rng)
            about = {"run_id": f"{size:g}-{which}", "series": "drawn", "params": size, "seed": which, "eval": "drawn"}
            count = {"eval_size": PROBLEMS} if case.binomial else {}
            steps = np.arange(1, len(samples) + 1)
            frames.append(pd.DataFrame({**about, **count, "step": steps, "samples": samples, "loss": loss}))
        new = _turn(case, own, grids[-1], rng)
        point = _evaluate(case, new, rng)[-1]
        law = E - k * np.log10(grids[-1][-1])
        losses[size] = {"": 10.0**law, "run_": 10.0 ** new[-1], "eval_": float(point)}
    table = sf.as_runs(pd.concat(frames, ignore_index=True))
    largest = case.sizes[-1]
    return Drawn(table, float(grids[-1][-1]), {"seen": losses[largest], "unseen": losses[2 * largest]})


def _hold(fit: Fit, params: float, drawn: Drawn, which: str) -> dict[str, float]:
    """Return which of the three bands of a prediction hold what they name, and the width of each."""
    losses = drawn.losses["seen" if which == "seen" else "unseen"]
    (point,) = predict_size(fit, params, np.array([drawn.end])).curve
    found = {}
    for prefix in BANDS:
        low, high = point[prefix + "low"], point[prefix + "high"]
        # A band ends at a loss of 1, and so does what it is of.
        found[f"{which} {NAMES[prefix]}"] = float(low <= min(losses[prefix], 1.0) <= high)
        found[f"width of {which} {NAMES[prefix]}"] = high - low
    return found


def judge_law(case: Case, seed: int) -> dict[str, float]:
    """Return what the law with an offset of each size's own holds of a table: k, k_max, N0 and the largest size's loss."""
    drawn = draw(case, seed)
    (data,) = prepare(drawn.runs)
    fit = fit_data("saturating", data)
    beyond = 2 * case.sizes[-1]
    found: dict[str, float] = {}
    for name, level in LEVELS.items():
        k, estimates = fit.k(beyond, level), fit.estimates(level)
        found[f"k {name}"] = float(k.low <= case.line(beyond)[0] <= k.high)
        for one in ("k_max", "N0"):
            found[f"{one} {name}"] = float(estimates[one].low <= case.truth[one] <= estimates[one].high)
    k = fit.k(beyond)
    found["width of k"] = width = k.high - k.low
    away = max(k.low - case.line(beyond)[0], case.line(beyond)[0] - k.high)
    found["k further away than the width"] = float(away > width)
    ends = [k, *fit.params.values()]
    endless = any(not np.isfinite([one.low, one.high]).all() for one in ends)
    found["converged"] = float(fit.status == "converged")
    found["converged and endless"] = float(fit.status == "converged" and endless)
    if not case.scatters:
        found["width of k by width without scatter"] = found["width of k"] / _width_without_scatter(fit, beyond)
    return {**found, **_hold(fit, case.sizes[-1], drawn, "seen")}


def _width_without_scatter(fit: Fit, params: float) -> float:
    """Return how wide the interval of k would be if it were known that runs do not scatter."""
    assert isinstance(fit.evidence, hierarchy.Hierarchy)
    with mock.patch.object(hierarchy, "spread_prior", return_value=NO_SPREAD_GRID):
        low, high = weigh_runs(fit.law, fit.evidence.lines).k(params).interval(LEVELS["95"])
    return float(high[0] - low[0])


def judge_unseen(case: Case, seed: int) -> dict[str, float]:
    """Return what the law with a closed offset holds of the loss of twice the largest size."""
    drawn = draw(case, seed)
    (data,) = prepare(drawn.runs)
    return _hold(fit_data("saturating-affine", data), 2 * case.sizes[-1], drawn, "unseen")


def judge_averaged(case: Case, seed: int) -> dict[str, float]:
    """Return what the averaged closed offsets hold of the same, as a law with free offsets is answered for."""
    drawn = draw(case, seed)
    (data,) = prepare(drawn.runs)
    return _hold(fit_data("saturating", data), 2 * case.sizes[-1], drawn, "averaged")


@dataclass(frozen=True)
class Part:
    """What is judged of a table, of how many tables one, and in which cases: sizes left out in turn take seconds a table."""

    judge: Callable[[Case, int], dict[str, float]]
    of: int = 1
    cases: tuple[str, ...] = tuple(CASES)


PARTS: dict[str, Part] = {
    "law": Part(judge_law),
    "unseen": Part(judge_unseen, 3),
    "averaged": Part(
        judge_averaged, 3, ("no scatter", "slopes 10 %", "slopes 10 %, levels .01", "k_max .25, N0 3B, slopes 10 %")
    ),
}


def judge(judge_one: Callable[[Case, int], dict[str, float]], case: Case, tables: int) -> dict[str, float]:
    """Return shares of tables, and medians of widths."""
    rows = pd.DataFrame([judge_one(case, seed) for seed in range(tables)])
    wide = [name for name in rows if name.startswith("width")]
    return {"tables": tables, **rows.drop(columns=wide).mean().to_dict(), **rows[wide].median().to_dict()}


def outside(report: Mapping[str, Any]) -> list[tuple[str, str, float, int]]:
    """Return where less is covered than was asked, or at 50 % more: case, quantity, share and tables."""
    found = []
    for name, case in report["cases"].items():
        for part in PARTS:
            for quantity, share in case.get(part, {}).items():
                low, high = ASKED["50" if quantity.endswith(" 50") else "95"]
                if quantity in HELD and not low <= share <= high:
                    found.append((name, quantity, share, case[part]["tables"]))
    return found


def main() -> None:
    """Judge every case, printing and writing each as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--tables", type=int, default=200, help="tables a case")
    parser.add_argument("--quick", action="store_true", help="12 tables a case, printed and not written")
    parser.add_argument("--case", default="", help="only the cases whose name begins so")
    parser.add_argument("--part", choices=PARTS, help="only what is judged by this name")
    given = parser.parse_args()
    os.nice(15)
    asked = 12 if given.quick else given.tables
    kept = given.out.exists() and not given.quick
    report: dict[str, Any] = json.loads(given.out.read_text()) if kept else {"cases": {}}
    for part, how in PARTS.items():
        tables = max(asked // how.of, 1)
        for name, case in CASES.items():
            row = report["cases"].setdefault(name, {})
            settings = case.settings
            if row.get("drawn from") != settings:
                row.clear()
                row["drawn from"] = settings
            chosen = name.startswith(given.case) and given.part in (None, part) and name in how.cases
            if not chosen or row.get(part, {}).get("tables", 0) >= tables:
                continue
            row[part] = judge(how.judge, case, tables)
            print(f"{name}: {part}", {key: round(value, 3) for key, value in row[part].items()}, flush=True)
            if not given.quick:
                write_json(given.out, report, 4)
    for one in outside(report):
        print("outside:", *one)


if __name__ == "__main__":
    main()
