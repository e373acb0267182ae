"""Any table by a column map in TOML: `loss = "1 - accuracy"`, `samples = "step * 512"`.

An expression is arithmetic on the file's columns; a name that is no Python name stands in backticks, and a nested field
of JSON has a dotted one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from scalefit.errors import TableError, UsageError, nearest
from scalefit.table.cast import cast_number, cast_text
from scalefit.table.frames import as_frame
from scalefit.table.importers.expression import Expression
from scalefit.table.importers.log import Progress
from scalefit.table.importers.melt import Melt, read_melt
from scalefit.table.importers.run_names import EACH, ask, find_clash, name_runs, propose, read_run, written
from scalefit.table.io import RunTable, as_runs
from scalefit.table.load import open_table
from scalefit.table.schema import COLUMNS, METADATA_KEYS, RESOURCES, Column

_SECTIONS = ("columns", "constants", "metadata", "melt")
_ROW = "row of the file"
_MOSTLY = 0.5
"""Share of a column's cells that are no numbers from which on the column is what is wrong, not the cells."""


@dataclass(frozen=True)
class ColumnMap:
    """What a map says: expressions and constants by column of the runs table, metadata, and how wide columns melt."""

    expressions: Mapping[str, Expression]
    constants: Mapping[str, Any]
    metadata: Mapping[str, str]
    melt: Melt | None
    run: tuple[str, ...] = ()
    """Columns that tell runs apart; see `run_names`."""

    @property
    def text(self) -> frozenset[str]:
        """The file's columns that become text columns."""
        plain = (one.column for name, one in self.expressions.items() if COLUMNS[name].kind == "text")
        own = self.run if len(self.run) == 1 else ()
        return frozenset(name for name in (*plain, *own) if name)

    @property
    def wanted(self) -> frozenset[str]:
        """The file's columns that are needed."""
        made = {self.melt.value, *self.melt.facts, "melted"} if self.melt else set()
        used = {name for one in self.expressions.values() for name in one.names}
        return frozenset(used | {name for name in self.run if name}) - made

    @property
    def names_runs(self) -> bool:
        """Whether the map says which rows are one run."""
        return bool(self.run or self.melt or "run_id" in self.constants)

    @property
    def spoken_for(self) -> frozenset[str]:
        """The file's columns that are a step, a resource or a loss."""
        uses = (one for name, one in self.expressions.items() if name in ("step", "loss", *RESOURCES))
        return frozenset(name for one in uses for name in one.names)

    def check_whole(self, path: Path) -> None:
        """Raise UsageError with every column that a runs table needs and the map in `path` does not give."""
        there = {*self.expressions, *self.constants, *(self.melt.facts if self.melt else ()), "run_id"}
        missing = [name for name, column in COLUMNS.items() if column.required and name not in there]
        if not there.intersection(RESOURCES):
            missing.append("samples, flops or another resource")
        if missing:
            raise UsageError(
                f'{path}: does not give {", ".join(missing)}; write each under [columns], as in loss = "1 - accuracy", or under [constants] if it is the same in every row.'
            )
        if not self.wanted and not self.melt:
            raise UsageError(
                f"{path}: uses no column of the file; write at least the loss and the step by its columns."
            )


def import_columns(path: Path, map_path: Path, progress: Progress, yes: bool = False) -> tuple[RunTable, list[str]]:
    """Make a runs table of any table by a map.

    Lines and cells that are damaged are left out, counted and named; a column that is no numbers at all is an error.
    Where the map does not say which rows are one run and not all can be, that is asked for.

    Parameters
    ----------
    map_path : Path
        TOML with `[columns]` (column of the runs table to expression), `[constants]` (column to value) and
        optionally `[metadata]` (conventions, origin) and `[melt]` (columns of a wide table).
    yes : bool
        Take what is proposed where it is to be said which rows are one run.

    Raises
    ------
    UsageError, TableError
        With every name that is not in the file, or where the map makes no sense.
    """
    given = read_map(map_path)
    given.check_whole(map_path)
    source, parts = open_table(path, None if given.melt else given.wanted, given.text, progress)
    notes: dict[str, list[int]] = {}
    frames, seen = [], 0
    for part in parts:
        frame = as_frame([part], given.text)
        frames.append(_rows(frame, given, path, notes, seen))
        seen += len(frame)
    damage = [str(fault) for fault in source.faults()]
    if source.names and (absent := sorted(given.wanted - set(source.names))):
        raise TableError(f"{path} has no column {', '.join(map(repr, absent))}; {nearest(absent[0], source.names)}")
    if not frames or not (made := _below_one_another(frames)).size:
        raise TableError("\n  ".join([f"{path}: no rows in it.", *damage]))
    noted = [f"{path}: {said}" for said in damage]
    if given.melt:
        noted += given.melt.explain_rest(name for name in source.names if name not in given.wanted)
    noted += [f"{len(rows)} rows are left out: {what} (row {rows[0]})" for what, rows in notes.items()]
    made = _with_losses(made.assign(**given.constants), noted)
    if not given.names_runs and find_clash(made) is not None:
        made = _with_runs(made, given, path, map_path, noted, yes=yes)
    frame = _complete(made, path, noted)
    runs = as_runs(frame, {"origin": f"columns of {path.name}", **given.metadata}, str(path))
    return runs, noted


def _below_one_another(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the parts as one frame, text as categories throughout, which costs a fraction of its memory."""
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    out: dict[str, Any] = {}
    for name in names:
        parts = [frame[name] for frame in frames]
        text = all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts)
        out[name] = union_categoricals(parts) if text else pd.concat(parts, ignore_index=True)
    return pd.DataFrame(out)


def _with_losses(frame: pd.DataFrame, noted: list[str]) -> pd.DataFrame:
    """Leave out rows without a loss."""
    whole = frame["loss"].notna() if "loss" in frame else pd.Series(True, index=frame.index)
    if not whole.all():
        noted.append(f"{int((~whole).sum())} rows without a loss are left out")
    return frame[whole].reset_index(drop=True)


def _with_runs(
    frame: pd.DataFrame, given: ColumnMap, path: Path, map_path: Path, noted: list[str], *, yes: bool
) -> pd.DataFrame:
    """Name the runs as is proposed, where that is taken; raises UsageError, which asks, where it is not."""

    def source(columns: Collection[str] | None = None) -> pd.DataFrame:
        text = columns if columns and len(columns) == 1 else ()
        whole = as_frame(list(open_table(path, columns, text)[1]), text)
        return whole.iloc[frame[_ROW]].reset_index(drop=True)

    run = propose(frame, source(), given.spoken_for)
    if run is None or not yes:
        raise ask(frame, run, map_path)
    rows = frame[_ROW].to_numpy()
    names = name_runs(frame if run == EACH else source(run), run, _stem(path), rows)
    noted.append(f"{written(run)} is taken: {names.nunique()} runs")
    return frame.assign(run_id=names)


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _complete(frame: pd.DataFrame, path: Path, noted: list[str]) -> pd.DataFrame:
    """Add a run's name, and leave out rows that came again."""
    if "run_id" not in frame:
        frame["run_id"] = _stem(path) if "melted" not in frame else frame["melted"]
    frame = frame.drop(columns=[name for name in ("melted", _ROW) if name in frame])
    key = [name for name in ("run_id", "eval", "step") if name in frame]
    again = frame.duplicated(key, keep="last")
    if again.sum() * 2 > len(frame):
        raise TableError(
            f"{path}: {int(again.sum())} of {len(frame)} rows share their run, evaluation and step with another; the map's "
            "run_id puts different runs together."
        )
    if again.any():
        noted.append(
            f"{int(again.sum())} rows came again for the same run, evaluation and step; the later ones are kept"
        )
    return frame[~again].reset_index(drop=True)


def _rows(frame: pd.DataFrame, given: ColumnMap, path: Path, notes: dict[str, list[int]], before: int) -> pd.DataFrame:
    """Return the runs table's columns of some rows of the file."""
    facts: list[str] = []
    if given.melt:
        names = list(map(str, frame.columns))
        frame = given.melt.apply(frame, given.melt.find(names))
        facts = [name for name in given.melt.facts if name in COLUMNS and name not in given.expressions] + ["melted"]
    out: dict[str, Any] = {name: frame[name] for name in facts if name not in given.constants}
    numbers: dict[str, Any] = {}
    keep = np.ones(len(frame), bool)
    for name, one in given.expressions.items():
        if COLUMNS[name].kind == "text":
            out[name] = _text(frame, one.column, name, path)
            continue
        for column in one.names:
            if column not in numbers:
                numbers[column], wrong, what = _numbers(frame, column, path)
                for row in np.flatnonzero(wrong & keep).tolist():
                    notes.setdefault(what, []).append(before + row)
                keep &= ~wrong
        out[name] = _computed(name, one, numbers, len(frame), path)
    rows = before + np.arange(len(frame))
    if len(given.run) == 1 and given.run != EACH:
        out["run_id"] = _text(frame, given.run[0], "run_id", path)
    elif given.run:
        out["run_id"] = name_runs(frame, given.run, _stem(path), rows)
    return pd.DataFrame({**out, _ROW: rows}, index=frame.index)[keep]


def _text(frame: pd.DataFrame, column: str | None, name: str, path: Path) -> pd.Series:
    """Return a column as text, empty cells as they are; raises TableError where it holds anything else."""
    if column not in frame:
        return pd.Series(None, frame.index, dtype=object)
    values, faults = cast_text(frame[column], COLUMNS[name])
    for fault in faults:
        if fault.what.endswith("not text"):
            raise TableError(
                f"{path}: column {column!r} {fault.what} (row {fault.rows[0]}); name a column of text for {name}."
            )
    return values


def _numbers(frame: pd.DataFrame, name: str, path: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """Return a column as floats, where a cell is none, and what it holds; raises TableError where most are none."""
    if name not in frame:
        return np.full(len(frame), np.nan), np.zeros(len(frame), bool), ""
    values, faults = cast_number(frame[name], Column(name, "number", "1", True))
    wrong = np.zeros(len(frame), bool)
    for fault in faults:
        wrong[list(fault.rows)] = True
    what = f"column {name!r} {faults[0].what}" if faults else ""
    if faults and wrong.sum() > _MOSTLY * frame[name].notna().sum():
        percent = "%" in faults[0].what
        fix = (
            "remove the % and divide by 100 in the map"
            if percent
            else "give numbers, or name another column in the map"
        )
        raise TableError(f"{path}: {what} (row {faults[0].rows[0]}); {fix}.")
    array = np.full(len(frame), np.nan) if values.dtype.kind not in "fiu" else values.to_numpy(float)
    return array, wrong, what


def _computed(name: str, one: Expression, numbers: Mapping[str, Any], rows: int, path: Path) -> np.ndarray:
    """Return an expression's values; one that is not finite though all it is made of are, is an error."""
    found = np.array(np.broadcast_to(np.asarray(one(numbers), float), (rows,)))
    bad = ~np.isfinite(found)
    for column in one.names:
        bad &= np.isfinite(numbers[column])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        of = ", ".join(f"{column} = {numbers[column][row]:g}" for column in dict.fromkeys(one.names))
        raise TableError(
            f"{path}: {name} = {one.text!r} is {found[row]:g}{f' for {of} (row {row})' if of else ''}; mend the map."
        )
    return found


def read_map(path: Path) -> ColumnMap:
    """Read a map; raises UsageError with what makes no sense in it."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise UsageError(
            f"{path}: no text, so no map; a map is TOML with [columns], as docs/tables.md shows."
        ) from None
    except ValueError as error:
        raise UsageError(f"{path}: {str(error)[:200].rstrip('.')}.") from None
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply to be a map.") from None
    for name, section in found.items():
        if name not in _SECTIONS:
            raise UsageError(f"{path}: [{name}]: {nearest(name, _SECTIONS)}")
        if not isinstance(section, dict):
            raise UsageError(
                f"{path}: {name} is {repr(section)[:40]}; write a section [{name}] with one line a column."
            )
    columns, constants, metadata = (found.get(name, {}) for name in ("columns", "constants", "metadata"))
    for name in [*columns, *constants]:
        if name not in COLUMNS:
            raise UsageError(f"{path}: no column {name!r} in a runs table; {nearest(name, COLUMNS)}")
    if both := sorted(set(columns) & set(constants)):
        raise UsageError(f"{path}: {both[0]} is under [columns] and [constants]; keep one.")
    for name, value in metadata.items():
        if name not in METADATA_KEYS or name == "schema_version":
            raise UsageError(f"{path}: [metadata] {name}: {nearest(name, METADATA_KEYS[1:])}")
        if not isinstance(value, str):
            raise UsageError(f"{path}: [metadata] {name} is {repr(value)[:40]}; write text.")
    try:
        run = read_run(columns.pop("run_id")) if "run_id" in columns else ()
        return ColumnMap(
            {name: _expression(name, value) for name, value in columns.items()},
            {name: _constant(name, value) for name, value in constants.items()},
            metadata,
            read_melt(found["melt"]) if "melt" in found else None,
            run,
        )
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _expression(name: str, value: Any) -> Expression:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"[columns] {name} is {repr(value)[:40]}; write an expression in quotes.")
    one = Expression(str(value))
    if COLUMNS[name].kind == "text" and one.column is None:
        raise UsageError(
            f"[columns] {name} = {one.text!r}: {name} is text; name a column, or write it under [constants]."
        )
    return one


def _constant(name: str, value: Any) -> Any:
    if COLUMNS[name].kind == "text":
        if not isinstance(value, str):
            raise UsageError(f"[constants] {name} is {repr(value)[:40]}; write text in quotes.")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"[constants] {name} is {repr(value)[:40]}; write a number [{COLUMNS[name].unit}].")
    return value
