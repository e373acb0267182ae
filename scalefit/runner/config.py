"""The experiment file: what a TOML may say, with the paper's protocol scaled down as defaults.

Every section is a frozen dataclass; an unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalefit.errors import UsageError, nearest

FORMAT = 1
"""Raised when the same configuration would give other rows, as when a default changes."""
BYTES_A_WEIGHT = 20.0
"""Training keeps weight, gradient, two moments and reference, 4 bytes each [bytes a parameter]."""


@dataclass(frozen=True)
class LevelConfig:
    """A level of the arithmetic task: digits of each term, operations between them, modulus (0: none)."""

    digits: tuple[int, ...]
    operations: tuple[str, ...]
    modulus: int = 0


@dataclass(frozen=True)
class TaskConfig:
    """Where problems come from; `order` is that of training: curriculum (easy to hard) or shuffled."""

    name: str = "arithmetic"
    order: str = "curriculum"
    levels: tuple[LevelConfig, ...] = ()
    families: tuple[str, ...] = ()
    path: str = ""
    eval_path: str = ""


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
    """The family of policies, one run a size; `instruction` follows every prompt of an `hf` policy."""

    kind: str = "nano"
    instruction: str = ""
    sizes: tuple[SizeConfig, ...] = ()


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
class EvalConfig:
    """Evaluation on a fixed held-out set, at the paper's temperature, pass@1 averaged over `samples`."""

    every: int = 2
    problems: int = 512
    samples: int = 4
    temperature: float = 0.7


@dataclass(frozen=True)
class SweepConfig:
    """The grid: one run for each combination, times the sizes."""

    series: tuple[str, ...] = ("base",)
    seeds: tuple[int, ...] = (0,)
    group_size: tuple[int, ...] = (8,)
    reuse: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class Config:
    """A whole experiment."""

    task: TaskConfig = field(default_factory=TaskConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
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
            RunSpec(self, size, series, seed, group, reuse)
            for size in self.policy.sizes
            for series in self.sweep.series
            for group in self.sweep.group_size
            for reuse in self.sweep.reuse
            for seed in self.sweep.seeds
        ]


@dataclass(frozen=True)
class RunSpec:
    """One run of the grid."""

    config: Config
    size: SizeConfig
    series: str
    seed: int
    group_size: int
    reuse: int

    @property
    def run_id(self) -> str:
        """A name that says what the run is."""
        return f"{self.size.name}-{self.series}-g{self.group_size}-r{self.reuse}-s{self.seed}"

    @property
    def learning_rate(self) -> float:
        """The size's own learning rate, or the common one."""
        own = self.size.learning_rate
        return self.config.grpo.learning_rate if own is None else own

    def digest(self) -> str:
        """Return a hash of all that decides the run's rows."""
        return _digest(dataclasses.replace(self, config=self.config.without_grid()))


def _digest(settings: Any) -> str:
    text = json.dumps([FORMAT, _chosen(settings)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _chosen(value: Any) -> Any:
    """Return settings that are not the default ones: a knob added later leaves the hashes of old files alone."""
    if dataclasses.is_dataclass(value):
        fields = ((entry, getattr(value, entry.name)) for entry in dataclasses.fields(value))
        return {entry.name: _chosen(own) for entry, own in fields if own != entry.default}
    return [_chosen(own) for own in value] if isinstance(value, tuple) else value


def read_config(path: str | Path) -> Config:
    """Read and check an experiment file.

    Raises
    ------
    UsageError
        If it cannot be read, holds an unknown key or a value of the wrong type or range.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"{path}: {'a directory' if path.is_dir() else 'no such file'}; name an experiment file (TOML)."
        )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML ({error}).") from error
    config: Config = _build(Config, raw, str(path))
    check(config, str(path))
    return config


def from_plain(raw: dict[str, Any]) -> RunSpec:
    """Rebuild a run from `dataclasses.asdict`."""
    spec: RunSpec = _build(RunSpec, raw, "run")
    return spec


def _build(kind: Any, raw: Any, where: str) -> Any:
    """Turn plain TOML values into the annotated type, or say where they do not fit."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(raw, dict):
            raise UsageError(f"{where}: must be a section, not {raw!r}.")
        types_of = typing.get_type_hints(kind)
        known = [entry.name for entry in dataclasses.fields(kind)]
        for name in raw:
            if name not in known:
                raise UsageError(f"{where}: unknown key {name!r}; {nearest(name, known)}")
        missing = [
            entry.name
            for entry in dataclasses.fields(kind)
            if entry.default is entry.default_factory is dataclasses.MISSING and entry.name not in raw
        ]
        if missing:
            raise UsageError(f"{where}: missing {', '.join(missing)}.")
        return kind(**{name: _build(types_of[name], value, f"{where} [{name}]") for name, value in raw.items()})  # type: ignore[operator]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(raw, list | tuple):
            raise UsageError(f"{where}: must be a list, not {raw!r}.")
        return tuple(_build(inner[0], value, where) for value in raw)
    if origin is types.UnionType:
        return None if raw is None else _build(inner[0], raw, where)
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, kind) or (kind is int and isinstance(raw, bool)):
        raise UsageError(f"{where}: must be of type {kind.__name__}, not {raw!r}.")
    return raw


def check(config: Config, where: str = "configuration") -> None:
    """Refuse values that make no sense; all faults at once."""
    from scalefit.runner.choices import ADVANTAGE_NAMES, KINDS, NORMALISATIONS, ORDERS, SCHEDULES, SERIES, TASK_NAMES

    faults: list[str] = []
    named = [
        ("[task] name", config.task.name, TASK_NAMES),
        ("[task] order", config.task.order, ORDERS),
        ("[policy] kind", config.policy.kind, KINDS),
        ("[grpo] advantage", config.grpo.advantage, ADVANTAGE_NAMES),
        ("[grpo] normalisation", config.grpo.normalisation, NORMALISATIONS),
        ("[grpo] schedule", config.grpo.schedule, SCHEDULES),
        *(("[sweep] series", series, SERIES) for series in config.sweep.series),
    ]
    faults += [f"{key} = {value!r}: {nearest(value, known)}" for key, value, known in named if value not in known]
    faults += _faults_of_numbers(config)
    if config.grpo.prompts % config.grpo.mini_batch:
        faults.append(
            f"[grpo] prompts = {config.grpo.prompts} is not divisible by mini_batch = {config.grpo.mini_batch}; choose one of "
            + ", ".join(str(n) for n in range(1, config.grpo.prompts + 1) if config.grpo.prompts % n == 0)
        )
    if 1 in config.sweep.group_size:
        faults.append(
            f"[sweep] group_size = 1: advantage {config.grpo.advantage!r} compares the rollouts of a group; use 2 or more"
        )
    for reuse in config.sweep.reuse:
        if reuse >= 1 and (config.grpo.prompts * config.grpo.steps) % reuse:
            faults.append(
                f"[sweep] reuse = {reuse} does not divide the {config.grpo.prompts * config.grpo.steps} samples of a run"
            )
    if (config.policy.kind, config.task.name) == ("nano", "problems"):
        faults.append(
            "[task] name = 'problems': nano models are not pre-trained on files of problems; use [policy] kind = 'hf'"
        )
    if not config.policy.sizes:
        faults.append("[[policy.sizes]] is missing: give at least one model")
    names = [size.name for size in config.policy.sizes]
    faults += [
        f"[[policy.sizes]] name {name!r} is used twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for size in config.policy.sizes:
        faults += _faults_of_size(config.policy.kind, size, config.sweep.series)
    if faults:
        raise UsageError(f"{where}: {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n  " + "\n  ".join(faults))


def _faults_of_numbers(config: Config) -> list[str]:
    grpo, evaluation, sweep, pretrain = config.grpo, config.eval, config.sweep, config.pretrain
    at_least = [
        ("threads", config.threads, 1),
        *((f"[grpo] {name}", getattr(grpo, name), 1) for name in ("steps", "prompts", "mini_batch", "max_new_tokens")),
        *(
            (f"[grpo] {name}", getattr(grpo, name), 0)
            for name in ("micro_batch", "kl", "entropy", "clip_low", "clip_high", "warmup", "weight_decay")
        ),
        *((f"[eval] {name}", getattr(evaluation, name), 1) for name in ("every", "problems", "samples")),
        ("[eval] temperature", evaluation.temperature, 0),
        *(("[sweep] group_size", value, 1) for value in sweep.group_size),
        *(("[sweep] reuse", value, 1) for value in sweep.reuse),
        *(("[sweep] seeds", value, 0) for value in sweep.seeds),
        ("[pretrain] tokens", pretrain.tokens, 1),
        ("[pretrain] batch", pretrain.batch, 1),
        ("[pretrain] base_tokens", pretrain.base_tokens, 0),
        ("[pretrain] instruct_tokens", pretrain.instruct_tokens, 0),
    ]
    faults = [f"{key} = {value}: must be at least {low}" for key, value, low in at_least if not value >= low]
    above = [
        ("[grpo] temperature", grpo.temperature),
        ("[grpo] learning_rate", grpo.learning_rate),
        ("[grpo] gradient_clip", grpo.gradient_clip),
        ("[pretrain] learning_rate", pretrain.learning_rate),
    ]
    faults += [f"{key} = {value}: must be greater than 0" for key, value in above if not value > 0]
    shares = [("[pretrain] base_noise", pretrain.base_noise), ("[pretrain] instruct_noise", pretrain.instruct_noise)]
    faults += [f"{key} = {value}: must lie in [0, 1]" for key, value in shares if not 0 <= value <= 1]
    empty = [name for name in ("series", "seeds", "group_size", "reuse") if not getattr(sweep, name)]
    return faults + [f"[sweep] {name} is empty" for name in empty]


def _faults_of_size(kind: str, size: SizeConfig, series: tuple[str, ...]) -> list[str]:
    where = f"[[policy.sizes]] {size.name!r}"
    if kind == "hf":
        needed_by = {"base": ("model", size.model), "instruct": ("instruct_model", size.instruct_model)}
        return [
            f"{where}: series {name!r} needs `{needed_by[name][0]}`, a directory, a GGUF file or a hub name"
            for name in series
            if name in needed_by and not needed_by[name][1]
        ]
    if min(size.d_model, size.layers, size.heads) < 1:
        return [f"{where}: give d_model, layers and heads, each at least 1"]
    if size.d_model % (2 * size.heads):
        return [f"{where}: d_model = {size.d_model} must be a multiple of twice heads = {size.heads} (rotary pairs)"]
    short = shortage(training_memory(size))
    if short:
        return [f"{where}: {short}; lower d_model or layers"]
    return []


def training_memory(size: SizeConfig) -> float:
    """Estimate the memory of training a nano model [bytes]."""
    hidden = 8 * -(-size.d_model // 3)
    return BYTES_A_WEIGHT * size.layers * (4 * size.d_model**2 + 3 * size.d_model * hidden)


def shortage(needed: float) -> str:
    """Say that so many bytes are more than are free; an empty text where they are not."""
    free = available_memory()
    return (
        f"training needs about {needed / 1e9:.3g} GB of memory, {free / 1e9:.3g} GB are free" if needed > free else ""
    )


def available_memory() -> float:
    """Return the memory that is free on this machine [bytes]; infinite where it cannot be read."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    return float(next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), float("inf")))
