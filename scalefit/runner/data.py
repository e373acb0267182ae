"""Which problems a run sees, in which order: distinct prompts, repeats, curriculum."""

from __future__ import annotations

from scalefit.runner.config import RunSpec
from scalefit.runner.tasks.task import Example, Task, distinct, random_stream

SEED_STRIDE = 1 << 32
"""Runs of different seeds draw training problems from different stretches of the index."""


def training_examples(task: Task, spec: RunSpec) -> list[Example]:
    """Return the run's problems in order of use, one for each sample.

    A horizon of D samples with reuse tau has D/tau distinct problems, and goes through all of them tau times; beyond it
    others follow in the same way. Under `curriculum` each pass goes from easy to hard; under `shuffled` each has an order
    of its own; as `drawn` it has that of the task.
    """
    grpo, order = spec.config.grpo, spec.config.task.order
    samples = grpo.steps * grpo.prompts
    horizon = (grpo.horizon or grpo.steps) * grpo.prompts
    passes, each = -(-samples // horizon) * spec.reuse, horizon // spec.reuse
    unique = distinct(task, "train", passes // spec.reuse * each, first=spec.seed * SEED_STRIDE)
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
