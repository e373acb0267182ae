"""What a training logs, as a row of the table can hold it; one that its column cannot hold is left out, and not the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scalefit.table.schema import COLUMNS, Column

Tell = Callable[[str, str], None]
"""Told a kind, so that each is told once, and a text."""


def number(value: Any) -> float | None:
    """Return a finite number, also of a tensor or an array of one; None where it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return found if math.isfinite(found) else None


def plain(value: Any) -> Any:
    """Return a value as a row holds it: text, true or false, or a finite number; None for anything else."""
    return value if isinstance(value, str | bool) else number(value)


class Values:
    """Takes values into rows: those of the schema within their bounds, others as what their column began with."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self._kinds: dict[str, type] = {}

    def take(self, given: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return what can be held of some values; what cannot is told.

        Parameters
        ----------
        given : mapping
            Names and values; None and not-a-number are nothing.
        where : str
            What a message begins with.
        """
        found = {}
        for name, value in given.items():
            column = COLUMNS.get(name)
            kept = plain(value) if column is None or column.kind == "text" else number(value)
            wrong = self._wrong(name, column, value, kept)
            if wrong is not None:
                self.tell(f"value {name}", f"{where}: {name} is {value!r:.20}, {wrong}; such values are left out")
            elif kept is not None:
                whole = column is not None and column.kind == "integer"
                found[name] = int(kept) if whole else kept
        return found

    def _wrong(self, name: str, column: Column | None, value: Any, kept: Any) -> str | None:
        if kept is None:
            return "no number" if isinstance(value, str) else None
        if column is None:
            kind = str if isinstance(kept, str) else float
            return None if self._kinds.setdefault(name, kind) is kind else "of another kind than the column began with"
        if column.kind == "text":
            return None
        if column.kind == "integer" and kept != round(kept):
            return f"no whole number [{column.unit}]"
        if column.low is not None and (kept <= column.low if column.above else kept < column.low):
            return f"below what it can be [{column.unit}]"
        return f"above what it can be [{column.unit}]" if column.high is not None and kept > column.high else None
