"""FLOPs of a decoder-only transformer, by pass.

Two counts are written: the paper's, 6 N tokens (Kaplan et al. 2020, arXiv:2001.08361; Tan et al. 2025), with every
rollout's prompt and response tokens and N the non-embedding parameters; and what was really computed, pass by pass:
a forward pass costs 2 FLOPs for each parameter and token it processes, a training pass three times that.
Prompts shared by their rollouts are processed once, and groups left out of training are not counted.
"""

from __future__ import annotations


def paper_flops(params: float, tokens: float) -> float:
    """Return 6 N tokens [FLOPs]."""
    return 6.0 * params * tokens


def forward_flops(matrix_params: int, tokens: int, head: int = 0, head_tokens: int = 0) -> float:
    """Return the matrix products of a forward pass without attention [FLOPs].

    Parameters
    ----------
    matrix_params : int
        Parameters of the layers that multiply every token.
    tokens : int
        Tokens processed.
    head : int
        Parameters of the output layer, vocabulary x channels.
    head_tokens : int
        Tokens whose next-token distribution was computed.
    """
    return 2.0 * (matrix_params * tokens + head * head_tokens)


def attention_flops(layers: int, channels: int, pairs: int) -> float:
    """Return the two products of attention, scores and mixture [FLOPs]; `pairs` of query and key tokens a layer."""
    return 4.0 * layers * channels * pairs
