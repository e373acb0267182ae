"""Wide tables, one column a size or run: `[melt] columns = "acc_{series}_{params}"` makes each of them rows of its own.

What stands in braces is a fact of the run, read from the column's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
    likeness : re.Pattern
        What the pattern would match if every fact were any text.
    """

    pattern: str
    value: str
    facts: tuple[str, ...]
    regex: re.Pattern[str]
    likeness: re.Pattern[str]

    def find(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Return the facts of every column that matches; raises UsageError if none does."""
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            if (match := self.regex.fullmatch(name)) is not None:
                found[name] = {fact: _value(fact, text, name) for fact, text in match.groupdict().items()}
        if not found:
            example = re.sub(r"\{(\w+)\}", r"\1", self.pattern)
            why = self.explain_rest(names) or [nearest(example, names)]
            raise UsageError(f"[melt] columns = {self.pattern!r} matches no column; {'; '.join(why)}")
        if clash := sorted({*self.facts, self.value} & set(names)):
            raise UsageError(f"[melt]: the file has a column {clash[0]!r} too; call the fact or the value otherwise.")
        return found

    def explain_rest(self, names: Iterable[str]) -> list[str]:
        """Return which columns look like the pattern and do not match it, and why: a fact of theirs is no quantity."""
        wrong: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            match = None if self.regex.fullmatch(name) else self.likeness.fullmatch(name)
            for fact, text in match.groupdict().items() if match else ():
                if _is_quantity(fact) and re.fullmatch(_QUANTITY, text) is None:
                    wrong.setdefault(fact, []).append((name, text))
                    break
        said = []
        for fact, found in wrong.items():
            columns, texts = (", ".join(map(repr, dict.fromkeys(part))) for part in zip(*found, strict=True))
            look, are = ("columns look", "are") if len(found) > 1 else ("column looks", "is")
            said.append(
                f"{len(found)} {look} like {self.pattern!r} and {are} not melted: {columns} ({fact} is {texts}, no quantity such as 7B)"
            )
        return said

    def apply(self, part: pd.DataFrame, found: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
        """Return the rows of every matching column below one another, those without a value left out."""
        rest = part[[name for name in part.columns if name not in found]]
        long = []
        for name, facts in found.items():
            if name in part:
                one = rest.assign(**{self.value: part[name], **facts, "melted": name})
                long.append(one[one[self.value].notna()])
        return pd.concat(long, ignore_index=True) if long else rest.iloc[:0]


def _is_quantity(fact: str) -> bool:
    return fact in COLUMNS and COLUMNS[fact].kind != "text"


def _value(fact: str, text: str, name: str) -> Any:
    if _is_quantity(fact):
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
    regex, likeness = (
        "".join(
            re.escape(piece) if at % 2 == 0 else f"(?P<{piece}>{quantity if _is_quantity(piece) else '.+?'})"
            for at, piece in enumerate(pieces)
        )
        for quantity in (_QUANTITY, ".+?")
    )
    try:
        return Melt(pattern, value, facts, re.compile(regex), re.compile(likeness))
    except re.error as error:
        raise UsageError(f"[melt] columns = {pattern!r}: {error}.") from None
