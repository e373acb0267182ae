"""Attention with prompts shared by their rollouts, with its gradient written out.

Queries, keys and values go to (head, token) order while rotary positions are applied, so that no layout is written
twice and every product is one batched call on contiguous operands.

Shapes: P prompts, S prompt tokens, G rollouts a prompt, R response tokens, H heads, K channels a head;
N = P S + P G R rows of tokens, first the prompts', then the responses'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

FUSED_ON = {"cuda", "mps"}
"""Kinds of devices where torch's fused attention is used; on processors the one written out here is faster."""
MASKED = -1e9
"""Added to a score that must not count; finite, so that a row of padding stays free of NaN."""
REGISTER = 16
"""Numbers in a vector register of AVX-512 [fp32]; with shorter ones the two ways differ less."""


@dataclass(frozen=True)
class Layout:
    """How the rows of a batch belong together, and what may not be seen.

    Attributes
    ----------
    P, S, G, R, H, K : int
        As in the module's text; without responses G and R are 0.
    turn : Tensor of complex64, shape (S + R, 2 H, K / 2)
        Rotary positions for queries, scaled by K^-1/2, and for keys.
    causal_SS : Tensor
        0 where a prompt token may see another, else `MASKED`; (P, 1, S, S) where there is padding, else (S, S).
    padding_P1S : Tensor or None
        What response tokens may not see of their prompt.
    causal_RR : Tensor
        0 where a response token may see another of its own rollout.
    """

    P: int
    S: int
    G: int
    R: int
    H: int
    K: int
    turn: Tensor
    causal_SS: Tensor
    padding_P1S: Tensor | None
    causal_RR: Tensor

    @property
    def cut(self) -> int:
        """Rows of prompts."""
        return self.P * self.S


def make_layout(turn: Tensor, P: int, S: int, H: int, *, G: int = 0, R: int = 0, pad_P: Tensor | None = None) -> Layout:
    """Return the layout of a batch; `turn` holds one complex number a position and pair of channels."""
    K, device = 2 * turn.shape[1], turn.device
    turn = turn[: S + R, None].expand(-1, H, -1)
    causal = torch.full((S, S), MASKED, device=device).triu(1)
    padding = None
    if pad_P is not None and bool(pad_P.any()):
        padding = ((torch.arange(S) < pad_P[:, None])[:, None] * MASKED).to(device)
        causal = causal + padding[:, None]
    causal_RR = torch.full((R, R), MASKED, device=device).triu(1)
    return Layout(P, S, G, R, H, K, torch.cat((turn * K**-0.5, turn), 1), causal, padding, causal_RR)


def attend(qkv: Tensor, layout: Layout) -> Tensor:
    """Return what every token gathers, shape (N, H K), from rows of queries, keys and values (N, 3 H K)."""
    if qkv.device.type in FUSED_ON:
        return _attend_fused(qkv, layout)
    mixed: Tensor = _Attention.apply(qkv, layout)  # type: ignore[no-untyped-call]
    return mixed


def _attend_fused(qkv: Tensor, layout: Layout) -> Tensor:
    """Do the same by torch's fused kernels, for which every rollout gets its prompt's keys beside its own."""
    P, S, G, R, H, K, cut = layout.P, layout.S, layout.G, layout.R, layout.H, layout.K, layout.cut

    def mix(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask.expand(len(q), 1, -1, -1), scale=1.0)

    q, k, v = _turned(qkv[:cut].view(P, S, 3, H, K), layout, 0)
    out = mix(q, k, v, layout.causal_SS).transpose(1, 2).reshape(cut, H * K)
    if not R:
        return out
    rq, rk, rv = _turned(qkv[cut:].view(P * G, R, 3, H, K), layout, S)
    k, v = (torch.cat((of_prompt.repeat_interleave(G, 0), own), 2) for of_prompt, own in ((k, rk), (v, rv)))
    seen = layout.causal_RR.new_zeros(P, R, S) if layout.padding_P1S is None else layout.padding_P1S.expand(P, R, S)
    mask = torch.cat((seen, layout.causal_RR.expand(P, R, R)), 2)[:, None].repeat_interleave(G, 0)
    return torch.cat((out, mix(rq, k, v, mask).transpose(1, 2).reshape(-1, H * K)))


def _turned(x: Tensor, layout: Layout, first: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries and keys (turned) and values of rows (B, T, 3, H, K), each (B, H, T, K)."""
    H, T = layout.H, x.shape[1]
    turn = layout.turn[first : first + T].view(T, 2, H, -1)
    both = torch.view_as_real(_pairs(x[:, :, :2].contiguous()) * turn).flatten(-2)
    q, k, v = (part.transpose(1, 2) for part in (*both.unbind(2), x[:, :, 2]))
    return q, k, v


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, layout: Layout) -> Tensor:
        P, S, G, R, H, K, cut = layout.P, layout.S, layout.G, layout.R, layout.H, layout.K, layout.cut
        out = qkv.new_empty(len(qkv), H * K)
        q, k, v = to_heads(qkv[:cut], layout, P, 0)
        score = q @ k.transpose(-1, -2)
        weight = softmax(score.add_(layout.causal_SS))
        out[:cut].view(P, S, H, K).copy_((weight @ v).transpose(1, 2))
        ctx.layout = layout
        if not R:
            ctx.save_for_backward(q, k, v, weight)
            return out
        # Of each prompt: (P H, G R, K) sees the prompt's keys, (P H G, R, K) its own rollout's; the same memory.
        rq, rk, rv = to_heads(qkv[cut:], layout, P * G, S)
        rows, own = (P * H, G * R, K), (P * H * G, R, K)
        to_prompt = torch.bmm(rq.view(rows), k.view(P * H, S, K).transpose(1, 2))
        if layout.padding_P1S is not None:
            to_prompt.view(P, H * G * R, S).add_(layout.padding_P1S)
        to_own = torch.bmm(rq.view(own), rk.view(own).transpose(1, 2)).add_(layout.causal_RR)
        both = softmax(torch.cat((to_prompt.view(P * H * G, R, S), to_own), -1))
        mixed = torch.bmm(both.view(P * H, G * R, S + R)[..., :S], v.view(P * H, S, K)).view(own)
        mixed.baddbmm_(both[..., S:], rv.view(own))
        out[cut:].view(P, G, R, H, K).copy_(mixed.view(P, H, G, R, K).permute(0, 2, 3, 1, 4))
        ctx.save_for_backward(q, k, v, weight, rq, rk, rv, both)
        return out

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        layout: Layout = ctx.layout
        P, S, G, R, H, K, cut = layout.P, layout.S, layout.G, layout.R, layout.H, layout.K, layout.cut
        q, k, v, weight, *response = ctx.saved_tensors
        out = slope.new_empty(len(slope), 3 * H * K)
        by_mixed = slope[:cut].view(P, S, H, K).transpose(1, 2).contiguous()
        by_score = _softmax_slope(by_mixed @ v.transpose(-1, -2), weight)
        by_q = by_score @ k
        by_k = by_score.transpose(-1, -2) @ q
        by_v = weight.transpose(-1, -2) @ by_mixed
        if response:
            rq, rk, rv, both = response
            rows, own = (P * H, G * R, K), (P * H * G, R, K)
            by_mixed = slope[cut:].view(P, G, R, H, K).permute(0, 3, 1, 2, 4).contiguous()
            prompts_k, prompts_v = k.view(P * H, S, K), v.view(P * H, S, K)
            by_prompt = torch.bmm(by_mixed.view(rows), prompts_v.transpose(1, 2)).view(P * H * G, R, S)
            by_own = torch.bmm(by_mixed.view(own), rv.view(own).transpose(1, 2))
            by_both = _softmax_slope(torch.cat((by_prompt, by_own), -1), both)
            to_prompt, by_prompt = (part.view(P * H, G * R, S + R)[..., :S] for part in (both, by_both))
            to_own, by_own = both[..., S:], by_both[..., S:]
            by_rq = torch.bmm(by_prompt, prompts_k).view(own).baddbmm_(by_own, rk.view(own))
            by_rk = torch.bmm(by_own.transpose(1, 2), rq.view(own))
            by_rv = torch.bmm(to_own.transpose(1, 2), by_mixed.view(own))
            by_k.view(P * H, S, K).baddbmm_(by_prompt.transpose(1, 2), rq.view(rows))
            by_v.view(P * H, S, K).baddbmm_(to_prompt.transpose(1, 2), by_mixed.view(rows))
            _from_heads((by_rq, by_rk, by_rv), out[cut:], layout, P * G, S)
        _from_heads((by_q, by_k, by_v), out[:cut], layout, P, 0)
        return out, None


def softmax(score: Tensor) -> Tensor:
    """Return the softmax along the last axis; torch's takes five times as long on rows shorter than a vector register."""
    if score.shape[-1] >= REGISTER:
        return score.softmax(-1)
    weight = (score - score.amax(-1, keepdim=True)).exp_()
    return weight.div_(weight.sum(-1, keepdim=True))


def _softmax_slope(slope: Tensor, weight: Tensor) -> Tensor:
    if weight.shape[-1] >= REGISTER:
        return torch.ops.aten._softmax_backward_data(slope, weight, -1, weight.dtype)
    by_score = slope * weight
    return by_score.addcmul_(weight, by_score.sum(-1, keepdim=True), value=-1)


def _views(x: Tensor, layout: Layout, rows: int) -> tuple[Tensor, ...]:
    """Return queries, keys and values of rows (rows x T, 3 H K) as views (P, H, rows / P, T, K)."""
    parts = x.view(layout.P, rows // layout.P, -1, 3, layout.H, layout.K).permute(3, 0, 4, 1, 2, 5)
    return tuple(parts)


def to_heads(x: Tensor, layout: Layout, rows: int, first: int) -> tuple[Tensor, ...]:
    """Return queries, keys (turned) and values in head order, (P, H, rows / P x T, K)."""
    found = []
    for at, part in enumerate(_views(x, layout, rows)):
        place = x.new_empty(part.shape)
        if at < 2:
            torch.mul(_pairs(part), _turn(layout, at, first, part.shape[3]), out=_pairs(place))
        else:
            place.copy_(part)
        found.append(place.flatten(2, 3))
    return tuple(found)


def _from_heads(qkv: tuple[Tensor, ...], out: Tensor, layout: Layout, rows: int, first: int) -> None:
    """Write slopes of queries, keys and values in head order to rows of tokens; the inverse of `to_heads`."""
    for at, (part, place) in enumerate(zip(qkv, _views(out, layout, rows), strict=True)):
        part = part.view(place.shape)
        if at < 2:
            turn = _turn(layout, at, first, place.shape[3]).conj().resolve_conj()
            torch.mul(_pairs(part), turn, out=_pairs(place))
        else:
            place.copy_(part)


def _turn(layout: Layout, at: int, first: int, T: int) -> Tensor:
    """Return the rotary positions of queries (0) or keys (1), (H, 1, T, K / 2)."""
    H = layout.H
    return layout.turn[first : first + T, at * H : (at + 1) * H].transpose(0, 1)[:, None]


def _pairs(x: Tensor) -> Tensor:
    """Return channels 2 i and 2 i + 1 as one complex number."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))
