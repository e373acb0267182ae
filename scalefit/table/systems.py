"""Results of whole systems: one row a system and benchmark, with the exact binomial interval of its score.

Unlike a runs table it holds no training: a system is whatever was evaluated, and has a number of parameters, a cost,
both or neither. To know another name for a column, add it to `SYSTEMS` in the schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scalefit.errors import TableError, nearest
from scalefit.numerics.proportions import binomial_interval
from scalefit.output import write_file
from scalefit.table.faults import Fault
from scalefit.table.io import table_ending
from scalefit.table.load import open_table, read_frame
from scalefit.table.schema import SYSTEMS

COLUMNS = ("system", "params", "cost", "benchmark", "score", "n", "low", "high")
NEEDED = tuple(SYSTEMS)
ALSO = {**SYSTEMS, "cost": ("usd", "price", "cost_usd")}

RUNS_ONLY = {"run_id", "step", "loss"}
"""Columns that a runs table has and a table of systems has not."""
_MOST_PROBLEMS = 1e9
"""Problems of a benchmark; beyond them the exact interval is not computed exactly any more."""


@dataclass(frozen=True)
class SystemTable:
    """A validated table.

    Attributes
    ----------
    frame : DataFrame
        system, params [parameters], cost [the table's own unit], benchmark, score [share right], n [problems], low and
        high (exact 95 % binomial interval); params and cost are nan where they are not known.
    path : str
        Where it came from, for messages.
    """

    frame: pd.DataFrame
    path: str = "table"

    @property
    def systems(self) -> list[str]:
        """Names, in order of appearance."""
        return list(self.frame["system"].unique())

    @property
    def benchmarks(self) -> list[str]:
        """Names, in order of appearance."""
        return list(self.frame["benchmark"].unique())


def holds_systems(path: str | Path) -> bool:
    """Say whether a file on this machine is a table of systems, by the names of its columns; no runs table is one."""
    try:
        _, parts = open_table(Path(path))
        names = {str(name).strip() for name in next(parts).column_names}
    except (TableError, StopIteration):
        return False
    if names & RUNS_ONLY:
        return False
    known = {new for new, others in ALSO.items() if names & {new, *others}}
    return known >= set(NEEDED) or ("correct" in names and known >= set(NEEDED) - {"score"})


def read_systems(path: str | Path) -> SystemTable:
    """Read and validate a table of systems (Parquet, CSV or JSONL); raises TableError with all faults at once."""
    text = {name for new in ("system", "benchmark") for name in (new, *ALSO[new])}
    frame, source = read_frame(Path(path), text=text)
    if damage := [fault for fault in source.faults() if not fault.warning]:
        raise _error(damage, str(path))
    return as_systems(frame, str(path))


def as_systems(frame: Any, path: str = "table") -> SystemTable:
    """Return any kind of table of systems as a validated one.

    Parameters
    ----------
    frame : SystemTable, path or DataFrame
        A table that was read already is returned as it is, a path is read by `read_systems`. Of a frame:
        Columns system, benchmark, n, and score or correct; optionally params and cost. Common other names are known.

    Raises
    ------
    TableError
        With all faults at once.
    """
    if isinstance(frame, SystemTable):
        return frame
    if isinstance(frame, str | Path):
        return read_systems(frame)
    frame = frame.rename(columns=_names(frame, path))
    if "score" not in frame and {"correct", "n"} <= set(frame):
        frame = frame.assign(
            score=pd.to_numeric(frame["correct"], errors="coerce") / pd.to_numeric(frame["n"], errors="coerce")
        )
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        hints = "; ".join(f"{name}: {nearest(name, map(str, frame.columns))}" for name in missing)
        raise TableError(
            f"{path}: no column {', '.join(missing)} ({hints}). A table of systems has system, benchmark, score and n, and may have "
            "params and cost."
        )
    if not len(frame):
        raise TableError(f"{path}: no rows. Write one row a system and benchmark.")
    frame = frame.reset_index(drop=True)
    faults = _faults(frame)
    if faults:
        raise _error(faults, path)
    out = pd.DataFrame({name: frame[name].astype(str) for name in ("system", "benchmark")})
    for name in ("params", "cost", "score", "n"):
        out[name] = pd.to_numeric(frame[name]).astype(float) if name in frame else np.nan
    problems = out["n"].to_numpy()
    out["low"], out["high"] = binomial_interval(np.rint(out["score"].to_numpy() * problems), problems)
    return SystemTable(out[list(COLUMNS)], path)


def write_systems(table: SystemTable, path: str | Path) -> None:
    """Write a table as Parquet or CSV, by the name's ending; CSV goes to a FIFO or an open stream too."""
    if table_ending(path, (".parquet", ".csv")) == ".parquet":
        write_file(path, lambda target: table.frame.to_parquet(target, index=False))
    else:
        write_file(path, lambda target: table.frame.to_csv(target, index=False), stream=True)


def _error(faults: list[Fault], path: str) -> TableError:
    lines = "\n".join(f"  {fault}" for fault in faults)
    return TableError(f"{path}: {len(faults)} fault{'s' if len(faults) > 1 else ''} (rows count from 0):\n{lines}")


def _names(frame: pd.DataFrame, path: str) -> dict[Any, str]:
    """Return which columns are known under another name; one that two columns could be is not guessed at."""
    stripped = [str(name).strip() for name in frame.columns]
    if twice := sorted({name for name in stripped if stripped.count(name) > 1}):
        raise TableError(f"{path}: column {twice[0]!r} is there twice; keep one.")
    found: dict[Any, str] = dict(zip(frame.columns, stripped, strict=True))
    for new, others in ALSO.items():
        meant = [name for name in others if name in stripped]
        if new in stripped or not meant:
            continue
        if len(meant) > 1:
            raise TableError(
                f"{path}: columns {' and '.join(map(repr, meant))} could both be {new!r}; rename the one that is to {new}."
            )
        found[frame.columns[stripped.index(meant[0])]] = new
    return found


def _faults(frame: pd.DataFrame) -> list[Fault]:
    found: list[Fault] = []

    def fault(column: str, wrong: pd.Series, what: str, fix: str) -> None:
        rows = tuple(int(row) for row in np.flatnonzero(wrong.to_numpy(bool)))
        if rows:
            found.append(Fault(column, rows, what, fix))

    for name in ("system", "benchmark"):
        fault(name, frame[name].isna() | (frame[name].astype(str).str.strip() == ""), "is empty", f"name the {name}")
    numbers = {
        name: pd.to_numeric(frame[name], errors="coerce") for name in ("score", "n", "params", "cost") if name in frame
    }
    for name, values in numbers.items():
        given = frame[name].notna() if name in ("params", "cost") else pd.Series(True, frame.index)
        fault(name, given & ~np.isfinite(values), "is not a number", "write a finite number")
    score, n = numbers["score"], numbers["n"]
    fault("score", (score > 1) & (score <= 100), "is above 1", "write shares, not per cent: divide by 100")
    fault("score", (score < 0) | (score > 100), "is no share of problems", "write the share that was right, 0 to 1")
    fault(
        "n",
        (n < 1) | (n != n.round()) | (n > _MOST_PROBLEMS),
        "is no number of problems",
        "write how many problems the benchmark has",
    )
    for name in ("params", "cost"):
        if name in numbers:
            fault(name, numbers[name] <= 0, "is not above 0", "leave it empty where it is not known")
    fault(
        "system",
        frame.duplicated(["system", "benchmark"], keep=False),
        "has two rows for one benchmark",
        "keep one, or name variants apart",
    )
    return found
