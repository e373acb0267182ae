"""Sampling from a nano policy: one prefill a prompt for all its rollouts, then one token at a time.

The log-probabilities of what was drawn are kept: they are the old log-probabilities of the update.
A few rollouts of a prompt keep their keys in one block, time after time, behind the prompt's; each sees the whole
block but for a mask. That wastes products, but one batched product of fair size beats many of a single row.
Shapes as in `scalefit.runner.policies.attention`; g rollouts share a block, there are B blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from scalefit.runner.draw import draw
from scalefit.runner.policies.attention import MASKED, Layout, make_layout, softmax, to_heads
from scalefit.runner.policies.nano import Nano
from scalefit.runner.rollouts import Rollouts

BLOCK = 4
"""Most rollouts in a block: fewer make the products too small, more waste too much of them on the mask."""


@torch.no_grad()
def sample_nano(
    model: Nano,
    prompt_PS: Tensor,
    pad_P: Tensor,
    group_size: int,
    *,
    max_new_tokens: int,
    temperature: float,
    end_token: int,
    generator: torch.Generator,
    stop: Sequence[Sequence[int]] = (),
) -> Rollouts:
    """Draw `group_size` responses to every prompt, each until `end_token` (-1: never) or some tokens of `stop` in a row."""
    P, S = prompt_PS.shape
    device = model.turn.device
    here = prompt_PS.to(device)
    G, T, V = group_size, max_new_tokens, model.embed.shape[0]
    g = max(size for size in range(1, BLOCK + 1) if G % size == 0)
    layout = make_layout(model.turn, P, S, model.shape.heads, G=g, R=T, pad_P=pad_P)
    last_PC, cache = _prefill(model, here, layout, G // g)
    response = torch.zeros(P, G, T, dtype=torch.long, device=device)
    log_prob = torch.zeros(P, G, T, device=device)
    mask = torch.zeros(P, G, T, dtype=torch.bool, device=device)
    alive = torch.ones(P, G, dtype=torch.bool, device=device)
    kept = torch.arange(P, device=device)
    entropy_sum, forward, rows_sampled = 0.0, P * S, P
    logits = model.logits(last_PC)[:, None].expand(P, G, V)
    for t in range(T):
        token, chosen, p_log_p = draw(logits, temperature, generator)
        now = alive[kept]
        response[kept, :, t] = torch.where(now, token, 0)
        log_prob[kept, :, t] = torch.where(now, chosen, 0.0)
        mask[kept, :, t] = now
        entropy_sum -= float(p_log_p.sum(-1)[now].sum())
        alive[kept] = now & (token != end_token)
        for wanted in stop:
            if len(wanted) <= t + 1:
                tail = response[:, :, t + 1 - len(wanted) : t + 1]
                alive &= (tail != torch.tensor(wanted, device=device)).any(-1)
        going = alive[kept].any(1)
        if t == T - 1 or not going.any():
            break
        if int(going.sum()) <= 0.75 * len(kept):
            # Prompts whose rollouts have all ended leave the batch.
            kept, token = kept[going], token[going]
            cache = cache.keep(going.repeat_interleave(G // g))
        forward += len(kept) * G
        rows_sampled += len(kept) * G
        x = _one_more(model, token.reshape(-1), cache, replace(layout, P=len(kept) * (G // g)), t)
        logits = model.logits(x).view(len(kept), G, V)
    response, mask, log_prob, ended = (found.cpu() for found in (response, mask, log_prob, ~alive))
    entropy = entropy_sum / max(int(mask.sum()), 1)
    return Rollouts(prompt_PS, pad_P, response, mask, log_prob, ended, entropy, forward, rows_sampled)


@dataclass(frozen=True)
class _Cache:
    """Keys and values (layers, B, H, W, K) of blocks, what each rollout may see of its block, and its padding."""

    keys: Tensor
    values: Tensor
    mask_gW: Tensor
    padding: Tensor | None

    def keep(self, blocks: Tensor) -> _Cache:
        """Return the cache of some blocks."""
        padding = None if self.padding is None else self.padding[blocks]
        return replace(self, keys=self.keys[:, blocks], values=self.values[:, blocks], padding=padding)


def _one_more(model: Nano, token: Tensor, cache: _Cache, layout: Layout, t: int) -> Tensor:
    """Put response token t of every rollout through the model, (rows, C), and its keys and values into the cache."""
    B, S, g, H, K = layout.P, layout.S, layout.G, layout.H, layout.K
    rows, end = len(token), S + (t + 1) * g
    x = F.embedding(token, model.embed)
    for layer, block in enumerate(model.each()):
        q, cache.keys[layer, :, :, end - g : end], cache.values[layer, :, :, end - g : end] = to_heads(
            model.qkv(x, block), layout, rows, S + t
        )
        seen_k, seen_v = (kept[layer].flatten(0, 1)[:, :end] for kept in (cache.keys, cache.values))
        score = torch.baddbmm(cache.mask_gW[:, :end], q.flatten(0, 1), seen_k.transpose(1, 2))
        if cache.padding is not None:
            score.view(B, H * g, end)[..., :S] += cache.padding
        mixed = torch.bmm(softmax(score), seen_v)
        x = x + F.linear(mixed.view(B, H, g, K).transpose(1, 2).reshape(rows, H * K), block.out)
        x = model.feed(x, block)
    return x


def _prefill(model: Nano, prompt_PS: Tensor, layout: Layout, copies: int) -> tuple[Tensor, _Cache]:
    """Return the last position's channels (P, C), and the cache of P x copies blocks with the prompts' keys and values."""
    P, S, H, K, g, T = layout.P, layout.S, layout.H, layout.K, layout.G, layout.R
    keys = model.embed.new_empty(model.shape.layers, P, copies, H, S + T * g, K)
    values = torch.empty_like(keys)
    x = F.embedding(prompt_PS.flatten(), model.embed)
    for layer, block in enumerate(model.each()):
        q, k, v = to_heads(model.qkv(x, block), layout, P, 0)
        keys[layer, ..., :S, :], values[layer, ..., :S, :] = k[:, None], v[:, None]
        mixed = softmax((q @ k.transpose(-1, -2)).add_(layout.causal_SS)) @ v
        x = x + F.linear(mixed.transpose(1, 2).reshape(P * S, H * K), block.out)
        x = model.feed(x, block)
    device = keys.device
    mask_gW = torch.full((g, S + T * g), MASKED, device=device)
    mask_gW[:, :S] = 0.0
    own = torch.arange(g, device=device)[:, None]
    mask_gW[own, S + own + g * torch.arange(T, device=device)] = 0.0
    padding = None if layout.padding_P1S is None else layout.padding_P1S.repeat_interleave(copies, 0)
    return x.view(P, S, -1)[:, -1], _Cache(keys.flatten(1, 2), values.flatten(1, 2), mask_gW, padding)
