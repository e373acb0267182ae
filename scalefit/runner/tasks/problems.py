r"""`problems`: prompts and answers from a Parquet, JSONL or CSV file, or a saved data set; answers are read and judged as `docs/grading.md` says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

from scalefit.errors import UsageError
from scalefit.runner.fields import section
from scalefit.runner.tasks.answers import final_answer, last_number
from scalefit.runner.tasks.grade import grade
from scalefit.runner.tasks.judge import judges
from scalefit.runner.tasks.problem_files import load
from scalefit.runner.tasks.task import Example, Score, TaskConfig, belongs


@dataclass(frozen=True)
class Problems:
    """Problems of a file; without an evaluation file the splits are told apart by the prompt's hash.

    With `extraction` strict the answer is what its last mark holds, or the whole response; with flexible, where that
    cannot be read, the last number in the response.
    """

    path: str
    eval_path: str = ""
    extraction: str = "strict"
    name: str = "problems"
    alphabet: None = None
    judged: bool = True

    def __post_init__(self) -> None:
        for path in filter(None, (self.path, self.eval_path)):
            load(path)
        if not self.path:
            raise UsageError(
                "[task] path is missing: name a Parquet, JSONL or CSV file, or a folder of `datasets`, with prompts and answers."
            )

    def _of(self, split: str) -> tuple[Example, ...]:
        if self.eval_path:
            if split == "eval":
                return load(self.eval_path)
            held_out = {example.prompt for example in load(self.eval_path)}
            return tuple(example for example in load(self.path) if example.prompt not in held_out)
        return tuple(example for example in load(self.path) if belongs(split, example.prompt))

    def draw(self, split: str, index: int) -> Example:
        """Return example `index` of a split, going round."""
        examples = _split(self, split)
        if not examples:
            raise UsageError(
                f"[task] {self.path}: no problem is left for the split {split!r}; give eval_path or more problems."
            )
        return examples[index % len(examples)]

    def score(self, response: str, example: Example) -> Score:
        """Judge the final answer, and by the flexible rule the last number where that cannot be read."""
        strict = grade(example.answer, final_answer(response), _ask)
        found = strict if strict.read else grade(example.answer, last_number(response), _ask)
        right = found.right if self.extraction == "flexible" else strict.right
        return Score(float(right), strict.read, float(found.right))

    def corrupt(self, example: Example, index: int) -> str:
        """Refuse: a file of problems is no text to pre-train on."""
        raise UsageError("nano models are not pre-trained on files of problems; use [policy] kind = 'hf'.")


def _ask(gold: str, answer: str) -> bool | None:
    return judges().ask(kind="math", gold=gold, answer=answer)


@lru_cache(maxsize=16)
def _split(task: Problems, split: str) -> tuple[Example, ...]:
    return task._of(split)


@section
class ProblemsConfig(TaskConfig):
    """The section [task] of `problems`: files, and how answers are read from them.

    `extraction` is strict (what the last mark of an answer holds) or flexible (else the last number).
    """

    path: str = ""
    eval_path: str = ""
    extraction: Literal["strict", "flexible"] = "strict"
    data_keys: ClassVar = ("path", "eval_path")
    free_text: ClassVar = True
    pretrainable: ClassVar = False

    def make(self) -> Problems:
        """Return the task."""
        return Problems(self.path, self.eval_path, self.extraction)
