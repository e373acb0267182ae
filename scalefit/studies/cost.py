"""What a run costs: FLOPs by pass, GPU-hours at a stated peak and utilisation, memory of training.

The paper counts 6 N T for T tokens, prompt and response of every rollout. A GRPO step does more: it generates (2 N T),
recomputes the log-probabilities under the policy that sampled (2 N T) and under the reference (2 N T), and trains
(6 N T). Source of 2 and 6: Kaplan et al. 2020, arXiv:2001.08361, section 2.1. Attention's own products are left out,
as in the paper; utilisation is of these FLOPs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scalefit.errors import UsageError, nearest

PASSES = {"generation": 2.0, "old": 2.0, "reference": 2.0, "training": 6.0}
"""FLOPs of each pass, per parameter and token."""
PAPER = 6.0
"""FLOPs per parameter and token by the paper's count."""
STATE_BYTES = 16.0
"""Master weight, gradient and the two moments of Adam, 4 bytes each [bytes a parameter]."""
GB = 1e9


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU: dense bf16 peak [FLOP/s] and memory [bytes]."""

    peak: float
    memory: float


GPUS = {
    "a100": Gpu(312e12, 80e9),
    "h100": Gpu(989e12, 80e9),
    "h200": Gpu(989e12, 141e9),
    "b200": Gpu(2250e12, 180e9),
    "l40s": Gpu(362e12, 48e9),
    "rtx4090": Gpu(165e12, 24e9),
}
"""Source: NVIDIA's data sheets, without sparsity, SXM where there is one."""


def find_gpu(name: str) -> Gpu:
    """Return a kind of GPU.

    Raises
    ------
    UsageError
        If it is not known.
    """
    found = GPUS.get(name.lower())
    if found is None:
        raise UsageError(f"--gpu {name}: {nearest(name.lower(), GPUS)}")
    return found


def full_flops(paper_flops: float, passes: Iterable[str] = tuple(PASSES)) -> float:
    """Return what the passes of a run compute, from the paper's count 6 N T of the same run [FLOPs]."""
    return paper_flops * sum(PASSES[name] for name in passes) / PAPER


def gpu_hours(flops: float, gpu: Gpu, mfu: float) -> float:
    """Return GPU-hours of `flops` at a share `mfu` of the peak.

    Raises
    ------
    UsageError
        If the utilisation is not in (0, 1].
    """
    if not 0 < mfu <= 1:
        raise UsageError(f"--mfu {mfu:g}: the share of the peak that is reached lies in (0, 1], as in 0.35.")
    return flops / (gpu.peak * mfu) / 3600


def flops_of_hours(hours: float, gpu: Gpu, mfu: float) -> float:
    """Return the FLOPs that so many GPU-hours do."""
    return hours / gpu_hours(1.0, gpu, mfu)


@dataclass(frozen=True)
class ModelShape:
    """What a model's memory depends on.

    Attributes
    ----------
    layers, hidden, feed, heads, kv_heads, vocabulary : int
        Of a decoder with grouped-query attention and a gated feed-forward layer.
    tied : bool
        Whether the output layer is the embedding.
    """

    layers: int
    hidden: int
    feed: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool

    @property
    def head_channels(self) -> int:
        """Channels a head."""
        return self.hidden // self.heads

    @property
    def params(self) -> float:
        """Non-embedding parameters, biases and norms (well under a thousandth) left out."""
        attention = 2 * self.hidden**2 + 2 * self.hidden * self.kv_heads * self.head_channels
        return float(self.layers * (attention + 3 * self.hidden * self.feed))

    @property
    def all_params(self) -> float:
        """Parameters with embedding and output layer."""
        return self.params + self.vocabulary * self.hidden * (1 if self.tied else 2)


@dataclass(frozen=True)
class Memory:
    """Memory of one GPU of a run [bytes]: training states and reference, a pass, the sampler's weights and its cache."""

    states: float
    pass_: float
    sampler: float
    cache: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.states + self.pass_ + self.sampler + self.cache


def run_memory(
    shape: ModelShape, gpus: int, *, tensor_parallel: int, length: int, sequences: int = 32, reference: bool = True
) -> Memory:
    """Estimate the memory that GRPO takes on each of `gpus`, everything sharded (FSDP, ZeRO-3), sampler beside it.

    Parameters
    ----------
    tensor_parallel : int
        GPUs that share a copy of the sampler.
    length : int
        Prompt and response of the longest rollout [tokens].
    sequences : int
        Rollouts that each copy of the sampler generates at a time.
    reference : bool
        Whether a reference model is kept, in 4 bytes a parameter.

    Notes
    -----
    A pass is one rollout with activations recomputed: 2 bytes for each layer, channel and token, and the logits with
    their gradient in 4 bytes. The sampler's weights and cache are 2 bytes a number.
    """
    states = (STATE_BYTES + 4.0 * reference) * shape.all_params / gpus
    logits = 2 * 4.0 * length * shape.vocabulary
    activations = 2.0 * length * shape.hidden * shape.layers
    cache_a_token = 2 * 2.0 * shape.layers * shape.kv_heads * shape.head_channels
    return Memory(
        states,
        logits + activations,
        2.0 * shape.all_params / tensor_parallel,
        cache_a_token * length * sequences / tensor_parallel,
    )
