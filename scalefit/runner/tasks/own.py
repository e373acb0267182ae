"""A task of a user's own: any class with `draw` and `score` becomes a task, and its arguments a section [task].

All else has a default: the name, the alphabet, wrong answers, and which problems are for training and which are held
out. What the class returns may be plain (a prompt and an answer; right or wrong), and is held against what a task must be.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scalefit.errors import nearest
from scalefit.runner.tasks.problem_files import UnfitRow, turns_of
from scalefit.runner.tasks.task import Example, Score, Task, belongs, random_stream
from scalefit.runner.tasks.user_code import (
    UserCodeError,
    find_in,
    line_of,
    load_code,
    quoted,
    split_reference,
    told_as_theirs,
)

PATIENCE = 1000
"""Draws until a task without problems for a split is given up."""
GATHERED = 1000
"""Draws of each of two splits from which an alphabet is gathered where the class names none."""
SPLITS = ("train", "eval", "pretrain")


def is_task_class(value: Any) -> bool:
    """Say whether something is a class with the two methods of a task."""
    return isinstance(value, type) and all(callable(getattr(value, name, None)) for name in ("draw", "score"))


@dataclass(frozen=True)
class Origin:
    """Where a user's code is from: its place, for messages, and what stands for its content."""

    place: Path
    mark: str


class OwnTask:
    """A user's class as a task.

    Parameters
    ----------
    mine : object
        The user's own, made with its parameters.
    origin : Origin
        Where its class is from.
    name : str
        What the evaluation is called.
    chosen : dict
        Its parameters.
    """

    def __init__(self, mine: Any, origin: Origin, name: str, chosen: dict[str, Any]) -> None:
        self.mine, self.origin, self.name, self.chosen = mine, origin, name, chosen
        self._alphabet: str | None = None
        self.own_instruct = bool(getattr(mine, "own_instruct", False))
        said = getattr(mine, "not_taught", ())
        self.not_taught = (said,) if isinstance(said, str) else tuple(said)
        for parameter in self.not_taught:
            if parameter not in chosen:
                raise UserCodeError(
                    f"{origin.place.name}: not_taught names {parameter!r}, which is no parameter of {type(mine).__name__} "
                    f"(your own code); {nearest(str(parameter), chosen)}."
                )

    def __repr__(self) -> str:
        """Say what decides what is taught, wherever the file lies: base models are kept by it.

        A parameter that is not taught may still give the task another name, or other letters.
        """
        if not self.not_taught:
            return f"OwnTask({self.origin.mark}, {self.name!r}, {self.chosen!r})"
        taught = {name: value for name, value in self.chosen.items() if name not in self.not_taught}
        return f"OwnTask({self.origin.mark}, {taught!r}, {self.alphabet!r})"

    @property
    def splits(self) -> tuple[str, ...]:
        """What the class is asked to draw for."""
        return (*SPLITS, "instruct") if self.own_instruct else SPLITS

    @property
    def alphabet(self) -> str:
        """The class's own, or every character of the first draws for all but the evaluation, and of their wrong answers."""
        if self._alphabet is None:
            own = getattr(self.mine, "alphabet", None)
            self._alphabet = "".join(dict.fromkeys(own)) if isinstance(own, str) and own else self._gather()
        return self._alphabet

    def _gather(self) -> str:
        seen: set[str] = set()
        for split in self.splits:
            if split == "eval":
                continue
            for index in range(GATHERED):
                example = self.draw(split, index)
                seen.update(example.prompt + example.answer + example.worked)
                if hasattr(self.mine, "corrupt"):
                    seen.update(self.corrupt(example, index))
        return "".join(sorted(seen))

    def draw(self, split: str, index: int) -> Example:
        """Return example `index` of a split: of the user's draws by numbers that these decide, the first that belongs there."""
        numbers_of = random_stream("own", split, index)
        own_splits = bool(getattr(self.mine, "own_splits", False))
        for _ in range(PATIENCE):
            example = self._drawn(split, next(numbers_of))
            if own_splits or belongs(split, example.prompt):
                return example
        raise UserCodeError(
            f"{line_of(self.mine.draw)}: {PATIENCE} draws gave no problem for the split {split!r} (your own code); a tenth of all prompts "
            "is held out, by a hash of their text: let draw make more different prompts."
        )

    def _drawn(self, split: str, index: int) -> Example:
        doing = f"draw({split!r}, {index})"
        with told_as_theirs(self.origin.place, doing):
            found = self.mine.draw(split, index)
        try:
            return as_example(found)
        except UnfitRow as fault:
            raise UserCodeError(f"{line_of(self.mine.draw)}: {doing} returns {fault} (your own code).") from None

    def score(self, response: str, example: Example) -> Score:
        """Return what the user's own score makes of a response."""
        return score_by(self.mine.score, self.origin.place, response, example)

    def corrupt(self, example: Example, index: int) -> str:
        """Return a wrong answer: the user's own, or the answer to another problem."""
        own = getattr(self.mine, "corrupt", None)
        if own is not None:
            with told_as_theirs(self.origin.place, f"corrupt for the prompt {quoted(example.prompt)}"):
                wrong = own(example, index)
            if not isinstance(wrong, str):
                raise UserCodeError(f"{line_of(own)}: corrupt returns {wrong!r:.40}, not text (your own code).")
            return wrong
        for turn in range(100):
            other = self.draw("pretrain", (1 << 50) + 100 * index + turn).answer
            if other != example.answer:
                return other
        return example.answer[:-1]


class Rewarded:
    """A task with a user's own function of response and example as its score; all else is the task's."""

    def __init__(self, task: Task, function: Callable[[str, Example], Any], place: Path) -> None:
        self._task, self._function, self._place = task, function, place
        self.judged = False
        self.scored_by = f"{function.__module__}:{function.__qualname__}"  # a module's name holds a hash of its content

    def __repr__(self) -> str:
        """Say what the task does: a reward decides nothing that base models learn."""
        return repr(self._task)

    def __getattr__(self, name: str) -> Any:
        """Return the task's own."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._task, name)

    def score(self, response: str, example: Example) -> Score:
        """Return what the function makes of a response."""
        return score_by(self._function, self._place, response, example)


def with_reward(task: Task, reference: str) -> Task:
    """Return a task whose answers are scored by a user's function, `my_reward.py:score`; raises UsageError."""
    return Rewarded(task, find_reward(reference), Path(split_reference(reference)[0]).absolute())


def find_reward(reference: str) -> Callable[[str, Example], Any]:
    """Return a user's function of response and example, `my_reward.py:score`; raises UsageError, a hint."""
    file, name = split_reference(reference)
    found: Callable[[str, Example], Any] = find_in(load_code(file), name, inspect.isfunction, "function")
    return found


def score_by(function: Callable[[str, Example], Any], place: Path, response: str, example: Example) -> Score:
    """Return what a user's function of response and example says, as a score."""
    with told_as_theirs(place, f"scoring {quoted(response)} for the prompt {quoted(example.prompt)}"):
        found = function(response, example)
    if isinstance(found, Score):
        reward, parsed, flexible = found.reward, found.parsed, found.flexible
    else:
        reward, parsed, flexible = found, True, None
    value = _number(reward)
    if value is None or not 0 <= value <= 1:
        said = f"{reward!r:.60}" if value is None else f"{value:g}"
        raise UserCodeError(
            f"{line_of(function)}: the score of {quoted(response)} is {said}; return True, False or a number from 0 to 1 (your own code)."
        )
    return Score(value, bool(parsed), flexible)


def _number(value: Any) -> float | None:
    """Return a reward as a number; of Python, numpy or torch, but no text."""
    if isinstance(value, bool | numbers.Real):
        return float(value)
    if hasattr(value, "item") and not isinstance(value, str):
        try:
            found = value.item()
        except (ValueError, RuntimeError):  # several values
            return None
        return float(found) if isinstance(found, bool | numbers.Real) else None
    return None


def as_example(found: Any) -> Example:
    """Return what a user's draw gave as an example; raises UnfitRow with what it is not."""
    if isinstance(found, tuple | list) and len(found) in (2, 3):
        found = Example(*found)
    if not isinstance(found, Example):
        raise UnfitRow(f"{found!r:.60}, neither (prompt, answer) nor an Example")
    prompt, messages, answer, difficulty = found.prompt, found.messages, found.answer, found.difficulty
    if not isinstance(prompt, str):
        try:
            prompt, messages = turns_of(list(prompt) if isinstance(prompt, tuple) else prompt)
        except UnfitRow as fault:
            raise UnfitRow(f"a prompt that is neither text nor messages: {fault}") from None
    if not prompt:
        raise UnfitRow("an empty prompt")
    if not isinstance(answer, str):
        if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
            raise UnfitRow(f"the answer {answer!r:.60}, neither text nor a number")
        answer = str(answer)
    level = _number(difficulty)
    if level is None or not math.isfinite(level):
        raise UnfitRow(f"the difficulty {difficulty!r:.60}, no finite number")
    return replace(found, prompt=prompt, answer=answer, difficulty=level, messages=messages)
