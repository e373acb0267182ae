"""Text that keeps its parts, lines and tables, so that a terminal can lay it out by its width; elsewhere it is a string."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


class Table(str):
    """Rows of cells; as a string, columns aligned to the right, the first to the left.

    Attributes
    ----------
    rows : tuple of tuple of str
        The first is the head.
    """

    rows: tuple[tuple[str, ...], ...]

    def __new__(cls, rows: Iterable[Sequence[str]]) -> Table:
        """Lay rows out."""
        cells = tuple(map(tuple, rows))
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = []
        for row in cells:
            padded = [
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(padded).rstrip())
        found = super().__new__(cls, "\n".join(lines))
        found.rows = cells
        return found


class Said(str):
    """Lines and tables one below the other.

    Attributes
    ----------
    parts : tuple of str
        Each a line, lines, or a `Table`.
    """

    parts: tuple[str, ...]

    def __new__(cls, parts: Iterable[str]) -> Said:
        """Put parts one below the other; those of a `Said` among them become parts of the whole."""
        flat = tuple(_flat(parts))
        found = super().__new__(cls, "\n".join(flat))
        found.parts = flat
        return found


def _flat(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Said):
            yield from part.parts
        else:
            yield part
