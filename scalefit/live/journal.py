"""The evaluations of a run that is under way: each is a line on disk at once, and the runs table follows.

Beside a table `NAME` lies `NAME.parts/RUN/rows.jsonl`, as beside the tables of `scalefit run`; it is only ever added to.
A run that goes on from an earlier checkpoint says so in a line of its own, and what it makes anew counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from scalefit.errors import UsageError
from scalefit.locks import locked
from scalefit.output import append_text, make_folder
from scalefit.runner.run_folder import CONFIGURATION, ROWS, parts_of
from scalefit.table.io import RunTable, add_runs, as_runs, read_runs, write_runs

RESTARTED = "restarted_at"
FOLDED_EVERY = 1.05
"""The table is written where a journal has grown by so much since it was written last."""
LONGEST = 180
"""Characters of a folder's name that are the run's own; file systems take 255 bytes."""
Row = dict[str, Any]


class Journal:
    """One run's evaluations, in memory, as lines on disk and in a runs table.

    Attributes
    ----------
    rows : dict
        What counts, by evaluation and step.
    earlier : dict
        That part of it which an earlier process left.
    damaged : int
        Lines on disk that cannot be read; they stay there and do not count.
    """

    def __init__(self, out: Path, run: str) -> None:
        self.out, self.run = out, run
        self.folder = parts_of(out) / folder_name(run)
        self.rows: dict[tuple[str, int], Row] = {}
        self.earlier: dict[tuple[str, int], Row] = {}
        self.waiting: list[str] = []
        self.damaged, self._folded = 0, 0
        self._begun = self._fresh = False
        self._held = contextlib.ExitStack()

    @property
    def last_step(self) -> int:
        """The farthest step, -1 before there is one."""
        return max((step for _, step in self.rows), default=-1)

    def open(self) -> None:
        """Keep the run to oneself and take up what an earlier process left; does nothing where that is done.

        Raises
        ------
        BlockingIOError
            If another process is writing the run.
        OutputError, UsageError
            If nothing can be written there.
        """
        if self._begun:
            return
        if (parts_of(self.out) / CONFIGURATION).exists():
            raise UsageError(f"{self.out} is a table of scalefit run; give a table of its own")
        make_folder(self.folder)
        with contextlib.ExitStack() as held:
            held.enter_context(locked(self.folder / ROWS, wait=False))
            before = self._take_up()
            first = min((step for _, step in self.rows), default=math.inf)
            if any(step >= first for _, step in before):  # it goes on from before what an earlier process had reached
                self.waiting.insert(0, json.dumps({RESTARTED: first}))
                before = _until(before, first)
            self._fresh = not self.rows
            self.earlier, self.rows = before, {**before, **self.rows}
            self._held = held.pop_all()
        self._begun = True

    def add(self, row: Row) -> None:
        """Take an evaluation, and write all that is not written yet.

        One that is there already with others after it, or the first of a process that is not farther than an earlier
        process came, is a restart: what was made after it counts no more.

        Raises
        ------
        BlockingIOError, OutputError, UsageError
            If it could not be written; it is kept, and written with the next.
        """
        key, again = (row["eval"], row["step"]), self._fresh and self.last_step >= row["step"]
        self._fresh = False
        if again or (key in self.rows and row["step"] < self.last_step):
            self.rows = _until(self.rows, row["step"])
            self.waiting.append(json.dumps({RESTARTED: row["step"]}))
        self.rows[key] = row
        self.waiting.append(json.dumps(row))
        self.open()
        self.flush()

    def flush(self) -> None:
        """Write what waits; raises OutputError and keeps it where that fails."""
        if self.waiting:
            append_text(self.folder / ROWS, "".join(line + "\n" for line in self.waiting))
            self.waiting = []

    def fold(self, *, always: bool = False) -> None:
        """Write the rows into the table beside other runs', where there is enough that is new.

        Raises
        ------
        BlockingIOError
            If another process is writing it; at the end that one is waited for.
        TableError, OutputError
            If the table cannot be read or written; it is left as it was.
        """
        if not self.rows or not self._begun or (not always and len(self.rows) < FOLDED_EVERY * self._folded):
            return
        with locked(self.out, wait=always):
            mine = self.table()
            others = _without(read_runs(self.out), self.run) if self.out.exists() else None
            write_runs(mine if others is None else _beside(others, mine), self.out)
        self._folded = len(self.rows)

    def table(self) -> RunTable:
        """Return the run as a runs table; a column that is not there throughout has holes."""
        frame = pd.DataFrame([self.rows[key] for key in sorted(self.rows)])
        for name in _mixed(frame):  # a later process began the column with another kind
            frame[name] = frame[name].map(str, na_action="ignore")
        metadata = {"params_convention": "as given to the monitor", "origin": "scalefit.live"}
        return as_runs(frame, metadata, str(self.out))

    def finish(self) -> None:
        """Write all that waits, and the table; raises what `add` and `fold` raise."""
        self.open()
        self.flush()
        self.fold(always=True)

    def close(self) -> None:
        """Let others write the run."""
        self._held.close()
        self._begun = False

    def _take_up(self) -> dict[tuple[str, int], Row]:
        """Return what is there; a last line that was cut short is ended, so that nothing is added to it."""
        path, found = self.folder / ROWS, dict[tuple[str, int], Row]()
        text = path.read_bytes() if path.exists() else b""
        if text and not text.endswith(b"\n"):
            append_text(path, "\n")
        self.damaged = 0
        for line in text.splitlines():
            try:
                row: Row = json.loads(line)
                if "eval" not in row:
                    found = _until(found, row[RESTARTED])
                else:
                    found[str(row["eval"]), int(row["step"])] = {**row, "loss": float(row["loss"])}
            except (ValueError, TypeError, KeyError):
                self.damaged += bool(line.strip())
        return found


def _mixed(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold text in some rows and numbers in others."""
    mixed = [name for name in frame if frame[name].dtype == object]
    return [str(name) for name in mixed if len({isinstance(one, str) for one in frame[name].dropna()}) > 1]


def _beside(others: RunTable, mine: RunTable) -> RunTable:
    """Return a run beside others, whose columns are left as they are: one of another kind is called by its kind here."""
    frame = pd.concat([others.frame, mine.frame], ignore_index=True)
    unlike = {name: f"{name} as logged" for name in _mixed(frame) if name in mine.frame}
    return add_runs(others, replace(mine, frame=mine.frame.rename(columns=unlike)))


def folder_name(run: str) -> str:
    """Return the name of a run's folder: the run's own, as far as a folder may be called so."""
    name = quote(run, safe="")
    if len(name) > LONGEST:
        return f"{name[:LONGEST]}-{hashlib.sha256(run.encode()).hexdigest()[:16]}"
    return name.replace(".", "%2E") if set(name) == {"."} else name


def _until(rows: dict[tuple[str, int], Row], step: float) -> dict[tuple[str, int], Row]:
    """Return the rows before a step."""
    return {key: row for key, row in rows.items() if key[1] < step}


def _without(runs: RunTable, run: str) -> RunTable | None:
    """Return a table without a run; None where nothing else is in it."""
    frame = runs.frame[runs.frame["run_id"].astype(str) != run]
    return replace(runs, frame=frame) if len(frame) else None
