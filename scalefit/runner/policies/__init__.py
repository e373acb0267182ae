"""What is trained: policies that sample answers, give log-probabilities and take updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from scalefit.named import find_named
from scalefit.runner.device import find_device
from scalefit.runner.memory import refuse_shortage, return_large_blocks, shape_of

if TYPE_CHECKING:
    from scalefit.runner.config import RunSpec
    from scalefit.runner.policies.policy import Policy
    from scalefit.runner.tasks.task import Task

Report = Callable[[str], None]


def _nano(spec: RunSpec, task: Task, report: Report) -> Policy:
    from scalefit.runner.pretrain import base_policy

    settings = spec.config.pretrain
    if settings.each_seed:
        settings = dataclasses.replace(settings, seed=settings.seed + spec.seed, each_seed=False)
    policy = base_policy(spec.size, spec.series, task, settings, report, find_device(spec.config.policy.device))
    policy.halt_at(spec.config.policy.stop)
    return policy


def _hf(spec: RunSpec, task: Task, report: Report) -> Policy:
    from scalefit.runner.policies.hf import HfPolicy

    chat, settings = spec.series == "instruct", spec.config.policy
    report(f"loading {spec.size.name}")
    return_large_blocks()
    source = spec.size.instruct_model if chat else spec.size.model
    return HfPolicy(
        source,
        chat,
        settings.instruction,
        settings=spec.config.hf,
        device=find_device(settings.device),
        stop=settings.stop,
        seed=spec.seed,
        fits=lambda config: refuse_shortage(spec, source, shape_of(config)),
    )


POLICIES: dict[str, Callable[[RunSpec, Task, Report], Policy]] = {"nano": _nano, "hf": _hf}


def make_policy(spec: RunSpec, task: Task, report: Report = lambda text: None) -> Policy:
    """Return the policy that a run starts from."""
    return find_named(spec.config.policy.kind, POLICIES)(spec, task, report)
