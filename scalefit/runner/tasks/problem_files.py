"""Files of problems: each row as it is written, or refused with its number.

Columns as GSM8K and guru have them: `prompt` or `question` (text, or a list of chat messages), `answer` or
`reward_model.ground_truth`; GSM8K's worked answers end in `#### 72`. A column `difficulty` (a number, or such as
`Level 3`) is used where there is one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from scalefit.errors import UsageError
from scalefit.runner.tasks.answers import final_answer
from scalefit.runner.tasks.task import Example, Messages

PROMPTS = ("prompt", "question", "problem")
ANSWERS = ("answer", "reward_model", "reward_model.ground_truth", "solution")
ROLES = ("system", "developer", "user", "assistant")
FAULTS_TOLD = 8
_LEVEL = re.compile(r"\s*(?:level|lvl|difficulty)?\s*[:#]?\s*(-?\d+(?:\.\d+)?)\s*", re.IGNORECASE)


class _Unfit(Exception):
    """A row cannot be a problem."""


@lru_cache(maxsize=8)
def load(path: str) -> tuple[Example, ...]:
    """Read a file of problems.

    Raises
    ------
    UsageError
        If it cannot be read, lacks a column, or holds rows that are no problems; these are named.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"[task] {path}: {'a directory' if file.is_dir() else 'no such file'}.")
    rows = list(_parquet(file) if file.suffix == ".parquet" else _jsonl(file))
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
        except _Unfit as fault:
            faults.append(f"row {at}: {fault}")
    if faults:
        more = f"\n  and {len(faults) - FAULTS_TOLD} more" if len(faults) > FAULTS_TOLD else ""
        raise UsageError(
            f"[task] {path}: {len(faults)} of {len(rows)} rows are no problems; mend them or leave them out:\n  "
            + "\n  ".join(faults[:FAULTS_TOLD])
            + more
        )
    return tuple(found)


def _jsonl(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield rows with their line, counted from 1; numbers stay as they are written."""
    try:
        for at, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
            if not line.strip():
                continue
            row = json.loads(line, parse_float=str)
            if not isinstance(row, dict):
                raise UsageError(f"[task] {file}: row {at} is no object with prompt and answer.")
            yield at, row
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"[task] {file}: cannot be read as Parquet or JSONL ({type(error).__name__}).") from None


def _parquet(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield rows counted from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(file).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"[task] {file}: cannot be read as Parquet or JSONL ({type(error).__name__}).") from None
    yield from enumerate(rows, 1)


def _example(prompt: Any, answer: Any, difficulty: Any) -> Example:
    messages = _messages(prompt)
    text = "\n".join(content for _, content in messages)
    plain = len(messages) == 1 and messages[0][0] == "user"
    return Example(text, _answer(answer), _difficulty(difficulty), messages=() if plain else messages)


def _messages(prompt: Any) -> Messages:
    """Return a prompt's turns; text is the user's."""
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list) or not prompt:
        raise _Unfit(f"the prompt is {_shown(prompt)}, neither text nor a list of messages")
    turns = []
    for message in prompt:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            raise _Unfit(f"a message is {_shown(message)}; give each a role ({', '.join(ROLES)}) and text as content")
        turns.append((role, content))
    if turns[-1][0] != "user":
        raise _Unfit(f"the last message is the {turns[-1][0]}'s, and an answer follows the user")
    if not turns[-1][1].strip():
        raise _Unfit("the prompt is empty")
    return tuple(turns)


def _answer(value: Any) -> str:
    """Return the gold answer as text: integers as they are, the one of a list, the final one of a worked solution."""
    if isinstance(value, dict):
        value = value.get("ground_truth")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        raise _Unfit("the answer is missing")
    if isinstance(value, list | dict | bool) or (isinstance(value, float) and not math.isfinite(value)):
        hint = '; join values that are all asked for in one text, such as "1, 2"' if isinstance(value, list) else ""
        raise _Unfit(f"the answer is {_shown(value)}, neither text nor a number{hint}")
    answer = final_answer(str(value))
    if not answer:
        raise _Unfit("the answer is empty")
    return answer


def _difficulty(value: Any) -> float:
    match = _LEVEL.fullmatch(str(value)) if not isinstance(value, bool) else None
    if isinstance(value, float) and math.isfinite(value):
        return value
    if not match:
        raise _Unfit(f"the difficulty is {_shown(value)}; give a number, or such as 'Level 3'")
    return float(match[1])


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
