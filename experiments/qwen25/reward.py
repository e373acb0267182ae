"""The reward of verl.yaml: scalefit's grading as a function that verl loads from this file.

verl chooses a reward by a row's `data_source`, and knows none for guru's. Install scalefit beside verl:
`pip install 'scalefit-rl[runner]'`.
"""

from __future__ import annotations

from typing import Any

from scalefit.runner.tasks.answers import final_answer
from scalefit.runner.tasks.grade import grade
from scalefit.runner.tasks.judge import judges


def compute_score(data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None) -> float:
    """Return 1 for a right answer and 0 for any other, by the rules of scalefit's task `problems`."""
    gold = ground_truth
    if not isinstance(gold, str) and hasattr(gold, "__len__") and len(gold) == 1:
        gold = gold[0]
    return float(grade(final_answer(str(gold)), final_answer(solution_str), _ask).right)


def _ask(gold: str, answer: str) -> bool | None:
    return judges().ask(kind="math", gold=gold, answer=answer)
