"""Problems of a file: each row as it is written, or refused with its number.

Columns as GSM8K and guru have them: `prompt` or `question` (text, or a list of chat messages), `answer` or
`reward_model.ground_truth`; GSM8K's worked answers end in `#### 72`. A column `difficulty` (a number, or such as
`Level 3`) is used where there is one.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from scalefit.errors import UsageError
from scalefit.runner.tasks.answers import final_answer
from scalefit.runner.tasks.problem_rows import rows_of
from scalefit.runner.tasks.task import Example, Messages

PROMPTS = ("prompt", "question", "problem")
ANSWERS = ("answer", "reward_model", "reward_model.ground_truth", "solution")
ROLES = ("system", "developer", "user", "assistant")
FAULTS_TOLD = 8
_LEVEL = re.compile(r"\s*(?:level|lvl|difficulty)?\s*[:#]?\s*(-?\d+(?:\.\d+)?)\s*", re.IGNORECASE)


class UnfitRow(Exception):
    """A row cannot be a problem."""


@lru_cache(maxsize=8)
def load(path: str) -> tuple[Example, ...]:
    """Read a file of problems.

    Raises
    ------
    UsageError
        If it cannot be read, lacks a column, or holds rows that are no problems; these are named.
    """
    rows = rows_of(Path(path))
    if not rows:
        raise UsageError(f"[task] {path}: holds no problem.")
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    prompts = next((name for name in PROMPTS if name in columns), None)
    answers = next((name for name in ANSWERS if name in columns), None)
    if prompts is None or answers is None:
        raise UsageError(
            f"[task] {path}: columns {', '.join(columns)}; it needs prompt or question, and answer or reward_model.ground_truth."
        )
    found, faults = [], []
    for at, row in rows:
        try:
            found.append(_example(row.get(prompts), row.get(answers), row.get("difficulty", 0.0)))
        except UnfitRow as fault:
            faults.append(f"row {at}: {fault}")
    if faults:
        more = f"\n  and {len(faults) - FAULTS_TOLD} more" if len(faults) > FAULTS_TOLD else ""
        raise UsageError(
            f"[task] {path}: {len(faults)} of {len(rows)} rows are no problems; mend them or leave them out:\n  "
            + "\n  ".join(faults[:FAULTS_TOLD])
            + more
        )
    return tuple(found)


def _example(prompt: Any, answer: Any, difficulty: Any) -> Example:
    text, messages = turns_of(prompt)
    return Example(text, _answer(answer), _difficulty(difficulty), messages=messages)


def turns_of(prompt: Any) -> tuple[str, Messages]:
    """Return a prompt's text without roles, and its turns where they are more than one of the user's; text is the user's.

    Raises
    ------
    UnfitRow
        If it is neither text nor a list of messages that ends with the user's.
    """
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list) or not prompt:
        raise UnfitRow(f"the prompt is {_shown(prompt)}, neither text nor a list of messages")
    turns = []
    for message in prompt:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            raise UnfitRow(f"a message is {_shown(message)}; give each a role ({', '.join(ROLES)}) and text as content")
        turns.append((role, content))
    if turns[-1][0] != "user":
        raise UnfitRow(f"the last message is the {turns[-1][0]}'s, and an answer follows the user")
    if not turns[-1][1].strip():
        raise UnfitRow("the prompt is empty")
    plain = len(turns) == 1 and turns[0][0] == "user"
    return "\n".join(content for _, content in turns), () if plain else tuple(turns)


def _answer(value: Any) -> str:
    """Return the gold answer as text: integers as they are, the one of a list, the final one of a worked solution."""
    if isinstance(value, dict):
        value = value.get("ground_truth")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        raise UnfitRow("the answer is missing")
    if isinstance(value, list | dict | bool) or (isinstance(value, float) and not math.isfinite(value)):
        hint = '; join values that are all asked for in one text, such as "1, 2"' if isinstance(value, list) else ""
        raise UnfitRow(f"the answer is {_shown(value)}, neither text nor a number{hint}")
    answer = final_answer(str(value))
    if not answer:
        raise UnfitRow("the answer is empty")
    return answer


def _difficulty(value: Any) -> float:
    match = _LEVEL.fullmatch(str(value)) if not isinstance(value, bool) else None
    if isinstance(value, float) and math.isfinite(value):
        return value
    if not match:
        raise UnfitRow(f"the difficulty is {_shown(value)}; give a number, or such as 'Level 3'")
    return float(match[1])


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
