"""What a law can be in: columns that grow along a run, their units, and the one that is taken where none is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError, UsageError
from scalefit.table.io import RunTable
from scalefit.table.ordered import Ordered
from scalefit.table.schema import COLUMNS, RESOURCES, USUAL


def choose_resource(runs: RunTable, x: str | None = None, kept: NDArray[np.bool_] | None = None) -> str:
    """Return the column that a law is to be in.

    Parameters
    ----------
    x : str, optional
        A column that does not fall within a run and grows in some; by default the first of `RESOURCES` that does, then
        the table's only other one.
    kept : ndarray of bool, shape (rows,), optional
        Rows that count.

    Raises
    ------
    UsageError
        If that column is not there or does not grow; it names those that do, nearest first.
    FitError
        If nothing grows, or several columns do of which none is a known resource.
    """
    frame = runs.frame
    kept = np.ones(len(frame), bool) if kept is None else kept
    if x is None:
        usual = next((name for name in USUAL if name in frame and _varies(frame[name], kept)), None)
        return usual or _other(runs, kept)
    if (why := _refusal(runs, x, kept)) is None:
        return x
    growing = find_growing(frame, kept)
    if x in USUAL:
        raise UsageError(f"{runs.path} has no {x}, which is asked for; {_said(x, growing)}")
    raise UsageError(f"--x {x}: {why}; {_said(x, growing)}")


def find_growing(frame: pd.DataFrame, kept: NDArray[np.bool_] | None = None) -> list[str]:
    """Return the columns that a law can be in: known ones first, then the table's own."""
    kept = np.ones(len(frame), bool) if kept is None else kept
    rows = Ordered(frame, kept)
    own = [str(name) for name in frame if name not in COLUMNS]
    known = [name for name in RESOURCES if name in frame]
    return [
        name
        for name in (*known, *own)
        if (_varies(frame[name], kept) if name in USUAL else _fault(frame, name, rows) is None)
    ]


def unit_of(name: str, metadata: Mapping[str, Any]) -> str | None:
    """Return the unit of a resource: of a known one its own, of another what the table's metadata say."""
    units = metadata.get("units")
    said = units.get(name) if isinstance(units, Mapping) else None
    return RESOURCES.get(name) or (said if isinstance(said, str) and said else None)


def _refusal(runs: RunTable, x: str, kept: NDArray[np.bool_]) -> str | None:
    """Return why a law cannot be in a column; None if it can."""
    if x not in runs.frame:
        return f"{runs.path} has no column {x!r}"
    if x in USUAL:
        return None
    if x in COLUMNS and x not in (*RESOURCES, "step"):
        return f"column {x!r} is {COLUMNS[x].unit}, nothing that is spent"
    why = _fault(runs.frame, x, Ordered(runs.frame, kept))
    return why and f"column {x!r} of {runs.path} {why}"


def _varies(column: pd.Series, kept: NDArray[np.bool_]) -> bool:
    values = column.to_numpy(float)[kept]
    return bool(values.min() < values.max())


def _other(runs: RunTable, kept: NDArray[np.bool_]) -> str:
    """Return the resource of a table whose samples and flops say nothing."""
    growing = find_growing(runs.frame, kept)
    known = [name for name in growing if name in RESOURCES]
    if known or len(growing) == 1:
        return (known or growing)[0]
    if growing:
        raise FitError(f"{runs.path}: {', '.join(growing)} grow along its runs; say with --x which the law is in.")
    raise FitError(
        f"{runs.path}: no column grows along its runs; a law needs a resource that does ({', '.join(RESOURCES)} or one "
        f"of your own){', or the steps: --x step' if _varies(runs.frame['step'], kept) else ''}."
    )


def _fault(frame: pd.DataFrame, name: str, rows: Ordered) -> str | None:
    """Return why a column cannot be what a law is in; None if it can."""
    kind = getattr(frame[name].dtype, "kind", "O")
    if kind not in "iuf":
        return "holds no numbers"
    values = rows[name]
    missing = ~np.isfinite(values)
    if missing.any():
        return f"has no number in {missing.sum()} of {len(values)} rows"
    if (values < 0).any():
        return "holds negative numbers"
    within = rows.continues
    growth = np.diff(values)[within]
    if (growth < 0).any():
        at = int(np.flatnonzero(within)[np.argmax(growth < 0)])
        return f"falls within a run ({rows.run_at(at + 1)!r}, from {values[at]:g} to {values[at + 1]:g})"
    grows = bool((growth > 0).any()) if within.any() else bool(values.min() < values.max())
    return None if grows else "does not grow"


def _said(x: str, growing: Iterable[str]) -> str:
    """Return what a law can be in, the nearest to what was asked for first."""
    near = {name: SequenceMatcher(None, x, name).ratio() for name in growing}
    ranked = sorted(near, key=lambda name: -near[name])
    if not ranked:
        return "no column grows along its runs."
    asked = f"did you mean {ranked[0]!r}? " if near[ranked[0]] >= 0.5 else ""
    return f"{asked}along its runs grow: {', '.join(ranked)}."
