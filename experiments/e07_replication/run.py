"""Make the study's tables, arm by arm in the order of `make.py`; runs that are there already are skipped.

`python experiments/e07_replication/run.py --jobs 2` makes all of it, `... start tokens` some arms. It may be stopped at any moment and
goes on where it was. What an arm cost is added up in `times.json`, in processor time, which other work on the machine leaves alone.
With `--small FOLDER` it is tried out within a minute: small versions of the arms, one of each kind, so many at a time as there
are jobs, with files and tables in a folder of their own.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from make import ARMS, BY_NUMBER, text_of  # noqa: E402

from scalefit.output import write_text  # noqa: E402

DATA = HERE.parents[1] / "data" / "study"
TIMES = HERE / "times.json"


def table_of(arm: str, folder: Path = DATA) -> Path:
    """Return where an arm's runs table is."""
    return folder / f"e07_{arm}.parquet"


def processor_seconds() -> float:
    """Return the processor time of all processes that this one has waited for [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(file: Path, table: Path, jobs: int = 1) -> int:
    """Have a table made or completed; return the exit status of `scalefit run`."""
    asked = [sys.executable, "-m", "scalefit", "run", str(file), "--out", str(table), "--jobs", str(jobs)]
    return subprocess.run(asked, cwd=HERE.parents[1]).returncode


def make_arm(arm: str, jobs: int) -> int:
    """Make an arm's table and add up what it cost."""
    before = processor_seconds()
    status = run(HERE / "arms" / f"{arm}.toml", table_of(arm), jobs)
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    times[arm] = round(times.get(arm, 0.0) + processor_seconds() - before)
    write_text(TIMES, json.dumps(times, indent=1) + "\n")
    return status


def make_small(arm: str, folder: Path) -> int:
    """Make the small version of an arm, file and table, in a folder that has the task."""
    file = folder / "arms" / f"{arm}.toml"
    write_text(file, text_of(arm, small=True))
    return run(file, table_of(arm, folder))


def make_all(arms: Iterable[str], make: Callable[[str], int], at_once: int = 1) -> list[str]:
    """Make the tables of arms; return those of which runs are missing.

    An interrupt ends what is under way, which keeps its rows, and nothing else is begun.
    """
    with ThreadPoolExecutor(at_once) as pool:
        each = {arm: pool.submit(make, arm) for arm in arms}
        try:
            return [arm for arm, one in each.items() if one.result()]
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # `scalefit run` has heard it too, and ends in its own way
            raise


def main() -> int:
    """Make the arms that are named, or all; return 1 where runs of one are missing, after making the others."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("arms", nargs="*", choices=[*ARMS, []], metavar="arm", help=", ".join(ARMS))
    asked.add_argument("--jobs", type=int, default=1)
    asked.add_argument(
        "--small", type=Path, metavar="FOLDER", help="try small versions of the arms out, in this folder"
    )
    options = asked.parse_args()
    arms = options.arms or ARMS
    if options.small:
        arms = options.arms or [arm for arm in ARMS if arm not in BY_NUMBER]
        folder = options.small.resolve()
        (folder / "arms").mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "walk.py", folder)
        missing = make_all(arms, partial(make_small, folder=folder), options.jobs)
    else:
        missing = make_all(arms, partial(make_arm, jobs=options.jobs))
    if missing:
        print(f"not all runs were made of: {', '.join(missing)}", file=sys.stderr)
    return bool(missing)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
