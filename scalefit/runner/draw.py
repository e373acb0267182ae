"""Draws from logits at a temperature, and the log-probabilities of what was drawn; 0 takes the most likely token."""

from __future__ import annotations

import torch
from torch import Tensor


def heat(logits: Tensor, temperature: float) -> Tensor:
    """Return the logits of the distribution that is drawn from; at temperature 0 those of temperature 1."""
    return logits if temperature in (0.0, 1.0) else logits / temperature


def log_prob_of(logits: Tensor, token: Tensor) -> Tensor:
    """Return the log-probability of each token."""
    return logits.log_softmax(-1).gather(-1, token[..., None])[..., 0]


def draw(logits: Tensor, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return a token for each row of logits, its log-probability, and each row's terms p log p of the entropy."""
    heated = heat(logits, temperature).log_softmax(-1)
    probability = heated.exp()
    drawn = probability
    if temperature:
        # The largest p/Exp(1) is a draw from p.
        drawn = probability / torch.empty(probability.shape).exponential_(generator=generator)
    token = drawn.argmax(-1)
    return token, heated.gather(-1, token[..., None])[..., 0], probability * heated
