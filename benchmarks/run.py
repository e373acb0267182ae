"""Measure what the README promises, as medians and ratios of one run; print a table and write JSON.

Run as `make bench`. Times are this machine's; the ratios travel.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grading
import numpy as np
import runner

import scalefit as sf
from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.bootstrap import bootstrap
from scalefit.fitting.fit import Specification, fit_data
from scalefit.fitting.line_problem import LineProblem
from scalefit.laws import get_law
from scalefit.output import write_text
from scalefit.provenance import versions
from scalefit.table.prepare import prepare

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "data" / "paper" / "runs.parquet"
SIZES = [0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 72e9]


def median(call: Callable[[], object], times: int) -> float:
    """Return the median wall time of a call after one warm-up [s]."""
    call()
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def command(*arguments: str, times: int = 5) -> float:
    """Return the median time of a whole process [s]."""
    script = str(Path(sys.executable).parent / "scalefit")
    with tempfile.TemporaryDirectory() as folder:
        return median(lambda: subprocess.run([script, *arguments], cwd=folder, check=True, capture_output=True), times)


def cma_fit(problem: LineProblem, seed: int) -> tuple[float, float]:
    """Fit the same objective with CMA-ES as the paper did; return time [s] and half the sum of squares."""
    import cma

    low, high = np.array([0.0, 1e8] + [-10.0] * 7), np.array([2.0, 1e11] + [10.0] * 7)

    def cost(unit: np.ndarray) -> float:
        theta = low + (high - low) * np.asarray(unit)
        theta[1] = np.log(theta[1])
        return float(problem.cost(theta[None])[0])

    begin = time.perf_counter()
    options = {"popsize": 20, "maxiter": 1600, "bounds": [0, 1], "seed": seed, "verbose": -9}
    result = cma.fmin2(cost, [0.5] * 9, 0.25, options)[1]
    return time.perf_counter() - begin, float(result.result.fbest)


def big_table(path: Path, rows: int) -> None:
    """Write a simulated table of many runs, one run at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    steps, rng = 1000, np.random.default_rng(0)
    writer = None
    for run in range(rows // steps):
        N = SIZES[run % 7]
        k = 0.14 * N / (N + 1.3e10)
        samples = 512.0 * np.arange(1, steps + 1)
        loss = np.clip(samples**-k + 0.012 * rng.standard_normal(steps), 0, 1)
        table = pa.table(
            {
                "run_id": pa.array([f"run{run}"] * steps),
                "series": pa.array(["base"] * steps),
                "params": np.full(steps, N),
                "seed": np.full(steps, run // 7),
                "step": np.arange(1, steps + 1),
                "samples": samples,
                "tokens": 8000 * samples,
                "flops": 6 * N * 8000 * samples,
                "eval": pa.array(["test"] * steps),
                "eval_size": np.full(steps, 500),
                "loss": loss,
                "response_length": rng.random(steps) * 1000,
                "entropy": rng.random(steps),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def memory(rows: int) -> tuple[float, float]:
    """Return peak memory [GiB] and time [s] of `scalefit fit` on a table of many rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.parquet"
        big_table(path, rows)
        code = (
            "import resource, sys; sys.argv = ['scalefit', 'fit', 'big.parquet']\n"
            "from scalefit.cli.main import app\n"
            "app(standalone_mode=False)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        begin = time.perf_counter()
        found = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True)
        return int(found.stdout.split()[-1]) / 2**20, time.perf_counter() - begin


def fitting(rows: int) -> dict[str, float]:
    """Measure the analysis half; print as it goes."""
    (data,) = prepare(sf.read_runs(RUNS), "samples", {"series": "base"})
    bound = BoundLaw(get_law("saturating"), data.sizes)
    spec = Specification(noise="independent")

    def solve() -> float:
        problem = LineProblem(bound, data)
        return float(problem.solve(bound.start(data)[None]).cost[0])

    fit = fit_data("saturating", data, spec)
    ours = median(solve, 50)
    cma_time, cma_cost = min((cma_fit(LineProblem(bound, data), seed) for seed in (1, 2, 3)), key=lambda pair: pair[1])
    peak, big_time = memory(rows)
    results = {
        "one fit, start to optimum [ms] (asked: 1)": 1e3 * ours,
        "CMA-ES time / ours (asked: 1000)": cma_time / ours,
        "objective, CMA-ES / ours - 1 (asked: 1e-8)": cma_cost / solve() - 1,
        "1000 bootstrap fits [s] (asked: 0.15)": median(lambda: bootstrap(fit, 1000), 3),
        "1000 bootstrap fits, AR(1) [s]": median(lambda: bootstrap(fit_data("saturating", data), 1000), 3),
        "scalefit --help [s] (asked: 0.3)": command("--help"),
        "scalefit fit, paper's table [s] (asked: 3)": command("fit", str(RUNS)),
        f"fit of {rows} rows, peak [GiB] (asked: 2)": peak,
        f"fit of {rows} rows [s]": big_time,
    }
    for name, value in results.items():
        print(f"{name:55s} {value:12.4g}")
    results["peak of this process [MiB]"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return results


def reach(limit: float = 60.0, steps: int = 1000) -> dict[str, float]:
    """Double the evaluations of a simulated table until fit, 1000 bootstrap fits and held-out sizes take over a minute."""
    theta = {"k_max": 0.14, "N0": 1.3e10, "E0": -0.02, "x0": 1.2}
    found: dict[str, float] = {}
    while True:
        samples = 512.0 * np.arange(1, steps + 1)
        runs = sf.simulate("saturating-affine", theta, params=SIZES, samples=samples, sigma=0.012, rho=0.5, seed=0)
        begin = time.perf_counter()
        fit = sf.fit(runs)
        bootstrap(fit, 1000)
        sf.cross_validate(runs, mode="zero-shot")
        taken = time.perf_counter() - begin
        print(f"fit, 1000 bootstrap fits and every size held out, {7 * steps} evaluations: {taken:.1f} s", flush=True)
        if taken > limit:
            return found
        found = {"evaluations answered within a minute": 7 * steps, "s": taken}
        steps *= 2


def processor() -> str:
    """Return the processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()} {named[0] if named else ''}".strip()


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results.json")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--part", choices=("fitting", "reach", "runner", "grading", "all"), default="all")
    arguments = parser.parse_args()
    report = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    report["machine"] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": versions("torch", "trl", "transformers", "cma"),
    }
    if arguments.part in ("fitting", "all"):
        report["results"] = fitting(arguments.rows)
    if arguments.part in ("reach", "all"):
        report["reach"] = reach()
    if arguments.part in ("runner", "all"):
        report["runner"] = runner.measure()
    if arguments.part in ("grading", "all"):
        report["grading"] = grading.measure()
    text = json.dumps(report, indent=2) + "\n"
    write_text(arguments.out, text)


if __name__ == "__main__":
    main()
