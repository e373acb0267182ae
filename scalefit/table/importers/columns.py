"""Plain CSV and JSONL by a column map in TOML: `loss = "1 - accuracy"`, `samples = "step * 512"`.

An expression is arithmetic on the file's columns; a name that is no Python name stands in backticks.
"""

from __future__ import annotations

import ast
import operator
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scalefit.errors import TableError, UsageError, nearest
from scalefit.table.importers.log import Log, Progress
from scalefit.table.importers.text import json_lines
from scalefit.table.io import RunTable, as_runs
from scalefit.table.schema import COLUMNS, METADATA_KEYS

_CHUNK = 50_000
_OPERATORS: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


class Expression:
    """Arithmetic on columns: `Expression("1 - accuracy")(frame)`."""

    def __init__(self, text: str) -> None:
        self.text, self.quoted = text, {}
        for at, name in enumerate(dict.fromkeys(re.findall(r"`([^`]+)`", text))):
            self.quoted[f"_quoted_{at}"] = name
            text = text.replace(f"`{name}`", f"_quoted_{at}")
        try:
            self.tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError:
            raise UsageError(
                f"{self.text!r} is no expression; write arithmetic on columns, as in 1 - accuracy or `val/acc` / 100."
            ) from None
        self.names = [self._name(node) for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        self._evaluate(self.tree, dict.fromkeys(self.names, np.ones(1)))

    def __call__(self, frame: Mapping[str, Any] | pd.DataFrame) -> Any:
        """Return the value, one a row."""
        return self._evaluate(self.tree, frame)

    def _name(self, node: ast.Name) -> str:
        return self.quoted.get(node.id, node.id)

    def _evaluate(self, node: ast.AST, frame: Mapping[str, Any] | pd.DataFrame) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return node.value
        if isinstance(node, ast.Name):
            return frame[self._name(node)]
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](self._evaluate(node.left, frame), self._evaluate(node.right, frame))
        if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](self._evaluate(node.operand, frame))
        raise UsageError(f"{self.text!r}: {ast.unparse(node)} is not arithmetic on columns (+ - * / ** and numbers).")


def import_columns(path: Path, map_path: Path, progress: Progress) -> tuple[RunTable, list[str]]:
    """Make a runs table of a CSV or JSONL file.

    Parameters
    ----------
    map_path : Path
        TOML with `[columns]` (column of the runs table to expression), `[constants]` (column to value) and
        optionally `[metadata]` (conventions, origin).

    Raises
    ------
    UsageError, TableError
        With every name that is not in the file, or where the map makes no sense.
    """
    expressions, constants, metadata = _read_map(map_path)
    wanted = {name for expression in expressions.values() for name in expression.names}
    log, parts = Log(str(path), path.stem, iter(())), []
    for chunk in _chunks(path, log, wanted, progress):
        absent = sorted(wanted - set(chunk))
        if absent:
            raise TableError(
                f"{path} has no column {', '.join(map(repr, absent))}; {nearest(absent[0], map(str, chunk))}"
            )
        parts.append(
            pd.DataFrame({name: expression(chunk) for name, expression in expressions.items()}, index=chunk.index)
        )
    if not parts:
        raise TableError(f"{path}: no rows in it.")
    frame = pd.concat(parts, ignore_index=True).assign(**{k: v for k, v in constants.items()})
    if "run_id" not in frame:
        frame["run_id"] = path.stem
    whole = frame["loss"].notna() if "loss" in frame else pd.Series(True, index=frame.index)
    if not whole.all():
        log.notes.append(f"{int((~whole).sum())} rows without a loss are left out")
    frame = frame[whole]
    key = [name for name in ("run_id", "eval", "step") if name in frame]
    again = frame.duplicated(key, keep="last")
    if again.any():
        log.notes.append(
            f"{int(again.sum())} rows came again for the same run, evaluation and step; the later ones are kept"
        )
    runs = as_runs(frame[~again].reset_index(drop=True), {"origin": f"columns of {path}", **metadata}, str(path))
    return runs, log.all_notes()


def _read_map(path: Path) -> tuple[dict[str, Expression], dict[str, Any], dict[str, str]]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}.") from None
    for name in found:
        if name not in ("columns", "constants", "metadata"):
            raise UsageError(f"{path}: [{name}]: {nearest(name, ('columns', 'constants', 'metadata'))}")
    columns, constants, metadata = (found.get(name, {}) for name in ("columns", "constants", "metadata"))
    for name in [*columns, *constants]:
        if name not in COLUMNS:
            raise UsageError(f"{path}: no column {name!r} in a runs table; {nearest(name, COLUMNS)}")
    for name in metadata:
        if name not in METADATA_KEYS:
            raise UsageError(f"{path}: [metadata] {name}: {nearest(name, METADATA_KEYS)}")
    return {name: Expression(str(text)) for name, text in columns.items()}, constants, metadata


def _chunks(path: Path, log: Log, wanted: set[str], progress: Progress) -> Iterator[pd.DataFrame]:
    """Yield frames of the wanted columns."""
    if path.suffix == ".csv":
        total, done = path.stat().st_size, 0
        head = pd.read_csv(path, nrows=0)
        use = [name for name in head if name in wanted]
        if len(use) < len(wanted):
            yield head
            return
        with open(path, "rb") as file:
            for part in pd.read_csv(file, chunksize=_CHUNK, usecols=use):
                done = file.tell()
                progress(done, total)
                yield part
        return
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for _, entry in json_lines(path, log, progress):
        seen.update(entry)
        rows.append({name: entry.get(name) for name in wanted})
        if len(rows) == _CHUNK:
            yield _frame(rows, wanted & seen)
            rows = []
    if rows:
        yield _frame(rows, wanted & seen)


def _frame(rows: list[dict[str, Any]], names: set[str]) -> pd.DataFrame:
    return pd.DataFrame(rows)[sorted(names)]
