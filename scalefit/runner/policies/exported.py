"""A nano policy from the checkpoint that it was exported as, weight for weight.

Shapes: K channels a head, C channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from scalefit.errors import ScalefitError
from scalefit.runner.policies.export import INSIDE
from scalefit.runner.policies.nano import ALPHABET_AT, NanoShape
from scalefit.runner.policies.nano_policy import NanoPolicy


def read_nano(folder: Path) -> NanoPolicy:
    """Return the policy that was exported into a folder; raises ScalefitError where there is none."""
    shape, alphabet, weights = _read_llama(folder)
    policy = NanoPolicy(shape, alphabet, torch.Generator())
    policy.model.load_state_dict(weights)
    return policy


def _read_llama(folder: Path) -> tuple[NanoShape, str, dict[str, Tensor]]:
    """Return shape, alphabet and weights in `Nano`'s naming of what `export_llama` wrote, weight for weight.

    Raises
    ------
    ScalefitError
        If it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        shape = NanoShape(
            folder.name, config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
        )
        weights = dict(_nano_weights(load_file(folder / "model.safetensors"), shape))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ScalefitError(f"{folder}: cannot be read as the weights of a run ({type(error).__name__}).") from None
    return shape, "".join(sorted(vocabulary, key=vocabulary.__getitem__)[ALPHABET_AT:]), weights


def _nano_weights(llama: Mapping[str, Tensor], shape: NanoShape) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, weight) of `Nano`; the inverse of `llama_weights` with heads as wide as the model's own."""
    K = shape.d_model // shape.heads
    neighbours = torch.arange(K).view(2, K // 2).T.flatten()

    def turned(weight_CC: Tensor) -> Tensor:
        return weight_CC.view(shape.heads, K, shape.d_model)[:, neighbours].reshape_as(weight_CC)

    yield "embed", llama["model.embed_tokens.weight"]
    for layer in range(shape.layers):
        q, k, v, out, gate, up, down, attention, feed = (
            llama[f"model.layers.{layer}.{name}.weight"] for name in INSIDE
        )
        inside = {
            "qkv": torch.cat((turned(q), turned(k), v)),
            "out": out,
            "gate_up": torch.cat((gate, up)),
            "down": down,
            "norm_attention": attention,
            "norm_feed": feed,
        }
        yield from ((f"blocks.{layer}.{name}", weight) for name, weight in inside.items())
    yield "norm", llama["model.norm.weight"]
