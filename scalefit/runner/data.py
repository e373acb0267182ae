"""Which problems a run sees, in which order: distinct prompts, repeats, curriculum."""

from __future__ import annotations

from collections.abc import Callable

from scalefit.runner.config import RunSpec
from scalefit.runner.tasks.task import Example, Task, distinct, random_stream

SEED_STRIDE = 1 << 32
"""Runs of different seeds draw training problems from different stretches of the index."""


class Lengths:
    """Keeps problems whose prompt is not too long for a run, and remembers those that are."""

    def __init__(self, spec: RunSpec, tokens: Callable[[Example], int]) -> None:
        self.most, self.tokens = spec.config.grpo.max_prompt_tokens, tokens
        self.too_long: set[str] = set()

    def __call__(self, example: Example) -> bool:
        """Say whether a problem is kept."""
        if self.most and example.prompt not in self.too_long and self.tokens(example) > self.most:
            self.too_long.add(example.prompt)
        return example.prompt not in self.too_long

    @property
    def said(self) -> str:
        """What was left out, in words; empty where nothing was."""
        count = len(self.too_long)
        problems = "1 problem was" if count == 1 else f"{count} problems were"
        return f"{problems} left out of training: prompts of more than {self.most} tokens" if count else ""


def training_examples(
    task: Task, spec: RunSpec, keep: Callable[[Example], bool] = lambda example: True
) -> list[Example]:
    """Return the run's problems in order of use, one for each sample.

    A horizon of D samples with reuse tau has D/tau distinct problems, and goes through all of them tau times; beyond it
    others follow in the same way. Under `curriculum` each pass goes from easy to hard; under `shuffled` each has an order
    of its own; as `drawn` it has that of the task.
    """
    grpo, order = spec.config.grpo, spec.config.task.order
    samples = grpo.steps * grpo.prompts
    horizon = (grpo.horizon or grpo.steps) * grpo.prompts
    passes, each = -(-samples // horizon) * spec.reuse, horizon // spec.reuse
    count = passes // spec.reuse * each
    unique = distinct(task, "train", count, first=spec.seed * SEED_STRIDE, keep=keep)
    found: list[Example] = []
    for turn in range(passes):
        first = turn // spec.reuse * each
        mine = unique[first : first + each]
        if order != "drawn":
            mine = _shuffled(mine, spec.seed, turn)
        if order == "curriculum":
            mine.sort(key=lambda example: example.difficulty)
        found += mine
    return found[:samples]


def evaluation_examples(task: Task, count: int) -> list[Example]:
    """Return the fixed held-out problems, the same for every run of a configuration."""
    return distinct(task, "eval", count)


def _shuffled(examples: list[Example], seed: int, turn: int) -> list[Example]:
    stream = random_stream("order", seed, turn)
    keys = [(next(stream), next(stream)) for _ in examples]
    return [examples[at] for at in sorted(range(len(examples)), key=keys.__getitem__)]
