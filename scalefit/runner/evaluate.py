"""Evaluation on a fixed held-out set: pass@1 with its error, and what the answers looked like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalefit.numerics.proportions import COLUMN, RATES, binomial_interval, pass_at_k
from scalefit.runner.config import EvalConfig
from scalefit.runner.policies.policy import Policy, Sampler
from scalefit.runner.scoring import flexible_loss, score_groups
from scalefit.runner.tasks.task import Example, Score, Task

CHUNK = 64
"""Problems sampled at once."""


@dataclass(frozen=True)
class Evaluation:
    """Result of one evaluation.

    Attributes
    ----------
    pass_rate : ndarray, shape (M,)
        Share of right answers to each problem.
    low, high : float
        95 % interval of the loss 1 - pass@1 for a new draw of problems: exact binomial (Clopper-Pearson) at M
        trials, which bounds the error of pass@1 averaged over any number of samples a problem.
    response_length, truncated, unparsed : float
        Mean tokens; share of answers cut by the limit; share that could not be read.
    flexible_loss : float or None
        The loss if, where an answer could not be read, its last number counted; None for tasks without that rule.
    """

    pass_rate: np.ndarray
    low: float
    high: float
    response_length: float
    truncated: float
    unparsed: float
    flexible_loss: float | None = None

    @property
    def loss(self) -> float:
        """1 - pass@1."""
        return 1.0 - float(self.pass_rate.mean())

    @property
    def flexible_column(self) -> dict[str, float]:
        """What a row says about the flexible rule; nothing for tasks without it."""
        return {} if self.flexible_loss is None else {"flexible_loss": self.flexible_loss}


def pass_columns(pass_rate: NDArray[Any], samples: int, settings: EvalConfig) -> dict[str, Any]:
    """Return what a row says beside the loss: every problem's pass rate, and pass@k for each k the samples allow."""
    found: dict[str, Any] = {RATES: list(map(float, pass_rate))} if settings.keep_problems else {}
    for k in settings.pass_at:
        found[f"{COLUMN}{k}"] = float(pass_at_k(pass_rate, samples, [k]).mean()) if k <= samples else None
    return found


def evaluate(
    policy: Policy,
    sampler: Sampler,
    task: Task,
    examples: Sequence[Example],
    *,
    samples: int,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> Evaluation:
    """Sample each problem `samples` times and score the answers."""
    lengths, truncated = 0, 0
    found: list[list[Score]] = []
    for at in range(0, len(examples), CHUNK):
        part = examples[at : at + CHUNK]
        rollouts = sampler.sample(
            [example.shown for example in part],
            samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            generator=generator,
        )
        found += score_groups(task, part, policy.texts(rollouts))
        lengths += int(rollouts.mask_PGT.sum())
        truncated += int((~rollouts.ended_PG).sum())
    total = len(examples) * samples
    rate = np.array([sum(score.reward for score in scores) / samples for scores in found])
    scores = [score for group in found for score in group]
    unparsed = sum(not score.parsed for score in scores)
    low, high = binomial_interval((1.0 - float(rate.mean())) * len(examples), len(examples))
    return Evaluation(
        rate, float(low), float(high), lengths / total, truncated / total, unparsed / total, flexible_loss(scores)
    )
