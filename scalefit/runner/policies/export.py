"""A nano model as other engines read it: a checkpoint in the form of transformers' Llama, with a character tokeniser.

Shapes: H heads, K channels a head, D channels a head in the checkpoint, C channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalefit.errors import ScalefitError
from scalefit.output import write_file, write_text
from scalefit.runner.policies.nano import ALPHABET_AT, END, EPS, MAX_LENGTH, PAD, ROTARY_BASE, Nano, NanoShape

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


def read_llama(folder: Path) -> tuple[NanoShape, str, dict[str, Tensor]]:
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
