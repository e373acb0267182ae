"""`make paper`: check the inputs, make every result, draw every figure, write the page.

`scalefit paper` runs it in a checkout; two processes at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scalefit as sf
from scalefit.output import make_folder
from scalefit.plotting.gallery import draw_gallery
from scalefit.progress import advance

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "figures")]

from common import update  # noqa: E402
from record import RESULTS, check_inputs  # noqa: E402

RESULT_SCRIPTS = ("prediction", "scalerl", "late", "saturation", "fits", "reuse", "finals", "decomposition", "clock")
STUDY = {"e01": (), "e02": ("reuse",), "e03": ("group_size",)}
"""Tables of our own runs whose pictures are on the page; of the later ones, those of the arm that varies."""


def leave_interrupts() -> None:
    """Let the parent process alone hear Ctrl-C; it stops the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(script: Path) -> str:
    """Run a script as if from the command line."""
    os.chdir(ROOT)
    runpy.run_path(str(script), run_name="__main__")
    return script.name


def own_runs(table: str) -> str:
    """Draw the pictures of one of our own tables."""
    with tempfile.TemporaryDirectory() as folder:
        made = draw_gallery(sf.read_runs(ROOT / "data" / "study" / f"{table}.parquet"), Path(folder)).made
        shown = (path for path in made if not STUDY[table] or path.stem.startswith(STUDY[table]))
        update(shown, ROOT / "figures" / "study")
    return f"pictures of {table}"


def _call(job: tuple[Callable[[Any], str], Any]) -> str:
    work, what = job
    return work(what)


def main() -> None:
    """Make everything."""
    began = time.monotonic()
    check_inputs()
    make_folder(RESULTS)
    make_folder(ROOT / "figures" / "study")
    figures = sorted((ROOT / "figures").glob("fig*.py"))
    results = [(run, HERE / f"{name}.py") for name in RESULT_SCRIPTS]
    alone = [(run, ROOT / "figures" / "law.py"), *((own_runs, table) for table in STUDY)]
    stages = ([*results, *alone], [(run, path) for path in figures], [(run, HERE / "page.py")])
    done, total = 0, sum(map(len, stages))
    with multiprocessing.get_context("fork").Pool(2, leave_interrupts) as pool:
        for stage in stages:
            for made in pool.imap_unordered(_call, stage):
                done += 1
                advance(done, total)
                print(f"[{time.monotonic() - began:5.1f} s] {made}", file=sys.stderr, flush=True)
    print(f"written: paper_repro.md, {len(figures)} figures in figures/, results in experiments/paper/results/")


if __name__ == "__main__":
    main()
