"""Ask the study's questions of its tables: numbers go into `notes.md`, what sentences rest on into `results.json`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from questions import QUESTIONS  # noqa: E402
from tables import NotMade, cost  # noqa: E402

from experiments.study import put_result  # noqa: E402
from scalefit.answer import Answer  # noqa: E402
from scalefit.errors import ScalefitError  # noqa: E402
from scalefit.output import write_json  # noqa: E402

RESULTS = HERE / "results.json"
DIGITS, SAME = 6, 1e-5
"""Significant digits that results keep, and the difference up to which a result counts as the one that is there."""


def plain(value: Any) -> Any:
    """Return what JSON knows: rows of tables with their index, fields of answers, keys in words."""
    if isinstance(value, pd.DataFrame):
        return value.reset_index().to_dict("records")
    if isinstance(value, Answer):
        return plain(value.record())
    if isinstance(value, Mapping):
        return {" ".join(key) if isinstance(key, tuple) else str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return value


def main() -> None:
    """Write the notes and the results."""
    parts, facts = [], {}
    for title, ask in QUESTIONS.items():
        try:
            text, facts[title] = ask()
        except NotMade as missing:
            text = f"not made yet: {missing}"
        except ScalefitError as fault:
            text = f"not answered: {fault}"
        parts.append(f"== {title}\n{text}")
    write_json(RESULTS, plain(facts), DIGITS, same=SAME)
    put_result(__file__, "\n\n\n".join(parts))
    put_result(__file__, cost(), "cost", fenced=False)


if __name__ == "__main__":
    main()
