"""What is trained: policies that sample answers, give log-probabilities and take updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalefit.named import find_named
from scalefit.runner.device import find_device
from scalefit.runner.memory import refuse_shortage, return_large_blocks, shape_of
from scalefit.runner.sections import HfConfig, LoraConfig

if TYPE_CHECKING:
    from scalefit.runner.config import RunSpec
    from scalefit.runner.policies.policy import Policy
    from scalefit.runner.tasks.task import Task

LOOKED_AT = 64
"""Problems whose prompts are looked at for the memory that a run will need."""
Report = Callable[[str], None]


def _nano(spec: RunSpec, task: Task, report: Report) -> Policy:
    from scalefit.runner.pretrain import base_policy
    from scalefit.runner.pretrain_target import goal_of

    settings = spec.config.pretrain
    if settings.each_seed:
        settings = dataclasses.replace(settings, seed=settings.seed + spec.seed, each_seed=False)
    device = find_device(spec.config.policy.device)
    policy = base_policy(spec.size, spec.series, task, settings, report, device=device, goal=goal_of(spec))
    policy.halt_at(spec.config.policy.stop)
    return policy


def _hf(spec: RunSpec, task: Task, report: Report) -> Policy:
    report(f"loading {spec.size.name}")

    from scalefit.runner.policies.policy import plain_text

    def fits(config: Any, tokenizer: Any) -> None:
        shown = [plain_text(task.draw("train", at).shown) for at in range(LOOKED_AT)]
        longest = max(map(len, tokenizer(shown)["input_ids"]))
        refuse_shortage(spec, spec.model, shape_of(config), min(longest, spec.config.grpo.max_prompt_tokens or longest))

    return _hf_from(spec, spec.model, spec.config.hf, fits)


def _hf_from(spec: RunSpec, source: str, hf: HfConfig, fits: Callable[[Any, Any], None]) -> Policy:
    from scalefit.runner.policies.hf import HfPolicy

    chat, settings = spec.series == "instruct", spec.config.policy
    return_large_blocks()
    return HfPolicy(
        source,
        chat,
        settings.instruction,
        settings=hf,
        device=find_device(settings.device),
        stop=settings.stop,
        seed=spec.seed,
        fits=fits,
    )


POLICIES: dict[str, Callable[[RunSpec, Task, Report], Policy]] = {"nano": _nano, "hf": _hf}


def make_policy(spec: RunSpec, task: Task, report: Report = lambda text: None) -> Policy:
    """Return the policy that a run starts from."""
    return find_named(spec.config.policy.kind, POLICIES)(spec, task, report)


def kept_policy(spec: RunSpec, folder: Path) -> Policy:
    """Return the policy of a run that was exported into a folder."""
    from scalefit.runner.policies.exported import read_nano

    if spec.config.policy.kind == "nano":
        policy = read_nano(folder)
        policy.halt_at(spec.config.policy.stop)
        policy.model.to(find_device(spec.config.policy.device))
        return policy
    # What an adapter adds is in the weights, and none of training's memory is needed.
    merged = dataclasses.replace(spec.config.hf, lora=LoraConfig())
    return _hf_from(spec, str(folder), merged, lambda config, tokenizer: None)
