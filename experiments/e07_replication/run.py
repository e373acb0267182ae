"""Make the study's tables, arm by arm in the order of `make.py`; runs that are there already are skipped.

`python experiments/e07_replication/run.py --jobs 2` makes all of it, `... start tokens` some arms. It may be stopped at any moment and
goes on where it was. What an arm cost is added up in `times.json`, in processor time, which other work on the machine leaves alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from make import ARMS  # noqa: E402

from scalefit.output import write_text  # noqa: E402

DATA = HERE.parents[1] / "data" / "study"
TIMES = HERE / "times.json"


def table_of(arm: str) -> Path:
    """Return where an arm's runs table is."""
    return DATA / f"e07_{arm}.parquet"


def processor_seconds() -> float:
    """Return the processor time of all processes that this one has waited for [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_arm(arm: str, jobs: int) -> int:
    """Make an arm's table; return the exit status of `scalefit run`."""
    before = processor_seconds()
    asked = [sys.executable, "-m", "scalefit", "run", str(HERE / "arms" / f"{arm}.toml")]
    made = subprocess.run([*asked, "--out", str(table_of(arm)), "--jobs", str(jobs)], cwd=HERE.parents[1])
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    times[arm] = round(times.get(arm, 0.0) + processor_seconds() - before)
    write_text(TIMES, json.dumps(times, indent=1) + "\n")
    return made.returncode


def main() -> int:
    """Make the arms that are named, or all; return 1 where runs of one are missing, after making the others."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("arms", nargs="*", choices=[*ARMS, []], metavar="arm", help=", ".join(ARMS))
    asked.add_argument("--jobs", type=int, default=1)
    options = asked.parse_args()
    missing = [arm for arm in options.arms or ARMS if make_arm(arm, options.jobs)]
    if missing:
        print(f"not all runs were made of: {', '.join(missing)}", file=sys.stderr)
    return bool(missing)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
