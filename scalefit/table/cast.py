"""Columns of the schema cast to their types; what is of another type is told, never guessed at."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from scalefit.table.faults import Fault, rows_of
from scalefit.table.schema import COLUMNS, MISSING, Column

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBERS = (int, float, str, Decimal, np.integer, np.floating, type(None), type(pd.NA), type(pd.NaT))
_LARGEST = 2.0**63
_KINDS = {"b": "a truth value", "M": "a date", "m": "a duration", "c": "a complex number"}


def cast_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Fault]]:
    """Cast the schema's columns to their types; return the new frame and what could not be cast."""
    names = [str(name).strip() for name in frame.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        once = [at for at, name in enumerate(names) if name not in twice]
        faults = [Fault(name, (), "is there twice", "keep one of the columns of that name") for name in twice]
        frame, names = frame.iloc[:, once], [names[at] for at in once]
    else:
        faults = []
    out: dict[str, Any] = {}
    for at, name in enumerate(names):
        values = frame.iloc[:, at]
        column = COLUMNS.get(name)
        if column is None:
            out[name] = values
            continue
        out[name], found = cast_text(values, column) if column.kind == "text" else cast_number(values, column)
        faults += found
    return pd.DataFrame(out, index=frame.index, copy=False), faults


def cast_text(values: pd.Series, column: Column) -> tuple[pd.Series, list[Fault]]:
    """Return text as categories; names that are empty, not text or hold control characters are faults."""
    faults: list[Fault] = []
    if not isinstance(values.dtype, pd.CategoricalDtype):
        other = _of_other_type(values, (str, int, float, np.integer, np.floating, type(None), type(pd.NA)))
        if other.any():
            what = f"holds {_shown(values[other].iloc[0])}, not text"
            faults.append(Fault(column.name, rows_of(other), what, "write text"))
        values = values.where(values.isna(), values.astype(object).map(str)).astype("category")
    elif not all(isinstance(name, str) for name in values.cat.categories):
        values = values.cat.rename_categories([str(name) for name in values.cat.categories])
    blank = {name for name in values.cat.categories if not str(name).strip()}
    empty = (values.isna() | values.isin(blank)).to_numpy(bool)
    if empty.any():
        faults.append(Fault(column.name, rows_of(empty), "is empty", f"give each row its {column.unit}"))
    odd = {name for name in values.cat.categories if _CONTROL.search(str(name))} - blank
    if odd:
        wrong = values.isin(odd).to_numpy(bool)
        if wrong.any():
            what = f"holds {_shown(values[wrong].iloc[0])}, with control characters"
            faults.append(Fault(column.name, rows_of(wrong), what, "write plain text"))
    return values, faults


def cast_number(values: pd.Series, column: Column) -> tuple[pd.Series, list[Fault]]:
    """Return numbers as int64 or float64, missing ones as nan."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = (
            values.astype(values.cat.categories.dtype)
            if values.cat.categories.dtype != object
            else values.astype(object)
        )
    kind = getattr(values.dtype, "kind", "O")
    fix = f"write a number [{column.unit}]"
    if kind in _KINDS:
        there = values.notna().to_numpy(bool)
        if there.any():
            what = f"holds {_shown(values[there].iloc[0])}, {_KINDS[kind]} and not a number"
            return values, [Fault(column.name, rows_of(there), what, fix)]
        return pd.Series(np.nan, values.index), []
    faults: list[Fault] = []
    if kind not in "fiu":
        values, wrong, example = _parse(values)
        if wrong.any():
            faults.append(Fault(column.name, rows_of(wrong), f"holds {example}, not a number", fix))
    elif not isinstance(values.dtype, np.dtype):
        values = pd.Series(
            values.to_numpy(float, na_value=np.nan)
            if values.isna().any() or kind == "f"
            else values.to_numpy(np.dtype(f"{kind}8")),
            values.index,
        )
    if column.kind == "number":
        return values.astype(np.float64), faults
    if values.dtype.kind == "i":
        return values.astype(np.int64), faults
    return _cast_whole(values, column, faults)


def _cast_whole(values: pd.Series, column: Column, faults: list[Fault]) -> tuple[pd.Series, list[Fault]]:
    array = values.to_numpy(float)
    known = np.isfinite(array)
    part, huge = known & (array != np.round(array)), known & (np.abs(array) >= _LARGEST)
    if part.any():
        what = f"holds {array[part][0]:g}, not a whole number"
        faults = [*faults, Fault(column.name, rows_of(part), what, "write a whole number")]
    if huge.any():
        what = f"holds {array[huge][0]:g}, beyond 64 bits"
        faults = [*faults, Fault(column.name, rows_of(huge), what, "write a smaller whole number")]
    if not part.any() and not huge.any() and known.all():
        return values.astype(np.int64), faults
    return pd.Series(array, values.index), faults


def _of_other_type(values: pd.Series, known: tuple[type, ...]) -> np.ndarray:
    """Return where a column of objects holds something of another type."""
    if values.dtype != object:
        kind = getattr(values.dtype, "kind", "O")
        return np.full(len(values), kind in _KINDS) & values.notna().to_numpy(bool)
    return np.array([isinstance(value, bool) or not isinstance(value, known) for value in values], bool)


def _parse(values: pd.Series) -> tuple[pd.Series, np.ndarray, str]:
    """Return numbers read from text and objects, where that failed, and an example of it."""
    other = _of_other_type(values, _NUMBERS)
    plain = values.astype(object).where(~other, None) if values.dtype == object else values
    if values.dtype == object:
        plain = plain.map(lambda value: float(value) if isinstance(value, Decimal) else _within(value))
    try:
        number = pd.to_numeric(plain, errors="coerce")
    except (TypeError, ValueError, OverflowError):
        number = plain.map(lambda value: pd.to_numeric(value, errors="coerce"))
    number = pd.Series(np.asarray(number, dtype=float), values.index) if number.dtype.kind not in "fiu" else number
    if not isinstance(number.dtype, np.dtype):
        number = pd.Series(number.to_numpy(float, na_value=np.nan), values.index)
    wrong = other | (number.isna() & values.notna()).to_numpy(bool)
    for row in np.flatnonzero(wrong).tolist():
        value = values.iloc[row]
        wrong[row] = not (isinstance(value, str) and value.strip() in MISSING)
    return number, wrong, _shown(values[wrong].iloc[0]) if wrong.any() else ""


def _within(value: Any) -> Any:
    """Return a whole number beyond 64 bits as a float, at worst an infinite one."""
    if not isinstance(value, int) or abs(value) < 2**63:
        return value
    return float(value) if abs(value) < 10**308 else float("inf")


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, (str, bytes, list, dict, set, tuple)) else str(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 40 else f"{text[:40]}..."
