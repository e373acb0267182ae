"""Are the decisions honest and quick? Coverage of frontiers, what a design gains, seconds a command.

Forecasts have a benchmark of their own, `forecast.py`. Run as `make bench-decisions`; writes `benchmarks/decisions.json`. Coverage is decided by seeds; times are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd

import scalefit as sf
from benchmarks.run import processor
from scalefit.fitting.fit import Fit, fit_data
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.output import write_json
from scalefit.provenance import versions
from scalefit.studies.frontier import BEYOND, frontier
from scalefit.table.io import RunTable
from scalefit.table.prepare import prepare

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "data" / "paper" / "runs.parquet"
STUDY = ROOT / "data" / "study"
SIGMA, RHO = 0.012, 0.8
"""Noise of simulated evaluations: the paper's spread, and a correlation above the paper's."""


def simulated(truth: Fit, seed: int) -> RunTable:
    """Return a table of the sizes of a fit, drawn from it, with FLOPs in proportion to size and samples."""
    rng, samples = np.random.default_rng(seed), 512.0 * np.arange(1, 106)
    frames = []
    sizes = truth.data.sizes
    noise = ar1_noise(rng, Noise(RHO, np.full(len(sizes), SIGMA)), (1, len(sizes), len(samples)))[0]
    for row, size in enumerate(sizes):
        flops = truth.data.flops_per_sample * size * samples
        clean = 10.0 ** truth.log_curve(np.full(len(samples), size), flops[None])[0]
        frame = {
            "run_id": f"{size:g}",
            "series": "simulated",
            "params": size,
            "step": np.arange(1, 106),
            "eval": "simulated",
        }
        frames.append(
            pd.DataFrame({**frame, "samples": samples, "flops": flops, "loss": np.clip(clean + noise[row], 0, 1)})
        )
    return sf.as_runs(pd.concat(frames, ignore_index=True))


def frontiers(law: str, simulations: int, flops: float = 2e19) -> dict[str, float]:
    """Return how often the interval of the compute-optimal size holds the truth, found by brute force."""
    (data,) = prepare(sf.read_runs(RUNS), "flops", {"series": "base"})
    truth = fit_data(law, data)
    grid = np.geomspace(float(data.sizes[0]), BEYOND * float(data.sizes[-1]), 4001)
    optimum = float(grid[np.argmin(truth.log_curve(grid, np.full((1, len(grid)), flops))[0])])
    held, width = [], []
    for seed in range(simulations):
        (drawn,) = prepare(simulated(truth, seed), "flops")
        found = frontier(drawn, flops, seed)
        held.append(found["low"] <= optimum <= found["high"])
        width.append(found["high"] / found["low"])
    return {
        "optimum": optimum,
        "simulations": simulations,
        "covered": float(np.mean(held)),
        "median high/low": float(np.median(width)),
    }


def designs() -> dict[str, Any]:
    """Return the ratio of interval widths, designed against spread evenly, by information and by simulation."""
    found = {}
    for name, path, budget, target in (
        ("paper base, 72B at 1e21", RUNS, 1e21, 72e9),
        ("own study, 3M at 1e13", STUDY / "e01.parquet", 1e13, 3e6),
    ):
        (one,) = sf.design(sf.read_runs(path), budget, target, where={"series": "base"})
        found[name] = {
            "now": one.width_now,
            "designed": one.width_after,
            "even": one.width_even,
            "ratio": one.ratio,
            "ratio simulated": one.simulated["ratio"],
        }
    return found


COMMANDS = {
    "forecast": ["forecast", str(RUNS), "--run", "base-7B", "--loss", "0.6", "--min-gain", "0.002"],
    "plan": ["plan", str(RUNS), "--flops", "2e19"],
    "design": ["design", str(RUNS), "--budget", "1e21", "--target", "72B", "--where", "series=base"],
    "compare-recipes": [
        "compare-recipes",
        str(STUDY / "e04_grpo_token.parquet"),
        str(STUDY / "e04_rloo_token.parquet"),
    ],
    "reuse": ["reuse", str(ROOT / "data" / "paper" / "reuse.parquet")],
    "rollouts": ["rollouts", str(STUDY / "e03.parquet")],
    "report": ["report", str(RUNS), "--out", "report.html"],
}


def seconds(words: list[str], times: int = 5) -> float:
    """Return the median seconds of a command as a whole process."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(times):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-m", "scalefit", *words], check=True, capture_output=True, cwd=folder)
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main() -> None:
    """Measure, printing and writing each part as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "decisions.json")
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--part", default="", help="only the parts whose name begins so")
    given = parser.parse_args()
    report: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    report["machine"] = {"processor": processor(), "cores": os.cpu_count(), "versions": versions()}
    parts: dict[str, Any] = {
        "seconds": lambda: {name: seconds(words) for name, words in COMMANDS.items()},
        "design": designs,
        **{
            f"frontier, truth {law}": (lambda law=law: frontiers(law, given.simulations))
            for law in ("saturating-linear", "saturating-crossing")
        },
    }
    for name, part in parts.items():
        if not name.startswith(given.part):
            continue
        report[name] = part()
        print(name, report[name], flush=True)
        write_json(given.out, report, 4)


if __name__ == "__main__":
    main()
