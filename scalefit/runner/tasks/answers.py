"""From what a model wrote to its final answer; nothing here evaluates anything."""

from __future__ import annotations

import re

from scalefit.runner.tasks.task import Score

INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
LONGEST = 1000
"""Characters that a final answer may have."""
_MARKS = re.compile(r"(?:####|(?:final\s+)?answer\s*(?:is)?\s*:|(?:final\s+)?answer\s+is)\s*", re.IGNORECASE)
_POWER_OF_TEN = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d{1,3})(?!\w)")
OPERATORS = ("+", "-", "*", "/", "^", r"\times", r"\cdot", r"\div", "!")


def final_answer(text: str) -> str:
    r"""Return the last `\boxed{...}`, else what follows the last answer mark (on its line), else the whole text."""
    boxed = _last_box(text)
    if boxed is not None:
        return boxed.strip()
    marks = list(_MARKS.finditer(text))
    if marks:
        rest = text[marks[-1].end() :].strip()
        return rest.splitlines()[0].strip() if rest else ""
    return text.strip()


def _last_box(text: str) -> str | None:
    start = max(text.rfind(r"\boxed{"), text.rfind(r"\fbox{"))
    if start < 0:
        return None
    at = begin = text.index("{", start) + 1
    depth = 1
    while at < len(text):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[begin:at]
        at += 1
    return None


def as_integer(text: str) -> int | None:
    """Read one plain integer, with $ signs, thousands' commas and a final full stop allowed; None for all else."""
    bare = text.strip().strip("$").strip().removesuffix(".")
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+", bare):
        bare = bare.replace(",", "")
    if bare.endswith(".0") or bare.endswith(".00"):
        bare = bare[: bare.rindex(".")]
    return int(bare) if INTEGER.fullmatch(bare) else None


def judged_as_integer(response: str, expected: str) -> tuple[str, Score | None]:
    """Return the final answer, and its score where that is settled: there is none (or it is too long to be one), or an integer is expected."""
    answer, wanted = final_answer(response), as_integer(expected)
    if not answer or len(answer) > LONGEST:
        return answer, Score(0.0, False)
    if wanted is None:
        return answer, None
    given = as_integer(answer)
    return answer, Score(float(given == wanted), given is not None)


def without_powers_of_ten(text: str) -> str:
    """Write `1e5` as 100000, which computer algebra reads as 1 times e times 5, or as 1."""

    def plain(match: re.Match[str]) -> str:
        return f"{float(match[0]):.20f}".rstrip("0").rstrip(".")

    return _POWER_OF_TEN.sub(plain, text)


def operators(text: str) -> set[str]:
    """Return the operations that an expression leaves to be done; a leading sign and exponents' signs are none."""
    bare = re.sub(r"^\s*\$?\s*[-+]", "", text)
    bare = re.sub(r"([({,^=])\s*[-+]", r"\1", bare)
    return {operator for operator in OPERATORS if operator in bare}
