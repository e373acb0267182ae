"""What a run needs of memory, part by part, and what is free; said before weights are made or read.

Factors were measured on a CPU (`benchmarks/memory.py` shows estimate beside peak). Letters in names: S prompt tokens,
T response tokens, G rollouts a prompt.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError, UsageError
from scalefit.runner.config import RunSpec
from scalefit.runner.device import device_name
from scalefit.runner.sections import LoraConfig, SizeConfig

SAMPLE_BYTES = 1 << 30
"""What sampling from an `hf` policy takes at a time on a processor, where a single sequence is not larger."""
LOGITS_AT_ONCE = 1 << 24
"""Most numbers that a chunk of logits has in training of an `hf` policy."""
LIBRARIES = {"nano": 0.33e9, "hf": 0.55e9}
"""A process with torch, or with transformers too [bytes]."""
BYTES_A_ROLLOUT = 600.0
"""Text, score and what else is kept of a rollout whatever its length."""
BYTES_A_TOKEN = 40.0
"""Token, mask, weight, and log-probabilities of a response token, under policy and reference."""
PROMPT = {"nano": 32, "hf": 128}
"""Tokens of a prompt where none is at hand to look at."""
EVALUATED_AT_ONCE = 64
"""Problems sampled at once in an evaluation."""


@dataclass(frozen=True)
class ModelShape:
    """What a model's memory depends on; `params` with embeddings."""

    params: float
    layers: int
    channels: int
    hidden: int
    kv_channels: int
    heads: int
    vocabulary: int

    def sequence_bytes(self, length: int) -> float:
        """Return what sampling a sequence takes: its keys and values, and one token's logits with what is made of them."""
        return 8.0 * self.layers * self.kv_channels * length + 36.0 * self.vocabulary


@dataclass(frozen=True)
class Memory:
    """Parts of a run's peak [bytes], by what a reader calls them, and the key that lowers each."""

    parts: dict[str, float]
    keys: dict[str, str]

    @property
    def peak(self) -> float:
        """Their sum."""
        return sum(self.parts.values())

    def shortage(self, free: float) -> str:
        """Say that it is more than is free, which part is the largest and what lowers it; an empty text where it fits."""
        if self.peak <= free:
            return ""
        largest = max(self.parts, key=lambda name: self.parts[name])
        return (
            f"training needs about {_gigabytes(self.peak)} of memory, {_gigabytes(free)} are free; "
            f"the largest part is {largest} ({_gigabytes(self.parts[largest])}): {self.keys[largest]}"
        )


def _gigabytes(amount: float) -> str:
    return f"{amount / 1e9:.3g} GB"


def nano_shape(size: SizeConfig, vocabulary: int = 64) -> ModelShape:
    """Return the shape of a nano model."""
    C, hidden = size.d_model, 8 * -(-size.d_model // 3)
    params = size.layers * (4 * C**2 + 3 * C * hidden + 2 * C) + C + vocabulary * C
    return ModelShape(params, size.layers, C, hidden, C, size.heads, vocabulary)


def shape_of(config: Any) -> ModelShape:
    """Return the shape that a configuration of transformers describes; parameters as a gated decoder's."""
    C, heads = config.hidden_size, config.num_attention_heads
    K = getattr(config, "head_dim", None) or C // heads
    kv = K * (getattr(config, "num_key_value_heads", None) or heads)
    hidden = getattr(config, "intermediate_size", None) or 4 * C
    layer = 2 * C * K * heads + 2 * C * kv + 3 * C * hidden + 2 * C
    tables = (1 if getattr(config, "tie_word_embeddings", True) else 2) * config.vocab_size * C
    return ModelShape(
        config.num_hidden_layers * layer + C + tables,
        config.num_hidden_layers,
        C,
        hidden,
        kv,
        heads,
        config.vocab_size,
    )


def run_memory(spec: RunSpec, shape: ModelShape, prompt: int = 0, *, on_gpu: bool = False) -> Memory:
    """Estimate the peak of a run's memory on the device that holds its model.

    Parameters
    ----------
    spec : RunSpec
        The run.
    shape : ModelShape
        Its model.
    prompt : int
        Tokens of a prompt; 0 takes `PROMPT`.
    on_gpu : bool
        Whether libraries and rollouts lie elsewhere.
    """
    config, kind = spec.config, spec.config.policy.kind
    S = prompt or PROMPT[kind]
    trained, grpo = shape.params, config.grpo
    lora = config.hf.lora if kind == "hf" else LoraConfig()
    if lora.rank:
        trained = lora.rank * shape.layers * (9.0 * shape.channels + 2 * shape.kv_channels + 3 * shape.hidden)
    parts = {
        "weights": 4 * shape.params + (4 * trained if lora.rank else 0),
        "gradients and moments": 12 * trained,
        "the reference": 4 * shape.params if grpo.kl and not lora.rank else 0.0,
        "rollouts": _rollouts(spec),
        "libraries": LIBRARIES[kind],
    }
    keys = {
        "weights": "choose a smaller model" if kind == "hf" else "lower d_model or layers",
        "gradients and moments": "set [hf.lora] rank, or choose a smaller model"
        if kind == "hf"
        else "lower d_model or layers",
        "the reference": "set [grpo] kl = 0",
        "rollouts": "lower [sweep] group_size or [grpo] prompts",
        "libraries": "use a machine with more",
        "vLLM's weights and cache": "lower [vllm] cache_gib",
        "sampling": "lower [sweep] group_size, [grpo] prompts or [eval] samples",
    }
    if on_gpu:
        del parts["rollouts"], parts["libraries"]
    if config.policy.sampler == "vllm":
        parts["vLLM's weights and cache"] = 4 * shape.params + config.vllm.cache_gib * 2**30
    sampling = (_nano_sampling if kind == "nano" else _hf_sampling)(spec, shape, S)
    training, words = (_nano_pass if kind == "nano" else _hf_pass)(spec, shape, S)
    if sampling > sum(training.values()) and config.policy.sampler != "vllm":
        return Memory({**parts, "sampling": sampling}, keys)
    return Memory({**parts, **training}, {**keys, **words})


def _rollouts(spec: RunSpec) -> float:
    grpo, held_out = spec.config.grpo, spec.config.eval
    trained = grpo.prompts * spec.group_size
    evaluated = EVALUATED_AT_ONCE * max(held_out.samples, held_out.end_samples)
    return max(trained, evaluated) * (BYTES_A_ROLLOUT + BYTES_A_TOKEN * grpo.max_new_tokens)


def _nano_sampling(spec: RunSpec, shape: ModelShape, S: int) -> float:
    """Return what all sequences take at once: keys and values in blocks that share a prompt, a step's scores and logits."""
    grpo, held_out = spec.config.grpo, spec.config.eval
    T, at_once = grpo.max_new_tokens, min(EVALUATED_AT_ONCE, held_out.problems)
    G, evaluated = spec.group_size, max(held_out.samples, held_out.end_samples)

    def of(prompts: int, group: int) -> float:
        block = max(size for size in range(1, 5) if group % size == 0)
        width = S + T * block
        # Those of groups that go on are copied when others have ended.
        cache = 1.7 * 8.0 * shape.layers * shape.channels * width / block
        step = 4.0 * (shape.heads * width * 2 + 6 * shape.channels + 3 * shape.hidden + 6 * shape.vocabulary)
        prefill = 4.0 * S / group * (10 * shape.channels + 3 * shape.hidden + 2 * shape.heads * S)
        return prompts * group * (cache + max(step, prefill))

    return max(of(grpo.prompts, G), of(at_once, evaluated))


def _nano_pass(spec: RunSpec, shape: ModelShape, S: int) -> tuple[dict[str, float], dict[str, str]]:
    """Return what each layer keeps of every token for the gradient, the scores of attention, and logits."""
    grpo, G, R = spec.config.grpo, spec.group_size, spec.config.grpo.max_new_tokens - 1
    a_prompt = S + G * R
    prompts = grpo.micro_batch or max(1, round(grpo.pass_tokens / a_prompt))
    prompts, rollouts = min(prompts, grpo.mini_batch), G
    if not grpo.micro_batch and a_prompt > 8 * grpo.pass_tokens:
        prompts, rollouts = 1, max(1, int(G * 8 * grpo.pass_tokens / a_prompt))
    tokens = prompts * (S + rollouts * R)
    kept = tokens * (7.0 * shape.channels + 5 * shape.hidden) + prompts * shape.heads * (S * S + rollouts * R * (S + R))
    logits = 4.0 * prompts * rollouts * (R + 1) * (shape.vocabulary * 4 + 2 * shape.channels)
    folded = 3.0 * shape.channels**2 + 2 * shape.hidden * shape.channels  # matrices times the weights of their norm
    lower = (
        "lower [grpo] micro_batch or max_new_tokens"
        if grpo.micro_batch
        else "lower [grpo] pass_tokens or max_new_tokens"
    )
    return {"a pass's activations": 4.0 * shape.layers * (kept + folded), "a pass's logits": logits}, {
        "a pass's activations": lower,
        "a pass's logits": lower,
    }


def _hf_sampling(spec: RunSpec, shape: ModelShape, S: int) -> float:
    grpo, held_out = spec.config.grpo, spec.config.eval
    most = max(
        grpo.prompts * spec.group_size,
        min(EVALUATED_AT_ONCE, held_out.problems) * max(held_out.samples, held_out.end_samples),
    )
    one = shape.sequence_bytes(S + grpo.max_new_tokens)
    return max(one, min(most * one, SAMPLE_BYTES))


def _hf_pass(spec: RunSpec, shape: ModelShape, S: int) -> tuple[dict[str, float], dict[str, str]]:
    grpo, hf, G = spec.config.grpo, spec.config.hf, spec.group_size
    length = S + grpo.max_new_tokens - 1
    if grpo.micro_batch:
        rows = min(grpo.micro_batch, grpo.mini_batch) * G
    elif G * length > grpo.pass_tokens:
        rows = max(1, int(grpo.pass_tokens / length))
    else:
        rows = min(max(1, round(grpo.pass_tokens / (G * length))), grpo.mini_batch) * G
    tokens, answered = rows * length, rows * grpo.max_new_tokens
    a_layer = 4.0 * tokens * (12 * shape.channels + 4 * shape.hidden)
    layers = (
        4.0 * tokens * shape.channels * shape.layers + a_layer if hf.gradient_checkpointing else shape.layers * a_layer
    )
    logits = 4.0 * min(answered, max(1, LOGITS_AT_ONCE // shape.vocabulary)) * shape.vocabulary * 4
    table = 0.0 if hf.lora.rank else 8.0 * shape.vocabulary * shape.channels
    lower = (
        "lower [grpo] micro_batch or max_new_tokens"
        if grpo.micro_batch and rows > 1
        else "lower [grpo] pass_tokens or max_new_tokens"
    )
    return {"a pass's activations": layers, "a pass's logits": logits + table}, {
        "a pass's activations": lower
        + ("" if hf.gradient_checkpointing else ", or set [hf] gradient_checkpointing = true"),
        "a pass's logits": lower,
    }


@contextlib.contextmanager
def telling_shortage(doing: str, remedy: str) -> Iterator[None]:
    """Turn whatever says that memory has run out into one plain line.

    Raises
    ------
    ScalefitError
        Instead of `MemoryError`, and of torch's errors of any device.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in _RAN_OUT):
            raise
        raise ScalefitError(f"memory ran out while {doing}: {remedy} ({reason[:200]})") from error


_RAN_OUT = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory")


def refuse_shortage(spec: RunSpec, model: str, shape: ModelShape, prompt: int) -> None:
    """Refuse a run that cannot fit; raises UsageError."""
    on_gpu = device_name(spec.config.policy.device) == "cuda"
    short = run_memory(spec, shape, prompt, on_gpu=on_gpu).shortage(free_memory(on_gpu))
    if short:
        raise UsageError(f"[[policy.sizes]] model {model!r}: {short}.")


def free_memory(on_gpu: bool) -> float:
    """Return what is free where the model goes [bytes]."""
    if not on_gpu:
        return available_memory()
    import torch

    return float(torch.cuda.mem_get_info()[0])


def return_large_blocks() -> None:
    """Ask glibc to give freed blocks of 32 MB and more back to the system.

    Kept, as a worker keeps smaller ones, a block of logits leaves a hole that the next of the same size does not fit, since
    aligning takes a few bytes more: a pass then holds all its chunks at once. Fresh pages cost less than the products.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_MMAP_THRESHOLD, 1 << 25)


_MMAP_THRESHOLD = -3


def available_memory() -> float:
    """Return the memory that is free on this machine [bytes]; infinite where it cannot be read."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    return float(next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), float("inf")))
