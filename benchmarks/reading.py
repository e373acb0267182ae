"""Measure how long reading takes and how much memory: a million rows of JSON lines beside polars, a log of 1 GiB beside orjson.

Every reading is a fresh process, imports included, and the readers take turns; medians and ratios are printed and
written. Run as `make bench-reading`. Times are this machine's; the ratios travel.
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

from scalefit.output import write_json
from scalefit.provenance import versions

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
        "rows = len(import_columns(Path('big.jsonl'), Path('map.toml'), lambda done, total: None)[0].frame)"
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


LOG = {
    "orjson": "import orjson\nrows = sum('step' in orjson.loads(line) for line in open('log.jsonl', 'rb'))",
    "import": (
        "import scalefit\nfacts = dict(params='7B', prompts='512', group_size='8', series='base', flops='6N')\n"
        "rows = len(scalefit.import_runs(None, 'log.jsonl', facts).runs.frame)"
    ),
}


def write_table(path: Path, rows: int) -> None:
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


def write_log(path: Path, size: int) -> int:
    """Write a log as verl's file logger does, 300 metrics a step, of so many bytes; return its steps."""
    others = {f"timing_s/part{at}": 1.0 / (at + 1) for at in range(300)}
    step = 0
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < size:
            step += 1
            data = {**others, "perf/total_num_tokens": 1000 + step, "val-core/a/acc/mean@1": 0.3 + 1e-6 * step}
            file.write(json.dumps({"step": step, "data": data}) + "\n")
    return step


def medians(readers: dict[str, str], folder: str, rows: int, times: int) -> dict[str, list[float]]:
    """Return each reader's median time [s] and peak memory [MiB], taken in turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for _ in range(times):
        for name, code in readers.items():
            taken[name].append(measure(code, folder, rows))
    return {name: [statistics.median(part) for part in zip(*some, strict=True)] for name, some in taken.items()}


def main() -> None:
    """Measure every reader in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "reading.json")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--log", type=int, default=1 << 30, help="bytes of the log")
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder, "big.jsonl"), arguments.rows)
        Path(folder, "map.toml").write_text(MAP)
        size = Path(folder, "big.jsonl").stat().st_size / 2**20
        middle = medians(READERS, folder, arguments.rows, arguments.times)
        steps = write_log(Path(folder, "log.jsonl"), arguments.log)
        logs = medians(LOG, folder, steps, arguments.times)
    for name, (seconds, peak) in middle.items():
        results |= {f"{name} [s]": seconds, f"{name}, peak [MiB]": peak}
        if name != "polars":
            results[f"{name} / polars, time (asked: 2)"] = seconds / middle["polars"][0]
            results[f"{name} / polars, memory (asked: 2)"] = peak / middle["polars"][1]
    for name, (seconds, peak) in logs.items():
        results[f"log by {name} [MB/s]" + (" (asked: 40)" if name == "import" else "")] = arguments.log / 1e6 / seconds
        results[f"log by {name}, peak [MiB]" + (" (asked: 500)" if name == "import" else "")] = peak
    for name, value in results.items():
        print(f"{name:45s} {value:10.4g}")
    machine = {"cores": os.cpu_count(), "versions": versions("pyarrow", "pandas", "polars", "orjson")}
    about = {"rows": arguments.rows, "file [MiB]": size, "log [MiB]": arguments.log / 2**20, "times": arguments.times}
    write_json(arguments.out, {"machine": machine, **about, "results": results}, digits=4)


if __name__ == "__main__":
    main()
