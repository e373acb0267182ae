"""`reasoning-gym`: families of generated problems, by name.

Its generators seed item i of seed s with s + i, so two seeds share almost all their questions; here the seed is fixed,
items are picked by a hash, and the splits are kept apart by the question's text. Its scorers give partial credit;
here an answer is right or wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from scalefit.errors import ScalefitError, UsageError
from scalefit.runner.fields import section
from scalefit.runner.tasks.answers import LONGEST, final_answer
from scalefit.runner.tasks.dress import bare
from scalefit.runner.tasks.families import ITEMS, dataset
from scalefit.runner.tasks.judge import judges
from scalefit.runner.tasks.literals import number
from scalefit.runner.tasks.task import Example, Score, TaskConfig, belongs, random_stream

PRINTABLE = "".join(map(chr, range(32, 127))) + "\n"
_INTEGER = re.compile(r"[-+]?\d{1,40}")
PATIENCE = 1000
"""Draws until a family without questions for a split is given up."""


@dataclass(frozen=True)
class ReasoningGym:
    """Problems of several families, drawn equally often; difficulty is the family's place in the list."""

    families: tuple[str, ...]
    name: str = "reasoning-gym"
    alphabet: str = PRINTABLE
    judged: bool = True

    def __post_init__(self) -> None:
        if not self.families:
            raise UsageError("[task] families is missing: name families of reasoning-gym, for instance ['chain_sum'].")
        for family in self.families:
            dataset(family)

    def draw(self, split: str, index: int) -> Example:
        """Return example `index` of a split."""
        stream = random_stream(self.name, split, index)
        place = next(stream) % len(self.families)
        family = self.families[place]
        for _ in range(PATIENCE):
            item = next(stream) % ITEMS
            entry = dataset(family)[item]
            if belongs(split, entry["question"]):
                return Example(entry["question"], str(entry["answer"]), float(place), f"{family}/{item}")
        raise UsageError(
            f"[task] families: {family!r} has too few distinct questions for the split {split!r}; leave it out."
        )

    def score(self, response: str, example: Example) -> Score:
        """Compare integers exactly; ask the family's own scorer, full marks only, for all else."""
        answer = final_answer(response)
        if not answer or len(answer) > LONGEST:
            return Score(0.0, False)
        if _INTEGER.fullmatch(example.answer.strip()):
            dressed = bare(answer)
            given = number(dressed.math, worked_out=True) if dressed else None
            return Score(float(given == int(example.answer)), given is not None)
        if answer == example.answer.strip():
            return Score(1.0, True)
        family, _, item = example.source.rpartition("/")
        right = judges().ask(kind="gym", family=family, index=int(item), answer=answer)
        return Score(float(bool(right)), right is not None)

    def corrupt(self, example: Example, index: int) -> str:
        """Return the answer of another problem of the family."""
        for turn in range(100):
            other = self.draw("pretrain", (1 << 50) + 100 * index + turn).answer
            if other != example.answer:
                return other
        return example.answer + "0"


@section
class GymConfig(TaskConfig):
    """The section [task] of `reasoning-gym`: the names of its `families`."""

    families: tuple[str, ...] = ()
    free_text: ClassVar = True

    def make(self) -> ReasoningGym:
        """Return the task."""
        return ReasoningGym(self.families)

    def faults(self) -> list[str]:
        """Return which families reasoning-gym does not have, where it is installed."""
        try:
            self.make()
        except UsageError as error:
            return [str(error).removesuffix(".")]
        except ScalefitError:  # not installed here: workers may be elsewhere, and say so where they are not
            pass
        return []
