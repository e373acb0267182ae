"""Time the analysis half: every measurement in a process of its own, beside lmfit, CMA-ES, scipy and others in one run.

Run by `run.py --part fitting`; `python benchmarks/fitting.py NAME` takes one measurement and prints JSON. To add one,
write a function of `quick` that returns lines and put it into `MEASURES`. A call is warm (the median after one that is
not counted) unless its line says that it is the first.
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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rivals import by_cma, by_scipy, simple_scaling_laws

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "data" / "paper" / "runs.parquet"
SIZES = [0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 72e9]
TRUTH = {"k_max": 0.14, "N0": 1.3e10, "E0": -0.02, "x0": 1.2}
Lines = dict[str, float]


def median(call: Callable[[], object], times: int) -> float:
    """Return the median wall time of a call after one warm-up [s]."""
    call()
    return statistics.median(once(call) for _ in range(times))


def once(call: Callable[[], object]) -> float:
    """Return the wall time of one call [s]."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def command(*arguments: str, times: int = 5) -> float:
    """Return the median time of a whole process [s]."""
    script = str(Path(sys.executable).parent / "scalefit")
    with tempfile.TemporaryDirectory() as folder:
        return median(lambda: subprocess.run([script, *arguments], cwd=folder, check=True, capture_output=True), times)


def paper(series: str = "base", both: bool = False) -> Any:
    """Return the paper's curves of a series."""
    import scalefit as sf
    from scalefit.table.prepare import prepare

    return prepare(sf.read_runs(RUNS), None if both else "samples", {"series": series}, both=both)[0]


def curves(sizes: int, steps: int) -> Any:
    """Return simulated curves, one a size, with AR(1) noise."""
    from scalefit.numerics.ar1 import Noise, ar1_noise
    from scalefit.table.prepare import FitData

    N, samples = np.geomspace(1e8, 1e11, sizes), 512.0 * np.arange(1, steps + 1)
    k = TRUTH["k_max"] * N / (N + TRUTH["N0"])
    loss = 10 ** (TRUTH["E0"] + k * TRUTH["x0"])[:, None] * samples ** -k[:, None]
    loss = loss + ar1_noise(np.random.default_rng(0), Noise(0.5, np.full(sizes, 0.012)), (1, *loss.shape))[0]
    resource = np.broadcast_to(samples, loss.shape)[None].copy()
    record = {"eval": "test"}
    return FitData(
        "s", ("samples",), N, resource, loss, np.ones_like(loss), np.full(sizes, np.nan), (1,) * sizes, record
    )


def finals() -> Any:
    """Return 245 final losses of Chinchilla's law with the parameters of Besiroglu et al. 2024, arXiv:2404.10102."""
    data = curves(35, 7)
    N, tokens = np.geomspace(5e7, 1.6e10, 35), np.geomspace(1e9, 3e11, 7)
    clean = 1.817 + 482.01 * N[:, None] ** -0.3478 + 2085.43 * tokens**-0.3658
    loss = clean * np.exp(0.002 * np.random.default_rng(0).standard_normal(clean.shape))
    return replace(data, params=N, resource=np.broadcast_to(tokens, loss.shape)[None].copy(), loss=loss)


def whole(quick: bool) -> Lines:
    """Time what a user waits for: the fit, its intervals, and all of it printed."""
    import scalefit as sf

    runs = sf.read_runs(RUNS)
    times = 3 if quick else 20
    return {
        f"sf.fit, intervals and summary printed, {noise} [ms] (asked: 15)": 1e3
        * median(lambda noise=noise: sf.fit(runs, x="samples", where={"series": "base"}, noise=noise).summary(), times)
        for noise in ("independent", "ar1")
    }


def optimum(quick: bool) -> Lines:
    """Time the bare optimum beside the solvers that others use, all of one objective on the paper's base curves."""
    import scalefit as sf
    from scalefit.fitting.binding import BoundLaw
    from scalefit.fitting.fit import Specification, fit_data
    from scalefit.fitting.line_problem import LineProblem
    from scalefit.fitting.point_problem import PointProblem
    from scalefit.laws import get_law

    data = paper()
    bound = BoundLaw(get_law("saturating"), data.sizes)
    start = bound.start(data)

    def solve() -> float:
        return float(LineProblem(bound, data).solve(bound.start(data)[None]).cost[0])

    cost, ours = solve(), median(solve, 5 if quick else 50)
    found = {"one fit, start to optimum [ms] (asked: 1)": 1e3 * ours}
    fit = replace(fit_data("saturating", data, Specification(noise="independent")), theta=start)
    rivals: dict[str, Callable[[], float]] = {
        "lmfit": lambda: 0.5 * float(sf.to_lmfit(fit).leastsq().chisqr),
        "scipy": lambda: by_scipy(PointProblem(bound, data), start),
    }
    for name, rival in rivals.items():
        found[f"{name} time / ours, from our start"] = median(rival, 3) / ours
        found[f"objective, {name} / ours - 1"] = rival() / cost - 1
    seeds = (1,) if quick else (1, 2, 3)
    cma_time, cma_cost = min((by_cma(LineProblem(bound, data), s, quick) for s in seeds), key=lambda pair: pair[1])
    found["CMA-ES time / ours (asked: 1000)"] = cma_time / ours
    found["objective, CMA-ES / ours - 1 (asked: 1e-8)"] = cma_cost / cost - 1
    return found


def chinchilla(quick: bool) -> Lines:
    """Time Chinchilla's law on the paper's curves, where E is at its bound, and on 245 final losses beside others."""
    from scalefit.fitting.fit import Specification, fit_data
    from scalefit.fitting.point_problem import PointProblem

    tables = {"base": paper("base"), "instruct": paper("instruct"), "245 final losses": finals()}
    found = {}
    for name, data in tables.items():
        for loss, huber in (("squared", None), ("Huber", 1e-3)):
            spec = Specification(noise="independent", huber=huber)
            seconds = median(lambda data=data, spec=spec: fit_data("chinchilla", data, spec), 3 if quick else 10)
            found[f"chinchilla, {loss}, {name} [ms] (asked: 50)"] = 1e3 * seconds
    data = tables["245 final losses"]
    fit = fit_data("chinchilla", data, Specification(noise="independent"))
    problem = PointProblem(fit.bound, data)
    ours = median(lambda: fit_data("chinchilla", data, Specification(noise="independent")), 3)
    ends = np.array([[np.log(1e-2), 0, 0, 0.05, 0.05], [np.log(3), 10, 10, 1, 1]])
    starts = np.random.default_rng(0).uniform(*ends, (2 if quick else 20, 5))
    begin = time.perf_counter()
    best = min(by_scipy(problem, start, ftol=1e-12, xtol=1e-10, gtol=1e-12) for start in starts)
    found[f"chinchilla, scipy from {len(starts)} starts / ours, time"] = (time.perf_counter() - begin) / ours
    found["chinchilla, objective, scipy / ours - 1"] = best / fit.cost - 1
    return found | simple_scaling_laws(data, ours, fit.cost)


def other_laws(quick: bool) -> Lines:
    """Time every law on the paper's two series and on simulated curves: the slowest, and which it was."""
    from scalefit.fitting.fit import Specification, fit_data
    from scalefit.laws import LAWS

    lines: dict[str, dict[str, float]] = {"independent": {}, "ar1": {}}
    for name, law in LAWS.items():
        tables = {series: paper(series, law.resources == 2) for series in ("base", "instruct")}
        if law.resources == 1:
            tables["simulated"] = curves(7, 105)
        for noise, found in lines.items():
            spec = Specification(noise=noise)
            for table, data in tables.items():
                fit = fit_data(name, data, spec)
                seconds = median(lambda name=name, data=data, spec=spec: fit_data(name, data, spec), 1 if quick else 5)
                found[f"{name}, {table}"] = 1e3 * seconds
                print(f"{name:28s} {table:10s} {noise:12s} {1e3 * seconds:9.2f} ms  {fit.status}", file=sys.stderr)
    return {
        f"slowest law, {noise} ({max(found, key=found.__getitem__)}) [ms] (asked: 50)": max(found.values())
        for noise, found in lines.items()
    }


def growth(quick: bool) -> Lines:
    """Time by sizes and by steps, of a line law, a law of each size's own curve and a surface."""
    from scalefit.fitting.fit import Specification, fit_data

    found = {}
    shapes = [(size, 105) for size in ((20,) if quick else (20, 50, 100, 200, 500))]
    shapes += [(7, steps) for steps in ((1000,) if quick else (1000, 10_000, 50_000))]
    for law in ("saturating", "sigmoid", "chinchilla"):
        for noise in ("independent", "ar1") if law == "saturating" else ("independent",):
            for sizes, steps in shapes:
                data = curves(sizes, steps)
                spec = Specification(noise=noise)
                seconds = median(lambda data=data, spec=spec, law=law: fit_data(law, data, spec), 1 if quick else 3)
                found[f"{law}, {noise}, {sizes} sizes x {steps} steps [ms]"] = 1e3 * seconds
    return found


def many_series(quick: bool) -> Lines:
    """Time by series, each of seven sizes and 105 steps."""
    import pandas as pd

    import scalefit as sf
    from scalefit.prediction.predictor import fit_series

    found = {}
    frame = sf.simulate(
        "saturating-affine", TRUTH, params=SIZES, samples=512.0 * np.arange(1, 106), sigma=0.012, rho=0.5, seed=0
    ).frame
    for count in (2,) if quick else (20, 200):
        parts = [
            frame.assign(series=f"s{i:03d}", run_id=[f"{i}-{name}" for name in frame["run_id"]]) for i in range(count)
        ]
        runs = sf.as_runs(pd.concat(parts, ignore_index=True))
        found[f"fits of {count} series [ms]"] = 1e3 * median(
            lambda runs=runs: fit_series(runs, "saturating"), 1 if quick else 3
        )
    return found


def bootstraps(quick: bool, noise: str = "independent") -> Lines:
    """Time a thousand bootstrap fits, the first call of a process."""
    from scalefit.fitting.bootstrap import bootstrap
    from scalefit.fitting.fit import Specification, fit_data

    fit = fit_data("saturating", paper(), Specification(noise=noise))
    return {f"1000 bootstrap fits, {noise}, first call [s] (asked: 0.15)": once(lambda: bootstrap(fit, 1000))}


def processes(quick: bool) -> Lines:
    """Time whole commands."""
    times = 1 if quick else 5
    return {
        "scalefit --help [s] (asked: 0.3)": command("--help", times=times),
        "scalefit fit, paper's table [s] (asked: 3)": command("fit", str(RUNS), times=times),
    }


def rows(quick: bool) -> Lines:
    """Time and memory of `scalefit fit` on a table of many rows."""
    count = 100_000 if quick else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        _write_big(Path(folder) / "big.parquet", count)
        code = (
            "import resource, sys; sys.argv = ['scalefit', 'fit', 'big.parquet']\n"
            "from scalefit.cli.main import app\n"
            "app(standalone_mode=False)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        begin = time.perf_counter()
        found = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - begin
    peak = int(found.stdout.split()[-1]) / 2**20
    return {f"fit of {count} rows, peak [GiB] (asked: 2)": peak, f"fit of {count} rows [s]": seconds}


def _write_big(path: Path, count: int) -> None:
    """Write a simulated table of many runs, one run at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    steps, rng = 1000, np.random.default_rng(0)
    writer = None
    for run in range(count // steps):
        N = SIZES[run % 7]
        k = 0.14 * N / (N + 1.3e10)
        samples = 512.0 * np.arange(1, steps + 1)
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
                "loss": np.clip(samples**-k + 0.012 * rng.standard_normal(steps), 0, 1),
                "response_length": rng.random(steps) * 1000,
                "entropy": rng.random(steps),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


MEASURES: dict[str, Callable[[bool], Lines]] = {
    "whole": whole,
    "optimum": optimum,
    "chinchilla": chinchilla,
    "other_laws": other_laws,
    "growth": growth,
    "many_series": many_series,
    "bootstraps": bootstraps,
    "bootstraps_ar1": lambda quick: bootstraps(quick, "ar1"),
    "processes": processes,
    "rows": rows,
}


def measure(quick: bool) -> Lines:
    """Take every measurement in a process of its own; print as it goes."""
    found: Lines = {}
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for name in MEASURES:
        call = [sys.executable, __file__, name, *(["--quick"] if quick else [])]
        called = subprocess.run(call, env={**os.environ, **single}, stdout=subprocess.PIPE, text=True, check=True)
        lines: Lines = json.loads(called.stdout.splitlines()[-1])
        for line, value in lines.items():
            print(f"{line:80s} {value:12.4g}", flush=True)
        found |= lines
    return found


def main() -> None:
    """Take one measurement in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=MEASURES)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(MEASURES[arguments.name](arguments.quick)))


if __name__ == "__main__":
    main()
