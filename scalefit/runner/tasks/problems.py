r"""`problems`: prompts and answers from a Parquet or JSONL file, checked by an exact integer or by math-verify.

Columns as GSM8K and guru have them: `prompt` or `question` (text, or a list of chat messages), `answer` or
`reward_model.ground_truth`; GSM8K's worked answers end in `#### 72`. A column `difficulty` is used where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scalefit.errors import UsageError
from scalefit.runner.tasks.answers import final_answer, judged_as_integer, operators, without_powers_of_ten
from scalefit.runner.tasks.judge import judge
from scalefit.runner.tasks.task import Example, Score, belongs


@dataclass(frozen=True)
class Problems:
    """Problems of a file; without an evaluation file the splits are told apart by the prompt's hash."""

    path: str
    eval_path: str = ""
    name: str = "problems"
    alphabet: None = None

    def __post_init__(self) -> None:
        for path in filter(None, (self.path, self.eval_path)):
            _load(path)
        if not self.path:
            raise UsageError("[task] path is missing: name a Parquet or JSONL file of prompts and answers.")

    def _of(self, split: str) -> tuple[Example, ...]:
        if self.eval_path:
            if split == "eval":
                return _load(self.eval_path)
            held_out = {example.prompt for example in _load(self.eval_path)}
            return tuple(example for example in _load(self.path) if example.prompt not in held_out)
        return tuple(example for example in _load(self.path) if belongs(split, example.prompt))

    def draw(self, split: str, index: int) -> Example:
        """Return example `index` of a split, going round."""
        examples = _split(self, split)
        if not examples:
            raise UsageError(
                f"[task] {self.path}: no problem is left for the split {split!r}; give eval_path or more problems."
            )
        return examples[index % len(examples)]

    def score(self, response: str, example: Example) -> Score:
        """Compare integers exactly; let math-verify judge the rest, in a process that can be killed."""
        answer, score = judged_as_integer(response, example.answer)
        if score is not None:
            return score
        answer = without_powers_of_ten(answer)
        if operators(answer) - operators(example.answer):
            # An expression left to be worked out may be the question itself.
            return Score(0.0, True)
        right = judge().ask(kind="math", gold=example.answer, answer=answer)
        return Score(float(bool(right)), right is not None)

    def corrupt(self, example: Example, index: int) -> str:
        """Refuse: a file of problems is no text to pre-train on."""
        raise UsageError("nano models are not pre-trained on files of problems; use [policy] kind = 'hf'.")


@lru_cache(maxsize=16)
def _split(task: Problems, split: str) -> tuple[Example, ...]:
    return task._of(split)


@lru_cache(maxsize=8)
def _load(path: str) -> tuple[Example, ...]:
    import pandas as pd

    file = Path(path)
    if not file.is_file():
        raise UsageError(f"[task] {path}: {'a directory' if file.is_dir() else 'no such file'}.")
    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_json(file, lines=True, dtype=False)
    except Exception as error:
        raise UsageError(f"[task] {path}: cannot be read as Parquet or JSONL ({type(error).__name__}).") from None
    prompts = next((name for name in ("prompt", "question", "problem") if name in frame), None)
    answers = next(
        (name for name in ("answer", "reward_model", "reward_model.ground_truth", "solution") if name in frame), None
    )
    if prompts is None or answers is None:
        raise UsageError(
            f"[task] {path}: columns {', '.join(map(str, frame.columns))}; it needs prompt or question, and answer or reward_model.ground_truth."
        )
    difficulty = frame["difficulty"] if "difficulty" in frame else [0.0] * len(frame)
    found = [
        Example(_prompt(prompt), _answer(answer), float(hard))
        for prompt, answer, hard in zip(frame[prompts], frame[answers], difficulty, strict=True)
    ]
    return tuple(example for example in found if example.prompt and example.answer)


def _prompt(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "\n".join(str(message["content"]) for message in value)


def _answer(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("ground_truth", "")
    return final_answer(str(value))
