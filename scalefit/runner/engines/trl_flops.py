"""FLOPs of a TRL run, counted where TRL makes its passes: padding, the output layer and recomputed layers included.

Log-probabilities under the policy that sampled cost a forward pass of their own where TRL cannot take those of the
first update for them: with several updates a step, and with vLLM's importance correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from scalefit.runner.flops import forward_flops

PASSES = ("flops_generation", "flops_old_log_prob", "flops_reference", "flops_training")
BACKWARD = 2
"""A backward pass in forward passes."""
HEAD_IN_TRAINING = 4
"""TRL keeps no logits for the backward pass of the output layer, and computes them a second time."""


def count_params(source: str) -> tuple[int, int]:
    """Return the parameters of a checkpoint outside its embedding tables, and of its output layer; reads no weights."""
    config = AutoConfig.from_pretrained(source)
    with torch.device("meta"):
        empty: Any = AutoModelForCausalLM.from_config(config)
    inner, head = empty.get_input_embeddings().weight, empty.get_output_embeddings().weight
    tables = inner.numel() + (0 if config.tie_word_embeddings else head.numel())
    return sum(weight.numel() for weight in {id(w): w for w in empty.parameters()}.values()) - tables, head.numel()


class Passes:
    """What the passes of one process have cost, by kind [FLOPs]."""

    def __init__(self, params: int, head: int, layers_in_training: int) -> None:
        self.params, self.head, self.layers_in_training = params, head, layers_in_training
        self.spent = dict.fromkeys(PASSES, 0.0)

    def add_generation(self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], padded: bool) -> None:
        """Count what made the answers: every prompt, and every token of an answer but its last.

        With `padded`, as in transformers, all prompts are as long as the longest, and so are all answers; vLLM packs
        them, and what its cache of common prompts spares it is not known.
        """
        if padded:
            made = len(answers) * max(map(len, answers))
            tokens = len(prompts) * max(map(len, prompts)) + made - len(answers)
        else:
            made = sum(map(len, answers))
            tokens = sum(map(len, prompts)) + made - len(answers)
        self.spent["flops_generation"] += forward_flops(self.params, tokens, self.head, made)

    def add_log_prob(self, name: str, tokens: int, scored: int) -> None:
        """Count a pass that scores some of its tokens."""
        training = name == "flops_training"
        layers, head = (self.layers_in_training, HEAD_IN_TRAINING) if training else (1, 1)
        self.spent[name] += forward_flops(self.params, layers * tokens, self.head, head * scored)
