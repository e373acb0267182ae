"""Where delimited text breaks off: a quote that is never closed, and a number that is cut at the file's end."""

from __future__ import annotations

import re
from typing import IO, Any

_CONTENT = re.compile(rb'[^"]*(?:""[^"]*)*')
_CUT = re.compile(r"[-+]|[-+]?(?:\d+[.,]|\d*[.,]?\d+[eE][-+]?|\d+[.,][eE][-+]?|[.,])")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?")
_LEAST = 3
"""Other cells that are needed before a short one is told."""


def find_open_quote(file: IO[bytes], delimiter: str, header: int) -> tuple[int, int | None] | None:
    """Look for a cell whose quote is not closed.

    Parameters
    ----------
    file : binary file
        Read anew from its start, line by line.
    header : int
        The line of the column names, which counts from 1; what is above is no part of the table.

    Returns
    -------
    tuple of int and int or None, or None
        The line in which it is opened, and how many lines below are within it to the file's end; None for these where
        another line's quote closed it in the middle of a cell. None where every quote that opens a cell is closed at a
        cell's end.
    """
    file.seek(0)
    mark = delimiter.encode()
    start = re.compile(rb'(?:^(?:\xef\xbb\xbf)?|%s)"' % re.escape(mark))
    opened, astray, number = 0, 0, 0
    for number, line in enumerate(file, 1):
        if number < header or (not opened and b'"' not in line):
            continue
        at = 0
        while True:
            if not opened:
                if (found := start.search(line, at)) is None:
                    break
                opened, at = number, found.end()
            at = _CONTENT.match(line, at).end()  # type: ignore[union-attr]  # it matches an empty text too
            if at == len(line):
                break
            at += 1
            if number > opened and line[at : at + 1] not in (mark, b"\r", b"\n", b""):
                astray = astray or opened
            opened = 0
        if number == header and opened:
            return number, None  # The rows below are read on their own.
    return (opened, number - opened) if opened else (astray, None) if astray else None


class LastColumn:
    """The cells of a file's last column, the very last of which may be cut."""

    def __init__(self) -> None:
        self.count, self.shortest = 0, 0

    def add(self, cells: Any) -> None:
        """Take in cells other than the file's last."""
        import pyarrow.compute as pc

        lengths = pc.binary_length(cells)
        there = lengths.filter(pc.greater(lengths, 0))
        if len(there):
            least = pc.min(there).as_py()
            self.shortest = min(self.shortest, least) if self.count else least
            self.count += len(there)

    def is_cut(self, cell: str, others: list[str]) -> bool:
        """Return whether a cell ends inside a number, as no other that is given does."""
        known = [one.strip() for one in others if one.strip()]
        if _CUT.fullmatch(cell) is None or any(_CUT.fullmatch(one) for one in known):
            return False
        return all(_NUMBER.fullmatch(one) for one in known) and (bool(known) or len(cell) > 1)

    def is_short(self, cell: str) -> bool:
        """Return whether a cell is a number that is written shorter than every other."""
        return self.count >= _LEAST and len(cell) < self.shortest and _NUMBER.fullmatch(cell) is not None
