"""How many rollouts per prompt? Final loss by G, paired by seed, at equal prompts and at equal compute."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from study import DATA, paired, put_result, section


def at_equal_compute(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep of every run what it did within the compute of the cheapest run."""
    budget = runs.groupby("run_id")["flops"].max().min()
    return runs[runs["flops"] <= budget * 1.0001]


def main() -> None:
    """Print the tables."""
    runs = pd.read_parquet(DATA / "e03.parquet")
    tables = {"at equal prompts": runs, "within the compute of G = 4": at_equal_compute(runs)}
    said = [section(name, paired(part, "group_size", 8), digits=4) for name, part in tables.items()]
    put_result(__file__, "\n\n".join(said))


if __name__ == "__main__":
    main()
