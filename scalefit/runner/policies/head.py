"""Log-probabilities of tokens from the last layer's channels, so many at a time.

Logits of all response tokens together may need more memory than the model: 8 x 4096 tokens of a vocabulary of 152
thousand are 20 GB. They exist a chunk at a time and are computed again, chunk by chunk, for the gradient.
Shapes: N tokens, C channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scalefit.runner.draw import heat, log_prob_of
from scalefit.runner.loss import entropy_of
from scalefit.runner.memory import LOGITS_AT_ONCE


def chunk_of(vocabulary: int) -> int:
    """Return how many tokens' logits are computed at a time."""
    return max(1, LOGITS_AT_ONCE // vocabulary)


def score_tokens(
    hidden_NC: Tensor,
    token_N: Tensor,
    head: Callable[[Tensor], Tensor],
    *,
    chunk: int,
    temperature: float,
    entropy: bool,
) -> tuple[Tensor, Tensor | None]:
    """Return the log-probability of each token, and the entropy of its distribution where asked for; float32 at least."""

    def one(hidden: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        logits = head(hidden)
        logits = heat(logits.float() if logits.dtype.itemsize < 4 else logits, temperature)
        return log_prob_of(logits, token), entropy_of(logits) if entropy else logits.new_zeros(())

    parts = list(zip(hidden_NC.split(chunk), token_N.split(chunk), strict=True))
    again = len(parts) > 1 and torch.is_grad_enabled()
    found = [
        checkpoint(one, *part, use_reentrant=False, preserve_rng_state=False) if again else one(*part) for part in parts
    ]
    log_prob = torch.cat([log for log, _ in found])
    return log_prob, torch.cat([own for _, own in found]) if entropy else None
