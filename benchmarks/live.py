"""What watching costs: seconds an evaluation by how many there are; and the lines of docs/live.md, made from a real run.

Run as `make bench-live`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from experiments.study import between
from scalefit.live import Monitor
from scalefit.output import write_json, write_text
from scalefit.table.io import read_runs

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "live.md"
TABLE, RUN = ROOT / "data" / "study" / "e06.parquet", "100k-base-conjunction-h2-g8-r1-s0"
SEEN, UNTIL, GPU_HOURS_A_STEP = 70, 200, 0.4
COUNTS = (50, 100, 200, 500)
REPEATS = 15


def cost(count: int) -> dict[str, float]:
    """Return milliseconds an evaluation takes after so many, its file synced to disk: of the processor, and by the clock."""
    with tempfile.TemporaryDirectory() as folder:
        monitor = Monitor(Path(folder) / "runs.parquet", run="a", params="7B", tell=lambda said: None)
        draw = np.random.default_rng(0)

        def evaluate(step: int) -> None:
            loss = 0.3 + 0.4 * (1 + step / 5) ** -0.5 + draw.normal(0, 0.005)
            monitor.log(step, loss, samples=64 * step)

        monitor.until = 1e9  # too far to be forecast: the evaluations before those that are timed
        for step in range(1, count + 1):
            evaluate(step)
        monitor.until = 64.0 * 2 * count
        evaluate(count + 1)
        spent, passed = [], []
        for step in range(count + 2, count + 2 + REPEATS):
            busy, began = time.process_time(), time.perf_counter()
            evaluate(step)
            spent.append(time.process_time() - busy)
            passed.append(time.perf_counter() - began)
        monitor.close()
    return {"processor ms": 1e3 * float(np.median(spent)), "ms": 1e3 * float(np.median(passed))}


def monitor_lines() -> list[str]:
    """Return the last lines that a monitor of the run prints."""
    frame = read_runs(TABLE).frame
    rows = frame[frame["run_id"] == RUN].sort_values("step").head(SEEN)
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        monitor = Monitor(
            Path(folder) / "runs.parquet", run="mine", params="100k", until=UNTIL, x="step", gpus=8, tell=told.append
        )
        for row in rows.itertuples():
            hours = GPU_HOURS_A_STEP * row.step
            monitor.log(int(row.step), float(row.loss), samples=float(row.samples), hours=hours / 8, gpu_hours=hours)
        monitor.close()
    return told[-3:]


def blocks() -> dict[str, str]:
    """Return the page's blocks that are made, by their names."""
    return {"lines": "\n".join(monitor_lines())}


def with_blocks(text: str) -> str:
    """Return the page with its blocks made anew."""
    for name, content in blocks().items():
        text = between(text, name, f"```{{ .text .printed }}\n{content}\n```")
    return text


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="the page alone")
    if not parser.parse_args().page:
        found = {str(count): cost(count) for count in COUNTS}
        print(json.dumps(found, indent=1))
        write_json(Path(__file__).with_suffix(".json"), {"evaluations": found, "load": os.getloadavg()[0]}, 3)
    write_text(PAGE, with_blocks(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
