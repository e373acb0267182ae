"""The GRPO objective as pure functions on plain tensors.

Shapes: P prompts, G rollouts a prompt, T response tokens. Sources: Shao et al. 2024 (arXiv:2402.03300),
eq. 3-4; separate clip bounds and token-level sums from DAPO, Yu et al. 2025 (arXiv:2503.14476);
the constant normaliser from Dr. GRPO, Liu et al. 2025 (arXiv:2503.20783).
"""

from __future__ import annotations

import torch
from torch import Tensor


def token_weight(mask_PGT: Tensor, normalisation: str, max_new_tokens: int) -> Tensor:
    """Return each token's weight in the loss, shape (P, G, T).

    `token`: every token of the mini-batch counts the same; `sequence`: every rollout does, its tokens sharing;
    `dr-grpo`: tokens are divided by a constant, rollouts times the longest length allowed.
    """
    mask = mask_PGT.float()
    rollouts = mask.shape[0] * mask.shape[1]
    if normalisation == "token":
        return mask / mask.sum().clamp(min=1)
    if normalisation == "sequence":
        return mask / mask.sum(-1, keepdim=True).clamp(min=1) / rollouts
    if normalisation == "dr-grpo":
        return mask / (rollouts * max_new_tokens)
    raise AssertionError(normalisation)


def clipped_loss(
    log_prob_PGT: Tensor, old_PGT: Tensor, advantage_PG: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """Return the loss of each token, -min(r A, clip(r, 1 - low, 1 + high) A), shape (P, G, T)."""
    ratio = (log_prob_PGT - old_PGT).exp()
    advantage = advantage_PG[..., None]
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip_low, 1 + clip_high) * advantage)


def low_variance_kl(log_prob_PGT: Tensor, reference_PGT: Tensor) -> Tensor:
    """Return the estimate of KL(policy || reference) a token, e^d - d - 1 with d = reference - policy; never negative.

    Source: Schulman 2020, "Approximating KL divergence" (k3); Shao et al. 2024, eq. 4.
    """
    d = reference_PGT - log_prob_PGT
    return d.exp() - d - 1


def entropy_of(logits: Tensor) -> Tensor:
    """Return the entropy of each distribution along the last axis [nats]."""
    log = logits.log_softmax(-1)
    return -(log.exp() * log).sum(-1)
