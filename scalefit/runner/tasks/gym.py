"""`reasoning-gym`: families of generated problems, by name.

Its generators seed item i of seed s with s + i, so two seeds share almost all their questions; here the seed is fixed,
items are picked by a hash, and the splits are kept apart by the question's text. Its scorers give partial credit;
here an answer is right or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scalefit.errors import ScalefitError, UsageError, nearest
from scalefit.runner.tasks.answers import as_integer, final_answer
from scalefit.runner.tasks.judge import judge
from scalefit.runner.tasks.task import Example, Score, belongs, random_stream

PRINTABLE = "".join(map(chr, range(32, 127))) + "\n"
ITEMS = 1 << 31
PATIENCE = 1000
"""Draws until a family without questions for a split is given up."""


@lru_cache(maxsize=64)
def dataset(family: str) -> Any:
    """Return a family's generator.

    Raises
    ------
    ScalefitError, UsageError
        If reasoning-gym is not installed or has no such family.
    """
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ScalefitError(
            f"the task 'reasoning-gym' needs reasoning-gym ({error}); install it with: pip install 'scalefit-rl[tasks]'."
        ) from None
    if family not in DATASETS:
        raise UsageError(f"[task] families: reasoning-gym has no family {family!r}; {nearest(family, DATASETS)}")
    return reasoning_gym.create_dataset(family, size=ITEMS, seed=0)


@dataclass(frozen=True)
class ReasoningGym:
    """Problems of several families, drawn equally often; difficulty is the family's place in the list."""

    families: tuple[str, ...]
    name: str = "reasoning-gym"
    alphabet: str = PRINTABLE

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
        answer, expected = final_answer(response), as_integer(example.answer)
        if not answer:
            return Score(0.0, False)
        if expected is not None:
            given = as_integer(answer)
            return Score(float(given == expected), given is not None)
        if answer == example.answer.strip():
            return Score(1.0, True)
        family, _, item = example.source.rpartition("/")
        right = judge().ask(kind="gym", family=family, index=int(item), answer=answer)
        return Score(float(bool(right)), right is not None)

    def corrupt(self, example: Example, index: int) -> str:
        """Return the answer of another problem of the family."""
        for turn in range(100):
            other = self.draw("pretrain", (1 << 50) + 100 * index + turn).answer
            if other != example.answer:
                return other
        return example.answer + "0"
