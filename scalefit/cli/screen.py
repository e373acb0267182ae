"""What a person sees: on a terminal, lines that break between words and tables that fit its width; piped, plain text.

Colours are rich's to leave out: where NO_COLOR is set, or the terminal has none.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from scalefit.said import Said, Table

if TYPE_CHECKING:
    from rich.console import Console

WIDEST = 100
"""Characters of a line of text; longer ones are hard to read."""
_STYLES = {"warning:": "yellow", "note:": "yellow", "scalefit:": "bold red"}
"""How a line that begins with a word is drawn."""
Rows = Sequence[Sequence[str]]


def tell(text: str, file: TextIO | None = None) -> None:
    """Print text, a `Said` with its tables, to stdout unless told otherwise; its first line is the answer."""
    file = file or sys.stdout
    if not file.isatty():
        print(text, file=file, flush=file is sys.stderr)
        return
    from rich.console import Console

    console = Console(file=file, highlight=False, markup=False, emoji=False)
    first = True
    for part in text.parts if isinstance(text, Said) else (text,):
        if isinstance(part, Table):
            _draw_table(console, part.rows)
            continue
        for line in part.splitlines() or [""]:
            _draw_line(console, line, first)
            first = False


def complain(text: str) -> None:
    """Print a line to stderr."""
    tell(text, sys.stderr)


def _draw_line(console: Console, line: str, first: bool) -> None:
    from rich.text import Text

    words, indent = line.strip(), len(line) - len(line.lstrip())
    style = next((look for word, look in _STYLES.items() if words.startswith(word)), "bold" if first else "")
    for row in wrap(line, min(console.width, WIDEST), indent + 2) or [""]:
        console.print(Text(row, style), soft_wrap=True)


def wrap(line: str, width: int, indent: int = 2) -> list[str]:
    """Return a line as lines of a width, broken between words only; what is longer than one is left whole."""
    return textwrap.wrap(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False, tabsize=2
    )


def _draw_table(console: Console, rows: Rows) -> None:
    from rich.table import Table as Drawn
    from rich.text import Text

    for part in fit_columns(rows, console.width):
        table = Drawn(box=None, pad_edge=False, padding=(0, part.gap, 0, 0), header_style="bold")
        heads = [wrap(name, width, 0) for name, width in zip(part.rows[0], part.widths, strict=True)]
        most = max(map(len, heads))
        for at, (lines, width) in enumerate(zip(heads, part.widths, strict=True)):
            side: Literal["left", "right"] = "left" if at == 0 else "right"
            table.add_column(Text("\n".join([*[""] * (most - len(lines)), *lines])), justify=side, width=width)
        for row in part.rows[1:]:
            table.add_row(*map(Text, row))
        console.print(table)


@dataclass(frozen=True)
class Columns:
    """Columns of a table that fit beside each other, how wide each is drawn, and what is between them."""

    rows: Rows
    widths: Sequence[int]
    gap: int = 2


def fit_columns(rows: Rows, width: int) -> list[Columns]:
    """Return a table as one that fits a width, or as several below each other that all begin with its first column.

    Columns are narrowed between words only: heads are broken into lines first, then gaps, then cells.
    """
    count = len(rows[0])
    whole = [max(len(row[at]) for row in rows) for at in range(count)]
    heads = [max([_longest(rows[0][at]), *(len(row[at]) for row in rows[1:])]) for at in range(count)]
    least = [max(_longest(row[at]) for row in rows) for at in range(count)]
    for widths in (whole, heads, [least[0], *heads[1:]], least):
        for gap in (2, 1):
            if _total(widths, gap) <= width:
                return [Columns(rows, _widened(widths, whole, width, gap), gap)]
    found, at = [], 1
    while at < count:
        last = at + 1
        while last < count and _total([heads[0], *heads[at : last + 1]], 2) <= width:
            last += 1
        chosen = [0, *range(at, last)]
        widths = _widened([heads[one] for one in chosen], [whole[one] for one in chosen], width, 2)
        found.append(Columns([[row[one] for one in chosen] for row in rows], widths))
        at = last
    return found


def _longest(cell: str) -> int:
    return max(map(len, cell.split()), default=0)


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _widened(widths: Sequence[int], wanted: Sequence[int], width: int, gap: int) -> list[int]:
    """Give what is left of the width to columns that could use it, the first ones first."""
    found, left = list(widths), width - _total(widths, gap)
    for at, want in enumerate(wanted):
        more = max(min(want - found[at], left), 0)
        found[at], left = found[at] + more, left - more
    return found
