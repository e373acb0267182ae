"""What is legal in a runs table and looks wrong all the same: warnings, and what values beyond their range may be."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.table.faults import Fault
from scalefit.units import format_quantity

_SMALL = 1000.0
"""Parameters; no language model has fewer."""
_RISE = 0.03
"""Loss from the first third of a run to its last that is a rise, if it is beyond twice its standard error too."""
_NATS = (1.0, 12.0)
"""Where cross-entropies of language models lie: a vocabulary of 160,000 read at random costs 12 nats."""


def explain_range(values: NDArray[np.float64]) -> str:
    """Return what losses of which some lie outside 0 to 1 look like, and the way out."""
    values = values[np.isfinite(values)]
    share = "it must be a share of problems, 0 to 1 [1 - pass@1]"
    if not len(values):
        return share
    turned = 1 - values if values.min() < 0 else values
    if turned.max() <= 2 and turned.min() > -1:
        return share
    middle = np.median(turned)
    if _NATS[0] <= middle <= _NATS[1] and turned.max() <= _NATS[1] + 3:
        return "a cross-entropy in nats? This column holds 1 - pass@1, a share of problems; losses of pre-training do not belong in it"
    if turned.max() <= 100 and turned.min() >= 0:
        return (
            "1 minus a percentage? Divide the accuracy by 100 first, as in 1 - accuracy / 100"
            if values.min() < 0
            else "a percentage? divide by 100"
        )
    return share


def find_doubts(frame: pd.DataFrame, order: NDArray[np.int64]) -> list[Fault]:
    """Return warnings of a table without faults.

    Parameters
    ----------
    order : ndarray, shape (rows,)
        Rows by run, evaluation and step.
    """
    found = []
    params = frame["params"].to_numpy(float)
    if params.max() < _SMALL:
        low, high = (f"{end:g}" for end in (params.min(), params.max()))
        said = low if low == high else f"{low} to {high}"
        fix = f"params are counted one by one: is {low} meant as {low}B, {format_quantity(params.min() * 1e9)} = {params.min() * 1e9:g}?"
        found.append(Fault("params", (), f"holds models of {said} parameters", f"{fix} Multiply by 1e9", True))
    if (rise := _rising(frame, order)) is not None:
        found.append(rise)
    return found


def _rising(frame: pd.DataFrame, order: NDArray[np.int64]) -> Fault | None:
    """Compare the first and the last third of every run and evaluation; None unless most of them rise."""
    run, evaluation = (frame[name].cat.codes.to_numpy()[order] for name in ("run_id", "eval"))
    starts = np.flatnonzero(np.r_[True, (run[1:] != run[:-1]) | (evaluation[1:] != evaluation[:-1])])
    counts = np.diff(np.r_[starts, len(order)])
    long = counts >= 3
    if not long.any():
        return None
    loss = frame["loss"].to_numpy(float)[order]
    third = np.maximum(counts // 3, 1)
    sums, squares = np.r_[0.0, np.cumsum(loss)], np.r_[0.0, np.cumsum(loss**2)]

    def mean_and_variance(begin: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean = (sums[begin + third] - sums[begin]) / third
        return mean, np.maximum((squares[begin + third] - squares[begin]) / third - mean**2, 0) / third

    first, first_variance = mean_and_variance(starts)
    last, last_variance = mean_and_variance(starts + counts - third)
    rises = long & (last - first > np.maximum(_RISE, 2 * np.sqrt(first_variance + last_variance)))
    if rises.sum() * 2 <= long.sum():
        return None
    at = int(np.flatnonzero(rises)[0])
    name = frame["run_id"].iloc[order[starts[at]]]
    return Fault(
        "loss",
        (),
        f"rises in {rises.sum()} of {long.sum()} runs (in {name!r} from {first[at]:.3f} to {last[at]:.3f})",
        "a loss is 1 - pass@1 and falls when training helps: an accuracy? Write 1 - accuracy",
        True,
    )
