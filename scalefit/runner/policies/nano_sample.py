"""Sampling from a nano policy: one prefill a prompt for all its rollouts, then one token at a time.

The log-probabilities of what was drawn are kept: they are the old log-probabilities of the update.
Shapes as in `scalefit.runner.policies.nano`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scalefit.runner.policies.nano import MASKED, Nano
from scalefit.runner.rollouts import Rollouts


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
    keys = torch.empty(shape.layers, P, H, G, T, K)
    values = torch.empty_like(keys)
    padding = (torch.arange(S) < pad_P[:, None]) * MASKED
    last_PC, prompt_k, prompt_v = _prefill(model, prompt_PS, padding)
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
            keys, values, padding = keys[:, going], values[:, going], padding[going]
            prompt_k, prompt_v = [k[going] for k in prompt_k], [v[going] for v in prompt_v]
        rows = len(kept) * G
        forward += rows
        rows_sampled += rows
        x = F.embedding(token.reshape(rows), model.embed)
        for layer, block in enumerate(model.each()):
            # (rows, H, 1, K) to (P, H, G, K): the rollouts of a prompt share one matrix product with its keys.
            q, k, v = (
                part.view(len(kept), G, H, K).transpose(1, 2) for part in model.heads(model.qkv(x, block), rows, S + t)
            )
            keys[layer, :, :, :, t], values[layer, :, :, :, t] = k, v
            q = q * K**-0.5
            to_prompt = q @ prompt_k[layer].transpose(-1, -2) + padding[:, None, None]
            own_k, own_v = keys[layer, :, :, :, : t + 1], values[layer, :, :, :, : t + 1]
            to_own = (own_k @ q[..., None])[..., 0]
            weight = torch.cat((to_prompt, to_own), -1).softmax(-1)
            mixed = weight[..., :S] @ prompt_v[layer] + (weight[..., None, S:] @ own_v)[..., 0, :]
            x = x + F.linear(mixed.transpose(1, 2).reshape(rows, C), block.out)
            x = model.feed(x, block)
        logits = model.logits(x).view(len(kept), G, V)
    return Rollouts(
        prompt_PS, pad_P, response, mask, log_prob, ~alive, entropy_sum / max(int(mask.sum()), 1), forward, rows_sampled
    )


def _prefill(model: Nano, prompt_PS: Tensor, padding_PS: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Return the last position's channels (P, C) and each layer's keys and values (P, H, S, K)."""
    P, S = prompt_PS.shape
    mask = torch.full((S, S), MASKED).triu(1) + padding_PS[:, None, None]
    x = F.embedding(prompt_PS, model.embed)
    keys, values = [], []
    for block in model.each():
        q, k, v = model.heads(model.qkv(x, block), P, 0)
        k, v = k.contiguous(), v.contiguous()
        keys.append(k)
        values.append(v)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + F.linear(mixed.transpose(1, 2).reshape(P, S, -1), block.out)
        x = model.feed(x, block)
    return x[:, -1], keys, values
