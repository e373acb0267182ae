"""What a fit is worth: covariance, status and notes; and what is refused before it is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.binding import BoundLaw
from scalefit.laws.law import Law
from scalefit.numerics.least_squares import Solution
from scalefit.numerics.linear import NOTHING
from scalefit.table.fit_data import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
ENDLESS = 300.0
"""Standard error of a logarithm from which its interval has no ends."""
CHINCHILLA = 5
"""Parameters of `chinchilla`."""
APART = 0.05
"""Spread of C about a line in D that tells their effects apart [decades]."""


STOPPED = "the solver stopped before it converged"
"""The note of a fit that is `stopped`."""


@dataclass(frozen=True)
class Judgement:
    """Covariance (P, P), infinite on the diagonal where the data determine nothing; status; and why it is that."""

    covariance: Array
    status: str
    notes: tuple[str, ...]


def refuse_hopeless(bound: BoundLaw, data: FitData) -> None:
    """Raise FitError for data that cannot determine a law, whatever they say."""
    law = bound.law
    sizes = ", ".join(format_quantity(size) for size in data.sizes)
    if law.resources != len(data.resources):
        raise FitError(
            f"law {law.name!r} needs {law.resources} resource(s), the data were prepared with {', '.join(data.resources)}."
        )
    if data.points <= len(bound.names):
        raise FitError(
            f"series {data.series!r}: {data.points} points for the {len(bound.names)} parameters of {law.name!r}. Give more "
            f"evaluations or a smaller law{_smaller(law, data)}."
        )
    shared = [p.name for p in law.params if not p.per_size and p.name != "X_bend"]
    if shared and len(data.sizes) < 2:
        raise FitError(
            f"series {data.series!r} holds a single model size ({sizes}); {law.name!r} describes how curves depend on size. "
            "Fit a law per size ('power', 'sigmoid', ...), or add runs of other sizes."
        )
    loss = data.loss[data.present]
    if np.ptp(loss) == 0:
        raise FitError(
            f"series {data.series!r}: the loss is {loss[0]:g} everywhere; nothing can be learnt from a constant curve. Check the 'loss' column."
        )


def _smaller(law: Law, data: FitData) -> str:
    """Name a law that shares all of its parameters between sizes, where one has parameters of each of many sizes."""
    fits = law.per_size and law.resources == 1 and min(data.points, len(data.sizes)) > CHINCHILLA
    return ": 'chinchilla', in size and resource, has five for all sizes" if fits else ""


def judge(
    bound: BoundLaw, index: NDArray[np.intp], solution: Solution, bounds: tuple[Array, Array], scale: float = 1.0
) -> Judgement:
    """Judge a solution in some parameters, of which `scale` is the variance of a residual: bounds and singular directions.

    Parameters
    ----------
    index : ndarray of int, shape (Q,)
        Which of the law's parameters were solved for.
    bounds : two ndarrays, shape (Q,)
    """
    theta, normal = solution.theta[0], solution.normal[0]
    names, log_scaled = np.array(bound.names)[index], bound.log_scaled[index]
    converged = bool(solution.converged[0])
    notes: list[str] = []
    low, high = bounds
    # Wide bounds say nothing of how near is near.
    width = np.where(np.isfinite(high - low), np.minimum(high - low, 10.0), 1.0)
    at = (theta - low < 1e-6 * width) | (high - theta < 1e-6 * width)
    size = np.sqrt(np.maximum(np.diag(normal), 0.0))
    dead = (size <= NOTHING * max(size.max(), 1e-300)) & ~at
    covariance = np.zeros(normal.shape)
    use = ~at & ~dead
    lost = dead.copy()
    if use.any():
        scaled = normal[np.ix_(use, use)] / np.outer(size[use], size[use])
        values, vectors = np.linalg.eigh(scaled)
        weak = values < 1e-11
        known = (vectors[:, ~weak] / values[~weak]) @ vectors[:, ~weak].T
        covariance[np.ix_(use, use)] = scale * known / np.outer(size[use], size[use])
        if weak.any():
            lost[np.flatnonzero(use)[(np.abs(vectors[:, weak]) > 0.1).any(1)]] = True
        # A logarithm with such an error has no end on either side.
        lost |= log_scaled & (np.diag(covariance) > ENDLESS**2)
    if lost.any():
        notes.append("the data do not determine " + ", ".join(names[lost]) + " (a direction of no effect)")
    covariance[np.diag_indices_from(covariance)] = np.where(at | lost, np.inf, np.diag(covariance))
    if at.any():
        notes.append("at a bound: " + ", ".join(names[at]))
    status = "stopped" if not converged else "unidentified" if lost.any() else "at-bound" if at.any() else "converged"
    if not converged:
        notes.append(STOPPED)
    return Judgement(covariance, status, tuple(notes))


_OPEN = {(True, True): "no bound on either side", (True, False): "no lower bound", (False, True): "no upper bound"}


def settle(status: str, notes: tuple[str, ...], sides: Mapping[str, tuple[bool, bool]]) -> tuple[str, tuple[str, ...]]:
    """Return status and notes with what the data leave open below and above: a fit of which an interval has no end has not converged."""
    words = [f"{name} has {_OPEN[ends]}" for name, ends in sides.items() if any(ends)]
    if status != "converged" or not words:
        return status, notes
    return "unidentified", (*notes, f"in these data {' and '.join(words)}")


def judge_split(found: Judgement, data: FitData) -> Judgement:
    """Return the judgement of a law of C and D, which is that of no parameter where both move together."""
    split = _together(data)
    if split is None:
        return found
    covariance = found.covariance.copy()
    # The offsets take up whatever the split does, so no parameter can be printed.
    covariance[np.diag_indices_from(covariance)] = np.inf
    status = found.status if found.status == "stopped" else "unidentified"
    return Judgement(covariance, status, (split, *(note for note in found.notes if "no effect" not in note)))


def away_from_line(log_C: Array, log_D: Array) -> tuple[Array, float]:
    """Return the line of log C in log D (slope, level), and the squares of what C strays from it."""
    line = np.polyfit(log_D, log_C, 1)
    return line, float(np.sum((log_C - np.polyval(line, log_D)) ** 2))


def _lines_of_resources(data: FitData) -> tuple[float, Array]:
    """Return how far log C strays from a line in log D within a size [decades], and each size's line, (S, 2)."""
    C, D = np.log10(data.resource)
    lines, squares = np.zeros((len(data.sizes), 2)), 0.0
    for s in range(len(data.sizes)):
        mine = data.present & (data.size_index == s)[:, None]
        if mine.sum() > 2:
            lines[s], own = away_from_line(C[mine], D[mine])
            squares += own
    return float(np.sqrt(squares / max(data.points, 1))), lines


def _together(data: FitData) -> str | None:
    """Say so when log C and log D move together within every size."""
    away, _ = _lines_of_resources(data)
    if away >= APART:
        return None
    return (
        f"C and D move together (log10 C strays {away:.3f} decades from a line in log10 D within a size): "
        "the split between k_C and k_D is unidentified; add runs with another group_size, length or reuse"
    )


def rests_on_split(data: FitData, size: float, resource: Array) -> NDArray[np.bool_]:
    """Return at which points (2, n) of a size C and D stand to one another as in no run, where they moved together."""
    away, lines = _lines_of_resources(data)
    C, D = np.log10(resource)
    line = lines[int(np.argmin(np.abs(data.sizes - size)))]
    return np.asarray((away < APART) & (np.abs(C - np.polyval(line, D)) > APART))
