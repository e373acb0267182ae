"""Every fault of a runs table at once, each with column, row and fix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import nearest
from scalefit.table.doubts import explain_range, find_doubts
from scalefit.table.faults import Fault, rows_of
from scalefit.table.schema import COLUMNS, KEY, RESOURCES, SIZES, SYSTEMS, USUAL, Column

_OF_A_LOG = re.compile(r"/|step|epoch|iter|reward|entropy|grad_norm|learning_rate", re.IGNORECASE)
"""In names of columns that training writes."""


def find_faults(frame: pd.DataFrame, cast: Sequence[Fault] = ()) -> list[Fault]:
    """Return every fault and warning of a cast frame; rows count from 0 below the header.

    Parameters
    ----------
    cast : sequence of Fault
        What the cast has told already; not told again.
    """
    faults = _missing_columns(frame, cast)
    told: dict[str, set[int]] = {}
    for fault in cast:
        told.setdefault(fault.column, set()).update(fault.rows)
    for name in frame.columns:
        column = COLUMNS.get(str(name))
        if column is not None and column.kind != "text" and frame[name].dtype.kind in "fiu":
            faults += _range_faults(column, frame[name].to_numpy(), told.get(column.name, set()))
    if all(name in frame and frame[name].dtype.kind in "fiu" for name in SIZES):
        more = (frame["active_params"] > frame["params"]).to_numpy()
        if more.any():
            fix = "a token passes no more parameters than there are; are the columns swapped?"
            faults.append(Fault("active_params", rows_of(more), "is more than params", fix))
    if all(name in frame for name in KEY) and frame["step"].dtype.kind in "fiu":
        order = row_order(frame)
        faults += _order_faults(frame, order)
        if not [*faults, *cast] or all(fault.warning for fault in (*faults, *cast)):
            faults += find_doubts(frame, order)
    return faults


def _missing_columns(frame: pd.DataFrame, cast: Sequence[Fault]) -> list[Fault]:
    """Return a fault for every column that is needed and not there; one that is there twice has been told."""
    faults, there = [], {*frame.columns, *(fault.column for fault in cast)}
    for column in COLUMNS.values():
        if column.required and column.name not in there:
            names = [str(name) for name in frame.columns if str(name) not in COLUMNS]
            hint = nearest(column.name, names) if names else ""
            also = f" ({hint[:-1]}, to be renamed?)" if hint.startswith("did") else ""
            faults.append(Fault(column.name, (), "is missing", f"add it [{column.unit}]{also}"))
    own = [name for name in frame if str(name) not in COLUMNS and frame[name].dtype.kind in "iuf"]
    if not own and not any(name in there for name in RESOURCES):
        fix = f"add at least one of them, or a column of your own that grows along a run ({', '.join(RESOURCES)})"
        faults.append(Fault("samples", (), "and every other resource are missing", fix))
    return faults


def guess_kind(names: Iterable[str]) -> str | None:
    """Return a question on what a table of such columns is, if most that a runs table needs are not among them."""
    there = {str(name).strip() for name in names}
    required = [column.name for column in COLUMNS.values() if column.required]
    if sum(name in there for name in required) * 2 >= len(required):
        return None
    systems = "a table of systems (`scalefit systems`)"
    log = "a training log (`scalefit import`, with --map where its columns are its own)"
    if sum(bool(there.intersection((name, *also))) for name, also in SYSTEMS.items()) >= len(SYSTEMS) - 1:
        return f"Is it {systems}?"
    if any(_OF_A_LOG.search(name) for name in there):
        return f"Is it {log}?"
    return f"Is it {log}, or {systems}?"


def _range_faults(column: Column, values: NDArray[Any], told: set[int]) -> list[Fault]:
    """Return what is missing, infinite or outside the column's legal range."""
    faults = []
    if values.dtype.kind == "f":
        needed = column.required or column.name in USUAL
        wrong = ~np.isfinite(values) if needed else np.isinf(values)
        wrong[list(told)] = False
        if wrong.any():
            lenient = not needed and column.kind == "number"
            fix = "it is left out where the column is used" if lenient else "fill it or drop the rows"
            faults.append(Fault(column.name, rows_of(wrong), "is not a finite number", fix, warning=lenient))
    if column.low is not None:
        low = (values <= column.low if column.above else values < column.low) & np.isfinite(values)
        if low.any():
            sign = "greater than" if column.above else "at least"
            fix = f"it must be {sign} {column.low:g} [{column.unit}]"
            if column.name == "loss":
                fix = explain_range(values)
            faults.append(Fault(column.name, rows_of(low), f"holds {values[low][0]:g}", fix))
    if column.high is not None:
        high = (values > column.high) & np.isfinite(values)
        if high.any():
            fix = (
                explain_range(values)
                if column.name == "loss"
                else f"it must be at most {column.high:g} [{column.unit}]"
            )
            faults.append(Fault(column.name, rows_of(high), f"holds {values[high][0]:g}", fix))
    return faults


def row_order(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return the rows by run, evaluation and step."""
    run, evaluation = (frame[name].cat.codes.to_numpy() for name in ("run_id", "eval"))
    return np.lexsort((frame["step"].to_numpy(), evaluation, run))


def _order_faults(frame: pd.DataFrame, order: NDArray[np.int64]) -> list[Fault]:
    """Check keys, one size a run, and that resources do not fall within a run."""
    faults = []
    run, evaluation = (frame[name].cat.codes.to_numpy()[order] for name in ("run_id", "eval"))
    step = frame["step"].to_numpy()[order]
    same_run = run[1:] == run[:-1]
    together = same_run & (evaluation[1:] == evaluation[:-1])

    def rows(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
        return tuple(sorted(order[1:][wrong].tolist()))

    if (twice := together & (step[1:] == step[:-1])).any():
        faults.append(Fault("step", rows(twice), "repeats a (run_id, eval, step)", "keep one row of each"))
    for name in (*SIZES, "series"):
        if name not in frame or (name in SIZES and frame[name].dtype.kind not in "fiu"):
            continue
        codes = (frame[name] if name in SIZES else frame[name].cat.codes).to_numpy()[order]
        differs = same_run & (codes[1:] != codes[:-1]) & ~(np.isnan(codes[1:]) | np.isnan(codes[:-1]))
        if differs.any():
            faults.append(Fault(name, rows(differs), "changes within a run", "give each run its own run_id"))
    for name in ("samples", "tokens", "flops"):
        if name not in frame or frame[name].dtype.kind not in "fi":
            continue
        values = frame[name].to_numpy()[order]
        falls = together & (values[1:] < values[:-1])
        if falls.any() and name == "flops":
            what, fix = "falls within a run", "legal for a mean over a changing set of runs; check it otherwise"
            faults.append(Fault(name, rows(falls), what, fix, True))
        elif falls.any():
            what = "goes backwards within a run"
            fix = "count from the start of the run, or give the restart its own run_id"
            faults.append(Fault(name, rows(falls), what, fix))
    return faults
