"""Evaluation on a fixed held-out set: pass@1 with its error, and what the answers looked like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from scalefit.numerics.proportions import binomial_interval
from scalefit.runner.config import RunSpec
from scalefit.runner.memory import EVALUATED_AT_ONCE
from scalefit.runner.policies.policy import Policy, Sampler
from scalefit.runner.rollouts import Rollouts
from scalefit.runner.scoring import flexible_loss, score_groups
from scalefit.runner.tasks.task import Example, Score, Task


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
    answer_loss : float or None
        Negative log-probability a token of right answers [nats], a mean over problems; None where it is not asked for.
    """

    pass_rate: np.ndarray
    low: float
    high: float
    response_length: float
    truncated: float
    unparsed: float
    flexible_loss: float | None = None
    answer_loss: float | None = None

    @property
    def loss(self) -> float:
        """1 - pass@1."""
        return 1.0 - float(self.pass_rate.mean())

    @classmethod
    def of(cls, scores: Sequence[Sequence[Score]], tokens: int, truncated: int) -> Evaluation:
        """Return what the scores of each problem's answers say, which had so many tokens and were cut so often."""
        rate = np.array([sum(score.reward for score in some) / len(some) for some in scores])
        every = [score for some in scores for score in some]
        low, high = binomial_interval((1.0 - float(rate.mean())) * len(scores), len(scores))
        unparsed = sum(not score.parsed for score in every)
        total = len(every)
        return cls(
            rate, float(low), float(high), tokens / total, truncated / total, unparsed / total, flexible_loss(every)
        )


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
    at_once: int = EVALUATED_AT_ONCE,
) -> Evaluation:
    """Sample each problem `samples` times, so many problems at once, and score the answers."""
    lengths, truncated = 0, 0
    found: list[list[Score]] = []
    for at in range(0, len(examples), at_once):
        part = examples[at : at + at_once]
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
    return Evaluation.of(found, lengths, truncated)


def evaluate_after(
    step: int,
    spec: RunSpec,
    policy: Policy,
    sampler: Sampler,
    task: Task,
    *,
    examples: Sequence[Example],
    generator: torch.Generator,
) -> Evaluation:
    """Return what the evaluation of a run after `step` finds."""
    grpo, settings = spec.config.grpo, spec.config.eval
    found = evaluate(
        policy,
        sampler,
        task,
        examples,
        samples=spec.eval_samples(step),
        max_new_tokens=grpo.max_new_tokens,
        temperature=settings.temperature,
        generator=generator,
    )
    if not (settings.answer_loss and spec.is_end(step)):
        return found
    return replace(found, answer_loss=answer_loss(policy, examples, grpo.pass_tokens))


@torch.no_grad()
def answer_loss(policy: Policy, examples: Sequence[Example], pass_tokens: int) -> float:
    """Return the mean over problems of the negative log-probability a token of what is taught [nats], the end included."""
    prompt_PS, pad_P = policy.pack([example.shown for example in examples])
    rows = [torch.tensor(policy.response_of(example.worked or example.answer)) for example in examples]
    response_PGT = pad_sequence(rows, batch_first=True)[:, None]
    lengths_P = torch.tensor([len(row) for row in rows])
    mask_PGT = torch.arange(response_PGT.shape[2]) < lengths_P[:, None, None]
    nothing_PGT, ended_PG = torch.zeros(mask_PGT.shape), torch.ones(mask_PGT.shape[:2], dtype=torch.bool)
    said = Rollouts(prompt_PS, pad_P, response_PGT, mask_PGT, nothing_PGT, ended_PG, 0.0, 0, 0)
    at_once = max(1, pass_tokens // (prompt_PS.shape[1] + response_PGT.shape[2]))
    losses: list[float] = []
    for part in torch.arange(len(examples)).split(at_once):
        some = said.pick(part)
        log_prob_PT = policy.score(some, 1.0).log_prob_PGT[:, 0].cpu().double()
        mask_PT = some.mask_PGT[:, 0]
        losses += (-(log_prob_PT * mask_PT).sum(1) / mask_PT.sum(1)).tolist()
    return sum(losses) / len(losses)
