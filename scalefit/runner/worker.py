"""A process that makes runs, one after the other: reads a line of JSON for each from stdin, reports on stdout.

It stops by itself when the sweep that started it is gone. Everything it prints is a line of JSON with a key `event`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError
from scalefit.runner.config import RunSpec, from_plain

REPORT_EVERY = 0.5
"""Seconds between progress lines."""


def say(event: str, **content: Any) -> None:
    """Print a line for the sweep."""
    print(json.dumps({"event": event, **content}), flush=True)


def keep_memory() -> None:
    """Ask glibc to keep freed memory: returning it after every product and taking it back costs page faults."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        for option, value in ((mmap_threshold, 1 << 30), (trim_threshold, 1 << 30), (top_pad, 1 << 26)):
            libc.mallopt(option, value)
    except (OSError, AttributeError):
        pass


def make_run(spec: RunSpec, folder: Path) -> None:
    """Make one run in its folder, from its last checkpoint where there is one."""
    from scalefit.runner.checkpoint import append_row, finish, load_checkpoint, save_checkpoint, write_rows
    from scalefit.runner.policies import make_policy
    from scalefit.runner.tasks import make_task
    from scalefit.runner.train import Run

    parent, spoken = os.getppid(), 0.0

    def alive(text: str = "") -> None:
        nonlocal spoken
        if os.getppid() != parent:
            sys.exit(1)
        if time.monotonic() - spoken > REPORT_EVERY:
            spoken = time.monotonic()
            say("progress", run=spec.run_id, text=text)

    task = make_task(spec.config.task)
    run = Run(spec, task, make_policy(spec, task, alive))
    refused = load_checkpoint(run, folder)
    if refused:
        say(
            "note",
            run=spec.run_id,
            text=f"{folder / 'checkpoint.pt'} {refused}; the run starts again, with the same result",
        )
    write_rows(folder, run.state.rows)
    first, begin = run.state.step, time.monotonic()

    def after_row(run: Run) -> None:
        append_row(folder, run.state.rows[-1])
        save_checkpoint(run, folder)

    def after_step(run: Run) -> None:
        last = run.state.rows[-1]
        rate = (run.state.step - first) / max(time.monotonic() - begin, 1e-9)
        alive(f"step {run.state.step}/{spec.config.grpo.steps}, {rate:.1f} steps/s, loss {last['loss']:.3f}")

    status = run.go(after_row, after_step)
    finish(folder, {"status": status, "steps": run.state.step, "digest": spec.digest(), "seconds": run.seconds})
    say("done", run=spec.run_id, status=status, step=run.state.step, loss=run.state.rows[-1]["loss"])


def main() -> None:
    """Serve the sweep that started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep decides when to stop
    keep_memory()
    import torch

    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        spec = from_plain(order["spec"])
        torch.set_num_threads(spec.config.threads)
        folder = Path(order["folder"])
        try:
            with open(folder / "lock", "w", encoding="ascii") as lock:
                # Where a worker was lost with its starter, it may still be ending its step.
                fcntl.flock(lock, fcntl.LOCK_EX)
                make_run(spec, folder)
        except (ScalefitError, OSError, MemoryError) as error:
            say("failed", run=spec.run_id, text=f"{type(error).__name__ if not str(error) else error}")


if __name__ == "__main__":
    main()
