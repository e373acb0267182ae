"""What early signs are worth: false alarms on runs that end well, and the lead on those that collapse.

The least rise of each sign was settled on some tables and seeds, and is judged by the others. A run has collapsed where it
has lost half of what it had gained, for good.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from study import DATA, ROOT, put_result

import scalefit as sf
from scalefit.numerics.proportions import binomial_interval
from scalefit.studies.signs import collapse, first_sign

SETTLED_ON = ("e01", "e01_rates", "e02", "e03", "paper base")
SEEDS = (0, 1)
"""Seeds of e08 that signs were settled on too."""


def tables() -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the tables that have columns in which signs are seen."""
    for path in (*sorted(DATA.glob("e0[1-68]*.parquet")), DATA / "e07_pilots.parquet"):
        yield path.stem, sf.read_runs(path).frame
    for series, rows in sf.read_runs(ROOT / "data" / "paper" / "runs.parquet").frame.groupby("series", observed=True):
        yield f"paper {series}", rows


def judge() -> pd.DataFrame:
    """Return every run: whether its sign was settled on it, where it collapsed and where the first sign was."""
    found = []
    for table, frame in tables():
        for (run, _), rows in frame.groupby(["run_id", "eval"], observed=True):
            rows = rows.sort_values("step")
            sign, fell = first_sign(rows), collapse(rows["loss"].to_numpy(float))
            known = table in SETTLED_ON or (table.startswith("e08") and int(rows["seed"].iloc[0]) in SEEDS)
            found.append(
                {
                    "table": table,
                    "run": run,
                    "judged": "settled on" if known else "test",
                    "collapsed": fell,
                    "sign": sign["sign"] if sign else "",
                    "at": sign["at"] if sign else None,
                    "lead": (fell - sign["at"]) / len(rows) if sign and fell is not None else None,
                }
            )
    return pd.DataFrame(found)


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
