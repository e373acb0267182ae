"""What the untrained model of every run showed at step 0: its loss, pass@k and its loss on right answers, run by run as a fit sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.numerics.proportions import COLUMN, RATES, pass_at_k
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import select

Array = NDArray[np.float64]
TRIES = (8, 64)
"""The k of pass@k that are made of kept pass rates where the table has no column for them."""
ANSWER = "answer_loss"
"""Column with the loss on right answers [nats]."""
KEYS = "[eval] pass_at = [1, 8, 64] with end_samples = 64"
"""What makes columns of pass@k."""


@dataclass(frozen=True)
class Reading:
    """A quantity of untrained models.

    Attributes
    ----------
    name, formula : str
        As in `pass@64` and `log10(1 - pass@64)`.
    each : ndarray, shape (M,)
        Of every run: the share of problems that it does not solve, or a loss [nats]; nan where it was not evaluated.
    floor : float
        Least share that has a logarithm: half a problem; 0 of what is read as it is.
    """

    name: str
    formula: str
    each: Array
    floor: float

    def of_sizes(self, index: NDArray[np.intp], kept: NDArray[np.bool_] | None = None) -> Array:
        """Return what is read of each size (S,), the mean of its runs kept; `index` (M,) is the size of each run."""
        told = np.isfinite(self.each) & (True if kept is None else kept)
        mean = np.bincount(index[told], self.each[told]) / np.maximum(np.bincount(index[told]), 1)
        return np.log10(np.maximum(mean, self.floor)) if self.floor else mean


@dataclass(frozen=True)
class Untrained:
    """A series' curves and what its untrained models showed.

    Attributes
    ----------
    data : FitData
        Curves of the sizes whose untrained model was evaluated.
    run_ids : tuple of str
        Of the runs, as `data.each` has them.
    readings : tuple of Reading
        The loss, `pass@1`, first.
    answers : ndarray, shape (M,)
        Answers that each run's untrained model gave; nan where the table does not say.
    warnings, unread : list of str
        What is left out, and what could have been read beside the loss.
    """

    data: FitData
    run_ids: tuple[str, ...]
    readings: tuple[Reading, ...]
    answers: Array
    warnings: list[str]
    unread: list[str]

    @property
    def start(self) -> Array:
        """Loss of each run's untrained model (M,)."""
        return self.readings[0].each

    def rows(self) -> list[dict[str, Any]]:
        """Return what was read of each size, with the runs it is the mean of."""
        index, found = self.data.each.size_index, []
        for one in self.readings:
            values = one.of_sizes(index)
            for s, size in enumerate(self.data.sizes.tolist()):
                mine = index == s
                each = {self.run_ids[m]: float(one.each[m]) for m in np.flatnonzero(mine)}
                found.append({"reads": one.name, "params": size, "value": float(values[s]), "runs": each})
        return found


def read_untrained(runs: RunTable, data: FitData) -> Untrained:
    """Read step 0 of the runs of prepared curves.

    Raises
    ------
    FitError
        If no untrained model was evaluated.
    """
    where = {"series": data.series, "eval": str(data.record["eval"])}
    part = select(runs, where)
    frame = part.frame
    zero = frame[frame["step"] == 0].drop_duplicates("run_id").set_index("run_id")
    if zero.empty:
        raise FitError(
            f"{data.name}: no row at step 0, so nothing is known of the untrained models. `scalefit run` evaluates them; of "
            "other trainers, log an evaluation before the first step as step 0 with samples = 0."
        )
    names = _run_order(part, data)
    start = zero["loss"].reindex(names).to_numpy(float)
    each, warnings, unread = data.each, [], []
    known = np.isfinite(start)
    whole = np.isin(data.sizes, each.params[known])
    if not whole.all():
        warnings.append(f"{int((~whole).sum())} sizes have no row at step 0 and are left out")
    some = np.isin(each.params, data.sizes[whole])
    data = data.keep(np.isin(data.params, data.sizes[whole]))
    problems = float(zero["eval_size"].mean()) if "eval_size" in zero else 1e3
    floor = 0.5 / (problems if np.isfinite(problems) else 1e3)
    wrong, left = _wrong_at(zero, names)
    if not wrong:
        unread.append(f"no pass@k at step 0 beside pass@1; {KEYS} makes columns pass_at_8 and pass_at_64")
    shares = {"pass@1": start, **wrong}
    readings = [Reading(name, f"log10(1 - {name})", one[some], floor) for name, one in shares.items()]
    if ANSWER in zero:
        answers = zero[ANSWER].reindex(names).to_numpy(float)
        readings.append(Reading("answer loss", "loss on right answers", answers[some], 0.0))
    index = data.each.size_index
    full = [one for one in readings if len(np.unique(index[np.isfinite(one.each)])) == len(data.sizes)]
    gone = [*left, *(one.name for one in readings if one not in full)]
    if gone:
        unread.append(f"{' and '.join(gone)} not at step 0 of every size, so not read")
    unread += [
        f"{one.name} is as good as all problems at the larger sizes' start, where it tells nothing"
        for one in full
        if one.floor and (np.bincount(index, np.nan_to_num(one.each)) / np.bincount(index) <= one.floor).any()
    ]
    return Untrained(
        data,
        tuple(name for name, kept in zip(names, some, strict=True) if kept),
        tuple(full),
        _answers(zero, names)[some],
        warnings,
        unread,
    )


def _run_order(part: RunTable, data: FitData) -> list[str]:
    """Return the run of each row of `data.each`, by a table that has the run's number for its loss."""
    codes, names = pd.factorize(part.frame["run_id"])
    numbered = replace(part, frame=part.frame.assign(loss=codes.astype(float)))
    (found,) = prepare(numbered, data.resources[0])
    return [str(names[int(code)]) for code in found.each.loss[:, 0]]


def _answers(zero: pd.DataFrame, names: list[str]) -> Array:
    if "eval_size" not in zero:
        return np.full(len(names), np.nan)
    samples = zero["eval_samples"] if "eval_samples" in zero else 1
    return (zero["eval_size"] * samples).reindex(names).to_numpy(float, na_value=np.nan)


def _wrong_at(zero: pd.DataFrame, names: list[str]) -> tuple[dict[str, Array], list[str]]:
    """Return each run's share of problems not solved in k tries, k > 1, and which k no run has."""
    tries = sorted(
        int(name.removeprefix(COLUMN))
        for name in map(str, zero)
        if name.startswith(COLUMN) and name.removeprefix(COLUMN).isdigit()
    )
    shares = {k: 1 - zero[f"{COLUMN}{k}"].reindex(names).to_numpy(float) for k in tries if k > 1}
    if not shares and RATES in zero and "eval_samples" in zero and zero[RATES].notna().all():
        counts = zero["eval_samples"].astype(int)
        for k in (k for k in TRIES if k <= counts.min()):
            each = [pass_at_k(np.asarray(r), int(n), [k]).mean() for r, n in zip(zero[RATES], counts, strict=True)]
            shares[k] = 1 - pd.Series(each, zero.index).reindex(names).to_numpy(float)
    told = {f"pass@{k}": one for k, one in shares.items() if np.isfinite(one).any()}
    return told, [f"pass@{k}" for k, one in shares.items() if not np.isfinite(one).any()]
