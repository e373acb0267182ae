"""What the runs of a size came to, as measured: what a page says of a size before any law does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalefit.studies.ends import end_level, single_runs
from scalefit.table.fit_data import FitData
from scalefit.table.io import RunTable
from scalefit.table.select import select
from scalefit.units import format_quantity, say_amount, say_solved


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
        Each run's end level, the mean over the last fifth of what it spent [loss], ascending.
    """

    series: str
    eval: str
    params: float
    resource: str
    spent: float
    ends: tuple[float, ...]

    @property
    def loss(self) -> float:
        """Mean over runs."""
        return float(np.mean(self.ends))

    @property
    def sentence(self) -> str:
        """What was measured, in loss and in problems solved."""
        runs = f", the mean of {len(self.ends)} runs from {self.ends[0]:.3f} to {self.ends[-1]:.3f}"
        return (
            f"{format_quantity(self.params)} {self.series} ended at loss {self.loss:.3f} on {self.eval} after "
            f"{say_amount(self.spent, self.resource)}: {say_solved(self.loss)}{runs if len(self.ends) > 1 else ''}."
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
        If a run has too few evaluations for an end level.
    """
    series, evaluation, resource = data.series, str(data.record["eval"]), data.resources[0]
    mine = select(runs, {"series": series, "eval": evaluation, "params": params})
    singles = [one for some in single_runs(mine, resource).values() for one in some]
    spent = [float(one.curve[0][-1]) for one in singles]
    ends = sorted(end_level(one, until).value for one, until in zip(singles, spent, strict=True))
    return Reached(series, evaluation, params, resource, max(spent), tuple(ends))
