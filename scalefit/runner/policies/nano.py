"""`nano`: a decoder-only transformer in the Llama form, small enough to train on a laptop.

RMSNorm, rotary positions, SwiGLU, tied embeddings, no biases; the fused weights split into those of
transformers' LlamaForCausalLM (a test compares the two). A prompt is processed once for all its rollouts,
in sampling and in training alike: response tokens attend to the prompt's keys and to their own.

Shapes: P prompts, G rollouts a prompt, S prompt tokens (left-padded), T response tokens, V vocabulary,
B rows, H heads, K channels a head, C channels. Rotary positions are relative, so left padding only needs a mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalefit.runner.config import NANO_POSITIONS
from scalefit.runner.policies.attention import Layout, attend, make_layout

EPS = 1e-6
ROTARY_BASE = 10000.0
PAD, END, ALPHABET_AT = 0, 1, 2
"""Tokens: padding, the end of an answer, and the first character of the alphabet."""
MAX_LENGTH = NANO_POSITIONS
"""Longest prompt and response together [tokens]."""


@dataclass(frozen=True)
class NanoShape:
    """The size of a nano model: channels, layers, heads."""

    name: str
    d_model: int
    layers: int
    heads: int

    @property
    def hidden(self) -> int:
        """Channels of the gated feed-forward layer: 8/3 of the model's, rounded up to 8."""
        return 8 * math.ceil(self.d_model / 3)

    @property
    def params(self) -> int:
        """Non-embedding parameters N."""
        layer = 4 * self.d_model**2 + 3 * self.d_model * self.hidden + 2 * self.d_model
        return self.layers * layer + self.d_model

    @property
    def matrix_params(self) -> int:
        """Parameters that enter a matrix product for every token (embedding and norms do not)."""
        return self.layers * (4 * self.d_model**2 + 3 * self.d_model * self.hidden)


class Block(nn.Module):
    """One layer's weights; the arithmetic is in `Nano`, which shares prompts between rollouts."""

    def __init__(self, shape: NanoShape) -> None:
        super().__init__()
        C, hidden = shape.d_model, shape.hidden
        self.norm_attention = nn.Parameter(torch.ones(C))
        self.qkv = nn.Parameter(torch.empty(3 * C, C))
        self.out = nn.Parameter(torch.empty(C, C))
        self.norm_feed = nn.Parameter(torch.ones(C))
        self.gate_up = nn.Parameter(torch.empty(2 * hidden, C))
        self.down = nn.Parameter(torch.empty(C, hidden))


class _Normed(torch.autograd.Function):
    """x / rms(x) along the last axis, with fewer passes over memory than the composed form."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = (torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_() / x.shape[-1] + EPS).rsqrt_()
        y = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        y, scale = ctx.saved_tensors
        along = torch.linalg.vecdot(slope, y).div_(y.shape[-1])[..., None]
        return torch.addcmul(slope, y, along, value=-1).mul_(scale)


class _Gated(torch.autograd.Function):
    """silu(gate) * up of (..., 2 hidden), whose gradient is written where it belongs, without a copy."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        gate, up = both.chunk(2, -1)
        active = F.silu(gate)
        ctx.save_for_backward(both, active)
        return active * up

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        both, active = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        out = torch.empty_like(both)
        by_gate, by_up = out.chunk(2, -1)
        torch.mul(slope, active, out=by_up)
        torch.ops.aten.silu_backward.grad_input(slope * up, gate, grad_input=by_gate)
        return out


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result


def _normed_linear(x: Tensor, weight: Tensor, matrix: Tensor) -> Tensor:
    """Return the product of RMSNorm(x) with a matrix; the norm's weight goes into the matrix, which is smaller than x."""
    return F.linear(_apply(_Normed, x), matrix * weight)


class Nano(nn.Module):
    """The model; weights drawn from `generator`."""

    turn: Tensor

    def __init__(self, shape: NanoShape, vocabulary: int, max_length: int, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.head_channels = shape.d_model // shape.heads
        self.embed = nn.Parameter(torch.empty(vocabulary, shape.d_model))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.d_model))
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim == 2:
                    scale = weight.shape[1] ** -0.5
                    if name.endswith(("out", "down")):
                        scale /= math.sqrt(2 * shape.layers)
                    weight.normal_(0.0, 1.0 if name == "embed" else scale, generator=generator)
            self.embed.mul_(0.5 * shape.d_model**-0.5)
        angle = torch.arange(max_length)[:, None] / ROTARY_BASE ** (
            torch.arange(0, self.head_channels, 2) / self.head_channels
        )
        self.register_buffer("turn", torch.polar(torch.ones_like(angle), angle), persistent=False)

    def each(self) -> Iterator[Block]:
        """Return the layers, first to last."""
        return cast("Iterator[Block]", iter(self.blocks))

    def qkv(self, x: Tensor, block: Block) -> Tensor:
        """Return queries, keys and values of rows (..., C), shape (..., 3 C), before rotary positions."""
        return _normed_linear(x, block.norm_attention, block.qkv)

    def feed(self, x: Tensor, block: Block) -> Tensor:
        """Return x plus the gated feed-forward layer; shape kept."""
        return x + F.linear(_apply(_Gated, _normed_linear(x, block.norm_feed, block.gate_up)), block.down)

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of the next token, (..., V)."""
        return _normed_linear(x, self.norm, self.embed)

    def forward(self, tokens_BS: Tensor) -> Tensor:
        """Return the logits of plain rows of tokens, (B, S, V)."""
        B, S = tokens_BS.shape
        layout = make_layout(self.turn, B, S, self.shape.heads)
        return self.logits(self._through(tokens_BS.flatten(), layout)).view(B, S, -1)

    def response_logits(self, prompt_PS: Tensor, pad_P: Tensor, response_PGT: Tensor) -> Tensor:
        """Return the logits that predict each response token, (P, G, T, V); every prompt is processed once.

        The last response token predicts nothing that is asked for, so it is not processed.
        """
        P, S = prompt_PS.shape
        G, R = response_PGT.shape[1], response_PGT.shape[2] - 1
        prompt_PS, response_PGT = prompt_PS.to(self.turn.device), response_PGT.to(self.turn.device)
        layout = make_layout(self.turn, P, S, self.shape.heads, G=G, R=R, pad_P=pad_P)
        x = self._through(torch.cat((prompt_PS.flatten(), response_PGT[:, :, :R].flatten())), layout)
        C, cut = self.shape.d_model, layout.cut
        last_PC = x[:cut].view(P, S, C)[:, -1]
        seen = torch.cat((last_PC[:, None, None].expand(P, G, 1, C), x[cut:].view(P, G, R, C)), 2)
        return self.logits(seen)

    def _through(self, tokens: Tensor, layout: Layout) -> Tensor:
        """Return the last layer's channels of rows of tokens, (N, C)."""
        x = F.embedding(tokens, self.embed)
        for block in self.each():
            x = x + F.linear(attend(self.qkv(x, block), layout), block.out)
            x = self.feed(x, block)
        return x
