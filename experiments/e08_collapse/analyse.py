"""What early signs are worth: false alarms on runs that end well, and the lead on those that collapse.

A run has collapsed where it has lost half of what it had gained, for good.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from judge import judge
from study import put_result

from scalefit.numerics.proportions import binomial_interval


def alarms(runs: pd.DataFrame) -> str:
    """Return how often runs that end well have a sign, with exact 95 % intervals."""
    lines = []
    for judged, rows in runs[runs["collapsed"].isna()].groupby("judged"):
        hits, count = int((rows["sign"] != "").sum()), len(rows)
        low, high = binomial_interval(hits, count)
        which = rows[rows["sign"] != ""].groupby(["table", "sign"]).size()
        named = ", ".join(f"{number} {sign} in {table}" for (table, sign), number in which.items())
        lines.append(
            f"{judged}: {hits} of {count} runs that end well have a sign ({hits / count:.1%}, {low:.1%} to {high:.1%}): {named or 'none'}"
        )
    return "\n".join(lines)


def main() -> None:
    """Write both tables into the notes."""
    runs = judge()
    fallen = (
        runs[runs["collapsed"].notna()].drop(columns="at").assign(collapsed=lambda rows: rows["collapsed"].astype(int))
    )
    table = fallen.to_string(index=False, float_format="{:+.2f}".format, na_rep="none")
    put_result(
        __file__,
        f"{alarms(runs)}\n\nRuns that lose half of their gain, from evaluation `collapsed` on; lead as a share of the run\n{table}",
    )


if __name__ == "__main__":
    main()
