"""A look at the tasks of a sweep before its workers start: what they draw, and whether nano models can read it."""

from __future__ import annotations

from collections.abc import Iterator

from scalefit.errors import UsageError
from scalefit.runner.config import NANO_POSITIONS, Config, RunSpec
from scalefit.runner.tasks.own import OwnTask
from scalefit.runner.tasks.task import Example, Task
from scalefit.runner.tasks.user_code import quoted

LOOKED_AT = 256
"""Draws for training and for pre-training; of the evaluation it is all problems."""


def try_tasks(config: Config) -> None:
    """Make each task of a grid and draw from it.

    Raises
    ------
    ScalefitError
        If one cannot be made, has no problem for a split, or gives what nano models cannot read.
    """
    tried = {}
    for spec in config.runs():
        key = repr(spec.swept)
        if key not in tried:
            tried[key] = _try(spec)


def _try(spec: RunSpec) -> Task:
    task = spec.make_task()
    if spec.task.reward:
        first = task.draw("train", 0)
        task.score(first.answer, first)
    if spec.config.policy.kind != "nano":
        for split in ("train", "eval"):
            task.draw(split, 0)
        return task
    for example in _some(task, spec):
        _require_readable(task, example, spec.config.grpo.max_new_tokens)
    some = [task.draw("pretrain", index) for index in range(16)]
    if isinstance(task, OwnTask) and not any(task.score(one.worked or one.answer, one).reward for one in some):
        first = some[0]
        raise UsageError(
            f"{_named(task)}: nano models are taught to answer {quoted(first.prompt)} with {quoted(first.worked or first.answer)}, and score "
            "gives 0 for that; an answer is kept as text, so compare with text."
        )
    return task


def _some(task: Task, spec: RunSpec) -> Iterator[Example]:
    for split, count in (("eval", spec.config.eval.problems), ("train", LOOKED_AT), ("pretrain", LOOKED_AT)):
        for index in range(count):
            yield task.draw(split, index)


def _require_readable(task: Task, example: Example, new_tokens: int) -> None:
    """Refuse what is no text of the alphabet, or too long for a nano model."""
    own = hasattr(task, "origin")
    source = f" ({example.source})" if example.source else ""
    remedy = "" if own else ", leave its family out" if example.source else ""
    for text, what in ((example.prompt, "prompt"), (example.answer, "answer"), (example.worked, "worked solution")):
        if strange := next((one for one in text if one not in (task.alphabet or "")), None):
            add = "add it to the alphabet of your class" if own else f"use [policy] kind = 'hf'{remedy}"
            raise UsageError(
                f"{_named(task)}: the {what} {quoted(text)}{source} has {strange!r}, which is not in the alphabet of nano models for this "
                f"task ({quoted(task.alphabet or '', 100)}); {add}."
            )
    for text, what in ((example.prompt, "prompt"), (example.prompt + (example.worked or example.answer), "text")):
        room = NANO_POSITIONS - (new_tokens if what == "prompt" else 1)
        if len(text) > room:
            raise UsageError(
                f"{_named(task)}: a {what} of {len(text)} characters{source}, {quoted(text)}; nano models read {NANO_POSITIONS}, of which "
                f"[grpo] max_new_tokens = {new_tokens} are for the answer: use shorter prompts{remedy}, or [policy] kind = 'hf'."
            )


def _named(task: Task) -> str:
    return f"[task] {task.origin.place.name if hasattr(task, 'origin') else task.name}"
