"""What readers hand on: rows of a log as they stand in it, and what was mended or left out on the way.

A reader turns one container (JSON lines, a console log, an event file, ...) into rows of names and values; what the names
mean is a dialect's business (`dialects.py`). Rows come one at a time, so a log may be larger than memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, NamedTuple

Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""
STEP = "step"
"""Name under which a reader puts the step where its format has a place for it."""
RECORDS = "records so far"
"""Name under which it puts the count of training records where nothing numbers the steps."""
RUNS = ("run_name", "run_id", "run", "experiment_name")
"""Columns that tell the runs of one file apart."""
PAGE_BOUNDS = ("__MIN", "__MAX")
"""Ends of names under which W&B's page keeps the least and the largest value behind each that it shows."""
_PLAIN = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?)"
_NUMBER = re.compile(rf"({_PLAIN})|(?:np\.\w+|tensor)\(\s*({_PLAIN})\s*(?:,[^()]*)?\)", re.IGNORECASE)
_DIGITS = frozenset("0123456789.+-eE")
_WORDS = 300
"""Characters of a reason; what stands in a log may be longer than anybody reads."""
_LONGEST = 400
"""Characters that a number may have: more than a double can say."""


class Row(NamedTuple):
    """One record of a log: where it stands, in words, and its values by name."""

    where: str
    values: Mapping[str, Any]


@dataclass
class Log:
    """One run's log being read.

    Attributes
    ----------
    path : str
        For messages.
    run_id : str
        Name of the run, as far as the log or its place says.
    rows : iterator of Row
        As they stand in the log.
    config : dict
        The run's configuration with dotted names, as far as the log holds it; filled while rows are read.
    notes : list of str
        What was mended.
    asks : list of str
        Facts that this log needs beside the usual ones.
    sole : str, optional
        The only metric, where the format holds one and may not name it.
    configured : bool
        Whether the configuration may come with the rows, so that facts are asked for only when some have been read.
    loose : bool
        Whether files beside a run's log have the same format, so that it may be none.
    rowwise : bool
        Whether its rows may be of several runs, told apart by a column.
    parts : list of Log
        Logs of the same run that go on where this one ends.
    """

    path: str
    run_id: str
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)
    sole: str | None = None
    configured: bool = False
    loose: bool = False
    rowwise: bool = False
    parts: list[Log] = field(default_factory=list)
    _left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, where: str, why: str) -> None:
        """Record that something at a place was left out; many of one kind become one note."""
        self._left_out.setdefault(why if len(why) <= _WORDS else f"{why[:_WORDS]}...", []).append(where)

    def all_notes(self) -> list[str]:
        """Return every note: what was mended, then what was left out, counted and placed."""
        parts = (note for part in self.parts for note in part.all_notes())
        return [*self.notes, *parts, *self.left_out_notes().values()]

    def left_out_notes(self) -> dict[str, str]:
        """Return a note by each reason for which something was left out."""
        found = {}
        for why, places in self._left_out.items():
            if len(places) == 1:
                found[why] = f"{self.path}: {places[0]} {why}; left out"
            else:
                shown = ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")
                found[why] = f"{self.path}: {len(places)} places ({shown}), each {why}; left out"
        return found


def split_runs(log: Log, peek: int) -> list[Log]:
    """Return a log for each run that a column of the log names within its first rows; the log itself where it is one run's."""
    first = list(islice(log.rows, peek))
    log.rows = chain(first, log.rows)
    several = (
        name
        for name in RUNS
        if len({row.values.get(name) for row in first if isinstance(row.values.get(name), str)}) > 1
    )
    column = next(several, None)
    if column is None:
        return [log]
    found: dict[str, list[Row]] = {}
    for row in log.rows:
        if isinstance(run := row.values.get(column), str):
            found.setdefault(run, []).append(row)
        else:
            log.leave_out(row.where, f"names no run in {column}")
    runs = [replace(log, run_id=run, rows=iter(rows), notes=[], _left_out={}) for run, rows in found.items()]
    runs[0].notes, runs[0]._left_out = log.notes, log._left_out
    return runs


def number(value: Any) -> float | None:
    """Return a logged value as a float, `nan` where it is no finite number, None where it is no number at all.

    Numbers in text count (`"0.41"`, `np.float64(0.41)`, `tensor(0.41)`), true and false do not.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else math.nan
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return math.nan
    if isinstance(value, str) and len(value) <= _LONGEST:
        match = None if _DIGITS.issuperset(value) and value else _NUMBER.fullmatch(value.strip())
        try:
            found = float((match[1] or match[2]) if match else value)
        except ValueError:
            return None
        if match is None and not _DIGITS.issuperset(value):
            return None
        return found if math.isfinite(found) else math.nan
    return None


def flat(values: Mapping[str, Any], into: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Put nested values under dotted names, without recursion, so that no depth is too deep."""
    waiting: list[tuple[str, Any]] = [(prefix + str(name), value) for name, value in values.items()]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{name}.{key}", inner) for key, inner in value.items()]
        else:
            into[name] = value
    return into
