"""Logs in delimited text, kept row by row: what is whole is read, what is not is told.

Unlike a table's reader (`scalefit.table.load`), which refuses what is damaged.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from scalefit.errors import TableError
from scalefit.table.delimited import read_head
from scalefit.table.importers.log import Log, Progress, Row
from scalefit.table.importers.text import head_of, lines

_HEAD = 1 << 16
_FOLDED = 50
"""Lines that one quoted cell may hold; a quote that stays open longer was never closed."""
_COMMA = re.compile(r"(?:^|[;\t])\s*([-+]?\d+,\d+)\s*(?=[;\t]|$)", re.MULTILINE)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_POINTS = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
_DECIMAL = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
CUT = re.compile(r"(?:\d\.|\d[eE][-+]?\d?|^[-+])$")
"""How a number ends that was cut."""


def header_of(path: Path) -> tuple[list[str], str, int]:
    """Return the column names of delimited text, what separates them, and how many lines are before the rows.

    Raises
    ------
    TableError
        If there are none, or one stands twice.
    """
    try:
        head = head_of(path, _HEAD).removeprefix(b"\xef\xbb\xbf")
        begins = head.lstrip()
        blank = head[: len(head) - len(begins)].count(b"\n")
        metadata, mark, raw = read_head(begins, ".tsv" if ".tsv" in path.suffixes else "")
    except TableError as error:
        raise TableError(f"{path}: {str(error).removeprefix(f'{path}: ').rstrip('.')}.") from None
    names = [name.strip() for name in raw]
    if not any(names):
        raise TableError(f"{path}: its first line names no columns.")
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise TableError(f"{path}: column {twice[0]!r} stands twice; keep one of them.")
    return names, mark, blank + (2 if metadata else 1)


def delimited(path: Path, log: Log, progress: Progress) -> Iterator[Row]:
    """Yield the rows of delimited text as text by column.

    Rows of another length than the header, a quote that is never closed, and a last row that ends within a number are
    left out. Thousands' separators are taken out, decimal commas become points.
    """
    names, mark, before = header_of(path)
    found = _COMMA.findall(head_of(path, _HEAD).decode("utf-8", "replace")) if mark != "," else []
    comma = any(not _THOUSANDS.fullmatch(cell) for cell in found)
    longest = 0
    for number, folded, whole in _records(path, names, mark, before, log, progress):
        cells = next(csv.reader([folded], delimiter=mark), [])
        where = f"line {number}"
        if not any(cells):
            continue
        if len(cells) != len(names):
            log.leave_out(where, f"has {len(cells)} fields where the header has {len(names)}")
            continue
        cells = [_plain(cell.strip(), comma) for cell in cells]
        if not whole and (CUT.search(cells[-1]) or len(cells[-1]) < longest):
            log.leave_out(where, f"is cut: the file ends with {cells[-1][:30]!r}, which may be no whole number")
            continue
        longest = max(longest, len(cells[-1]))
        yield Row(where, {name: cell for name, cell in zip(names, cells, strict=True) if cell != ""})


def _plain(cell: str, comma: bool) -> str:
    """Write a number with a decimal point and no thousands' separators."""
    if comma and _POINTS.fullmatch(cell):
        return cell.replace(".", "").replace(",", ".")
    if comma and _DECIMAL.fullmatch(cell):
        return cell.replace(",", ".")
    return cell.replace(",", "") if _THOUSANDS.fullmatch(cell) else cell


def _records(
    path: Path, names: list[str], mark: str, before: int, log: Log, progress: Progress
) -> Iterator[tuple[int, str, bool]]:
    """Yield records by the number of their first line, those of a quoted cell in one, and whether their last line has an end."""
    source = ((at, raw) for at, raw in lines(path, progress, log) if at > before)
    ahead: deque[tuple[int, bytes]] = deque()

    def following() -> tuple[int, bytes] | None:
        return ahead.popleft() if ahead else next(source, None)

    while (first := following()) is not None:
        taken = [first]
        while (
            sum(raw.count(b'"') for _, raw in taken) % 2 and len(taken) < _FOLDED and (more := following()) is not None
        ):
            taken.append(more)
        folded = b"".join(raw for _, raw in taken).decode("utf-8", "replace").rstrip("\r\n")
        fields = _fields(folded, mark)
        if (len(taken) > 1 and fields != len(names)) or fields is None:
            log.leave_out(f"line {first[0]}", "opens a quote that is never closed, or is no row")
            ahead.extendleft(reversed(taken[1:]))
            continue
        yield first[0], folded, taken[-1][1].endswith(b"\n")


def _fields(folded: str, mark: str) -> int | None:
    """Return how many cells a record has; None where it is none."""
    if folded.count('"') % 2:
        return None
    try:
        return len(next(csv.reader([folded], delimiter=mark, strict=len(folded.splitlines()) > 1), []))
    except csv.Error:
        return None
