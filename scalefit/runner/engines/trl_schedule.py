"""When TRL's trainer evaluates, saves, stops, and tells the run's log of an update."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from scalefit.runner.engines.trl_launch import whole_steps

WHOLE = "whole"
"""Marks a checkpoint that was written to its end."""


class Schedule(TrainerCallback):
    """Asks for evaluations and checkpoints where the configuration has them, and stops a run that has diverged."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.diverged = trainer, False

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Start the clock of the log."""
        self.trainer.steps.begin(float(state.num_input_tokens_seen))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        """Take in an update; what is logged of an evaluation and at the end has no `loss`."""
        if logs is None or "loss" not in logs:
            return
        if not math.isfinite(float(logs.get("grad_norm") or 0.0)):
            self.diverged = control.should_training_stop = True
        else:
            self.trainer.steps.hear(logs, state.global_step, float(state.num_input_tokens_seen))

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Mark the checkpoint as whole; the one before it is still there until the next is begun."""
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Evaluate and save after the steps that are due."""
        step = whole_steps(state.global_step, self.trainer.spec)
        if step is not None and self.trainer.spec.due(step):
            control.should_evaluate = control.should_save = True
