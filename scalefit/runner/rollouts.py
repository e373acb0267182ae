"""The record between sampling and update: rollouts of a batch of prompts.

Shapes: P prompts, G rollouts a prompt, S prompt tokens (left-padded), T response tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

ALL = slice(None)
"""Every rollout of a group."""


@dataclass(frozen=True)
class Rollouts:
    """What was sampled.

    Attributes
    ----------
    prompt_PS : Tensor of int64
        Prompts, left-padded.
    pad_P : Tensor of int64
        How many tokens of each prompt are padding.
    response_PGT : Tensor of int64
        Responses; what follows the end token is padding.
    mask_PGT : Tensor of bool
        Response tokens, the end token included.
    old_log_prob_PGT : Tensor
        Log-probabilities under the distribution that was sampled from, its temperature included; 0 where masked.
    ended_PG : Tensor of bool
        Whether the end token came before the limit.
    entropy : float
        Mean entropy of that distribution over response tokens [nats].
    forward_tokens, logit_tokens : int
        Tokens that the model processed, and those of which it computed the next one's distribution.
    """

    prompt_PS: Tensor
    pad_P: Tensor
    response_PGT: Tensor
    mask_PGT: Tensor
    old_log_prob_PGT: Tensor
    ended_PG: Tensor
    entropy: float
    forward_tokens: int
    logit_tokens: int

    @property
    def lengths_PG(self) -> Tensor:
        """Response tokens, the end token included."""
        return self.mask_PGT.sum(-1)

    @property
    def tokens(self) -> int:
        """Prompt and response tokens of every rollout."""
        prompts = self.prompt_PS.numel() - int(self.pad_P.sum())
        return prompts * self.response_PGT.shape[1] + int(self.mask_PGT.sum())

    @property
    def attention_pairs(self) -> int:
        """Pairs of a token and one it may see, itself included: each prompt once, each response token's whole past."""
        prompt_P = self.prompt_PS.shape[1] - self.pad_P
        processed_PG = (self.lengths_PG - 1).clamp(min=0)
        own = processed_PG * prompt_P[:, None] + processed_PG * (processed_PG + 1) // 2
        return int((prompt_P * (prompt_P + 1) // 2).sum() + own.sum())

    def pick(self, prompts: Tensor, columns: Tensor | slice = ALL) -> Rollouts:
        """Return the groups of some prompts, or some rollouts of each, cut to their longest response."""
        mask = self.mask_PGT[prompts][:, columns]
        length = max(int(mask.any(0).any(0).sum()), 1)
        pad = self.pad_P[prompts]
        first = int(pad.min())
        return Rollouts(
            self.prompt_PS[prompts, first:],
            pad - first,
            self.response_PGT[prompts][:, columns, :length],
            mask[:, :, :length],
            self.old_log_prob_PGT[prompts][:, columns, :length],
            self.ended_PG[prompts][:, columns],
            self.entropy,
            0,
            0,
        )
