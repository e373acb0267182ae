"""Measure what the README promises, as medians and ratios of one run; print a table and write JSON.

Run as `make bench`. Times are this machine's; the ratios travel.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import fitting
import grading
import numpy as np
import runner

import scalefit as sf
from scalefit.fitting.bootstrap import bootstrap
from scalefit.output import write_text
from scalefit.provenance import versions

ROOT = Path(__file__).parents[1]


def reach(limit: float = 60.0, steps: int = 1000) -> dict[str, float]:
    """Double the evaluations of a simulated table until fit, 1000 bootstrap fits and held-out sizes take over a minute."""
    found: dict[str, float] = {}
    while True:
        samples = 512.0 * np.arange(1, steps + 1)
        runs = sf.simulate(
            "saturating-affine", fitting.TRUTH, params=fitting.SIZES, samples=samples, sigma=0.012, rho=0.5, seed=0
        )
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
    parser.add_argument("--quick", action="store_true", help="few repeats of small fits, to see that all run")
    parser.add_argument("--part", choices=("fitting", "reach", "runner", "grading", "all"), default="all")
    arguments = parser.parse_args()
    report = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    report["machine"] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": versions("torch", "trl", "transformers", "cma"),
    }
    if arguments.part in ("fitting", "all"):
        report["results"] = fitting.measure(arguments.quick)
    if arguments.part in ("reach", "all"):
        report["reach"] = reach()
    if arguments.part in ("runner", "all"):
        report["runner"] = runner.measure()
    if arguments.part in ("grading", "all"):
        report["grading"] = grading.measure()
    if arguments.quick:
        return
    text = json.dumps(report, indent=2) + "\n"
    write_text(arguments.out, text)


if __name__ == "__main__":
    main()
