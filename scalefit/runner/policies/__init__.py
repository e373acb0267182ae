"""What is trained: policies that sample answers, give log-probabilities and take updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from scalefit.named import find_named

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
    return base_policy(spec.size, spec.series, task, settings, report)


def _hf(spec: RunSpec, task: Task, report: Report) -> Policy:
    from scalefit.runner.policies.hf import HfPolicy

    chat = spec.series == "instruct"
    report(f"loading {spec.size.name}")
    return HfPolicy(spec.model, chat, spec.config.policy.instruction)


POLICIES: dict[str, Callable[[RunSpec, Task, Report], Policy]] = {"nano": _nano, "hf": _hf}


def make_policy(spec: RunSpec, task: Task, report: Report = lambda text: None) -> Policy:
    """Return the policy that a run starts from."""
    return find_named(spec.config.policy.kind, POLICIES)(spec, task, report)
