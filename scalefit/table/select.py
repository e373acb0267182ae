"""Which rows are meant, and how they fall into series and runs: the one `where` and the one grouping of every command.

A `where` maps a column to a value or a list of values. In a column of numbers a value is a number, with a unit or without
(`7B`, `7e9`); in one of text it is the text. Several columns are all to hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import UsageError, nearest
from scalefit.table.io import RunTable, as_runs
from scalefit.table.ordered import CLOSE
from scalefit.table.schema import RESOURCES
from scalefit.units import format_quantity, parse_quantity

Source = Any
"""A runs table, its path or a data frame: whatever `as_runs` takes."""
Where = Mapping[str, Any]
"""Column to a value or a list of values."""
SHOWN = 10
"""Values that a message names at most."""
CHANGING = ("step", *RESOURCES, "loss")
"""Columns that tell evaluations of a run apart, also where there is one evaluation only."""


def select(source: Source, where: Where | None = None) -> RunTable:
    """Return a runs table with the rows that a `where` keeps.

    Parameters
    ----------
    source : RunTable, path or data frame
        What `as_runs` takes.
    where : mapping, optional
        Column to a value or a list of values. A size may be given by its name (`size`) under `params`, and its
        parameters under `size` where the table has no such column.

    Raises
    ------
    UsageError
        If there is no such column, no row holds a value, or no row holds all of them; it names what there is.
    """
    runs = as_runs(source)
    if not where:
        return runs
    frame = runs.frame[find_rows(runs, where)]
    text = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    frame = frame.assign(**{str(name): frame[name].cat.remove_unused_categories() for name in text})
    return replace(runs, frame=frame)


def find_rows(runs: RunTable, where: Where | None) -> NDArray[np.bool_]:
    """Return where a `where` holds, shape (rows,); errors are those of `select`."""
    if not where:
        return np.ones(len(runs.frame), bool)
    masks = {name: _rows_of(runs, name, wanted) for name, wanted in where.items()}
    kept = np.logical_and.reduce(list(masks.values()))
    if not kept.any():
        raise UsageError(_conflict(runs, where, masks))
    return np.asarray(kept)


def _rows_of(runs: RunTable, name: str, wanted: Any) -> NDArray[np.bool_]:
    """Return where a column holds one of the values, each of which must be there."""
    frame, column = runs.frame, name
    if name == "size" and name not in frame:
        column = "params"
    if column not in frame:
        known = nearest(name, map(str, frame.columns))
        raise UsageError(f"--where {name}={_said(wanted)}: {runs.path} has no column {name!r}; {known}")
    found = np.zeros(len(frame), bool)
    for value in _values(wanted):
        mask = _holds(frame[column], value)
        if column == "params" and not mask.any() and "size" in frame:
            mask = _holds(frame["size"], value)
        if not mask.any():
            there = _there(frame[column], value)
            raise UsageError(f"--where {name}={value}: no such row in {runs.path}; {there}")
        found |= mask
    return found


def _values(wanted: Any) -> Sequence[Any]:
    return [*wanted] if isinstance(wanted, list | tuple | set | frozenset | np.ndarray | pd.Series) else [wanted]


def _said(wanted: Any) -> str:
    return ",".join(map(str, _values(wanted)))


def _holds(column: pd.Series, value: Any) -> NDArray[np.bool_]:
    """Return where a column holds a value, as a number or as text."""
    if column.dtype.kind in "fiu":
        number = _number(value)
        if number is None:
            return np.zeros(len(column), bool)
        return np.isclose(column.to_numpy(float, na_value=np.nan), number, rtol=CLOSE, atol=0.0)
    if isinstance(column.dtype, pd.CategoricalDtype):
        # Text is compared once a name, not once a row; a code of -1 is a missing one.
        named = np.array([*(str(name) == str(value) for name in column.cat.categories), False], bool)
        return named[column.cat.codes.to_numpy()]
    return np.asarray(column.astype(object).map(str) == str(value), bool)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        return parse_quantity(str(value))
    except UsageError:
        return None


def _there(column: pd.Series, value: Any) -> str:
    """Return the values that a column holds, those nearest to the one asked for first, as they may be asked for."""
    if column.dtype.kind in "fiu":
        numbers, at = np.unique(column.dropna().to_numpy(float)), _number(value)
        if at is not None:
            numbers = numbers[np.argsort(np.abs(numbers - at), kind="stable")]
        known = [_typed(number) for number in numbers[:SHOWN].tolist()]
        said = "" if at is not None else "write a number. "
        return f"{said}{column.name} holds {_listed(known, len(numbers))}"
    names = {name: SequenceMatcher(None, str(value), name).ratio() for name in map(str, column.dropna().unique())}
    known = sorted(names, key=lambda name: -names[name])
    hint = f"did you mean {known[0]!r}? " if known and names[known[0]] >= 0.5 else ""
    return f"{hint}{column.name} holds {_listed(known[:SHOWN], len(known))}"


def _typed(number: float) -> str:
    """Return a number as short as it can be typed: 7B where that is all of it."""
    short = format_quantity(number) if number > 0 else ""
    exact = short and abs(parse_quantity(short) - number) <= CLOSE * number
    return short if exact else f"{number:.12g}"


def _listed(known: Sequence[str], count: int) -> str:
    if not known:
        return "nothing."
    return ", ".join(known) + (f" and {count - len(known)} more, nearest first." if count > len(known) else ".")


def _conflict(runs: RunTable, where: Where, masks: Mapping[str, NDArray[np.bool_]]) -> str:
    """Return which columns leave nothing together: the first pair that does, else all."""
    names = list(where)
    for at, later in enumerate(names):
        for earlier in names[:at]:
            if not (masks[earlier] & masks[later]).any():
                column = runs.frame[later if later in runs.frame else "params"]
                there = _there(column[masks[earlier]], _values(where[later])[0])
                return (
                    f"--where {later}={_said(where[later])}: no such row of {runs.path} has "
                    f"{earlier}={_said(where[earlier])}; there {there}"
                )
    asked = " and ".join(f"{name}={_said(wanted)}" for name, wanted in where.items())
    return f"--where: no row of {runs.path} has {asked}, though any two of them are found together."


def by_size(frame: pd.DataFrame) -> list[tuple[tuple[str, str, float], pd.DataFrame]]:
    """Split by (series, eval, params)."""
    groups = frame.groupby(["series", "eval", "params"], observed=True, sort=True)
    return [((str(key[0]), str(key[1]), float(str(key[2]))), part) for key, part in groups]


def by_run(frame: pd.DataFrame) -> Iterator[tuple[pd.Series, pd.DataFrame]]:
    """Yield every run of an evaluation: what is constant in runs, and its rows by step."""
    names = constant_columns(frame)
    for _, rows in frame.groupby(["run_id", "eval"], observed=True, sort=False):
        rows = rows.sort_values("step", kind="stable")
        yield rows[names].iloc[0], rows


def constant_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold one value in each run of an evaluation, missing ones being one."""
    code = frame.groupby(["run_id", "eval"], observed=True, sort=False).ngroup().to_numpy()
    order = np.argsort(code, kind="stable")
    same_run = code[order][1:] == code[order][:-1]
    found = []
    for name in map(str, frame.columns):
        column = frame[name]
        if name in CHANGING or (column.dtype == object and column.map(np.ndim).any()):
            continue
        values = pd.factorize(column)[0][order]
        if not (same_run & (values[1:] != values[:-1])).any():
            found.append(name)
    return found
