"""Sampling from a nano policy: one prefill a prompt for all its rollouts, then one token at a time.

The log-probabilities of what was drawn are kept: they are the old log-probabilities of the update.
A few rollouts of a prompt keep their keys in one block, time after time, behind the prompt's; each sees the whole
block but for a mask. That wastes products, but one batched product of fair size beats many of a single row.
Shapes as in `scalefit.runner.policies.attention`; g rollouts share a block, there are B blocks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from scalefit.runner.policies.attention import MASKED, Layout, make_layout, to_heads
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
) -> Rollouts:
    """Draw `group_size` responses to every prompt; `end_token` -1 never ends."""
    shape, H, K = model.shape, model.shape.heads, model.head_channels
    P, S = prompt_PS.shape
    G, T, C = group_size, max_new_tokens, shape.d_model
    V = model.embed.shape[0]
    g = max(size for size in range(1, BLOCK + 1) if G % size == 0)
    layout = make_layout(model.turn, P, S, g, T, H, pad_P)
    last_PC, keys, values = _prefill(model, prompt_PS, layout, G // g)
    mask_gW = torch.full((g, S + T * g), MASKED)
    mask_gW[:, :S] = 0.0
    mask_gW[torch.arange(g)[:, None], S + torch.arange(g)[:, None] + g * torch.arange(T)] = 0.0
    padding = None if layout.padding_P1S is None else layout.padding_P1S.repeat_interleave(G // g, 0)
    response = torch.zeros(P, G, T, dtype=torch.long)
    log_prob = torch.zeros(P, G, T)
    mask = torch.zeros(P, G, T, dtype=torch.bool)
    alive = torch.ones(P, G, dtype=torch.bool)
    kept = torch.arange(P)
    entropy_sum, forward, rows_sampled = 0.0, P * S, P
    logits = model.logits(last_PC)[:, None].expand(P, G, V)
    for t in range(T):
        heated = (logits if temperature in (0.0, 1.0) else logits / temperature).log_softmax(-1)
        probability = heated.exp()
        # The largest p/Exp(1) is a draw from p; temperature 0 takes the most likely token.
        drawn = probability
        if temperature:
            drawn = probability / torch.empty(len(kept), G, V).exponential_(generator=generator)
        token = drawn.argmax(-1)
        now = alive[kept]
        chosen = heated.gather(-1, token[..., None])[..., 0]
        response[kept, :, t] = torch.where(now, token, 0)
        log_prob[kept, :, t] = torch.where(now, chosen, 0.0)
        mask[kept, :, t] = now
        entropy_sum -= float((probability * heated).sum(-1)[now].sum())
        alive[kept] = now & (token != end_token)
        if t == T - 1:
            break
        going = alive[kept].any(1)
        if not going.any():
            break
        if int(going.sum()) <= 0.75 * len(kept):
            # Prompts whose rollouts have all ended leave the batch.
            kept, token = kept[going], token[going]
            blocks = going.repeat_interleave(G // g)
            keys, values = keys[:, blocks], values[:, blocks]
            padding = padding if padding is None else padding[blocks]
        rows, B, end = len(kept) * G, len(kept) * (G // g), S + (t + 1) * g
        forward += rows
        rows_sampled += rows
        layout = replace(layout, P=B)
        x = F.embedding(token.reshape(rows), model.embed)
        for layer, block in enumerate(model.each()):
            q, keys[layer, :, :, end - g : end], values[layer, :, :, end - g : end] = to_heads(
                model.qkv(x, block), layout, rows, S + t
            )
            seen_k, seen_v = (cache[layer].flatten(0, 1)[:, :end] for cache in (keys, values))
            score = torch.baddbmm(mask_gW[:, :end], q.flatten(0, 1), seen_k.transpose(1, 2))
            if padding is not None:
                score.view(B, H * g, end)[..., :S] += padding
            mixed = torch.bmm(score.softmax(-1), seen_v)
            x = x + F.linear(mixed.view(B, H, g, K).transpose(1, 2).reshape(rows, C), block.out)
            x = model.feed(x, block)
        logits = model.logits(x).view(len(kept), G, V)
    return Rollouts(
        prompt_PS, pad_P, response, mask, log_prob, ~alive, entropy_sum / max(int(mask.sum()), 1), forward, rows_sampled
    )


def _prefill(model: Nano, prompt_PS: Tensor, layout: Layout, copies: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the last position's channels (P, C), and keys and values (layers, P copies, H, W, K) with the prompts'."""
    P, S, H, K = layout.P, layout.S, layout.H, layout.K
    keys = torch.empty(model.shape.layers, P, copies, H, S + layout.R * layout.G, K)
    values = torch.empty_like(keys)
    x = F.embedding(prompt_PS.flatten(), model.embed)
    for layer, block in enumerate(model.each()):
        q, k, v = to_heads(model.qkv(x, block), layout, P, 0)
        keys[layer, ..., :S, :], values[layer, ..., :S, :] = k[:, None], v[:, None]
        mixed = (q @ k.transpose(-1, -2)).add_(layout.causal_SS).softmax(-1) @ v
        x = x + F.linear(mixed.transpose(1, 2).reshape(P * S, H * K), block.out)
        x = model.feed(x, block)
    return x.view(P, S, -1)[:, -1], keys.flatten(1, 2), values.flatten(1, 2)
