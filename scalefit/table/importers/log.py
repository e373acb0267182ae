"""What readers hand on: rows of a log as they stand in it, and what was mended or left out on the way.

A reader turns one container (JSON lines, a console log, an event file, ...) into rows of names and values; what the names
mean is a dialect's business (`dialects.py`). Rows come one at a time, so a log may be larger than memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""
STEP = "step"
"""Name under which a reader puts the step where its format has a place for it."""
RECORDS = "records so far"
"""Name under which it puts the count of training records where nothing numbers the steps."""
_NUMBER = re.compile(
    r"(?:np\.\w+|tensor)?\(?\s*([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?))"
    r"\s*(?:,[^)]*)?\)?",
    re.IGNORECASE,
)
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
        Whether the format may hold the run's configuration.
    """

    path: str
    run_id: str
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)
    sole: str | None = None
    configured: bool = False
    _left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, where: str, why: str) -> None:
        """Record that something at a place was left out; many of one kind become one note."""
        self._left_out.setdefault(why, []).append(where)

    def all_notes(self) -> list[str]:
        """Return every note: what was mended, then what was left out, counted and placed."""
        found = list(self.notes)
        for why, places in self._left_out.items():
            if len(places) == 1:
                found.append(f"{self.path}: {places[0]} {why}; left out")
            else:
                shown = ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")
                found.append(f"{self.path}: {len(places)} places ({shown}), each {why}; left out")
        return found


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
        match = _NUMBER.fullmatch(value.strip())
        if match and value.count("(") == value.count(")"):
            found = float(match[1])
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
