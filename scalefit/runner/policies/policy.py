"""What the training loop asks of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from scalefit.runner.rollouts import Rollouts


class Policy(Protocol):
    """A language model that samples answers and gives their log-probabilities."""

    @property
    def model(self) -> nn.Module:
        """The module that is trained."""
        ...

    params: int
    """Non-embedding parameters N."""
    matrix_params: int
    """Parameters that multiply every token."""
    head_params: int
    """Parameters of the output layer."""
    layers: int
    channels: int
    """Width of the stream between layers."""

    def sample(
        self,
        prompts: Sequence[str],
        group_size: int,
        *,
        max_new_tokens: int,
        temperature: float,
        generator: torch.Generator,
    ) -> Rollouts:
        """Draw responses."""
        ...

    def texts(self, rollouts: Rollouts) -> list[list[str]]:
        """Return the responses as text without the end token, prompts x group."""
        ...

    def response_logits(self, rollouts: Rollouts) -> Tensor:
        """Return the logits that predict each response token, (P, G, T, V)."""
        ...

    def forward_tokens(self, rollouts: Rollouts) -> int:
        """Return how many tokens `response_logits` processes."""
        ...
