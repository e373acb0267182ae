"""The experiment file: what a TOML may say, with the paper's protocol scaled down as defaults.

Every section is a frozen dataclass; an unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
"""Raised when the same configuration would give other rows, as when a default changes."""
FREE_TEXT_FORMAT = 2
"""The same where answers are read from free text: by the tasks `problems` and `reasoning-gym`, and from `hf` policies."""


@dataclass(frozen=True)
class LevelConfig:
    """A level of the arithmetic task: digits of each term, operations between them, modulus (0: none)."""

    digits: tuple[int, ...]
    operations: tuple[str, ...]
    modulus: int = 0


@dataclass(frozen=True)
class TaskConfig:
    """Where problems come from; `order` is that of training: curriculum (easy to hard) or shuffled.

    `levels` are those of arithmetic, `families` those of reasoning-gym, `path` and `eval_path` files of problems, whose
    answers are read by `extraction`: strict (what the last mark of an answer holds) or flexible (else the last number);
    `fragment`, proof `depth`, `decoys`, number of `letters` and `pretrain_depth` (0: `depth`), up to which pre-training goes, of logic.
    """

    name: str = "arithmetic"
    order: str = "curriculum"
    levels: tuple[LevelConfig, ...] = ()
    families: tuple[str, ...] = ()
    path: str = ""
    eval_path: str = ""
    fragment: str = "implication"
    depth: int = 4
    decoys: int = 1
    letters: int = 26
    pretrain_depth: int = 0
    extraction: str = "strict"


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class PolicyConfig:
    """The family of policies, one run a size; `instruction` follows every prompt of an `hf` policy.

    `sampler` generates rollouts and answers to the evaluation: `torch`, in the policy's own process, or `vllm`.
    """

    kind: str = "nano"
    instruction: str = ""
    sizes: tuple[SizeConfig, ...] = ()
    sampler: str = "torch"


@dataclass(frozen=True)
class PretrainConfig:
    """Supervised making of nano base models, in stages of so many tokens, the same for every size.

    `tokens` of right answers teach the skill; `base_tokens` of text in which a share `base_noise` of answers is wrong
    make the base model; from there `instruct_tokens` with `instruct_noise` make the instruct model. With `each_seed`
    every seed of the sweep has base models of its own, so that what pre-training happens to leave is averaged too.
    """

    tokens: int = 1_000_000
    base_tokens: int = 200_000
    base_noise: float = 0.6
    instruct_tokens: int = 200_000
    instruct_noise: float = 0.3
    batch: int = 64
    learning_rate: float = 5e-3
    seed: int = 0
    each_seed: bool = False


@dataclass(frozen=True)
class GrpoConfig:
    """The update. Defaults are Tan et al. 2025 (arXiv:2509.25300), section 3, with a smaller batch and answer.

    `prompts` a step, `mini_batch` prompts an update, `micro_batch` prompts a pass (0: as many as make some 2000 tokens).
    `count_attention` adds the scores and mixtures of attention to the FLOPs of passes.
    """

    steps: int = 100
    prompts: int = 64
    mini_batch: int = 16
    micro_batch: int = 0
    max_new_tokens: int = 8
    temperature: float = 1.0
    advantage: str = "grpo"
    normalisation: str = "token"
    learning_rate: float = 3e-4
    schedule: str = "constant"
    warmup: int = 0
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl: float = 1e-3
    entropy: float = 0.0
    gradient_clip: float = 1.0
    weight_decay: float = 0.0
    skip_uniform: bool = True
    count_attention: bool = False


@dataclass(frozen=True)
class AdvantageConfig:
    """What some advantages take: exponents of `asymmetric` and `power`, and the rate of the running means that `fade` reads.

    Defaults: Gu et al. 2026 (arXiv:2604.04894), a focus on hard problems within FADE's range, and FADE's rate (arXiv:2607.01490).
    """

    positive: float = 0.9
    negative: float = 0.4
    power: float = 2.0
    rate: float = 0.02


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation on a fixed held-out set, at the paper's temperature, pass@1 averaged over `samples`.

    `keep_problems` adds a column `pass_rates` with every problem's pass rate, by which recipes are compared in pairs.
    `pass_at` adds a column `pass_at_k` for each k, estimated without bias from the samples; `end_samples` are those of the
    first and the last evaluation (0: `samples`), so that a large k is paid for only where a run begins and ends.
    """

    every: int = 2
    problems: int = 512
    samples: int = 4
    temperature: float = 0.7
    keep_problems: bool = False
    pass_at: tuple[int, ...] = ()
    end_samples: int = 0


@dataclass(frozen=True)
class VllmConfig:
    """vLLM as the sampler of scalefit's own engine.

    `max_length` prompt and response tokens (0: as many as the model has positions); `cache_gib` of keys and values on a
    CPU [GiB], `gpu_share` of a GPU's memory. The run stops where log-probabilities of torch and vLLM differ by more
    than `tolerance` a token.
    """

    max_length: int = 0
    cache_gib: int = 1
    gpu_share: float = 0.4
    tolerance: float = 1e-5


@dataclass(frozen=True)
class TrlConfig:
    """TRL's GRPOTrainer as the engine: `processes` on each of `nodes` machines, sharing the model by `strategy`.

    `vllm` generates within the training processes (`colocate`), as a server at `server` (host:port), or not at all
    (`off`). `device_batch` completions a pass on each device (0: the most of at most 16 that divide a mini-batch).
    """

    processes: int = 1
    nodes: int = 1
    strategy: str = "ddp"
    precision: str = "fp32"
    vllm: str = "off"
    server: str = ""
    tensor_parallel: int = 1
    gpu_share: float = 0.3
    device_batch: int = 0
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class SweepConfig:
    """The grid: one run for each combination, times the sizes; `fragment` and `depth` are for the task `logic`."""

    series: tuple[str, ...] = ("base",)
    seeds: tuple[int, ...] = (0,)
    group_size: tuple[int, ...] = (8,)
    reuse: tuple[int, ...] = (1,)
    fragment: tuple[str, ...] = ()
    depth: tuple[int, ...] = ()


@dataclass(frozen=True)
class Config:
    """A whole experiment."""

    task: TaskConfig = field(default_factory=TaskConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    vllm: VllmConfig = VllmConfig()
    trl: TrlConfig = TrlConfig()
    advantage: AdvantageConfig = AdvantageConfig()
    engine: str = "scalefit"
    threads: int = 1

    def digest(self) -> str:
        """Return what two sweeps must share to be one table: everything but the grid and the sizes."""
        return _digest(self.without_grid())

    def without_grid(self) -> Config:
        """Return what all runs of a sweep share."""
        return dataclasses.replace(self, sweep=SweepConfig(), policy=dataclasses.replace(self.policy, sizes=()))

    def runs(self) -> list[RunSpec]:
        """Return the grid, smallest size first, in a fixed order."""
        return [
            RunSpec(self, size, series, seed, group, reuse, fragment, depth)
            for size in self.policy.sizes
            for fragment in self.sweep.fragment or ("",)
            for depth in self.sweep.depth or (0,)
            for series in self.sweep.series
            for group in self.sweep.group_size
            for reuse in self.sweep.reuse
            for seed in self.sweep.seeds
        ]


@dataclass(frozen=True)
class RunSpec:
    """One run of the grid; without a `fragment` or `depth` of its own it has the task's."""

    config: Config
    size: SizeConfig
    series: str
    seed: int
    group_size: int
    reuse: int
    fragment: str = ""
    depth: int = 0

    @property
    def run_id(self) -> str:
        """A name that says what the run is."""
        own = (f"-{self.fragment}" if self.fragment else "") + (f"-h{self.depth}" if self.depth else "")
        return f"{self.size.name}-{self.series}{own}-g{self.group_size}-r{self.reuse}-s{self.seed}"

    @property
    def task(self) -> TaskConfig:
        """The task with the run's own fragment and depth."""
        task = self.config.task
        return dataclasses.replace(task, fragment=self.fragment or task.fragment, depth=self.depth or task.depth)

    @property
    def task_columns(self) -> dict[str, Any]:
        """What the table says about the task beside the evaluation's name."""
        return {"fragment": self.task.fragment, "depth": self.task.depth} if self.config.task.name == "logic" else {}

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
        return _digest(dataclasses.replace(self, config=self.config.without_grid()))


def _digest(settings: Any) -> str:
    config = settings.config if isinstance(settings, RunSpec) else settings
    free_text = config.task.name in ("problems", "reasoning-gym") or config.policy.kind == "hf"
    text = json.dumps([FREE_TEXT_FORMAT if free_text else FORMAT, _chosen(settings)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _chosen(value: Any) -> Any:
    """Return settings that are not the default ones: a knob added later leaves the hashes of old files alone."""
    if dataclasses.is_dataclass(value):
        fields = ((entry, getattr(value, entry.name)) for entry in dataclasses.fields(value))
        return {entry.name: _chosen(own) for entry, own in fields if own != entry.default}
    return [_chosen(own) for own in value] if isinstance(value, tuple) else value
