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
        # The largest p/Exp(1) is a draw from p. Of noise by the processor's generator, so that no device draws otherwise.
        noise = torch.empty(probability.shape, device="cpu").exponential_(generator=generator)
        drawn = probability / noise.to(probability.device)
    token = drawn.argmax(-1)
    return token, heated.gather(-1, token[..., None])[..., 0], probability * heated


def draw_at(place_N: Tensor, logits_NV: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return a token for each row of logits, its log-probability, and the distribution's entropy [nats].

    `place_N`, within (0, 1], is where each token lies in the sum of probabilities: one number a token, which makes a row's
    draw its own whatever else is in the batch.
    """
    log = heat(logits_NV.float(), temperature).log_softmax(-1)
    probability = log.exp()
    if temperature:
        # float64, since a vocabulary's tail is thinner than float32 resolves; where there is none, as on Apple's GPUs, float32.
        exact = torch.float32 if log.device.type == "mps" else torch.float64
        below = probability.to(exact).cumsum(-1)
        wanted = place_N.to(log.device, exact) * below[:, -1]
        token = torch.searchsorted(below, wanted[:, None])[:, 0].clamp(max=log.shape[-1] - 1)
    else:
        token = probability.argmax(-1)
    return token, log.gather(-1, token[:, None])[:, 0], -(probability * log).nansum(-1)
