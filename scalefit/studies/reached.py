"""What the runs of a size came to, as measured: what a page says of a size before any law does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalefit.errors import FitError
from scalefit.studies.ends import end_level, single_runs
from scalefit.table.fit_data import FitData
from scalefit.table.io import RunTable
from scalefit.table.select import select
from scalefit.units import format_quantity, say_amount, say_solved

ARMS = ("reuse", "group_size")
"""Columns by which runs of a size are not reruns of each other."""
AS_FAR = 0.99
"""Share of what the furthest run spent that a run must have come to for its end to be compared."""


@dataclass(frozen=True)
class Reached:
    """Where runs of one size ended.

    Attributes
    ----------
    params : float
        [parameters].
    spent : float
        Of the resource, by the run that went furthest.
    ends : tuple of float
        End levels of the runs that came as far, each the mean over the last fifth of what it spent [loss], ascending.
    runs : int
        Of the size, those that stopped earlier among them.
    """

    series: str
    eval: str
    params: float
    resource: str
    spent: float
    ends: tuple[float, ...]
    runs: int

    @property
    def loss(self) -> float:
        """Mean over runs."""
        return float(np.mean(self.ends))

    @property
    def sentence(self) -> str:
        """What was measured, in loss and in problems solved."""
        runs, many = "", len(self.ends)
        if self.runs > 1:
            which = f"{many} runs" if many == self.runs else f"the {many} of {self.runs} runs that came as far,"
            runs = (
                f", the mean of {which} from {self.ends[0]:.3f} to {self.ends[-1]:.3f}" if many > 1 else f", by {which}"
            )
        return (
            f"{format_quantity(self.params)} {self.series} ended at loss {self.loss:.3f} on {self.eval} after "
            f"{say_amount(self.spent, self.resource)}: {say_solved(self.loss)}{runs}."
        )


def measure_reached(runs: RunTable, data: FitData, params: float) -> Reached:
    """Return where the runs of a size ended.

    Parameters
    ----------
    runs : RunTable
        The table.
    data : FitData
        The series and evaluation meant, and the resource (the first where there are several).
    params : float
        The size [parameters].

    Raises
    ------
    FitError
        If a run has too few evaluations for an end level, or if runs of the size differ by more than their seeds.
    """
    series, evaluation, resource = data.series, str(data.record["eval"]), data.resources[0]
    mine = select(runs, {"series": series, "eval": evaluation, "params": params})
    singles = [one for some in single_runs(mine, resource).values() for one in some]
    if apart := [name for name in ARMS if len({one.about.get(name) for one in singles}) > 1]:
        raise FitError(f"runs of {format_quantity(params)} differ in {', '.join(apart)}, and have no end in common.")
    spent = [float(one.curve[0][-1]) for one in singles]
    as_far = [one for one, until in zip(singles, spent, strict=True) if until >= AS_FAR * max(spent)]
    ends = sorted(end_level(one, float(one.curve[0][-1])).value for one in as_far)
    return Reached(series, evaluation, params, resource, max(spent), tuple(ends), len(singles))
