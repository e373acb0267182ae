"""What makes no sense in an experiment file though each key by itself does: names, and rules between keys.

To add a rule, write what it says of a configuration and a line in `RULES` with the keys that it reads.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

from scalefit.errors import ScalefitError, UsageError
from scalefit.named import find_named
from scalefit.names import faults_of_names
from scalefit.runner.advantage import find_advantage
from scalefit.runner.config import Config, RunSpec
from scalefit.runner.device import device_name
from scalefit.runner.engines import ENGINES
from scalefit.runner.engines.trl_launch import SCALE
from scalefit.runner.kept import steps_kept
from scalefit.runner.memory import ModelShape, free_memory, nano_shape, run_memory, shape_of
from scalefit.runner.policies import POLICIES
from scalefit.runner.samplers import SAMPLERS
from scalefit.runner.sections import SizeConfig
from scalefit.runner.tasks.own import find_reward
from scalefit.runner.tasks.own_section import OwnConfig
from scalefit.runner.tasks.task import TaskConfig
from scalefit.runner.trackers import TRACKERS

_MOST = 10_000
"""Prompts a mini-batch up to which divisors are offered."""


def check(
    config: Config,
    where: str = "configuration",
    misfits: Sequence[str] = (),
    spoilt: Collection[str] = (),
) -> None:
    """Refuse values that make no sense; all faults at once, after `misfits`, which are about the keys `spoilt`."""
    faults: list[str] = list(misfits)
    for keys, rule in RULES:
        if not any(f"{one}.".startswith(f"{key}.") for one in spoilt for key in keys):
            faults += rule(config)
    if faults:
        raise UsageError(f"{where}: {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n  " + "\n  ".join(faults))


def check_names(config: Config, where: str) -> None:
    """Refuse names of which no run's folder could be made; a run's name holds those of its size and series."""
    for fault in _names(config):
        raise UsageError(f"{where}: {fault}.")


def _registered(config: Config) -> Iterator[str]:
    found: list[tuple[str, str, Callable[[str], object]]] = [
        ("engine", config.engine, lambda name: find_named(name, ENGINES)),
        ("[policy] kind", config.policy.kind, lambda name: find_named(name, POLICIES)),
        ("[policy] sampler", config.policy.sampler, lambda name: find_named(name, SAMPLERS)),
        ("[grpo] advantage", config.grpo.advantage, find_advantage),
        *(("[log] to", name, lambda name: find_named(name, TRACKERS)) for name in config.log.to),
    ]
    for key, name, find in found:
        try:
            find(name)
        except UsageError as error:
            yield f"{key} = {name!r}: {error}"


def _mini_batch(config: Config) -> Iterator[str]:
    prompts, mini_batch = config.grpo.prompts, config.grpo.mini_batch
    if prompts % mini_batch:
        divisors = ", ".join(str(n) for n in range(1, min(prompts, _MOST) + 1) if prompts % n == 0)
        yield f"[grpo] prompts = {prompts} is not divisible by mini_batch = {mini_batch}; choose one of {divisors}"


def _group_size(config: Config) -> Iterator[str]:
    if 1 in config.sweep.group_size:
        yield f"[sweep] group_size = 1: advantage {config.grpo.advantage!r} compares the rollouts of a group; use 2 or more"


def _reuse(config: Config) -> Iterator[str]:
    grpo = config.grpo
    samples = grpo.prompts * (grpo.horizon or grpo.steps)
    for reuse in config.sweep.reuse:
        if samples % reuse:
            yield f"[sweep] reuse = {reuse} does not divide the {samples} samples of a {'horizon' if grpo.horizon else 'run'}"


def _horizon(config: Config) -> Iterator[str]:
    grpo = config.grpo
    if grpo.horizon and grpo.schedule != "constant":
        if grpo.steps > grpo.horizon:
            yield (
                f"[grpo] steps = {grpo.steps} go beyond horizon = {grpo.horizon}, where the {grpo.schedule} learning rate "
                "has come to its end; use schedule = 'constant', or a horizon as long"
            )
        if config.engine == "trl" and grpo.steps != grpo.horizon:
            yield f"[grpo] horizon: TRL's {grpo.schedule} schedule ends with the run; use schedule = 'constant' with engine = 'trl'"


def _keep(config: Config) -> Iterator[str]:
    if config.engine == "trl" and config.keep.weights not in ("last", "none"):
        yield f"[keep] weights = {config.keep.weights!r}: of a run that TRL makes, last or none are kept"
    elif steps_kept(config.keep.weights) is None:
        yield f"[keep] weights = {config.keep.weights!r}: write last, best, none, or every and a number of steps, as in 'every 50'"


def _pass_at(config: Config) -> Iterator[str]:
    most = max(config.eval.samples, config.eval.end_samples)
    for k in config.eval.pass_at:
        if k > most:
            yield (
                f"[eval] pass_at = {k} needs as many samples a problem, there are {most}; "
                "raise samples, or end_samples for the first and the last evaluation"
            )


def _tasks(config: Config) -> list[TaskConfig]:
    return [dataclasses.replace(config.task, **swept).located(config.folder) for swept in config.task_grid()]


def _task(config: Config) -> Iterator[str]:
    if config.policy.kind == "nano" and not config.task.pretrainable:
        name = config.task.name
        yield f"[task] name = {name!r}: nano models are not pre-trained on {name}; use [policy] kind = 'hf'"
    found: dict[str, None] = {}
    for task in _tasks(config):
        found |= dict.fromkeys(task.faults() or (_untaught(task) if config.pretrain.target else []))
        if found and isinstance(task, OwnConfig):  # the other values of the grid would fail alike
            break
    yield from found


def _untaught(task: TaskConfig) -> list[str]:
    try:
        task.taught()
    except ScalefitError as error:
        return [f"[task] {str(error).removesuffix('.')}"]
    return []


def _reward(config: Config) -> Iterator[str]:
    try:
        if config.task.reward:
            find_reward(config.task.located(config.folder).reward)
    except UsageError as error:
        yield f"[task] reward = {config.task.reward!r}: {error}".removesuffix(".")


def _answers_fit(config: Config) -> Iterator[str]:
    longest = max((task.longest_answer() for task in _tasks(config)), default=0)
    tokens = config.grpo.max_new_tokens
    if config.policy.kind == "nano" and longest and tokens < longest + 1:
        yield (
            f"[grpo] max_new_tokens = {tokens}: an answer to {config.task.name!r} takes up to {longest} characters "
            f"and an end; use at least {longest + 1}"
        )


def _trl(config: Config) -> Iterator[str]:
    trl, grpo = config.trl, config.grpo
    if config.engine != "trl":
        if trl != type(trl)():
            yield "[trl] is set, but engine is not 'trl'; add engine = \"trl\" at the top"
        return
    if grpo.advantage not in SCALE:
        yield f"[grpo] advantage = {grpo.advantage!r}: TRL has {', '.join(SCALE)}; use engine = 'scalefit' for the others"
    if config.eval.end_samples:
        yield "[eval] end_samples: TRL samples every evaluation alike; use samples with engine = 'trl'"
    if config.eval.answer_loss:
        yield "[eval] answer_loss: TRL's evaluation samples answers alone; use engine = 'scalefit'"
    if config.policy.sampler != "torch":
        yield (
            f"[policy] sampler = {config.policy.sampler!r} is for scalefit's own engine; "
            "with engine = 'trl' use [trl] vllm = 'colocate' or 'server'"
        )
    if trl.vllm == "server" and not trl.server.rpartition(":")[0]:
        yield f"[trl] vllm = 'server' needs server = 'host:port', not {trl.server!r}"
    if trl.importance_max and trl.importance_min >= trl.importance_max:
        yield f"[trl] importance_min = {trl.importance_min:g} must be less than importance_max = {trl.importance_max:g}"
    if trl.importance.endswith("truncate") and not (trl.importance_min or trl.importance_max):
        yield f"[trl] importance = {trl.importance!r} needs importance_min or importance_max"


def _processes(config: Config) -> Iterator[str]:
    trl, grpo = config.trl, config.grpo
    world = trl.processes * trl.nodes
    for group in config.sweep.group_size if config.engine == "trl" else ():
        completions = grpo.mini_batch * group
        if completions % world:
            yield (
                f"[trl] {world} processes cannot share the {completions} completions of a mini-batch "
                f"(mini_batch {grpo.mini_batch} x group_size {group})"
            )
        elif trl.device_batch and (completions // world) % trl.device_batch:
            yield (
                f"[trl] device_batch = {trl.device_batch} does not divide the {completions // world} "
                "completions of a process"
            )


def _names(config: Config) -> list[str]:
    names = [size.name for size in config.policy.sizes]
    faults = [
        f"[[policy.sizes]] name {name!r} is used twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    faults += [f"[[policy.sizes]] name {fault}" for fault in faults_of_names(names)]
    return faults or [f"the run {fault}" for fault in faults_of_names(spec.run_id for spec in config.runs())]


def _sizes(config: Config) -> Iterator[str]:
    if not config.policy.sizes:
        yield "[[policy.sizes]] is missing: give at least one model"
    for size in config.policy.sizes:
        yield from (_hf_size if config.policy.kind == "hf" else _nano_size)(size, config.sweep.series)


def _hf_size(size: SizeConfig, series: tuple[str, ...]) -> Iterator[str]:
    needed_by = {"base": ("model", size.model), "instruct": ("instruct_model", size.instruct_model)}
    for name in series:
        key, model = needed_by[name]
        if not model:
            yield (
                f"[[policy.sizes]] {size.name!r}: series {name!r} needs `{key}`, a directory, a GGUF file or a hub name"
            )


def _nano_size(size: SizeConfig, series: tuple[str, ...]) -> Iterator[str]:
    where = f"[[policy.sizes]] {size.name!r}"
    if min(size.d_model, size.layers, size.heads) < 1:
        yield f"{where}: give d_model, layers and heads, each at least 1"
    elif size.d_model % (2 * size.heads):
        yield f"{where}: d_model = {size.d_model} must be a multiple of twice heads = {size.heads} (rotary pairs)"


def _memory(config: Config) -> Iterator[str]:
    """Tell what cannot fit on this machine, a model at a time; of `hf` where its config.json lies in a directory."""
    if config.engine != "scalefit" or not all(getattr(config.policy, name) in known for name, known in _KINDS):
        return
    try:
        on_gpu = device_name(config.policy.device) == "cuda"
    except UsageError:
        return
    told = set()
    for spec in config.runs():
        shape = _shape(spec)
        if shape is None or spec.size.name in told:
            continue
        short = run_memory(spec, shape, on_gpu=on_gpu).shortage(free_memory(on_gpu))
        if short:
            told.add(spec.size.name)
            yield f"[[policy.sizes]] {spec.size.name!r}: {short}"


def _shape(spec: RunSpec) -> ModelShape | None:
    size = spec.size
    if spec.config.policy.kind == "nano":
        return nano_shape(size) if min(size.d_model, size.layers, size.heads) > 0 else None
    path = Path(spec.model) / "config.json"
    try:
        return shape_of(SimpleNamespace(**json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, AttributeError, TypeError):
        return None  # what cannot be read is told by whoever loads it


_KINDS = (("kind", POLICIES), ("sampler", SAMPLERS))


def _device(config: Config) -> Iterator[str]:
    policy, hf = config.policy, config.hf
    if policy.kind != "hf" and hf != type(hf)():
        yield "[hf] is set, but the policy is not of that kind; add [policy] kind = 'hf'"
    elif config.engine == "trl" and hf != type(hf)():
        yield "[hf] is for scalefit's own engine; with engine = 'trl' use [trl] precision and gradient_checkpointing"
    if config.engine == "trl" and policy.device != "auto":
        yield f"[policy] device = {policy.device!r}: TRL takes what CUDA_VISIBLE_DEVICES leaves it; leave device out"
    if config.engine == "trl" and policy.stop:
        yield "[policy] stop: TRL's generation ends at the end token alone; use engine = 'scalefit'"
    if hf.lora != type(hf.lora)() and not hf.lora.rank:
        yield "[hf.lora] is set without a rank; give rank = 16, say"


RULES: tuple[tuple[tuple[str, ...], Callable[[Config], Sequence[str] | Iterator[str]]], ...] = (
    ((), _registered),
    (("grpo.prompts", "grpo.mini_batch"), _mini_batch),
    (("grpo.advantage",), _group_size),
    (("grpo.prompts", "grpo.steps", "grpo.horizon"), _reuse),
    (("grpo.steps", "grpo.horizon", "grpo.schedule", "engine"), _horizon),
    (("keep.weights", "engine"), _keep),
    (("eval",), _pass_at),
    (("task", "policy.kind"), _task),
    (("task.reward",), _reward),
    (("task", "policy.kind", "grpo.max_new_tokens"), _answers_fit),
    (("trl", "engine", "grpo.advantage", "eval.end_samples", "eval.answer_loss", "policy.sampler"), _trl),
    (("trl.processes", "trl.nodes", "trl.device_batch", "grpo.mini_batch"), _processes),
    (("policy.sizes",), _sizes),
    (("policy.sizes",), _names),
    (("policy", "hf", "engine"), _device),
    (("policy", "hf", "grpo", "eval", "sweep"), _memory),
)
