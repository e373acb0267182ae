"""Scores of many responses, several at once where a task is judged in processes of its own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from scalefit.runner.tasks.judge import judges
from scalefit.runner.tasks.task import Example, Score, Task


def score_groups(task: Task, examples: Sequence[Example], texts: Sequence[Sequence[str]]) -> list[list[Score]]:
    """Score the responses to each example, in their order; as many threads wait for judges as the pool is wide."""
    width = judges().width if getattr(task, "judged", False) else 1
    if width == 1:
        return [[task.score(text, example) for text in group] for example, group in zip(examples, texts, strict=True)]
    pairs = [(text, example) for example, group in zip(examples, texts, strict=True) for text in group]
    with ThreadPoolExecutor(width) as threads:
        scores = iter(list(threads.map(lambda pair: task.score(*pair), pairs)))
    return [[next(scores) for _ in group] for group in texts]


def flexible_loss(scores: Sequence[Score]) -> float | None:
    """Return the loss where answers that could not be read count by their last number, None where no rule is known."""
    earned = [score.flexible for score in scores]
    known = [one for one in earned if one is not None]
    return 1.0 - sum(known) / len(known) if known and len(known) == len(earned) else None
