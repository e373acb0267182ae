"""Measure how long a million rows of JSON lines take and how much memory, beside polars, in one run.

Every reading is a fresh process, imports included, and the readers take turns; medians and ratios are printed and
written. Run as `make bench-tables`. Times are this machine's; the ratios travel.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from scalefit.provenance import versions, write_json

ROOT = Path(__file__).parents[1]
HEAD = "import resource, sys, time\nbegin = time.perf_counter()\n"
TAIL = (
    "\nprint(rows, time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    "sys.stdout.flush()"
)
READERS = {
    "polars": "import polars\nrows = len(polars.read_ndjson('big.jsonl'))",
    "read_runs": "import scalefit\nrows = len(scalefit.read_runs('big.jsonl').frame)",
    "import columns": (
        "from pathlib import Path\nfrom scalefit.table.importers.columns import import_columns\n"
        "rows = len(import_columns(Path('big.jsonl'), Path('map.toml'), lambda done, total: None).runs.frame)"
    ),
}
MAP = """[columns]
run_id = "run_id"
series = "series"
params = "params"
step = "step"
samples = "samples"
flops = "flops"
loss = "1 - (1 - loss)"
eval = "eval"
"""


def write_log(path: Path, rows: int) -> None:
    """Write a log of runs of a thousand steps, thirteen fields a row."""
    rng, steps = np.random.default_rng(0), 1000
    with open(path, "w", encoding="utf-8") as file:
        for run in range(rows // steps):
            size = (0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 72e9)[run % 7]
            for step in range(1, steps + 1):
                samples = 512.0 * step
                loss = min(max(samples ** (-0.14 * size / (size + 1.3e10)) + 0.012 * rng.standard_normal(), 0.0), 1.0)
                row = {
                    "run_id": f"run{run}", "series": "base", "params": size, "seed": run // 7, "step": step,
                    "samples": samples, "tokens": 8000 * samples, "flops": 6 * size * 8000 * samples, "eval": "test",
                    "eval_size": 500, "loss": loss, "response_length": rng.random() * 1000, "entropy": rng.random(),
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")


def measure(code: str, folder: str, rows: int) -> tuple[float, float]:
    """Return time [s] and peak memory [MiB] of a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HEAD + code + TAIL]
    found = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    read, seconds, peak = found.stdout.split()
    if int(read) != rows:
        raise RuntimeError(f"{read} rows read of {rows}")
    return float(seconds), float(peak)


def main() -> None:
    """Measure every reader in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "tables.json")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_log(Path(folder, "big.jsonl"), arguments.rows)
        Path(folder, "map.toml").write_text(MAP)
        size = Path(folder, "big.jsonl").stat().st_size / 2**20
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in READERS}
        for _ in range(arguments.times):
            for name, code in READERS.items():
                taken[name].append(measure(code, folder, arguments.rows))
    middle = {name: [statistics.median(part) for part in zip(*some, strict=True)] for name, some in taken.items()}
    for name, (seconds, peak) in middle.items():
        results |= {f"{name} [s]": seconds, f"{name}, peak [MiB]": peak}
        if name != "polars":
            results[f"{name} / polars, time (asked: 2)"] = seconds / middle["polars"][0]
            results[f"{name} / polars, memory (asked: 2)"] = peak / middle["polars"][1]
    for name, value in results.items():
        print(f"{name:45s} {value:10.4g}")
    machine = {"cores": os.cpu_count(), "versions": versions("pyarrow", "pandas", "polars")}
    about = {"rows": arguments.rows, "file [MiB]": size, "processes a reader": arguments.times}
    write_json(arguments.out, {"machine": machine, **about, "results": results}, digits=4)


if __name__ == "__main__":
    main()
