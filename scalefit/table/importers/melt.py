"""Wide tables, one column a size or run: `[melt] columns = "acc_{series}_{params}"` makes each of them rows of its own.

What stands in braces is a fact of the run, read from the column's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from scalefit.errors import UsageError, nearest
from scalefit.table.schema import COLUMNS
from scalefit.units import parse_quantity

_QUANTITY = r"[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?[A-Za-z]?"
_MOST = 4


@dataclass(frozen=True)
class Melt:
    """Which columns hold runs, and what their cells are called.

    Attributes
    ----------
    pattern : str
        A column's name, with facts of the run in braces; the others of the name must match as they are.
    value : str
        Name of the cells in the map's expressions.
    """

    pattern: str
    value: str
    facts: tuple[str, ...]
    regex: re.Pattern[str]

    def find(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Return the facts of every column that matches; raises UsageError if none does."""
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            if (match := self.regex.fullmatch(name)) is not None:
                found[name] = {fact: _value(fact, text, name) for fact, text in match.groupdict().items()}
        if not found:
            example = re.sub(r"\{(\w+)\}", r"\1", self.pattern)
            raise UsageError(f"[melt] columns = {self.pattern!r} matches no column; {nearest(example, names)}")
        if clash := sorted({*self.facts, self.value} & set(names)):
            raise UsageError(f"[melt]: the file has a column {clash[0]!r} too; call the fact or the value otherwise.")
        return found

    def apply(self, part: pd.DataFrame, found: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
        """Return the rows of every matching column below one another, those without a value left out."""
        rest = part[[name for name in part.columns if name not in found]]
        long = []
        for name, facts in found.items():
            if name in part:
                one = rest.assign(**{self.value: part[name], **facts, "melted": name})
                long.append(one[one[self.value].notna()])
        return pd.concat(long, ignore_index=True) if long else rest.iloc[:0]


def _value(fact: str, text: str, name: str) -> Any:
    if fact in COLUMNS and COLUMNS[fact].kind != "text":
        return parse_quantity(text, f"column {name!r}: {fact}")
    return text


def read_melt(section: Any) -> Melt:
    """Return what a map's `[melt]` says; raises UsageError where that makes no sense."""
    if not isinstance(section, dict) or set(section) != {"columns", "value"}:
        raise UsageError('[melt] has columns = "acc_{series}_{params}" and value = "accuracy", and nothing else.')
    pattern, value = section["columns"], section["value"]
    if not isinstance(pattern, str) or not isinstance(value, str) or not value:
        raise UsageError("[melt]: columns and value are text.")
    pieces = re.split(r"\{(\w+)\}", pattern)
    facts = tuple(pieces[1::2])
    if not 1 <= len(facts) <= _MOST or len(set(facts)) < len(facts) or value in facts:
        raise UsageError(
            f"[melt] columns = {pattern!r}: name one to {_MOST} facts in braces, each once and none called {value!r}, as in acc_{{series}}_{{params}}."
        )
    if any(not between for between in pieces[2:-2:2]):
        raise UsageError(f"[melt] columns = {pattern!r}: something must stand between two facts.")
    regex = "".join(
        re.escape(piece)
        if at % 2 == 0
        else f"(?P<{piece}>{_QUANTITY if piece in COLUMNS and COLUMNS[piece].kind != 'text' else '.+?'})"
        for at, piece in enumerate(pieces)
    )
    try:
        return Melt(pattern, value, facts, re.compile(regex))
    except re.error as error:
        raise UsageError(f"[melt] columns = {pattern!r}: {error}.") from None
