"""A nano model as other engines read it: a checkpoint in the form of transformers' Llama, with a character tokeniser.

Shapes: H heads, K channels a head, D channels a head in the checkpoint, C channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalefit.output import write_file, write_text
from scalefit.runner.policies.nano import ALPHABET_AT, END, EPS, MAX_LENGTH, PAD, ROTARY_BASE, Nano

INSIDE = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    "input_layernorm",
    "post_attention_layernorm",
)
"""Weights of a layer in transformers' naming."""


def llama_weights(model: Nano, head_channels: int) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, weight) in transformers' naming, `lm_head.weight` included though it is the embedding.

    Rotary pairs are neighbours in `Nano` and halves apart in Llama. Where an engine wants wider heads, `head_channels`
    appends channels of zeros; queries grow by sqrt(D/K), so that scores divided by sqrt(D) stay what they were.
    """
    H, K = model.shape.heads, model.head_channels
    D, C = head_channels, model.shape.d_model
    halves = torch.cat((torch.arange(0, K, 2), torch.arange(1, K, 2)))
    places = torch.cat((torch.arange(K // 2), D // 2 + torch.arange(K // 2)))

    def wider(weight_CC: Tensor, places: Tensor, rows: Tensor) -> Tensor:
        heads_HDC = weight_CC.new_zeros(H, D, C)
        heads_HDC[:, places] = weight_CC.view(H, K, C)[:, rows]
        return heads_HDC.view(H * D, C)

    plain = torch.arange(K)
    with torch.no_grad():
        yield "model.embed_tokens.weight", model.embed
        for layer, block in enumerate(model.each()):
            q, k, v = block.qkv.chunk(3)
            gate, up = block.gate_up.chunk(2)
            inside = (
                wider(q * (D / K) ** 0.5, places, halves),
                wider(k, places, halves),
                wider(v, plain, plain),
                wider(block.out.T, plain, plain).T.contiguous(),
                gate,
                up,
                block.down,
                block.norm_attention,
                block.norm_feed,
            )
            for name, weight in zip(INSIDE, inside, strict=True):
                yield f"model.layers.{layer}.{name}.weight", weight
        yield "model.norm.weight", model.norm
        yield "lm_head.weight", model.embed


def llama_config(model: Nano, head_channels: int) -> dict[str, Any]:
    """Return the checkpoint's config.json; wider heads turn their first pairs as fast as narrow ones did."""
    shape, K = model.shape, model.head_channels
    D = head_channels
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": model.embed.shape[0],
        "hidden_size": shape.d_model,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": D,
        "hidden_act": "silu",
        "rms_norm_eps": EPS,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROTARY_BASE ** (D / K)},
        "max_position_embeddings": MAX_LENGTH,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": None,
        "eos_token_id": END,
        "pad_token_id": PAD,
        "dtype": "float32",
    }


def export_llama(model: Nano, alphabet: str, folder: Path, head_channels: int) -> None:
    """Write config.json, model.safetensors and the tokeniser's files into an existing folder."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    config = llama_config(model, head_channels)
    write_text(folder / "config.json", json.dumps(config, indent=1))
    weights = {
        name: weight.detach().clone().contiguous()
        for name, weight in llama_weights(model, head_channels)
        if name != "lm_head.weight"
    }
    write_file(folder / "model.safetensors", lambda part: save_file(weights, part, metadata={"format": "pt"}))
    special = {"<pad>": PAD, "<end>": END}
    characters = {character: ALPHABET_AT + at for at, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.WordLevel({**special, **characters}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(special))
    write_file(folder / "tokenizer.json", tokenizer.save)
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "<end>"}
    write_text(folder / "tokenizer_config.json", json.dumps({**about, "padding_side": "left"}))
    generation = {"eos_token_id": END, "pad_token_id": PAD}
    write_text(folder / "generation_config.json", json.dumps(generation))
