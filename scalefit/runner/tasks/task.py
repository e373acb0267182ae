"""What a task is: it makes an example from (split, index) and scores an answer, both without side effects.

Train and evaluation are told apart by a hash of the question's text, so that no question can be in both
whatever a generator does with its seeds. To add a task, write a file with it and its section, and a line in `TASKS`
(`registry.py`); one outside of scalefit is a class in a file (`own.py`), or such a section as `module:NAME`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Protocol, Self

from scalefit.errors import UsageError
from scalefit.runner.fields import section

SHARED = ("name", "order", "file", "reward")
"""Keys of the section [task] that every task has."""
Messages = tuple[tuple[str, str], ...]
"""Turns of a chat: role and content of each."""
Prompt = str | Messages
_WORDS = struct.Struct("<16I")
EVAL_SHARE = 0.1
"""Share of all questions that belong to the evaluation split."""


@dataclass(frozen=True)
class Example:
    """One problem: the prompt shown, the answer expected, how hard it is (larger: harder), where it came from.

    Pre-training teaches `worked`, the solution that ends in the answer, or else the answer itself; each of its `steps`
    may be spoilt by noise. A chat of several turns keeps them in `messages`, pairs of role and content; `prompt` is then
    their text without roles.
    """

    prompt: str
    answer: str
    difficulty: float = 0.0
    source: str = ""
    worked: str = ""
    steps: int = 1
    messages: Messages = ()

    @property
    def shown(self) -> Prompt:
        """What the policy is given: the messages of a chat where there is more than one, else the prompt."""
        return self.messages or self.prompt


@dataclass(frozen=True)
class Score:
    """What an answer earned: reward 0 or 1, and whether it could be read at all.

    `flexible` is what it would earn if, where it could not be read, the last number in it were the answer; None for
    tasks that know no such rule.
    """

    reward: float
    parsed: bool
    flexible: float | None = None


class Task(Protocol):
    """A source of problems with verifiable answers."""

    @property
    def name(self) -> str:
        """Name of the task, as in the configuration."""
        ...

    @property
    def alphabet(self) -> str | None:
        """Characters of prompts and answers, for policies with a character vocabulary; None where it is open."""
        ...

    def draw(self, split: str, index: int) -> Example:
        """Return example `index` of a split; the same arguments give the same example."""
        ...

    def score(self, response: str, example: Example) -> Score:
        """Score a response; never raises on what a model writes."""
        ...

    def corrupt(self, example: Example, index: int) -> str:
        """Return a wrong answer, for pre-training nano models on noisy text."""
        ...


@section
class TaskConfig:
    """The section [task]: what every task has; a task's own parameters stand in a section derived from this one.

    `order` is that of training: curriculum (easy to hard), shuffled, or as drawn, so that a longer run begins as a shorter
    one. Every parameter of a task's own can be swept. `file` is a class of a user's own, `my_task.py:Task`, and `reward` a
    function of response and example that scores instead of the task, `my_reward.py:score`; both, as all paths, from the
    folder of the experiment file.
    """

    name: str
    order: Literal["curriculum", "shuffled", "drawn"] = "curriculum"
    file: str = ""
    reward: str = ""
    free_text: ClassVar[bool] = False
    """Whether answers are read from free text."""
    pretrainable: ClassVar[bool] = True
    """Whether nano models can be pre-trained on it: its alphabet is known, and it can spoil an answer."""
    labels: ClassVar[Mapping[str, str]] = {}
    """Parameters that every row has a column of, and how the name of a run says them where they are swept."""
    data_keys: ClassVar[tuple[str, ...]] = ()
    """Parameters that name files or folders of data."""

    @classmethod
    def parameters(cls) -> list[str]:
        """Return the names of the task's own parameters."""
        return [entry.name for entry in fields(cls) if entry.name not in SHARED]

    def located(self, folder: str) -> Self:
        """Return the same with its files where they are seen from a folder."""
        named = {name: getattr(self, name) for name in ("file", "reward", *self.data_keys)}
        found: dict[str, Any] = {name: os.path.join(folder, path) for name, path in named.items() if path}
        return replace(self, **found)

    def taught(self) -> Self:
        """Return the same with the defaults of parameters that base models do not depend on, where the task names such."""
        return self

    def make(self) -> Task:
        """Return the task; raises UsageError where there is none with these parameters."""
        raise NotImplementedError

    def faults(self) -> list[str]:
        """Return what makes no sense and can be told at once, without reading data and with what is installed, in words."""
        return []

    def longest_answer(self) -> int:
        """Return the most characters of a right answer that is pre-trained on; 0 where that is not known."""
        return 0


def in_eval(prompt: str) -> bool:
    """Say whether a question belongs to the evaluation split."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < EVAL_SHARE * 2**64


def belongs(split: str, prompt: str) -> bool:
    """Say whether a question may be drawn for a split; pre-training never sees the evaluation's questions."""
    return in_eval(prompt) == (split == "eval")


AT_ONCE = 1000
"""Examples that are waited for beyond those found, so that a task with few is known for it before long."""


def distinct(
    task: Task,
    split: str,
    count: int,
    first: int = 0,
    patience: int = 30,
    *,
    keep: Callable[[Example], bool] = lambda example: True,
    seconds: float = math.inf,
) -> list[Example]:
    """Return `count` examples with different prompts that are to be kept, in order of index from `first`.

    Fewer are returned where so many `seconds` are over.

    Raises
    ------
    UsageError
        If the task has not that many: after `patience` draws a wanted example, or, of many, one that was found.
    """
    found: dict[str, Example] = {}
    until = time.monotonic() + seconds
    drawn = 0
    while drawn < patience * min(count, len(found) + AT_ONCE):
        example = task.draw(split, first + drawn)
        drawn += 1
        if example.prompt not in found and keep(example):
            found[example.prompt] = example
        if len(found) == count or time.monotonic() > until:
            return list(found.values())
    less = "Lower [eval] problems" if split == "eval" else "Raise [sweep] reuse, lower [grpo] steps or prompts"
    raise UsageError(
        f"task {task.name!r} gave {len(found)} distinct {split} problems in {drawn} draws, {count} are needed. "
        f"{less}, or widen the task."
    )


def random_stream(*key: object) -> Iterator[int]:
    """Return an endless stream of 32-bit integers decided by the key alone."""
    name = "\x1f".join(map(str, key)).encode()
    for block in itertools.count():
        yield from _WORDS.unpack(hashlib.blake2b(b"%b\x1f%d" % (name, block), digest_size=64).digest())
