"""What generates rollouts and answers to the evaluation; to add an engine, write its file and a line in `SAMPLERS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scalefit.named import find_named

if TYPE_CHECKING:
    from scalefit.runner.config import RunSpec
    from scalefit.runner.policies.policy import Policy
    from scalefit.runner.samplers.own import OwnSampler
    from scalefit.runner.samplers.vllm import VllmSampler


def _own(spec: RunSpec, policy: Policy) -> OwnSampler:
    from scalefit.runner.samplers.own import OwnSampler

    return OwnSampler(policy)


def _vllm(spec: RunSpec, policy: Policy) -> VllmSampler:
    from scalefit.runner.samplers.vllm import VllmSampler

    grpo, held_out = spec.config.grpo, spec.config.eval
    at_once = max(grpo.prompts * spec.group_size, held_out.problems * held_out.samples)
    return VllmSampler(policy, spec.config.vllm, at_once)


SAMPLERS: dict[str, Callable[[RunSpec, Policy], OwnSampler | VllmSampler]] = {"torch": _own, "vllm": _vllm}


def make_sampler(spec: RunSpec, policy: Policy) -> OwnSampler | VllmSampler:
    """Return what samples from a policy."""
    return find_named(spec.config.policy.sampler, SAMPLERS)(spec, policy)
