"""`scalefit`: the embedded loop of `scalefit.runner.train`, from the run's last checkpoint where there is one."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import torch

from scalefit.runner.checkpoint import load_checkpoint, save_checkpoint
from scalefit.runner.config import RunSpec
from scalefit.runner.engines.watch import Say, Watch
from scalefit.runner.identity import require_same
from scalefit.runner.kept import Keeper
from scalefit.runner.policies import make_policy
from scalefit.runner.run_folder import CHECKPOINT, append_row, finish, reopen, write_rows
from scalefit.runner.step_log import StepLog
from scalefit.runner.tasks.judge import judges
from scalefit.runner.train import Run

UNSHIELDED = "answers were judged in processes that could reach the network, since this system gives them no namespace of their own"


def make_run(spec: RunSpec, folder: Path, say: Say) -> None:
    """Make one run in its folder."""
    alive = Watch(spec, say)
    require_same(spec)
    task = spec.make_task()
    judges().widen(torch.get_num_threads())
    run = Run(spec, task, make_policy(spec, task, alive))

    def note(text: str) -> None:
        say("note", run=spec.run_id, text=text)

    if run.lengths.said:
        note(run.lengths.said)
    try:
        refused = load_checkpoint(run, folder)
        if refused:
            note(f"{folder / CHECKPOINT} {refused}; the run starts again, with the same result")
        run.reopen()
        reopen(folder)  # before its last row may go
        write_rows(folder, run.state.rows)
        keep = Keeper(spec, folder, run.policy.export)
        log = StepLog(spec, folder, note, reached=run.state.step if run.state.rows else -1)
        log.begin(run.state.totals["tokens"], run.seconds)
        first, begin = run.state.step, time.monotonic()

        def after_row(run: Run) -> None:
            _write_log(log, run)  # before the checkpoint: a run that goes on from it makes none of its steps again
            append_row(folder, run.state.rows[-1])
            keep(run.state.step, run.state.rows)
            save_checkpoint(run, folder)

        def after_step(run: Run) -> None:
            keep(run.state.step, run.state.rows)
            _write_log(log, run)
            last, steps = run.state.rows[-1], spec.config.grpo.steps
            rate = (run.state.step - first) / max(time.monotonic() - begin, 1e-9)
            said = f"step {run.state.step}/{steps}, {rate:.1f} steps/s, loss {last['loss']:.3f}"
            alive(said, run.state.step / steps)

        with contextlib.closing(log):
            status = run.go(after_row, after_step)
    finally:
        run.sampler.close()
    if judges().network:
        note(UNSHIELDED)
    finish(folder, spec, status=status, steps=run.state.step, seconds=run.seconds)
    say("done", run=spec.run_id, status=status, step=run.state.step, loss=run.state.rows[-1]["loss"])


def _write_log(log: StepLog, run: Run) -> None:
    last = run.state.rows[-1]
    loss = {"loss": last["loss"]} if last["step"] == run.state.step else {}
    log.write(run.state.step, {**run.last_step, **loss}, run.state.totals["tokens"], run.seconds)
