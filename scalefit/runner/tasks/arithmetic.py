"""`arithmetic`: integer problems in graded levels, answered by the bare number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scalefit.errors import UsageError
from scalefit.runner.fields import section
from scalefit.runner.tasks.answers import final_answer
from scalefit.runner.tasks.task import Example, Score, TaskConfig, belongs, random_stream

_INTEGER = re.compile(r"-?[0-9]{1,40}")


@section
class Level:
    """One kind of problem: terms joined by operations, each term with at most so many digits.

    `operations` holds one set of choices for each gap between terms, from `+-*`; with a `modulus`, the answer is
    the remainder by a number from 2 to it.
    """

    digits: tuple[int, ...]
    operations: tuple[str, ...]
    modulus: int = 0


LEVELS = (
    Level((1, 1, 1), ("+", "+")),
    Level((2, 1), ("+",)),
    Level((1, 1, 1), ("*", "+-")),
    Level((1, 1, 1), ("+-", "+-"), modulus=9),
    Level((2, 1), ("-",)),
    Level((1, 1, 1, 1), ("+-", "+-", "+-")),
    Level((2, 2), ("+",)),
    Level((1, 1, 1, 1), ("*", "+-", "*")),
    Level((2, 1), ("*",)),
    Level((2, 2), ("-",)),
)
"""From easy to hard; difficulty is the place in this list."""


@dataclass(frozen=True)
class Arithmetic:
    """The task; levels are drawn equally often."""

    levels: tuple[Level, ...] = LEVELS
    name: str = "arithmetic"
    alphabet: str = "0123456789+-*%()="

    def __post_init__(self) -> None:
        for at, level in enumerate(self.levels):
            if (
                len(level.operations) != len(level.digits) - 1
                or not level.operations
                or not all(set(choices) <= set("+-*") and choices for choices in level.operations)
                or not all(1 <= digits <= 12 for digits in level.digits)
                or level.modulus < 0
                or level.modulus == 1
            ):
                raise UsageError(
                    f"[task] level {at}: {level}. Give at least two digits (1 to 12 each), one set of + - * for each gap, "
                    "and a modulus of 0 (none) or at least 2."
                )

    def draw(self, split: str, index: int) -> Example:
        """Return example `index` of a split."""
        stream = random_stream(self.name, split, index)
        level = next(stream) % len(self.levels)
        while True:
            prompt, answer = _problem(self.levels[level], stream)
            if belongs(split, prompt):
                return Example(prompt, answer, float(level))

    def score(self, response: str, example: Example) -> Score:
        """Compare as integers; nothing but one integer is an answer, in free text the final one."""
        text = response.strip()
        if not set(text) <= set(self.alphabet):
            text = final_answer(text).rpartition("=")[2].strip().removesuffix(".")
        if not _INTEGER.fullmatch(text):
            return Score(0.0, False)
        return Score(float(int(text) == int(example.answer)), True)

    def corrupt(self, example: Example, index: int) -> str:
        """Return a wrong answer of the kind that people make, for pre-training on noisy text."""
        stream = random_stream(self.name, "corrupt", index, example.prompt)
        right = int(example.answer)
        kind, size = next(stream) % 3, len(example.answer.lstrip("-"))
        if kind == 0:
            wrong = right + (1 if next(stream) % 2 else -1)
        elif kind == 1:
            wrong = right + (10 if next(stream) % 2 else -10) ** min(size - 1, 1)
        else:
            wrong = next(stream) % 10**size
        return str(wrong if wrong != right else right + 2)


@section
class ArithmeticConfig(TaskConfig):
    """The section [task] of `arithmetic`; without `levels` they are `LEVELS`."""

    name: str = "arithmetic"
    levels: tuple[Level, ...] = ()

    def make(self) -> Arithmetic:
        """Return the task."""
        return Arithmetic(self.levels or LEVELS)

    def faults(self) -> list[str]:
        """Return what is wrong with a level."""
        try:
            self.make()
        except UsageError as error:
            return [str(error)]
        return []


def _problem(level: Level, stream: Iterator[int]) -> tuple[str, str]:
    terms = [next(stream) % 10**digits for digits in level.digits]
    signs = [choices[next(stream) % len(choices)] for choices in level.operations]
    text = str(terms[0]) + "".join(sign + str(term) for sign, term in zip(signs, terms[1:], strict=True))
    sums, product = [], terms[0]
    for sign, term in zip(signs, terms[1:], strict=True):
        if sign == "*":
            product *= term
        else:
            sums.append(product)
            product = term if sign == "+" else -term
    value = sum(sums) + product
    if level.modulus:
        divisor = 2 + next(stream) % (level.modulus - 1)
        return f"({text})%{divisor}=", str(value % divisor)
    return f"{text}=", str(value)
