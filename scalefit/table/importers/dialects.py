"""What verl's and TRL's metrics mean. To add a tool, add its dialect to `DIALECTS`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scalefit.table.importers.log import Dialect

_VERL_CORE = re.compile(r"val-core/(.+)/(acc|reward)/mean@\d+")
_VERL_OLD = re.compile(r"val/test_score/(.+)")


def _verl_evaluations(metrics: Mapping[str, float]) -> list[tuple[str, str, float]]:
    """Return the core validation metrics that lie between 0 and 1: a reward beyond is no pass rate."""
    found = []
    for name, value in metrics.items():
        match = _VERL_CORE.fullmatch(name) or _VERL_OLD.fullmatch(name)
        if match and 0 <= value <= 1:
            found.append((match[1], name, value))
    return found


def _trl_evaluations(metrics: Mapping[str, float]) -> list[tuple[str, str, float]]:
    """Return the evaluation's mean of each reward function, where it lies between 0 and 1."""
    found = []
    for name, value in metrics.items():
        # Reporters write eval/reward where the trainer's own log has eval_reward.
        plain = name.replace("eval/", "eval_", 1)
        match = re.fullmatch(r"eval_(?:(.+)_)?rewards/(.+)/mean", plain)
        if match and 0 <= value <= 1:
            found.append((match[1] or "eval", name, value))
    return found


VERL = Dialect(
    name="verl",
    tokens=("perf/total_num_tokens",),
    tokens_add_up=True,
    columns={
        "response_length": ("response_length/mean",),
        "reward": ("critic/rewards/mean", "critic/score/mean"),
        "entropy": ("actor/entropy", "actor/entropy_loss"),
        "truncated": ("response_length/clip_ratio",),
        "mfu": ("perf/mfu/actor",),
    },
    config={
        "prompts": "data.train_batch_size",
        "group_size": "actor_rollout_ref.rollout.n",
        "seed": "data.seed",
    },
    evaluations=_verl_evaluations,
)
TRL = Dialect(
    name="trl",
    tokens=("num_tokens", "train/num_tokens"),
    tokens_add_up=False,
    columns={
        "response_length": ("completions/mean_length", "train/completions/mean_length"),
        "reward": ("reward", "train/reward"),
        "entropy": ("entropy", "train/entropy"),
        "truncated": ("completions/clipped_ratio", "train/completions/clipped_ratio"),
    },
    config={"group_size": "num_generations", "seed": "seed"},
    evaluations=_trl_evaluations,
)
DIALECTS = {dialect.name: dialect for dialect in (VERL, TRL)}
