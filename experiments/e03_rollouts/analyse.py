"""How many rollouts per prompt? What `scalefit rollouts` says."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from study import DATA, put_result

import scalefit as sf


def main() -> None:
    """Print the answer."""
    put_result(__file__, sf.study_rollouts(DATA / "e03.parquet").summary())


if __name__ == "__main__":
    main()
