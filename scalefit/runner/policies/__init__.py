"""What is trained: policies that sample answers, give log-probabilities and take updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
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
    report(f"loading {spec.size.name}")
    return _hf_from(spec, spec.model)


def _hf_from(spec: RunSpec, source: str) -> Policy:
    from scalefit.runner.policies.hf import HfPolicy

    chat, settings = spec.series == "instruct", spec.config.policy
    return_large_blocks()
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


def kept_policy(spec: RunSpec, folder: Path) -> Policy:
    """Return the policy of a run that was exported into a folder."""
    from scalefit.runner.policies.exported import read_nano

    return read_nano(folder) if spec.config.policy.kind == "nano" else _hf_from(spec, str(folder))
