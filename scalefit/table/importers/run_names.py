"""Which rows of a plain table are one run: a column of it, several, or every row; and what is asked where a map does not say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from scalefit.errors import UsageError
from scalefit.table.importers.expression import Expression

ROW = "row"
"""What a map writes where every row is a run of its own; a column of that name stands in backticks."""
EACH: tuple[str, ...] = ("",)
"""The names of the columns that tell runs apart, where it is each row."""
_MOST = 12
"""Columns of which pairs are tried."""
_LIKELY = ("run_id", "run_name", "run", "name", "id", "model", "seed")


def read_run(value: Any) -> tuple[str, ...]:
    """Return the columns that a map names under `run_id`, or `EACH`."""
    if value == ROW:
        return EACH
    texts = value if isinstance(value, list) and value else [value]
    names = [Expression(text).column if isinstance(text, str) else None for text in texts]
    if None in names:
        raise UsageError(
            f'[columns] run_id = {str(value)[:40]!r}: name a column, several as in ["model", "seed"], or "{ROW}" for '
            "one run a row; what is the same in every row stands under [constants]."
        )
    return tuple(name for name in names if name is not None)


def written(run: Sequence[str]) -> str:
    """Return the line of a map that names these columns."""
    if tuple(run) == EACH:
        return f'run_id = "{ROW}"'
    names = [f'"{name}"' if name.isidentifier() and name != ROW else f'"`{name}`"' for name in run]
    return f"run_id = {names[0] if len(names) == 1 else '[' + ', '.join(names) + ']'}"


def name_runs(frame: pd.DataFrame, run: Sequence[str], stem: str, rows: np.ndarray) -> pd.Series:
    """Return each row's run: what stands in the columns, or the file's name and the row's number."""
    if tuple(run) == EACH:
        return pd.Series([f"{stem}-{row}" for row in rows.tolist()], frame.index, dtype=object)
    parts = [_words(frame[name]) for name in run if name in frame]
    if len(parts) < len(run):
        return pd.Series(None, frame.index, dtype=object)
    whole = np.logical_and.reduce([part.notna() for part in parts])
    joined = pd.Series(
        ["-".join(words) for words in zip(*(part.astype(str) for part in parts), strict=True)], frame.index
    )
    return joined.where(whole, None)


def _words(column: pd.Series) -> pd.Series:
    def word(value: Any) -> str | None:
        if pd.isna(value):
            return None
        whole = isinstance(value, float) and value == round(value) and abs(value) < 1e15
        return f"{value:.0f}" if whole else str(value)

    return column.astype(object).map(word)


def find_clash(frame: pd.DataFrame) -> str | None:
    """Return why rows cannot all be of one run; None if they can."""
    key = [name for name in ("eval", "step") if name in frame]
    twice = frame.duplicated(key, keep=False)
    if twice.any():
        first = frame[twice].iloc[0]
        same = int(frame[key].eq(first[key]).all(axis=1).sum())
        return f"{int(twice.sum())} rows share a run, evaluation and step ({same} of them step {first['step']:g})"
    for name in ("params", "series"):
        if name in frame and frame[name].nunique() > 1:
            return f"{len(frame)} rows cannot be one run ({name} differs among them)"
    return None


def ask(frame: pd.DataFrame, run: Sequence[str] | None, map_path: object) -> UsageError:
    """Return the error that asks which rows are one run, with what is proposed."""
    ways = f'a column, several as in run_id = ["model", "seed"], or run_id = "{ROW}" for one run a row'
    proposed = "" if run is None else f" Proposed: {written(run)}; --yes takes it."
    return UsageError(
        f"{find_clash(frame)}, for {map_path} does not say which rows are one run. Say so under [columns]: {ways}.{proposed}"
    )


def propose(frame: pd.DataFrame, source: pd.DataFrame, spoken_for: Iterable[str]) -> tuple[str, ...] | None:
    """Return what tells runs apart so that every evaluation is there once; None if nothing does.

    Parameters
    ----------
    frame : DataFrame
        The runs table but for its run_id.
    source : DataFrame
        The file's columns, of the same rows.
    spoken_for : iterable of str
        Columns that are a loss, a step or a resource, which tell no runs apart.
    """
    single = frame["step"].nunique() <= 1
    taken = set(spoken_for)
    names = [str(name) for name in source if name not in taken and 1 < source[name].nunique() < len(source) + single]
    names = [
        name for name in names if source[name].notna().all() and (not single or source[name].dtype.kind not in "f")
    ]
    names.sort(key=lambda name: _LIKELY.index(name.lower()) if name.lower() in _LIKELY else len(_LIKELY))
    tried = [*((name,) for name in names), *(combinations(names[:_MOST], 2) if not single else ())]
    able = [run for run in tried if _works(frame, source, run)]
    if single:
        # Numbers that happen to differ from row to row name no run.
        able = [run for run in able if source[run[0]].dtype.kind not in "iu"]
        return able[0] if able else EACH if _works(frame, source, EACH) else None
    return min(able, key=lambda run: (_runs(source, run).max(), len(run), _numbers(source, run)), default=None)


def _runs(source: pd.DataFrame, run: Sequence[str]) -> np.ndarray:
    if tuple(run) == EACH:
        return np.arange(len(source))
    return source.groupby(list(run), sort=False, observed=True).ngroup().to_numpy()


def _numbers(source: pd.DataFrame, run: Sequence[str]) -> int:
    """Return how many of the columns are numbers, which are names of runs less often than text is."""
    return sum(source[name].dtype.kind in "fiu" for name in run)


def _works(frame: pd.DataFrame, source: pd.DataFrame, run: Sequence[str]) -> bool:
    """Whether every evaluation of a run is there once, of one size and series."""
    named = frame.assign(run_id=_runs(source, run))
    if named.duplicated([name for name in ("run_id", "eval", "step") if name in named]).any():
        return False
    fixed = [name for name in ("params", "series") if name in named]
    return not fixed or bool((named.groupby("run_id", observed=True)[fixed].nunique().max() <= 1).all())
