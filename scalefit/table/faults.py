"""What is wrong with a table, told with its column, its rows and the fix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fault:
    """One fault or warning: the column, how many rows, the first ones, what and the fix; or a line of the file."""

    column: str
    rows: tuple[int, ...]
    what: str
    fix: str
    warning: bool = False
    line: int | None = None

    def __str__(self) -> str:
        """Return one line for a reader."""
        shown = ", ".join(str(row) for row in self.rows[:3]) + (", ..." if len(self.rows) > 3 else "")
        place = [f"column {self.column!r}"] if self.column else [f"line {self.line}"] if self.line is not None else []
        if self.rows:
            place.append(f"row {shown}" if len(self.rows) == 1 else f"{len(self.rows)} rows ({shown})")
        said = "; ".join(filter(None, (self.what, self.fix)))
        return f"{', '.join(place)}: {said}" if place else said


def rows_of(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the rows where a mask holds."""
    return tuple(np.flatnonzero(mask).tolist())
