"""A callback for the trainers of transformers and TRL; transformers is imported when one is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scalefit.live.guard import Guard, to_stderr
from scalefit.live.reports import in_use
from scalefit.live.tracker import Tracker

AXIS = "train/global_step"
"""Metric under which trainers of transformers log their step."""


def callback(out: str | Path = "runs.parquet", *, run: str | None = None, **options: Any) -> Any:
    """Return a `TrainerCallback` that watches a training.

    What a run is, it asks the trainer for: its arguments say the prompts of a step, the rollouts, the seed and where the
    run is to end, and its model how large it is.

    Parameters
    ----------
    out : str or Path
        Runs table.
    run : str, optional
        Name of the run; by default the trainer's `run_name`, else its output folder's.
    **options
        As for `Tracker`; `stop_when` may stop the training.

    Returns
    -------
    transformers.TrainerCallback
        To be given to a trainer as one of its `callbacks`.

    Raises
    ------
    UsageError
        If an argument makes no sense. Nothing is raised later.
    """
    from transformers import TrainerCallback

    class Live(TrainerCallback):
        """Watches a training; see `scalefit.live.callback`."""

        def __init__(self) -> None:
            self.watcher = Watcher(out, run, options)

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.watcher.begin(args, state, kwargs.get("model"))

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            self.watcher.log(state, logs)

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if self.watcher.agrees_to_stop(args):
                control.should_training_stop = True

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.watcher.end()

    return Live()


class Watcher:
    """What a callback does; on the first of several processes only."""

    def __init__(self, out: str | Path, run: str | None, options: dict[str, Any]) -> None:
        self.out, self.run, self.options = out, run, options
        Tracker(out, **{"run": run or "run", **options})  # refuses what makes no sense before the training begins
        self.guard = Guard(options.get("tell", to_stderr))
        self.tracker: Tracker | None = None

    def begin(self, args: Any, state: Any, model: Any) -> None:
        """Begin to watch."""
        if not state.is_world_process_zero:
            return
        with self.guard.watch("the training is not watched", "begin"):
            run = self.run or getattr(args, "run_name", None) or Path(args.output_dir).name
            said = {"kind": "trl" if hasattr(args, "num_generations") else None, "x": "step", **self.options}
            if state.max_steps and state.max_steps > 0:
                said = {"until": state.max_steps, **said}
            if "to" not in said:
                said["to"] = in_use(AXIS, _events_of(args))
            facts = {**_facts_of(args, model), **said.pop("facts", {})}
            self.tracker = Tracker(self.out, run=run, facts=facts, config=args.to_dict(), **said)

    def log(self, state: Any, logs: Any) -> None:
        """Take what the trainer logs."""
        if self.tracker is not None and state.is_world_process_zero:
            self.tracker.log(logs or {}, state.global_step)

    def agrees_to_stop(self, args: Any) -> bool:
        """Say whether to stop, on all processes alike."""
        stop = self.tracker is not None and self.tracker.should_stop
        if self.options.get("stop_when") and args.world_size > 1:
            with self.guard.watch("the processes cannot agree on stopping", "agree"):
                from accelerate.utils import broadcast_object_list

                return bool(broadcast_object_list([stop])[0])
        return stop

    def end(self) -> None:
        """Write the table."""
        if self.tracker is not None:
            self.tracker.close()


def _events_of(args: Any) -> Path | None:
    """Return the folder of the event files that the trainer itself has begun; None where it writes none."""
    if "tensorboard" not in (args.report_to or ()):
        return None
    said = getattr(args, "logging_dir", None) or os.environ.get("TENSORBOARD_LOGGING_DIR")
    if said:
        return Path(said)
    runs = Path(args.output_dir) / "runs"
    return max(runs.glob("*"), key=lambda folder: folder.stat().st_mtime, default=runs)


def _facts_of(args: Any, model: Any) -> dict[str, Any]:
    """Return what a trainer says of its run."""
    group = int(getattr(args, "num_generations", None) or 1)
    rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    found = {"prompts": max(rows // group, 1), "group_size": group, "seed": args.seed}
    if model is not None:
        found["params"] = sum(weight.numel() for weight in model.parameters())
    return found
