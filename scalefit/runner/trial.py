"""A look at the tasks of a sweep before its workers start: what they draw, and whether nano models can read it."""

from __future__ import annotations

from scalefit.errors import ScalefitError, UsageError
from scalefit.runner.config import NANO_POSITIONS, Config, RunSpec
from scalefit.runner.tasks.own import OwnTask
from scalefit.runner.tasks.task import Example, Task, distinct
from scalefit.runner.tasks.user_code import quoted

LOOKED_AT = 512
"""Problems for training, and for pre-training, that are looked at; of the evaluation it is all."""
SECONDS = 2.0
"""For each split, of all tasks of a grid together where they take their time; what is not looked at here is told by the runs."""


def try_tasks(config: Config) -> None:
    """Make each task of a grid and draw from it.

    Raises
    ------
    ScalefitError
        If one cannot be made, has too few problems, or gives what nano models cannot read.
    """
    each = {repr(spec.swept): spec for spec in config.runs()}
    for spec in each.values():
        try:
            _try(spec, SECONDS / len(each))
        except UsageError as fault:  # of a file or of code, which each run would have failed by
            raise ScalefitError(str(fault)) from None


def _try(spec: RunSpec, seconds: float) -> None:
    task, grpo = spec.make_task(), spec.config.grpo
    unique = grpo.steps * grpo.prompts // max(spec.config.sweep.reuse)
    few = min(unique, LOOKED_AT)
    examples = [
        *distinct(task, "eval", spec.config.eval.problems, seconds=seconds),
        *distinct(task, "train", few, seconds=seconds),
    ]
    if spec.task.reward:
        task.score(examples[0].answer, examples[0])
    if spec.config.policy.kind != "nano":
        return
    pretrained = distinct(task, "pretrain", few, seconds=seconds)
    for example in (*examples, *pretrained):
        _require_readable(task, example, grpo.max_new_tokens)
    if isinstance(task, OwnTask) and not any(
        task.score(one.worked or one.answer, one).reward for one in pretrained[:16]
    ):
        first = pretrained[0]
        raise UsageError(
            f"{_named(task)}: nano models are taught to answer {quoted(first.prompt)} with {quoted(first.worked or first.answer)}, "
            "and score gives 0 for that; an answer is kept as text, so compare with text."
        )


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
