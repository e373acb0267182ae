"""Advantages: pure functions from the rewards of a group to one weight a rollout.

`reward_PG` is prompts x group; the result has the same shape. To add one, write it and a line in `ADVANTAGES`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def group_advantage(reward_PG: Tensor, eps: float = 1e-6) -> Tensor:
    """Centre and scale rewards within a prompt's group; a tied group gives zeros.

    Source: Shao et al. 2024 (arXiv:2402.03300), section 4.1.2 (sample standard deviation).
    """
    return centred_advantage(reward_PG) / (reward_PG.std(1, keepdim=True) + eps)


def centred_advantage(reward_PG: Tensor) -> Tensor:
    """Centre rewards within a prompt's group, without scaling. Source: Dr. GRPO, Liu et al. 2025 (arXiv:2503.20783)."""
    return reward_PG - reward_PG.mean(1, keepdim=True)


def leave_one_out_advantage(reward_PG: Tensor) -> Tensor:
    """Subtract the mean of the other rollouts. Source: RLOO, Ahmadian et al. 2024 (arXiv:2402.14740)."""
    group = reward_PG.shape[1]
    return centred_advantage(reward_PG) * (group / (group - 1))


ADVANTAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "grpo": group_advantage,
    "dr-grpo": centred_advantage,
    "rloo": leave_one_out_advantage,
}
