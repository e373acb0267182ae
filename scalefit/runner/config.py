"""A whole experiment and each run of its grid: what they are called, and what decides their rows.

Its parts are in `scalefit.runner.sections`; [task] is the task's own (`scalefit.runner.tasks`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalefit.runner.fields import Whole, section
from scalefit.runner.sections import (
    AdvantageConfig,
    EvalConfig,
    GrpoConfig,
    HfConfig,
    KeepConfig,
    LogConfig,
    PolicyConfig,
    PretrainConfig,
    SizeConfig,
    SweepConfig,
    TrlConfig,
    VllmConfig,
)
from scalefit.runner.tasks.arithmetic import ArithmeticConfig
from scalefit.runner.tasks.own import with_reward
from scalefit.runner.tasks.task import Task, TaskConfig

FORMAT = 1
"""Raised when the same configuration would give other rows, as when a default changes."""
FREE_TEXT_FORMAT = 2
"""The same where answers are read from free text."""
TRL_FORMAT = 3
"""The same where TRL trains."""
HF_FORMAT = 4
"""The same for `hf` policies of scalefit's own loop."""
NANO_POSITIONS = 512
"""Characters that a nano model reads, prompt and answer together."""

KEPT = ("folder", "files")
"""What is known of an experiment beside its file's own keys."""


@section
class Config:
    """A whole experiment; `threads` of each run (0: one for `nano`, for `hf` its share of this machine's cores).

    With `offline` models are taken from this machine alone, and no tracker sends anything. `folder` is where its file lies,
    from which it names others; `files` says what stands for the content of each of them (`scalefit.runner.identity`). Both
    are found, not written; the folder is no part of what the experiment is.
    """

    task: TaskConfig = field(default_factory=ArithmeticConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    hf: HfConfig = HfConfig()
    vllm: VllmConfig = VllmConfig()
    trl: TrlConfig = TrlConfig()
    advantage: AdvantageConfig = AdvantageConfig()
    keep: KeepConfig = KeepConfig()
    log: LogConfig = LogConfig()
    engine: str = "scalefit"
    offline: bool = False
    threads: Whole = 0
    folder: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return what two sweeps must share to be one table: everything but the grid and the sizes."""
        return _digest(self.lasting(self.grpo.steps, self.grpo.horizon).without_grid())

    def without_grid(self) -> Config:
        """Return what all runs of a sweep share and their rows rest on."""
        shared = {name: mark for name, mark in self.files.items() if name not in self._files_of_runs()}
        policy = dataclasses.replace(self.policy, sizes=())
        rows = dataclasses.replace(self, sweep=SweepConfig(), policy=policy, folder="", files=shared)
        return dataclasses.replace(rows, keep=KeepConfig(), log=LogConfig(), offline=False)

    def lasting(self, steps: int, horizon: int) -> Config:
        """Return the same with another length and horizon."""
        horizon = 0 if horizon == steps else horizon
        return dataclasses.replace(self, grpo=dataclasses.replace(self.grpo, steps=steps, horizon=horizon))

    def _files_of_runs(self) -> set[str]:
        """Return the names of files that are not every run's: models, and data that the grid goes through."""
        models = {name for size in self.policy.sizes for name in (size.model, size.instruct_model)}
        swept = {value for name in self.task.data_keys for value in self.sweep.task.get(name, ())}
        return (models | swept) - {getattr(self.task, name) for name in self.task.data_keys}

    def settings(self) -> dict[str, Any]:
        """Return all keys as they are written in the experiment file, and `files`."""
        found = dataclasses.asdict(self)
        del found["folder"]
        return found

    def seen_from(self, place: Path) -> dict[str, str]:
        """Return where the experiment file is, seen from a folder that is moved with it; nothing where there is no file."""
        return {"folder": os.path.relpath(self.folder, place)} if self.folder else {}

    def task_grid(self) -> list[dict[str, Any]]:
        """Return each combination of the task's swept parameters."""
        swept = [name for name in self.task.parameters() if name in self.sweep.task]
        values = itertools.product(*(self.sweep.task[name] for name in swept))
        return [dict(zip(swept, some, strict=True)) for some in values]

    def runs(self) -> list[RunSpec]:
        """Return the grid, smallest size first, in a fixed order."""
        return [
            RunSpec(self, size, series, seed, group, reuse, swept)
            for size in self.policy.sizes
            for swept in self.task_grid()
            for series in self.sweep.series
            for group in self.sweep.group_size
            for reuse in self.sweep.reuse
            for seed in self.sweep.seeds
        ]


@dataclass(frozen=True)
class RunSpec:
    """One run of the grid; `swept` are its own values of the task's parameters."""

    config: Config
    size: SizeConfig
    series: str
    seed: int
    group_size: int
    reuse: int
    swept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """A name that says what the run is."""
        labels = self.config.task.labels
        own = "".join("-" + labels.get(name, name + "{}").format(value) for name, value in self.swept.items())
        return f"{self.size.name}-{self.series}{own}-g{self.group_size}-r{self.reuse}-s{self.seed}"

    @property
    def task(self) -> TaskConfig:
        """The section of the task with the run's own parameters, as written; `make_task` makes the task."""
        return dataclasses.replace(self.config.task, **self.swept)

    def make_task(self) -> Task:
        """Return the run's task, scored by the user's reward where there is one; raises UsageError."""
        return make_task(self.task, self.config.folder)

    @property
    def model_name(self) -> str:
        """The model that the run starts from, as written; empty for nano shapes."""
        return self.size.instruct_model if self.series == "instruct" else self.size.model

    @property
    def model(self) -> str:
        """Where that model is: a place beside the experiment file, or else its name for transformers."""
        beside = os.path.join(self.config.folder, self.model_name)
        return beside if self.model_name and os.path.exists(beside) else self.model_name

    @property
    def task_columns(self) -> dict[str, Any]:
        """What the table says about the task beside the evaluation's name."""
        task = self.task
        return {name: getattr(task, name) for name in dict.fromkeys((*task.labels, *self.swept))}

    @property
    def learning_rate(self) -> float:
        """The size's own learning rate, or the common one."""
        own = self.size.learning_rate
        return self.config.grpo.learning_rate if own is None else own

    def eval_samples(self, step: int) -> int:
        """Return the samples a problem of the evaluation after `step`."""
        settings = self.config.eval
        return (settings.end_samples if self.is_end(step) else 0) or settings.samples

    def is_end(self, step: int) -> bool:
        """Say whether the evaluation after `step` is the first or the last."""
        return step in (0, self.config.grpo.steps)

    def due(self, step: int) -> bool:
        """Say whether an evaluation follows step `step`, counted from 1."""
        each = self.config.eval.per_decade
        if self.is_end(step):
            return True
        if not each:
            return step % self.config.eval.every == 0
        place = each * math.log10(step)
        return any(round(10 ** (at / each)) == step for at in (math.floor(place), math.ceil(place)))

    def shortened(self, steps: int) -> RunSpec:
        """Return the run of so many steps that this one begins with; what its first steps see decides its horizon."""
        grpo = self.config.grpo
        # Where neither rate nor problems know how long the run is, its length is no part of its beginning.
        endless = grpo.schedule == "constant" and self.config.task.order == "drawn" and self.reuse == 1
        horizon = 0 if endless else grpo.horizon or grpo.steps
        return dataclasses.replace(self, config=self.config.lasting(steps, horizon))

    def continues(self, steps: int, digest: str) -> bool:
        """Say whether a run of so many steps and this digest is the beginning of this one."""
        return steps <= self.config.grpo.steps and digest in (self.digest(), self.shortened(steps).digest())

    def digest(self) -> str:
        """Return a hash of all that decides the run's rows."""
        own = {self.model_name, *(value for value in self.swept.values() if isinstance(value, str))}
        files = {name: mark for name, mark in self.config.files.items() if name in own}
        mine = self.shortened(self.config.grpo.steps)
        shared = mine.config.without_grid()
        return _digest(dataclasses.replace(mine, config=dataclasses.replace(shared, files={**shared.files, **files})))


def make_task(task: TaskConfig, folder: str) -> Task:
    """Return the task of a section whose files are seen from a folder; raises UsageError."""
    located = task.located(folder)
    made = located.make()
    return with_reward(made, located.reward) if located.reward else made


def _digest(settings: Config | RunSpec) -> str:
    config = settings.config if isinstance(settings, RunSpec) else settings
    chosen = _chosen(settings)
    if config.threads == 1:  # what 0 meant for every policy once
        del (chosen["config"] if isinstance(settings, RunSpec) else chosen)["threads"]
    swept = chosen.pop("swept", {})  # as if a run had a field for each
    version = FREE_TEXT_FORMAT if config.task.free_text else FORMAT
    version = HF_FORMAT if config.policy.kind == "hf" else version
    version = TRL_FORMAT if config.engine == "trl" else version
    text = json.dumps([version, {**swept, **chosen}], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _chosen(value: Any) -> Any:
    """Return settings that are not the default ones: a knob added later leaves the hashes of old files alone."""
    if dataclasses.is_dataclass(value):
        fields = ((entry, getattr(value, entry.name)) for entry in dataclasses.fields(value))
        return {entry.name: _chosen(own) for entry, own in fields if own not in (entry.default, {})}
    return [_chosen(own) for own in value] if isinstance(value, tuple) else value
