"""A table's rows by series, evaluation, run and step, and which runs are seeds of one curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]
CLOSE = 1e-9
"""Relative difference of numbers that are one: what printing a float may lose."""


@dataclass(frozen=True)
class Part:
    """The runs of one series and evaluation.

    Attributes
    ----------
    starts : ndarray, shape (M,)
        First row of each run among the part's.
    lengths : ndarray, shape (M,)
        Evaluations of each run.
    """

    table: Ordered
    begin: int
    series: str
    evaluation: str
    starts: Index
    lengths: Index

    @cached_property
    def places(self) -> tuple[Index, Index]:
        """Run and evaluation of each row, both (rows,)."""
        run = np.repeat(np.arange(len(self.starts)), self.lengths)
        return run, np.arange(len(run)) - self.starts[run]

    def __contains__(self, name: str) -> bool:
        """Whether the table has a column."""
        return name in self.table.frame

    def __getitem__(self, name: str) -> Array:
        """Return a column's rows of these runs, in order."""
        return self.table.rows_of(name, slice(self.begin, self.begin + int(self.lengths.sum())))

    def matrix(self, name: str, fill: float) -> Array:
        """Return a column as one row a run, (M, T), filled up where a run has ended; to be read only."""
        shape, values = (len(self.starts), int(self.lengths.max())), self[name]
        if len(values) == shape[0] * shape[1]:
            return values.reshape(shape)
        out = np.full(shape, fill)
        out[self.places] = values
        return out


@dataclass(frozen=True)
class Seeds:
    """Which runs make up each curve.

    Attributes
    ----------
    heads : ndarray, shape (R,)
        The first run of each curve, by set-up.
    order : ndarray, shape (M,)
        The runs by curve.
    curve : ndarray, shape (M,)
        The curve of each run in that order.
    """

    heads: Index
    order: Index
    curve: Index

    @property
    def merged(self) -> bool:
        """Whether a curve has several runs."""
        return len(self.heads) < len(self.order)

    @cached_property
    def counts(self) -> Index:
        """Runs of each curve, shape (R,)."""
        return np.bincount(self.curve)

    def mean(self, values: Array) -> Array:
        """Return the mean over each curve's runs of what these have, in `order`, (M, ...) -> (R, ...)."""
        if not self.merged:
            return values
        total: Array = np.add.reduceat(values, np.cumsum(self.counts) - self.counts, axis=0)
        total /= self.counts.reshape(-1, *[1] * (total.ndim - 1))
        return total


class Ordered:
    """Rows of a frame by series, evaluation, run and step; nothing is copied until a column is asked for."""

    def __init__(self, frame: pd.DataFrame, kept: NDArray[np.bool_]) -> None:
        self.frame = frame
        names = [frame[name].astype("category").cat for name in ("series", "eval", "run_id")]
        keys = [*(name.codes.to_numpy() for name in names), frame["step"].to_numpy()]
        rows = None
        if not kept.all():
            rows = np.flatnonzero(kept)
            keys = [key[rows] for key in keys]
        if not _ascend(keys):
            order = np.lexsort(keys[::-1])
            rows = order if rows is None else rows[order]
            keys = [key[order] for key in keys]
        self.rows = rows
        *self._keys, _ = keys
        self._series, self._evaluations, self._runs = (name.categories for name in names)

    def __getitem__(self, name: str) -> Array:
        """Return a column as floats, in order."""
        return self.rows_of(name, slice(None))

    def rows_of(self, name: str, some: slice) -> Array:
        """Return some rows of a column as floats, in order."""
        column = self.frame[name]
        if self.rows is not None:
            return (
                column.to_numpy()[self.rows[some]].astype(float) if _plain(column) else _floats(column)[self.rows[some]]
            )
        return column.to_numpy()[some].astype(float, copy=False) if _plain(column) else _floats(column)[some]

    @cached_property
    def continues(self) -> NDArray[np.bool_]:
        """Whether the next row is of the same run and evaluation, shape (rows - 1,)."""
        return ~np.logical_or.reduce([_changes(key) for key in self._keys])

    def run_at(self, row: int) -> str:
        """Return the run of a row."""
        return str(self._runs[self._keys[2][row]])

    def parts(self) -> Iterator[Part]:
        """Yield every series and evaluation."""
        series, evaluation, run = self._keys
        starts = np.r_[0, np.flatnonzero(~self.continues) + 1]
        lengths = np.diff(np.r_[starts, len(run)])
        series, evaluation = series[starts], evaluation[starts]
        begins = np.flatnonzero(_changes(series) | _changes(evaluation)) + 1
        for begin, end in zip([0, *begins.tolist()], [*begins.tolist(), len(starts)], strict=True):
            names = str(self._series[series[begin]]), str(self._evaluations[evaluation[begin]])
            yield Part(self, int(starts[begin]), *names, starts[begin:end] - starts[begin], lengths[begin:end])


def _plain(column: pd.Series) -> bool:
    return isinstance(column.dtype, np.dtype)


def _floats(column: pd.Series) -> Array:
    return np.asarray(column.to_numpy(float, na_value=np.nan))


def _changes(key: NDArray[np.generic]) -> NDArray[np.bool_]:
    return np.asarray(key[1:] != key[:-1])


def _ascend(keys: Sequence[NDArray[np.generic]]) -> bool:
    """Whether rows are in the order of their keys, the first of which counts most."""
    same = np.ones(max(len(keys[0]) - 1, 0), bool)
    for key in keys:
        if (same & np.less(key[1:], key[:-1])).any():
            return False
        same &= key[1:] == key[:-1]
    return True


def find_lost(
    frame: pd.DataFrame, kept: NDArray[np.bool_], left: NDArray[np.bool_]
) -> dict[tuple[str, str], list[str]]:
    """Return the runs that have rows among those kept and none among those left, by series and evaluation."""
    if (kept == left).all():
        return {}
    names = [frame[name].astype("category").cat for name in ("series", "eval", "run_id")]
    code = np.zeros(len(frame), np.int64)
    for name in names:
        code = code * len(name.categories) + name.codes.to_numpy()
    lost: dict[tuple[str, str], list[str]] = {}
    for one in np.setdiff1d(pd.unique(code[kept]), pd.unique(code[left])).tolist():
        rest, run = divmod(one, len(names[2].categories))
        series, evaluation = divmod(rest, len(names[1].categories))
        key = str(names[0].categories[series]), str(names[1].categories[evaluation])
        lost.setdefault(key, []).append(str(names[2].categories[run]))
    return lost


def one_run_a_curve(setup: Sequence[Array]) -> Seeds:
    """Return every run as a curve of its own, by set-up, what is named first before what is named later."""
    order = np.lexsort(setup[::-1])
    return Seeds(order, order, np.arange(len(order)))


def find_seeds(setup: Sequence[Array], grids: Sequence[Array], lengths: Index) -> Seeds:
    """Put runs together that are of one set-up and agree in their whole grid.

    Parameters
    ----------
    setup : sequence of ndarray, shape (M,)
        What has to be equal.
    grids : sequence of ndarray, shape (M, T)
        What has to agree at every evaluation but for what printing a float may lose.
    lengths : ndarray, shape (M,)
        Evaluations of each run.
    """
    first = _first_alike(setup, grids, lengths)
    heads = np.flatnonzero(first == np.arange(len(first)))
    heads = heads[np.lexsort([values[heads] for values in setup[::-1]])]
    rank = np.empty(len(first), np.intp)
    rank[heads] = np.arange(len(heads))
    order = np.argsort(rank[first], kind="stable")
    return Seeds(heads, order, rank[first][order])


def _first_alike(setup: Sequence[Array], grids: Sequence[Array], lengths: Index) -> Index:
    """Return for each run the first one that it is put together with, shape (M,)."""
    first = np.arange(len(lengths))
    ends = [grid[first, lengths - 1] for grid in grids]
    order = np.lexsort((*ends, lengths, *setup))
    new = np.ones(len(order), bool)
    new[1:] = np.logical_or.reduce([_changes(key[order]) for key in (lengths, *setup)])
    # Only what ends alike is compared, so that runs of one evaluation each cost no more than a sort.
    last = ends[-1][order]
    new[1:] |= np.diff(last) > CLOSE * np.abs(last[1:])
    begins = np.flatnonzero(new)
    counts = np.diff(np.r_[begins, len(order)])
    for begin, count in zip(begins[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        left = np.sort(order[begin : begin + count])
        while len(left) > 1:
            head, same = left[0], np.ones(len(left), bool)
            for grid in grids:
                same &= (np.abs(grid[left] - grid[head]) <= CLOSE * np.abs(grid[head])).all(1)
            first[left[same]] = head
            left = left[~same]
    return first
