"""Early signs that a run is on its way to collapse: what training is paid for goes up, and what is evaluated does not.

Each sign is a column whose mean over the last evaluations has risen, while the evaluation is not at its best, by more than it
did in any healthy run of the tables it was settled on: the reward beside the evaluation above its lowest so far, lengths
above what they were at the run's best level, so that answers which grow with what a run learns are no sign. What the signs
are worth was then measured on other tables and on collapses made on purpose (`experiments/e08_collapse`). Entropy is none of
them: runs that learn lose as much of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.said import Said
from scalefit.studies.ends import Key, Single, name_of, single_runs
from scalefit.table.resources import choose_resource
from scalefit.table.select import Source, Where, select
from scalefit.units import format_amount

Array = NDArray[np.float64]
WINDOW = 3
"""Evaluations of which a level is the mean."""
STALLED = 0.005
"""Loss above its best level from which a run does not improve."""
ERRORS = 3.0
"""Standard errors that a rise has besides, by how the column jumps from one evaluation to the next."""
SHORTEST = 10
"""Evaluations of the shortest run that is asked."""
COLLAPSED, SETTLED = 0.5, 5
"""Share of what a run had gained that it has lost when it has collapsed, and the evaluations of which its levels are means."""


@dataclass(frozen=True)
class Sign:
    """A column that rises where a run collapses: how it is read from the rows, and by how much it rises at least.

    It rises from its level at the run's best evaluation so far.
    """

    name: str
    needs: tuple[str, ...]
    read: Callable[[Mapping[str, Array]], Array]
    least: float
    says: str
    beside_loss: bool = False

    def rise(self, row: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return by how much it has risen at each level, and what noise may make of it; a run at its best has none.

        What is read beside the loss rises from its lowest, and at least half of it has to be the column's own.
        """
        values = self.read(row)
        mean, loss, own = means(values), means(row["loss"]), means(row[self.needs[0]])
        since = _lowest_so_far(mean if self.beside_loss else loss)
        rise = mean - mean[since]
        shown = loss > np.minimum.accumulate(loss) + STALLED
        if self.beside_loss:
            shown &= own - own[since] >= rise / 2
        return np.where(shown, rise, 0.0), noise_of_rise(values)


SIGNS = {
    sign.name: sign
    for sign in (
        Sign(
            "reward",
            ("reward",),
            lambda row: row["reward"] + row["loss"],
            0.12,
            "training is paid for what the evaluation does not count",
            beside_loss=True,
        ),
        Sign(
            "length",
            ("response_length",),
            lambda row: np.log(np.maximum(row["response_length"], 1e-9)),
            0.07,
            "answers grow and are no better for it",
        ),
        Sign("truncated", ("truncated",), lambda row: row["truncated"], 0.02, "more answers are cut at the limit"),
    )
}
"""To add one, settle its least rise on tables of healthy runs and measure it on others."""


@dataclass(frozen=True, repr=False)
class Signs(Answer):
    """The runs of a size and what they show.

    Attributes
    ----------
    runs : list of dict
        run, evaluations, level (mean of the last three) and above_best; of the first sign, if any: sign, step, x, rise and
        least; collapsed says whether the run has lost half of what it had gained.
    """

    series: str
    eval: str
    params: float
    resource: str
    runs: list[dict[str, Any]]
    warnings: list[str]

    ROWS: ClassVar[str] = "runs"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        shown = [row for row in self.runs if row["sign"]]
        about = name_of((self.series, self.eval, self.params))
        if not shown:
            return f"{about}: no sign of collapse in {len(self.runs)} {'run' if len(self.runs) == 1 else 'runs'}"
        first = min(shown, key=lambda row: row["x"])
        return (
            f"{about}: {len(shown)} of {len(self.runs)} runs show signs of collapse, {first['run']} since step {first['step']}: "
            f"{SIGNS[first['sign']].says}"
        )

    def summary(self) -> Said:
        """Return the text that the command prints."""
        rows = [
            ["run", "evaluations", "loss now", "above its best", "sign", "since step", self.resource, "rise", "least"]
        ]
        for row in self.runs:
            known = ["none", "", "", "", ""]
            if row["sign"]:
                at = format_amount(row["x"], self.resource)
                known = [row["sign"], str(row["step"]), at, f"{row['rise']:.3f}", f"{row['least']:.3f}"]
            rows.append(
                [row["run"], str(row["evaluations"]), f"{row['level']:.3f}", f"{row['above_best']:.3f}", *known]
            )
        return Said([self.headline, text_table(rows), *warning_lines(self.warnings)])


def find_signs(runs: Source, *, x: str | None = None, where: Where | None = None) -> Answers[Signs]:
    """Look for signs that runs are on their way to collapse, as far as they have come.

    Parameters
    ----------
    runs : RunTable, path or data frame
        With some of the columns reward, response_length and truncated.
    x : str, optional
        Resource in which the first sign is told besides its step.
    where : mapping, optional
        Column to a value or a list of values.

    Raises
    ------
    FitError
        If the table has none of these columns.
    """
    table = select(runs, where)
    needed = sorted({name for sign in SIGNS.values() for name in sign.needs})
    if not any(name in table.frame and table.frame[name].notna().any() for name in needed):
        raise FitError(f"{table.path}: signs of collapse are seen in {', '.join(needed)}, of which it has no column.")
    resource = choose_resource(table, x)
    return answer_each({name_of(key): partial(_look, key, some) for key, some in single_runs(table, resource).items()})


def _look(key: Key, some: list[Single]) -> Signs:
    rows: list[dict[str, Any]] = []
    again, absent = 0, set[str]()
    for one in some:
        frame = one.table.frame.sort_values("step")
        asked = asked_of(frame)
        again += len(asked) < len(SIGNS)
        absent |= {name for name, sign in asked.items() if _columns(frame, sign) is None}
        found = first_sign(frame)
        level = means(frame["loss"].to_numpy(float))
        best = float(level.min()) if len(level) else float("nan")
        rows.append(
            {
                "run": str(one.about["run_id"]),
                "evaluations": len(frame),
                "level": float(level[-1]) if len(level) else float(frame["loss"].mean()),
                "above_best": float(level[-1]) - best if len(level) else 0.0,
                "sign": found["sign"] if found else None,
                "step": int(frame["step"].iloc[found["at"]]) if found else None,
                "x": float(frame[one.x].iloc[found["at"]]) if found else None,
                "rise": found["rise"] if found else None,
                "least": found["least"] if found else None,
                "collapsed": collapse(frame["loss"].to_numpy(float)) is not None,
            }
        )
    warnings = []
    if absent:
        warnings.append(f"not asked, as some runs have no column of it: {', '.join(sorted(absent))}")
    if again:
        warnings.append(
            f"{again} runs see problems again (reuse > 1): their reward rises by memory, and is no sign there"
        )
    if any(row["evaluations"] < SHORTEST for row in rows):
        warnings.append(f"runs of fewer than {SHORTEST} evaluations are not asked")
    return Signs(*key, some[0].x, rows, warnings)


def means(values: Array, window: int = WINDOW) -> Array:
    """Return the means of so many evaluations, the first that of the first; empty where there are fewer."""
    return np.asarray(np.convolve(values, np.ones(window) / window, "valid") if len(values) >= window else [])


def _lowest_so_far(mean: Array) -> NDArray[np.intp]:
    """Return where each mean's lowest so far is."""
    return np.maximum.accumulate(np.where(mean == np.minimum.accumulate(mean), np.arange(len(mean)), 0))


def noise_of_rise(values: Array) -> Array:
    """Return `ERRORS` standard errors of a difference of two means, by what was seen until each (T - WINDOW + 1,).

    That of white noise, by squared steps between neighbours (von Neumann 1941, Ann. Math. Stat. 12, 367).
    """
    steps = np.cumsum(np.diff(values) ** 2)[WINDOW - 2 :] / (2 * np.arange(WINDOW - 1, len(values)))
    return np.asarray(ERRORS * np.sqrt(2 * steps / WINDOW))


def asked_of(frame: pd.DataFrame) -> dict[str, Sign]:
    """Return the signs that the rows of a run are asked for: reward is none of problems that were seen before."""
    again = "reuse" in frame and bool((frame["reuse"] > 1).any())
    return {name: sign for name, sign in SIGNS.items() if not (again and sign.beside_loss)}


def first_sign(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Return the first sign in the rows of one run, ordered by step: which, at which row, how far; None without any."""
    found: list[dict[str, Any]] = []
    for name, sign in asked_of(frame).items():
        columns = _columns(frame, sign)
        if columns is None:
            continue
        there = np.flatnonzero(np.all([np.isfinite(column) for column in columns.values()], axis=0))
        if len(there) < SHORTEST:
            continue
        known = {column: values[there] for column, values in columns.items()}
        rise, noise = sign.rise(known)
        over = np.flatnonzero(rise >= np.maximum(sign.least, noise))
        if len(over):
            at = int(over[0])
            least = max(sign.least, float(noise[at]))
            found.append({"sign": name, "at": int(there[at + WINDOW - 1]), "rise": float(rise[at]), "least": least})
    return min(found, key=lambda one: int(one["at"]), default=None)


def _columns(frame: pd.DataFrame, sign: Sign) -> dict[str, Array] | None:
    if not all(name in frame and frame[name].notna().any() for name in sign.needs):
        return None
    return {name: frame[name].to_numpy(float) for name in ("loss", *sign.needs)}


def collapse(loss: Array, share: float = COLLAPSED) -> int | None:
    """Return the evaluation from which a run has lost that share of what it had gained, and does not get it back; None if none.

    Its gain is from the mean of its first two evaluations to its best level. What is within noise is no loss.
    """
    level = means(loss, SETTLED)
    if len(loss) < SHORTEST:
        return None
    best = int(np.argmin(level))
    noise = float(np.sqrt(np.mean(np.diff(loss) ** 2) / 2 * (1 / 2 + 1 / SETTLED)))
    lost = max(share * (float(loss[:2].mean()) - level[best]), ERRORS * noise)
    below = np.flatnonzero(level < level[best] + lost)
    return None if below[-1] == len(level) - 1 else int(below[-1]) + SETTLED
