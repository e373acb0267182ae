"""What the metrics of each tool mean. To add a tool, add its block to `DIALECTS`: nothing else has to be touched.

Installed packages add theirs by entry points of the group `scalefit.importers`, each a `Dialect`.

A pattern is a regular expression that a metric's whole name matches. `(?P<eval>...)` in it names the evaluation,
`(?P<reward>...)` a reward function.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from scalefit.errors import UsageError
from scalefit.named import find_named, installed

GROUP = "scalefit.importers"
Kind = Literal["accuracy", "score", "further", "training"]
"""Means of right answers; means of rewards; evaluation means taken only when named; means over training rollouts."""


@dataclass(frozen=True)
class Dialect:
    """What a tool's metrics mean.

    Attributes
    ----------
    steps : tuple of str
        Names of the step, the first that is there counts; `10/438` is step 10.
    accuracies, scores, further : tuple of str
        Patterns of evaluation means: of right answers, of rewards (whose own range decides whether they are shares of
        right answers), and of others, which are taken only when named.
    training : tuple of str
        Patterns of means over training rollouts, which are no evaluation.
    ranges : tuple of str
        Patterns of metrics that hold the least and the largest reward seen: what a score can be.
    spreads : tuple of str
        Patterns of metrics that hold the standard deviation of a reward whose mean is the name less `/std`, plus `/mean`.
    tokens : tuple of str
        Metrics of tokens, prompt and response of every rollout; the first that is there counts.
    tokens_add_up : bool
        Whether that metric is of one step, to be summed, rather than so far.
    token_parts : tuple of str
        Metrics of one step whose sum it is where `tokens` are not there.
    lengths : tuple of str
        Mean tokens of a prompt and of a response, which times rollouts make the tokens of a step where neither is there.
    columns : mapping
        Column of the runs table to metrics, the first that is there.
    config : mapping
        Fact to the configuration's names of it, the first that is there.
    """

    name: str
    about: str
    steps: tuple[str, ...] = ()
    accuracies: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    spreads: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    tokens_add_up: bool = True
    token_parts: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    config: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)

    def names(self) -> Iterable[str]:
        """Yield every metric that the block names outright."""
        yield from (*self.tokens, *self.token_parts, *self.lengths)
        for every in self.columns.values():
            yield from every


MODEL = ("model", "model_path", "model_name", "model_name_or_path", "_name_or_path", "model.path", "model.name")
"""Names under which configurations commonly keep the model's name or path."""
DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="verl",
            about="verl: file and console logger, W&B, TensorBoard",
            accuracies=(r"val-core/(?P<eval>.+)/acc/mean@\d+", r"val/(?P<eval>.+)/acc/mean@\d+"),
            scores=(
                r"val-core/(?P<eval>.+)/(?:reward|score)/mean@\d+",
                r"val/test_score/(?P<eval>.+)",
                r"val/(?P<eval>.+)/(?:reward|score)/mean@\d+",
            ),
            further=(r"val-(?:core|aux)/(?P<eval>.+)/mean@\d+", r"val-aux/(?P<eval>.+)/mean"),
            training=(r"critic/(?:score|rewards)/mean",),
            ranges=(
                r"critic/score/(?:min|max)",
                r"val-(?:core|aux)/.+/(?:reward|score)/(?:worst|best)@\d+/mean",
            ),
            tokens=("perf/total_num_tokens",),
            lengths=("prompt_length/mean", "response_length/mean"),
            columns={
                "response_length": ("response_length/mean",),
                "reward": ("critic/rewards/mean", "critic/score/mean"),
                "entropy": ("actor/entropy", "actor/entropy_loss"),
                "truncated": ("response_length/clip_ratio",),
                "mfu": ("perf/mfu/actor",),
            },
            config={
                "prompts": ("data.train_batch_size",),
                "group_size": ("actor_rollout_ref.rollout.n",),
                "seed": ("data.seed",),
                "model": ("actor_rollout_ref.model.path",),
            },
        ),
        Dialect(
            name="trl",
            about="TRL's GRPOTrainer: trainer_state.json, console, reporters",
            steps=("train/global_step",),
            # Reporters write eval/reward where the trainer's own log has eval_reward.
            scores=(r"eval[_/](?:(?P<eval>.+)_)?rewards/(?P<reward>[^/]+)(?:/mean)?",),
            further=(r"eval[_/](?:(?P<eval>.+)_)?reward",),
            training=(r"(?:train/)?rewards/(?P<reward>[^/]+)(?:/mean)?", r"(?:train/)?reward"),
            ranges=(r"(?:train/)?rewards/(?P<reward>[^/]+)(?:/mean)?",),
            spreads=(r"(?:train/)?rewards/(?P<reward>[^/]+)/std",),
            tokens=("num_tokens", "train/num_tokens"),
            tokens_add_up=False,
            columns={
                "response_length": (
                    "completions/mean_length",
                    "train/completions/mean_length",
                    "completion_length",
                    "train/completion_length",
                ),
                "reward": ("reward", "train/reward"),
                "entropy": ("entropy", "train/entropy"),
                "truncated": ("completions/clipped_ratio", "train/completions/clipped_ratio"),
            },
            config={"group_size": ("num_generations",), "seed": ("seed",), "model": MODEL},
        ),
        Dialect(
            name="ms-swift",
            about="ms-swift: logging.jsonl, with TRL's metrics",
            steps=("global_step/max_steps",),
            scores=(r"eval_rewards/(?P<reward>[^/]+)(?:/mean)?",),
            further=(r"eval_reward",),
            training=(r"rewards/(?P<reward>[^/]+)(?:/mean)?", r"reward"),
            ranges=(r"rewards/(?P<reward>[^/]+)(?:/mean)?",),
            spreads=(r"rewards/(?P<reward>[^/]+)/std",),
            tokens=("num_tokens",),
            tokens_add_up=False,
            columns={
                "response_length": ("completions/mean_length", "completion_length"),
                "reward": ("reward",),
                "entropy": ("entropy/mean", "entropy"),
                "truncated": ("completions/clipped_ratio",),
            },
            config={"group_size": ("num_generations",), "seed": ("seed",), "model": MODEL},
        ),
        Dialect(
            name="nemo-rl",
            about="NeMo-RL: TensorBoard, W&B",
            accuracies=(r"validation/(?:(?P<eval>.+)/)?accuracy",),
            training=(r"train/(?:reward|accuracy|rewards/.+)",),
            tokens=("train/total_num_tokens",),
            columns={
                "response_length": ("train/mean_gen_tokens_per_sample", "validation/avg_length"),
                "reward": ("train/reward",),
                "truncated": ("train/truncation_rate",),
            },
            config={
                "prompts": ("grpo.num_prompts_per_step",),
                "group_size": ("grpo.num_generations_per_prompt",),
                "seed": ("grpo.seed",),
                "model": ("policy.model_name",),
            },
        ),
        Dialect(
            name="prime-rl",
            about="prime-rl: metrics files, W&B",
            accuracies=(r"eval/(?P<eval>[^/]+)/(?:.+/)?pass@1",),
            # avg@k is a mean of rewards, as reward/mean is.
            scores=(r"eval/(?P<eval>[^/]+)/(?:.+/)?avg@\d+", r"eval/(?P<eval>[^/]+)/(?:.+/)?reward/mean"),
            training=(r"(?:train/.+/)?reward(?:/[^/]+)?/mean", r"solve_all/.+"),
            ranges=(r"reward/all/(?:min|max)",),
            tokens=("progress/total_tokens",),
            tokens_add_up=False,
            columns={
                "response_length": ("decode_len/all/mean",),
                "reward": ("reward/all/mean", "train/agg/effective/agent/reward/mean", "reward/mean"),
                "truncated": ("is_truncated/all/mean",),
            },
            config={"group_size": ("rollouts_per_example", "group_size"), "seed": ("seed",), "model": MODEL},
        ),
        Dialect(
            name="tinker",
            about="Tinker cookbook: metrics.jsonl",
            steps=("training/step",),
            accuracies=(r"test/env/(?P<eval>[^/]+)/correct",),
            scores=(r"test/env/(?P<eval>[^/]+)/reward/total",),
            further=(r"test/env/(?P<eval>[^/]+)/.+",),
            training=(r"env/[^/]+/(?:correct|reward/total)",),
            token_parts=("env/all/total_ob_tokens", "env/all/total_ac_tokens"),
            columns={
                "response_length": ("env/all/ac_tokens_per_turn",),
                "reward": ("env/all/reward/total",),
                "entropy": ("optim/entropy",),
            },
            config={"group_size": ("group_size",), "model": MODEL},
        ),
        Dialect(
            name="llama-factory",
            about="LLaMA-Factory: trainer_log.jsonl",
            steps=("current_steps",),
            training=(r"reward", r"accuracy"),
            tokens=("total_tokens",),
            tokens_add_up=False,
            columns={"reward": ("reward",)},
            config={"seed": ("seed",), "model": MODEL},
        ),
    )
}
OTHER = Dialect(
    name="other",
    about="any trainer whose metric is named with --metric",
    tokens=("num_tokens", "train/num_tokens", "perf/total_num_tokens"),
    config={"seed": ("seed",), "model": MODEL},
)
"""For logs of tools that have no block: nothing is known of their metrics but what is said."""
STEPS = (
    "train/global_step", "training/global_step", "trainer/global_step", "global_step", "global_steps",
    "_step", "Step", "step", "iteration", "epoch_step",
)  # fmt: skip
"""Names of the step that any tool may use, after a dialect's own."""
_NO_MEAN = re.compile(
    r"(?:.*[/_])?(?:std|stdev|var|min|max|median|stderr)(?:@\d+)?|.*(?:best|maj|worst|top|cons|std|var)@.*"
    r"|.*pass(?:@|_at_|_)(?!1(?:\D|$))\d+.*|(?:.*[/_])?(?:majority|consensus)(?:[/_].*)?"
)
_ERROR = re.compile(r"(?:.*[/_])?(?:errors?|err|wer|cer|mistakes|fail(?:ure)?s?)(?:_rate|_ratio)?(?:/mean)?")
_TRAINING = re.compile(
    r"(?:train|training|rollout|rollouts|critic|actor|env|batch|objective)[/_].*|(?:.*[/_])?[a-z]*rewards?(?:[/_].*)?"
)
_EVALUATION = re.compile(r"(?:.*[/_])?(?:eval|val|valid|validation|test|dev|holdout|heldout|benchmark)(?:[-_/].*|$)")


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


def meaning(dialect: Dialect, name: str) -> tuple[Kind, re.Match[str]] | None:
    """Return what a dialect says a metric is; None where it says nothing, or it is no mean."""
    if is_no_mean(name):
        return None
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("accuracy", dialect.accuracies),
        ("score", dialect.scores),
        ("training", dialect.training),
        ("further", dialect.further),
    )
    for kind, patterns in kinds:
        for pattern in _compiled(patterns):
            if match := pattern.fullmatch(name):
                return kind, match
    return None


def is_no_mean(name: str) -> bool:
    """Say whether a metric is a spread, an extreme, or the best or the majority of several answers."""
    return _NO_MEAN.fullmatch(name) is not None


def is_error(name: str) -> bool:
    """Say whether a metric is by its name the share of wrong answers."""
    return _ERROR.fullmatch(name) is not None


def is_training(dialect: Dialect, name: str) -> bool:
    """Say whether a metric is of training rollouts, by the dialect or else by its name."""
    found = meaning(dialect, name)
    if found is not None:
        return found[0] == "training"
    return _TRAINING.fullmatch(name) is not None and _EVALUATION.fullmatch(name) is None


def dialects() -> dict[str, Dialect]:
    """Return every dialect by name: ours, and those of installed packages that can be imported."""
    found = dict(DIALECTS)
    for name in installed(GROUP):
        if name not in found:
            with contextlib.suppress(UsageError):  # told by `find_dialect` where it is asked for
                found[name] = find_dialect(name)
    return found


def find_dialect(name: str) -> Dialect:
    """Return the dialect that is called so, one of ours or a package's; raises UsageError with a hint."""
    return find_named(name, DIALECTS, Dialect, GROUP)


@lru_cache(maxsize=4096)
def is_evaluation(name: str) -> bool:
    """Say whether any dialect takes a metric for the mean of an evaluation."""
    found = (meaning(dialect, name) for dialect in dialects().values())
    return any(one is not None and one[0] != "training" for one in found)


def configured_by(config: Mapping[str, object]) -> Dialect | None:
    """Return the dialect that finds most in a configuration; None where none finds anything."""

    def known(dialect: Dialect) -> int:
        return sum(any(name in config for name in names) for names in dialect.config.values())

    best = max(dialects().values(), key=known)
    return best if known(best) else None


def recognise(names: Iterable[str]) -> Dialect | None:
    """Return the dialect that knows most of some metrics; None where none knows one."""
    there = set(names)

    def known(dialect: Dialect) -> int:
        said = sum(name in there for name in {*dialect.steps, *dialect.names()})
        return said + sum(meaning(dialect, name) is not None for name in there)

    best = max(dialects().values(), key=known)
    return best if known(best) else None
