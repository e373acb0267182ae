"""Ask the study's questions of its tables: numbers go into `notes.md`, what sentences rest on into `results.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from questions import QUESTIONS  # noqa: E402
from tables import NotMade  # noqa: E402

from experiments.study import put_result  # noqa: E402
from scalefit.answer import Answer  # noqa: E402
from scalefit.errors import ScalefitError  # noqa: E402
from scalefit.output import write_json  # noqa: E402

RESULTS, TIMES = HERE / "results.json", HERE / "times.json"
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


def cost() -> str:
    """Say what the tables that are made took."""
    spent = json.loads(TIMES.read_text(encoding="utf-8"))
    last = sum(seconds for name, seconds in spent.items() if name.endswith("3M"))
    whole = sum(spent.values())
    share = f", 3M {last / whole:.0%} of it" if last else ""
    return f"What is made took {whole / 3600:.1f} hours of one core{share} (`times.json`, an arm a line)."


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
