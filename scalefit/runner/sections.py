"""The sections of an experiment file, with the paper's protocol scaled down as defaults; [task] is the task's own.

Every section is a frozen dataclass with the ranges on its fields.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from scalefit.runner.fields import Amount, Count, Grid, Positive, Scalar, Share, Text, Whole, section

Normalisation = Literal["token", "sequence", "dr-grpo"]


@section
class SizeConfig:
    """One model: a nano shape, or for `hf` where it is; its own learning rate where it needs one.

    `model` (series base) and `instruct_model` (series instruct) are a directory, a GGUF file or a hub name.
    """

    name: str
    d_model: int = 0
    layers: int = 0
    heads: int = 0
    model: str = ""
    instruct_model: str = ""
    learning_rate: float | None = None
    pretrain_learning_rate: float | None = None


@section
class PolicyConfig:
    """The family of policies, one run a size; `instruction` follows every prompt of an `hf` policy.

    `sampler` generates rollouts and answers to the evaluation: `torch`, in the policy's own process, or `vllm`.
    `device` is where the model lives (`auto`: a GPU where there is one). An answer ends where its text holds one of
    `stop`, and is scored up to there.
    """

    kind: str = "nano"
    instruction: str = ""
    sizes: tuple[SizeConfig, ...] = ()
    sampler: str = "torch"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    stop: tuple[Text, ...] = ()


@section
class LoraConfig:
    """Adapters of `rank` (0: none) that are trained in place of the weights, on the linear layers named in `targets`.

    `alpha` / `rank` scales them (Hu et al. 2021, arXiv:2106.09685); without `targets` every linear layer but the
    output's has one.
    """

    rank: Whole = 0
    alpha: Count = 32
    targets: tuple[Text, ...] = ()


@section
class HfConfig:
    """How an `hf` policy computes: under `bf16` products are taken in bfloat16; weights and optimiser stay float32.

    `gradient_checkpointing` computes each layer a second time instead of keeping what its gradient needs.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    lora: LoraConfig = LoraConfig()


@section
class PretrainConfig:
    """Supervised making of nano base models, in stages of so many tokens, the same for every size.

    `tokens` of right answers teach the skill; `base_tokens` of text in which a share `base_noise` of answers is wrong
    make the base model; from there `instruct_tokens` with `instruct_noise` make the instruct model. With `each_seed`
    every seed of the sweep has base models of its own, so that what pre-training happens to leave is averaged too.

    With a `target` (0: none) the last stage that makes base models, `base_tokens` or where that is 0 `tokens`, ends where
    pass@1 is that, up to `target_within`; its tokens are then the most that it may read. Pass@1 is measured as the
    evaluation does, at its temperature, on other problems. Rows say `pretrain_tokens` and `pretrain_pass_at_1`.
    """

    tokens: Count = 1_000_000
    base_tokens: Whole = 200_000
    base_noise: Share = 0.6
    instruct_tokens: Whole = 200_000
    instruct_noise: Share = 0.3
    batch: Count = 64
    learning_rate: Positive = 5e-3
    seed: int = 0
    each_seed: bool = False
    target: Share = 0.0
    target_within: Positive = 0.02


@section
class GrpoConfig:
    """The update. Defaults are Tan et al. 2025 (arXiv:2509.25300), section 3, with a smaller batch and answer.

    `prompts` a step, `mini_batch` prompts an update, `micro_batch` prompts a pass (0: as many as make some `pass_tokens`
    tokens; a group of more is split between passes, with `nano` one of eight times as many).
    `count_attention` adds the scores and mixtures of attention to the FLOPs of passes. Training leaves out problems whose
    prompt has more than `max_prompt_tokens` (0: none is too long); the evaluation keeps them all. After `horizon` steps
    (0: all of them) the schedule is at its end, and problems begin anew with others in the same order; a run that states it
    is the beginning of every longer one.
    """

    steps: Count = 100
    horizon: Whole = 0
    prompts: Count = 64
    mini_batch: Count = 16
    micro_batch: Whole = 0
    pass_tokens: Count = 2048
    max_new_tokens: Count = 8
    temperature: Positive = 1.0
    advantage: str = "grpo"
    normalisation: Normalisation = "token"
    learning_rate: Positive = 3e-4
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Whole = 0
    clip_low: Amount = 0.2
    clip_high: Amount = 0.2
    kl: Amount = 1e-3
    entropy: Amount = 0.0
    max_prompt_tokens: Whole = 0
    gradient_clip: Positive = 1.0
    weight_decay: Amount = 0.0
    skip_uniform: bool = True
    count_attention: bool = False


@section
class AdvantageConfig:
    """What some advantages take: exponents of `asymmetric` and `power`, and the rate of the running means that `fade` reads.

    Defaults: Gu et al. 2026 (arXiv:2604.04894), a focus on hard problems within FADE's range, and FADE's rate (arXiv:2607.01490).
    """

    positive: Amount = 0.9
    negative: Amount = 0.4
    power: Annotated[float, Field(ge=1)] = 2.0
    rate: Share = 0.02


@section
class EvalConfig:
    """Evaluation on a fixed held-out set, at the paper's temperature, pass@1 averaged over `samples`.

    It follows every so many steps, or with `per_decade` N (0: not used) the steps 10^(i/N), rounded: evenly spaced in their
    logarithm, whatever the length of the run. A run is always evaluated before its first step and after its last.
    `keep_problems` adds a column `pass_rates` with every problem's pass rate, by which recipes are compared in pairs.
    `pass_at` adds a column `pass_at_k` for each k, estimated without bias from the samples; `end_samples` are those of the
    first and the last evaluation (0: `samples`), so that a large k is paid for only where a run begins and ends.
    `answer_loss` adds a column of that name to those two: the negative log-probability a token [nats] of the right answers as
    pre-training teaches them, end included, as a mean over problems, at temperature 1.
    """

    every: Count = 2
    per_decade: Whole = 0
    problems: Count = 512
    samples: Count = 4
    temperature: Amount = 0.7
    keep_problems: bool = False
    pass_at: tuple[Count, ...] = ()
    end_samples: Whole = 0
    answer_loss: bool = False


@section
class VllmConfig:
    """vLLM as the sampler of scalefit's own engine.

    `max_length` prompt and response tokens (0: as many as the model has positions); `cache_gib` of keys and values on a
    CPU [GiB], `gpu_share` of a GPU's memory. The run stops where log-probabilities of torch and vLLM differ by more
    than `tolerance` a token.
    """

    max_length: Whole = 0
    cache_gib: Count = 1
    gpu_share: Share = 0.4
    tolerance: Positive = 1e-5


@section
class TrlConfig:
    """TRL's GRPOTrainer as the engine: `processes` on each of `nodes` machines, sharing the model by `strategy`.

    `vllm` generates within the training processes (`colocate`), as a server at `server` (host:port), or not at all
    (`off`). `device_batch` completions a pass on each device (0: the most of at most 16 that divide a mini-batch).

    Where TRL's objective is another than that of scalefit's own loop it can be chosen. `importance` is what TRL does where
    vLLM's probabilities differ from the trainer's: ratios of whole answers or of tokens outside `importance_min` to
    `importance_max` (0: no bound) are masked or cut. `denominator` of the token-level loss: the tokens of a whole `step`
    shared evenly by its updates, or those of each `pass`. `kl_correction` multiplies the KL term with the ratio.
    """

    processes: Count = 1
    nodes: Count = 1
    strategy: Literal["ddp", "fsdp2", "zero2", "zero3"] = "ddp"
    precision: Literal["fp32", "bf16"] = "fp32"
    vllm: Literal["off", "colocate", "server"] = "off"
    server: str = ""
    tensor_parallel: Count = 1
    gpu_share: Share = 0.3
    device_batch: Whole = 0
    gradient_checkpointing: bool = False
    importance: Literal["sequence_mask", "sequence_truncate", "token_mask", "token_truncate", "off"] = "sequence_mask"
    importance_min: Amount = 0.0
    importance_max: Amount = 3.0
    denominator: Literal["step", "pass"] = "step"
    kl_correction: bool = False


@section
class LogConfig:
    """Where the numbers of every step go beside a run's `log.jsonl`; it decides no row.

    `to` names trackers: tensorboard, wandb, trackio, or your own as module:NAME; `project` is what they call the sweep.
    """

    to: tuple[str, ...] = ()
    project: str = "scalefit"


@section
class KeepConfig:
    """What is kept of a run beside its rows; it decides no row.

    `weights` of the `last` step, of the `best` evaluation so far, of `every N` steps and the last, or `none`. With
    `checkpoint` a finished run keeps weights and optimiser, so that it can be made longer.
    """

    weights: str = "last"
    checkpoint: bool = True


@section
class SweepConfig:
    """The grid: one run for each combination, times the sizes; `task` holds values of the task's own parameters."""

    series: Grid[Literal["base", "instruct"]] = ("base",)
    seeds: Grid[Whole] = (0,)
    group_size: Grid[Count] = (8,)
    reuse: Grid[Count] = (1,)
    task: dict[str, Grid[Scalar]] = field(default_factory=dict)
