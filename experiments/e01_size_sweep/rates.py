"""Does one learning rate suit every size? Loss by rate, at the start, half-way and over the last fifth."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from study import DATA, put_result

import scalefit as sf
from scalefit.studies.ends import end_level, single_runs


def main() -> None:
    """Print the table."""
    rows = []
    for some in single_runs(sf.read_runs(DATA / "e01_rates.parquet"), "samples").values():
        for one in sorted(some, key=lambda one: one.about["size"]):
            name, _, rate = one.about["size"].partition("-")
            frame = one.table.frame
            loss, end = frame["loss"].to_numpy(), end_level(one, float(one.curve[0][-1])).value
            rows.append({"size": name, "rate": rate, "start": loss[0], "half-way": loss[len(loss) // 2], "end": end})
            rows[-1]["entropy at the end"] = frame["entropy"].iloc[-1]
    put_result(__file__, pd.DataFrame(rows).round(3).to_string(index=False), "rates")


if __name__ == "__main__":
    main()
