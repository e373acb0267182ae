"""Does one learning rate suit every size? Loss by rate, at the start, half-way and over the last evaluations."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from study import DATA, LAST, put_result


def main() -> None:
    """Print the table."""
    runs = pd.read_parquet(DATA / "e01_rates.parquet").sort_values("step")
    runs[["name", "rate"]] = runs["size"].str.split("-", n=1, expand=True)
    rows = []
    for (_, name, rate), run in runs.groupby(["params", "name", "rate"]):
        loss = run["loss"].to_numpy()
        rows.append({"size": name, "rate": rate, "start": loss[0], "half-way": loss[len(loss) // 2]})
        rows[-1] |= {"end": loss[-LAST:].mean(), "entropy at the end": run["entropy"].iloc[-1]}
    put_result(__file__, pd.DataFrame(rows).round(3).to_string(index=False), "rates")


if __name__ == "__main__":
    main()
