"""What makes no sense in an experiment file, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence

from scalefit.errors import UsageError, nearest
from scalefit.names import faults_of_names
from scalefit.runner.choices import (
    ADVANTAGE_NAMES,
    ENGINE_NAMES,
    EXTRACTIONS,
    KINDS,
    NORMALISATIONS,
    ORDERS,
    PRECISIONS,
    SAMPLER_NAMES,
    SCHEDULES,
    SERIES,
    STRATEGIES,
    TASK_NAMES,
    TRL_ADVANTAGES,
    VLLM_MODES,
)
from scalefit.runner.config import Config, SizeConfig
from scalefit.runner.memory import shortage, training_memory

_MOST = 10_000
"""Prompts a mini-batch up to which divisors are offered."""


def check(config: Config, where: str = "configuration", misfits: Sequence[str] = ()) -> None:
    """Refuse values that make no sense; all faults at once, after `misfits`, those of keys and types."""
    faults: list[str] = list(misfits)
    named = [
        ("[task] name", config.task.name, TASK_NAMES),
        ("[task] order", config.task.order, ORDERS),
        ("[task] extraction", config.task.extraction, EXTRACTIONS),
        ("engine", config.engine, ENGINE_NAMES),
        ("[policy] kind", config.policy.kind, KINDS),
        ("[policy] sampler", config.policy.sampler, SAMPLER_NAMES),
        ("[trl] strategy", config.trl.strategy, STRATEGIES),
        ("[trl] precision", config.trl.precision, PRECISIONS),
        ("[trl] vllm", config.trl.vllm, VLLM_MODES),
        ("[grpo] advantage", config.grpo.advantage, ADVANTAGE_NAMES),
        ("[grpo] normalisation", config.grpo.normalisation, NORMALISATIONS),
        ("[grpo] schedule", config.grpo.schedule, SCHEDULES),
        *(("[sweep] series", series, SERIES) for series in config.sweep.series),
    ]
    faults += [f"{key} = {value!r}: {nearest(value, known)}" for key, value, known in named if value not in known]
    faults += _faults_of_numbers(config)
    if config.grpo.mini_batch > 0 and config.grpo.prompts % config.grpo.mini_batch:
        faults.append(
            f"[grpo] prompts = {config.grpo.prompts} is not divisible by mini_batch = {config.grpo.mini_batch}; choose one of "
            + ", ".join(str(n) for n in range(1, min(config.grpo.prompts, _MOST) + 1) if config.grpo.prompts % n == 0)
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
    if config.task.extraction != "strict" and config.task.name != "problems":
        faults.append(f"[task] extraction is for the task 'problems', not {config.task.name!r}")
    most = max(config.eval.samples, config.eval.end_samples)
    faults += [
        f"[eval] pass_at = {k} needs as many samples a problem, there are {most}; raise samples, or end_samples for the first and the last evaluation"
        for k in config.eval.pass_at
        if k > most
    ]
    faults += _faults_of_logic(config)
    faults += _faults_of_engine(config)
    if not config.policy.sizes:
        faults.append("[[policy.sizes]] is missing: give at least one model")
    faults += _faults_of_names(config)
    for size in config.policy.sizes:
        faults += _faults_of_size(config.policy.kind, size, config.sweep.series)
    if faults:
        raise UsageError(f"{where}: {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n  " + "\n  ".join(faults))


def check_names(config: Config, where: str) -> None:
    """Refuse names of which no run's folder could be made; a run's name holds those of its size, series and fragment."""
    faults = _faults_of_names(config)
    if faults:
        raise UsageError(f"{where}: {faults[0]}.")


def _faults_of_names(config: Config) -> list[str]:
    names = [size.name for size in config.policy.sizes]
    faults = [
        f"[[policy.sizes]] name {name!r} is used twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    faults += [f"[[policy.sizes]] name {fault}" for fault in faults_of_names(names)]
    sweep = config.sweep
    faults += [
        f"[sweep] {name} = {list(values)} holds a value twice"
        for name in ("series", "seeds", "group_size", "reuse", "fragment", "depth")
        if len(set(values := getattr(sweep, name))) < len(values)
    ]
    return faults or [f"the run {fault}" for fault in faults_of_names(spec.run_id for spec in config.runs())]


def _faults_of_numbers(config: Config) -> list[str]:
    grpo, evaluation, sweep, pretrain = config.grpo, config.eval, config.sweep, config.pretrain
    advantage = config.advantage
    at_least = [
        ("threads", config.threads, 1),
        *((f"[grpo] {name}", getattr(grpo, name), 1) for name in ("steps", "prompts", "mini_batch", "max_new_tokens")),
        *(
            (f"[grpo] {name}", getattr(grpo, name), 0)
            for name in ("micro_batch", "kl", "entropy", "clip_low", "clip_high", "warmup", "weight_decay")
        ),
        *((f"[trl] {name}", getattr(config.trl, name), 1) for name in ("processes", "nodes", "tensor_parallel")),
        ("[trl] device_batch", config.trl.device_batch, 0),
        ("[vllm] max_length", config.vllm.max_length, 0),
        ("[vllm] cache_gib", config.vllm.cache_gib, 1),
        *((f"[eval] {name}", getattr(evaluation, name), 1) for name in ("every", "problems", "samples")),
        ("[eval] temperature", evaluation.temperature, 0),
        ("[eval] end_samples", evaluation.end_samples, 0),
        *(("[eval] pass_at", k, 1) for k in evaluation.pass_at),
        ("[advantage] positive", advantage.positive, 0),
        ("[advantage] negative", advantage.negative, 0),
        ("[advantage] power", advantage.power, 1),
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
        ("[vllm] tolerance", config.vllm.tolerance),
    ]
    faults += [f"{key} = {value}: must be greater than 0" for key, value in above if not value > 0]
    shares = [
        ("[pretrain] base_noise", pretrain.base_noise),
        ("[pretrain] instruct_noise", pretrain.instruct_noise),
        ("[advantage] rate", advantage.rate),
        ("[vllm] gpu_share", config.vllm.gpu_share),
        ("[trl] gpu_share", config.trl.gpu_share),
    ]
    faults += [f"{key} = {value}: must lie in [0, 1]" for key, value in shares if not 0 <= value <= 1]
    empty = [name for name in ("series", "seeds", "group_size", "reuse") if not getattr(sweep, name)]
    return faults + [f"[sweep] {name} is empty" for name in empty]


def _faults_of_logic(config: Config) -> list[str]:
    from scalefit.runner.tasks.logic import RULES, deepest, longest_proof

    task, sweep = config.task, config.sweep
    if task.name != "logic":
        return [
            f"[sweep] {name} is for the task 'logic', not {task.name!r}"
            for name in ("fragment", "depth")
            if getattr(sweep, name)
        ]
    fragments = sweep.fragment or (task.fragment,)
    faults = [f"[task] fragment = {one!r}: {nearest(one, RULES)}" for one in fragments if one not in RULES]
    depths = {
        "depth": sweep.depth or (task.depth,),
        "pretrain_depth": (task.pretrain_depth,) if task.pretrain_depth else (),
    }
    for fragment in (one for one in fragments if one in RULES):
        reach = deepest(fragment, max(task.decoys, 1), task.letters)
        faults += [
            f"[task] {name} = {depth}: fragment {fragment!r} with {task.decoys} decoys and {task.letters} letters reaches depths from 1 to {reach}"
            for name, some in depths.items()
            for depth in some
            if not 1 <= depth <= reach
        ]
        longest = longest_proof(fragment, max(depths["depth"]))
        if config.policy.kind == "nano" and config.grpo.max_new_tokens < longest + 1:
            faults.append(
                f"[grpo] max_new_tokens = {config.grpo.max_new_tokens}: a proof of depth {max(depths['depth'])} in {fragment!r} takes up to {longest} characters and an end; use at least {longest + 1}"
            )
    return faults


def _faults_of_engine(config: Config) -> list[str]:
    trl, grpo, faults = config.trl, config.grpo, []
    if config.engine != "trl":
        return [] if trl == type(trl)() else ["[trl] is set, but engine is not 'trl'; add engine = \"trl\" at the top"]
    if grpo.advantage not in TRL_ADVANTAGES:
        faults.append(
            f"[grpo] advantage = {grpo.advantage!r}: TRL has {', '.join(TRL_ADVANTAGES)}; use engine = 'scalefit' for the others"
        )
    if config.eval.end_samples:
        faults.append("[eval] end_samples: TRL samples every evaluation alike; use samples with engine = 'trl'")
    if config.policy.sampler != "torch":
        faults.append(
            "[policy] sampler = 'vllm' is for scalefit's own engine; with engine = 'trl' use [trl] vllm = 'colocate' or 'server'"
        )
    if trl.vllm == "server" and not trl.server.rpartition(":")[0]:
        faults.append(f"[trl] vllm = 'server' needs server = 'host:port', not {trl.server!r}")
    world = max(trl.processes * trl.nodes, 1)
    for group in config.sweep.group_size:
        completions = grpo.mini_batch * group
        if completions % world:
            faults.append(
                f"[trl] {world} processes cannot share the {completions} completions of a mini-batch (mini_batch {grpo.mini_batch} x group_size {group})"
            )
        elif trl.device_batch and (completions // world) % trl.device_batch:
            faults.append(
                f"[trl] device_batch = {trl.device_batch} does not divide the {completions // world} completions of a process"
            )
    return faults


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
    short = shortage(training_memory(size.d_model, size.layers))
    if short:
        return [f"{where}: {short}; lower d_model or layers"]
    return []
