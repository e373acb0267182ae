"""The experiment file: what a TOML may say, with the paper's protocol scaled down as defaults.

Every section is a frozen dataclass with the ranges on its fields; [task] is the task's own (`scalefit.runner.tasks`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from scalefit.runner.fields import Amount, Count, Grid, Positive, Scalar, Share, Whole, section
from scalefit.runner.tasks.arithmetic import ArithmeticConfig
from scalefit.runner.tasks.own import with_reward
from scalefit.runner.tasks.task import Task, TaskConfig

FORMAT = 1
"""Raised when the same configuration would give other rows, as when a default changes."""
FREE_TEXT_FORMAT = 2
"""The same where answers are read from free text: by some tasks, and from `hf` policies."""
NANO_POSITIONS = 512
"""Characters that a nano model reads, prompt and answer together."""
Normalisation = Literal["token", "sequence", "dr-grpo"]


@section
class SizeConfig:
    """One model: a nano shape, or for `hf` where it is; its own learning rate where it needs one.

    `model` (series base) and `instruct_model` (series instruct) are a directory, a GGUF file or a hub name.
    """

    name: str
    d_model: int = 0
    layers: int = 0
    heads: int = 0
    model: str = ""
    instruct_model: str = ""
    learning_rate: float | None = None
    pretrain_learning_rate: float | None = None


@section
class PolicyConfig:
    """The family of policies, one run a size; `instruction` follows every prompt of an `hf` policy.

    `sampler` generates rollouts and answers to the evaluation: `torch`, in the policy's own process, or `vllm`.
    """

    kind: str = "nano"
    instruction: str = ""
    sizes: tuple[SizeConfig, ...] = ()
    sampler: str = "torch"


@section
class PretrainConfig:
    """Supervised making of nano base models, in stages of so many tokens, the same for every size.

    `tokens` of right answers teach the skill; `base_tokens` of text in which a share `base_noise` of answers is wrong
    make the base model; from there `instruct_tokens` with `instruct_noise` make the instruct model. With `each_seed`
    every seed of the sweep has base models of its own, so that what pre-training happens to leave is averaged too.
    """

    tokens: Count = 1_000_000
    base_tokens: Whole = 200_000
    base_noise: Share = 0.6
    instruct_tokens: Whole = 200_000
    instruct_noise: Share = 0.3
    batch: Count = 64
    learning_rate: Positive = 5e-3
    seed: int = 0
    each_seed: bool = False


@section
class GrpoConfig:
    """The update. Defaults are Tan et al. 2025 (arXiv:2509.25300), section 3, with a smaller batch and answer.

    `prompts` a step, `mini_batch` prompts an update, `micro_batch` prompts a pass (0: as many as make some 2000 tokens).
    `count_attention` adds the scores and mixtures of attention to the FLOPs of passes.
    """

    steps: Count = 100
    prompts: Count = 64
    mini_batch: Count = 16
    micro_batch: Whole = 0
    max_new_tokens: Count = 8
    temperature: Positive = 1.0
    advantage: str = "grpo"
    normalisation: Normalisation = "token"
    learning_rate: Positive = 3e-4
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Whole = 0
    clip_low: Amount = 0.2
    clip_high: Amount = 0.2
    kl: Amount = 1e-3
    entropy: Amount = 0.0
    gradient_clip: Positive = 1.0
    weight_decay: Amount = 0.0
    skip_uniform: bool = True
    count_attention: bool = False


@section
class AdvantageConfig:
    """What some advantages take: exponents of `asymmetric` and `power`, and the rate of the running means that `fade` reads.

    Defaults: Gu et al. 2026 (arXiv:2604.04894), a focus on hard problems within FADE's range, and FADE's rate (arXiv:2607.01490).
    """

    positive: Amount = 0.9
    negative: Amount = 0.4
    power: Annotated[float, Field(ge=1)] = 2.0
    rate: Share = 0.02


@section
class EvalConfig:
    """Evaluation on a fixed held-out set, at the paper's temperature, pass@1 averaged over `samples`.

    `keep_problems` adds a column `pass_rates` with every problem's pass rate, by which recipes are compared in pairs.
    `pass_at` adds a column `pass_at_k` for each k, estimated without bias from the samples; `end_samples` are those of the
    first and the last evaluation (0: `samples`), so that a large k is paid for only where a run begins and ends.
    """

    every: Count = 2
    problems: Count = 512
    samples: Count = 4
    temperature: Amount = 0.7
    keep_problems: bool = False
    pass_at: tuple[Count, ...] = ()
    end_samples: Whole = 0


@section
class VllmConfig:
    """vLLM as the sampler of scalefit's own engine.

    `max_length` prompt and response tokens (0: as many as the model has positions); `cache_gib` of keys and values on a
    CPU [GiB], `gpu_share` of a GPU's memory. The run stops where log-probabilities of torch and vLLM differ by more
    than `tolerance` a token.
    """

    max_length: Whole = 0
    cache_gib: Count = 1
    gpu_share: Share = 0.4
    tolerance: Positive = 1e-5


@section
class TrlConfig:
    """TRL's GRPOTrainer as the engine: `processes` on each of `nodes` machines, sharing the model by `strategy`.

    `vllm` generates within the training processes (`colocate`), as a server at `server` (host:port), or not at all
    (`off`). `device_batch` completions a pass on each device (0: the most of at most 16 that divide a mini-batch).
    """

    processes: Count = 1
    nodes: Count = 1
    strategy: Literal["ddp", "fsdp2", "zero2", "zero3"] = "ddp"
    precision: Literal["fp32", "bf16"] = "fp32"
    vllm: Literal["off", "colocate", "server"] = "off"
    server: str = ""
    tensor_parallel: Count = 1
    gpu_share: Share = 0.3
    device_batch: Whole = 0
    gradient_checkpointing: bool = False


@section
class SweepConfig:
    """The grid: one run for each combination, times the sizes; `task` holds values of the task's own parameters."""

    series: Grid[Literal["base", "instruct"]] = ("base",)
    seeds: Grid[Whole] = (0,)
    group_size: Grid[Count] = (8,)
    reuse: Grid[Count] = (1,)
    task: dict[str, Grid[Scalar]] = field(default_factory=dict)


KEPT = ("folder", "files")
"""What is known of an experiment beside its file's own keys."""


@section
class Config:
    """A whole experiment.

    `folder` is where its file lies, from which it names others; `files` says what stands for the content of each of them
    (`scalefit.runner.identity`). Both are found, not written; the folder is no part of what the experiment is.
    """

    task: TaskConfig = field(default_factory=ArithmeticConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    vllm: VllmConfig = VllmConfig()
    trl: TrlConfig = TrlConfig()
    advantage: AdvantageConfig = AdvantageConfig()
    engine: str = "scalefit"
    threads: Count = 1
    folder: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return what two sweeps must share to be one table: everything but the grid and the sizes."""
        return _digest(self.without_grid())

    def without_grid(self) -> Config:
        """Return what all runs of a sweep share."""
        shared = {name: mark for name, mark in self.files.items() if name not in self._files_of_runs()}
        policy = dataclasses.replace(self.policy, sizes=())
        return dataclasses.replace(self, sweep=SweepConfig(), policy=policy, folder="", files=shared)

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
        return settings.end_samples or settings.samples if step in (0, self.config.grpo.steps) else settings.samples

    def digest(self) -> str:
        """Return a hash of all that decides the run's rows."""
        own = {self.model_name, *(value for value in self.swept.values() if isinstance(value, str))}
        files = {name: mark for name, mark in self.config.files.items() if name in own}
        shared = self.config.without_grid()
        return _digest(dataclasses.replace(self, config=dataclasses.replace(shared, files={**shared.files, **files})))


def make_task(task: TaskConfig, folder: str) -> Task:
    """Return the task of a section whose files are seen from a folder; raises UsageError."""
    located = task.located(folder)
    made = located.make()
    return with_reward(made, located.reward) if located.reward else made


def _digest(settings: Config | RunSpec) -> str:
    config = settings.config if isinstance(settings, RunSpec) else settings
    chosen = _chosen(settings)
    swept = chosen.pop("swept", {})  # as if a run had a field for each
    version = FREE_TEXT_FORMAT if config.task.free_text or config.policy.kind == "hf" else FORMAT
    text = json.dumps([version, {**swept, **chosen}], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _chosen(value: Any) -> Any:
    """Return settings that are not the default ones: a knob added later leaves the hashes of old files alone."""
    if dataclasses.is_dataclass(value):
        fields = ((entry, getattr(value, entry.name)) for entry in dataclasses.fields(value))
        return {entry.name: _chosen(own) for entry, own in fields if own not in (entry.default, {})}
    return [_chosen(own) for own in value] if isinstance(value, tuple) else value
