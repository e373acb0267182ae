"""`scalefit`: the embedded loop of `scalefit.runner.train`, from the run's last checkpoint where there is one."""

from __future__ import annotations

import time
from pathlib import Path

from scalefit.runner.checkpoint import load_checkpoint, save_checkpoint
from scalefit.runner.config import RunSpec
from scalefit.runner.engines.watch import Say, Watch
from scalefit.runner.identity import require_same
from scalefit.runner.policies import make_policy
from scalefit.runner.run_folder import CHECKPOINT, append_row, finish, write_rows
from scalefit.runner.tasks.judge import judges
from scalefit.runner.train import Run

UNSHIELDED = "answers were judged in processes that could reach the network, since this system gives them no namespace of their own"


def make_run(spec: RunSpec, folder: Path, say: Say) -> None:
    """Make one run in its folder."""
    alive = Watch(spec, say)
    require_same(spec)
    task = spec.make_task()
    judges().widen(spec.config.threads)
    run = Run(spec, task, make_policy(spec, task, alive))
    try:
        refused = load_checkpoint(run, folder)
        if refused:
            say(
                "note",
                run=spec.run_id,
                text=f"{folder / CHECKPOINT} {refused}; the run starts again, with the same result",
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
    finally:
        run.sampler.close()
    if judges().network:
        say("note", run=spec.run_id, text=UNSHIELDED)
    finish(folder, status=status, steps=run.state.step, digest=spec.digest(), seconds=run.seconds)
    say("done", run=spec.run_id, status=status, step=run.state.step, loss=run.state.rows[-1]["loss"])
