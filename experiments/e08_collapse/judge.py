"""Which runs collapse, and where the first sign of it was.

The least rise of each sign was settled on some tables and seeds, and is judged by the others.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from study import DATA, ROOT

import scalefit as sf
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
