"""Every fault of a runs table at once, each with column, row and fix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from scalefit.errors import nearest
from scalefit.table.schema import COLUMNS, KEY, RESOURCES


@dataclass(frozen=True)
class Fault:
    """One fault or warning: the column, how many rows, the first ones, what and the fix."""

    column: str
    rows: tuple[int, ...]
    what: str
    fix: str
    warning: bool = False

    def __str__(self) -> str:
        """Return one line for a reader."""
        rows = ""
        if self.rows:
            shown = ", ".join(str(row) for row in self.rows[:3])
            rows = (
                f", row {shown}"
                if len(self.rows) == 1
                else f", {len(self.rows)} rows ({shown}{', ...' if len(self.rows) > 3 else ''})"
            )
        return f"column {self.column!r}{rows}: {self.what}; {self.fix}"


def _rows(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(row) for row in np.flatnonzero(mask))


def coerce(frame: pd.DataFrame, only: set[str] | None = None) -> tuple[pd.DataFrame, list[Fault]]:
    """Cast the schema's columns to their types; return the new frame and what could not be cast."""
    faults = []
    out = {}
    for name in frame.columns:
        values = frame[name]
        column = COLUMNS.get(str(name))
        if column is None:
            out[name] = values
            continue
        if column.kind == "text":
            if isinstance(values.dtype, pd.CategoricalDtype):
                out[name] = values
            else:
                empty = values.isna().to_numpy()
                if empty.any():
                    faults.append(Fault(column.name, _rows(empty), "is empty", f"give each row its {column.unit}"))
                out[name] = values.astype(str).astype("category")
            continue
        if values.dtype.kind not in "fiu":
            number = pd.to_numeric(values, errors="coerce")
            wrong = (number.isna() & values.notna()).to_numpy()
            if wrong.any():
                example = values[wrong].iloc[0]
                faults.append(
                    Fault(
                        column.name, _rows(wrong), f"holds {example!r}, not a number", f"write a number [{column.unit}]"
                    )
                )
            values = number
        if column.kind == "integer" and values.dtype.kind == "f":
            array = values.to_numpy(float)
            part = np.isfinite(array) & (array != np.round(array))
            if part.any():
                faults.append(
                    Fault(
                        column.name,
                        _rows(part),
                        f"holds {array[part][0]:g}, not a whole number",
                        "write a whole number",
                    )
                )
            elif np.isfinite(array).all():
                values = values.astype(np.int64)
        elif column.kind == "number":
            values = values.astype(np.float64)
        out[name] = values
    return pd.DataFrame(out, copy=False), faults


def find_faults(frame: pd.DataFrame) -> list[Fault]:
    """Return every fault and warning of a coerced frame; rows count from 0 below the header."""
    faults: list[Fault] = []
    for column in COLUMNS.values():
        if column.required and column.name not in frame:
            names = [str(name) for name in frame.columns if str(name) not in COLUMNS]
            hint = nearest(column.name, names) if names else ""
            also = f" ({hint[:-1]}, to be renamed?)" if hint.startswith("did") else ""
            faults.append(Fault(column.name, (), "is missing", f"add it [{column.unit}]{also}"))
    if not any(name in frame for name in RESOURCES):
        faults.append(Fault("samples", (), "and 'flops' are both missing", "add at least one of them"))
    for name in frame.columns:
        known = COLUMNS.get(str(name))
        if known is None or known.kind == "text":
            continue
        column = known
        values = frame[name].to_numpy()
        if values.dtype.kind not in "fiu":
            continue
        if values.dtype.kind == "f":
            missing = ~np.isfinite(values)
            if missing.all() and not column.required:
                continue
            if missing.any() and (column.required or name in RESOURCES):
                faults.append(Fault(column.name, _rows(missing), "is not a finite number", "fill it or drop the rows"))
        if column.low is not None:
            low = values <= column.low if column.above else values < column.low
            if low.any():
                sign = "greater than" if column.above else "at least"
                faults.append(
                    Fault(
                        column.name,
                        _rows(low),
                        f"holds {values[low][0]:g}",
                        f"it must be {sign} {column.low:g} [{column.unit}]",
                    )
                )
        if column.high is not None:
            high = values > column.high
            if high.any():
                fix = (
                    "a percentage? divide by 100"
                    if 2 < np.nanmax(values) <= 100
                    else f"it must be at most {column.high:g} [{column.unit}]"
                )
                faults.append(Fault(column.name, _rows(high), f"holds {values[high][0]:g}", fix))
    if all(name in frame for name in KEY):
        faults.extend(_order_faults(frame))
    return faults


def _order_faults(frame: pd.DataFrame) -> list[Fault]:
    """Check keys, one size a run, and that resources do not fall within a run."""
    faults = []
    run, evaluation = (frame[name].astype("category").cat.codes.to_numpy() for name in ("run_id", "eval"))
    step = frame["step"].to_numpy()
    order = np.lexsort((step, evaluation, run))
    run, evaluation, step = run[order], evaluation[order], step[order]
    together = (run[1:] == run[:-1]) & (evaluation[1:] == evaluation[:-1])
    twice = together & (step[1:] == step[:-1])
    if twice.any():
        faults.append(
            Fault(
                "step",
                tuple(sorted(int(row) for row in order[1:][twice])),
                "repeats a (run_id, eval, step)",
                "keep one row of each",
            )
        )
    same_run = run[1:] == run[:-1]
    for name in ("params", "series"):
        if name in frame:
            column = frame[name]
            categories = isinstance(column.dtype, pd.CategoricalDtype)
            codes = (column.cat.codes if categories else column).to_numpy()[order]
            differs = same_run & (codes[1:] != codes[:-1])
            if differs.any():
                faults.append(
                    Fault(
                        name,
                        tuple(sorted(int(row) for row in order[1:][differs])),
                        "changes within a run",
                        "give each run its own run_id",
                    )
                )
    for name in ("samples", "tokens", "flops"):
        if name in frame and frame[name].dtype.kind in "fi":
            values = frame[name].to_numpy()[order]
            falls = together & (values[1:] < values[:-1])
            if falls.any():
                rows = tuple(sorted(int(row) for row in order[1:][falls]))
                if name == "flops":
                    faults.append(
                        Fault(
                            name,
                            rows,
                            "falls within a run",
                            "legal for a mean over a changing set of runs; check it otherwise",
                            True,
                        )
                    )
                else:
                    faults.append(
                        Fault(
                            name,
                            rows,
                            "goes backwards within a run",
                            "count from the start of the run, or give the restart its own run_id",
                        )
                    )
    return faults
