"""Sampling from an `hf` policy: so many sequences at a time, one prefill a prompt, then one token at a time.

What a rollout draws is decided by its own numbers, one a token, all drawn before the first: neither the device nor how
many sequences share a batch decides it. Shapes: P prompts, G rollouts a prompt, S prompt tokens (left-padded),
T response tokens, V vocabulary; n sequences in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scalefit.runner.draw import draw_at
from scalefit.runner.rollouts import Rollouts

LEAVES_AT = 0.5
"""Sequences that have ended leave the batch when no larger share than this still goes on."""


@dataclass(frozen=True)
class Order:
    """How to sample.

    Attributes
    ----------
    max_new_tokens : int
        Longest response.
    temperature : float
        0 takes the most likely token.
    ends : Tensor
        Tokens that end a response.
    halts : callable
        Says of the tokens of a response so far whether they end it.
    at_once : int
        Most sequences in a batch.
    """

    max_new_tokens: int
    temperature: float
    ends: Tensor
    halts: Callable[[Tensor], bool] | None
    at_once: int


@torch.no_grad()
def sample_hf(
    model: Any, prompt_PS: Tensor, pad_P: Tensor, group_size: int, order: Order, generator: torch.Generator
) -> Rollouts:
    """Draw `group_size` responses to every prompt."""
    P, G, T = len(prompt_PS), group_size, order.max_new_tokens
    # In (0, 1], float64: a place in the sum of probabilities for every token there may be.
    place_PGT = 1.0 - torch.rand(P, G, T, dtype=torch.float64, generator=generator)
    response = torch.zeros(P, G, T, dtype=torch.long)
    log_prob, mask = torch.zeros(P, G, T), torch.zeros(P, G, T, dtype=torch.bool)
    ended = torch.zeros(P, G, dtype=torch.bool)
    entropy_sum, forward, rows_sampled = 0.0, 0, 0
    for prompts, rollouts in _batches(P, G, order.at_once):
        pad = pad_P[prompts]
        first = int(pad.min())
        batch = _Batch(
            model, prompt_PS[prompts, first:], pad - first, place_PGT[prompts, rollouts].flatten(0, 1), order
        )
        batch.go()
        shape = place_PGT[prompts, rollouts].shape
        response[prompts, rollouts] = batch.response.view(shape)
        log_prob[prompts, rollouts] = batch.log_prob.view(shape)
        mask[prompts, rollouts] = batch.mask.view(shape)
        ended[prompts, rollouts] = ~batch.alive.view(shape[:2])
        entropy_sum += batch.entropy_sum
        forward, rows_sampled = forward + batch.forward, rows_sampled + batch.rows_sampled
    entropy = entropy_sum / max(int(mask.sum()), 1)
    return Rollouts(prompt_PS, pad_P, response, mask, log_prob, ended, entropy, forward, rows_sampled)


def _batches(P: int, G: int, at_once: int) -> Iterator[tuple[slice, slice]]:
    """Yield prompts and rollouts of each that are sampled together: whole groups, or a part of one."""
    groups, part = max(1, at_once // G), min(G, at_once)
    for first in range(0, P, groups):
        for begin in range(0, G, part):
            yield slice(first, first + groups), slice(begin, begin + part)


class _Batch:
    """Sequences that are sampled together; what is known of them lies in the processor's memory."""

    def __init__(self, model: Any, prompt_pS: Tensor, pad_p: Tensor, place_nT: Tensor, order: Order) -> None:
        n, T = place_nT.shape
        self.model, self.order, self.place_nT = model, order, place_nT
        self.prompt_pS, self.pad_p, self.copies = prompt_pS, pad_p, n // len(prompt_pS)
        self.response = torch.zeros(n, T, dtype=torch.long)
        self.log_prob, self.mask = torch.zeros(n, T), torch.zeros(n, T, dtype=torch.bool)
        self.alive = torch.ones(n, dtype=torch.bool)
        self.entropy_sum = 0.0
        self.forward, self.rows_sampled = prompt_pS.numel(), len(prompt_pS)

    def go(self) -> None:
        """Sample to the end."""
        device, T = self.model.device, self.order.max_new_tokens
        logits, cache, seen = self._prefill()
        position = (self.prompt_pS.shape[1] - self.pad_p).repeat_interleave(self.copies).to(device)
        kept = torch.arange(len(self.alive))
        for t in range(T):
            token = self._take(logits, kept, t)
            going = self.alive[kept]
            count = int(going.sum())
            if t == T - 1 or not count:
                return
            if count <= LEAVES_AT * len(kept):
                kept, some = kept[going], going.nonzero()[:, 0].to(device)
                token, seen, position = token[some], seen[some], position[some]
                cache.batch_select_indices(some)
            seen = torch.cat((seen, seen.new_ones(len(kept), 1)), 1)
            self.forward, self.rows_sampled = self.forward + len(kept), self.rows_sampled + len(kept)
            logits = self.model(
                token[:, None],
                attention_mask=seen,
                position_ids=position[:, None] + t,
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]

    def _prefill(self) -> tuple[Tensor, Any, Tensor]:
        """Return logits (n, V), the cache and what is seen (n, S), each prompt's repeated for its sequences."""
        from transformers import DynamicCache

        device = self.model.device
        seen = (torch.arange(self.prompt_pS.shape[1]) >= self.pad_p[:, None]).long()
        cache = DynamicCache(config=self.model.config)
        out = self.model(
            self.prompt_pS.to(device),
            attention_mask=seen.to(device),
            position_ids=(seen.cumsum(1) - 1).clamp(min=0).to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache.batch_repeat_interleave(self.copies)
        repeated = seen.repeat_interleave(self.copies, 0).to(device)
        return out.logits[:, -1].repeat_interleave(self.copies, 0), cache, repeated

    def _take(self, logits: Tensor, kept: Tensor, t: int) -> Tensor:
        """Draw and write down token t of the sequences that are kept; return it on the device."""
        drawn, *of_drawn = draw_at(self.place_nT[kept, t], logits, self.order.temperature)
        token, (chosen, entropy) = drawn.cpu(), (one.cpu() for one in of_drawn)
        now = self.alive[kept]
        self.response[kept, t] = torch.where(now, token, 0)
        self.log_prob[kept, t] = torch.where(now, chosen, 0.0)
        self.mask[kept, t] = now
        self.entropy_sum += float(entropy[now].double().sum())
        now = now & ~torch.isin(token, self.order.ends)
        if self.order.halts is not None:
            for at in now.nonzero()[:, 0].tolist():
                now[at] = not self.order.halts(self.response[kept[at], : t + 1])
        self.alive[kept] = now
        return drawn
