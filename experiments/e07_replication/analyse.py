"""Ask the study's questions of its tables, and write numbers and sentences into `notes.md`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from questions import QUESTIONS  # noqa: E402
from tables import NotMade  # noqa: E402

from experiments.study import put_result  # noqa: E402
from scalefit.errors import ScalefitError  # noqa: E402


def main() -> None:
    """Write the notes."""
    parts = []
    for title, ask in QUESTIONS.items():
        try:
            text, _ = ask()
        except NotMade as missing:
            text = f"not made yet: {missing}"
        except ScalefitError as fault:
            text = f"not answered: {fault}"
        parts.append(f"== {title}\n{text}")
    put_result(__file__, "\n\n\n".join(parts))


if __name__ == "__main__":
    main()
