"""What a fit is worth: covariance, status and notes; and what is refused before it is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.problem import Problem
from scalefit.numerics.ar1 import Noise, covariance
from scalefit.numerics.least_squares import Solution
from scalefit.table.prepare import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
DRIFT = 0.97
"""Noise correlation above which residuals are told as misfit rather than noise."""
_DRIFT_WORDS = (
    "the law misses the shape of the curves, which is no noise; its lines are the least-squares ones, its intervals "
    "allow for the drift. Try `scalefit compare`"
)


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
    if data.points < len(bound.names):
        raise FitError(
            f"series {data.series!r}: {data.points} points for the {len(bound.names)} parameters of {law.name!r}. Give more evaluations or a smaller law."
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


def judge(problem: Problem, solution: Solution, scale: float) -> Judgement:
    """Judge a fit, of which `scale` is the variance of a residual: bounds, singular directions and the joint law's split."""
    bound, theta, normal = problem.bound, solution.theta[0], solution.normal[0]
    converged = bool(solution.converged[0])
    notes: list[str] = []
    low, high = bound.bounds
    width = np.where(np.isfinite(high - low), high - low, 1.0)
    at = (theta - low < 1e-6 * width) | (high - theta < 1e-6 * width)
    size = np.sqrt(np.maximum(np.diag(normal), 0.0))
    dead = (size <= 1e-12 * max(size.max(), 1e-300)) & ~at
    covariance = np.full(normal.shape, 0.0)
    use = ~at & ~dead
    lost = dead.copy()
    if use.any():
        scaled = normal[np.ix_(use, use)] / np.outer(size[use], size[use])
        values, vectors = np.linalg.eigh(scaled)
        weak = values < 1e-11
        inverse = (vectors[:, ~weak] / values[~weak]) @ vectors[:, ~weak].T
        covariance[np.ix_(use, use)] = scale * inverse / np.outer(size[use], size[use])
        if weak.any():
            lost[np.flatnonzero(use)[(np.abs(vectors[:, weak]) > 0.1).any(1)]] = True
    if bound.law.resources == 2 and (split := _together(problem.data)) is not None:
        # The offsets take up whatever the split does, so no parameter can be printed.
        lost[:] = True
        notes.append(split)
    elif lost.any():
        notes.append(
            "the data do not determine " + ", ".join(np.array(bound.names)[lost]) + " (a direction of no effect)"
        )
    covariance[np.diag_indices_from(covariance)] = np.where(at | lost, np.inf, np.diag(covariance))
    if at.any():
        notes.append("at a bound: " + ", ".join(np.array(bound.names)[at]))
    status = "stopped" if not converged else "unidentified" if lost.any() else "at-bound" if at.any() else "converged"
    if not converged:
        notes.append("the solver stopped before it converged")
    return Judgement(covariance, status, tuple(notes))


def _together(data: FitData) -> str | None:
    """Say so when log C and log D move together within every size; threshold .05 decades of spread."""
    log = np.log10(data.resource)
    spread, n = 0.0, 0
    for s in range(len(data.sizes)):
        mine = data.present & (data.size_index == s)[:, None]
        C, D = log[0][mine], log[1][mine]
        if len(C) > 2:
            spread += float(np.sum((C - np.polyval(np.polyfit(D, C, 1), D)) ** 2))
            n += len(C)
    away = np.sqrt(spread / max(n, 1))
    if away >= 0.05:
        return None
    return (
        f"C and D move together (log10 C strays {away:.3f} decades from a line in log10 D within a size): "
        "the split between k_C and k_D is unidentified; add runs with another group_size, length or reuse"
    )


def allow_for_drift(found: Judgement, problem: Problem, theta: Array, noise: Noise) -> Judgement:
    """Return the covariance of a least-squares estimate under AR(1) noise, V J' W S W J V, from V, the inverse of J' W J.

    Source: Liang and Zeger 1986, Biometrika 73, with the noise's own covariance S in place of the residuals' products.
    """
    data, jacobian, bread = problem.data, problem.jacobian(theta), found.covariance
    known = np.isfinite(np.diag(bread))
    meat = np.zeros(bread.shape)
    for row, present in enumerate(data.present):
        J = data.weight[row, present] * jacobian[row][:, present]
        meat += J @ covariance(noise, J.shape[1], row) @ J.T
    wide = bread.copy()
    inner = np.ix_(known, known)
    wide[inner] = bread[inner] @ meat[inner] @ bread[inner]
    told = f"residuals drift (correlation {noise.rho:.2f}): {_DRIFT_WORDS}"
    return Judgement(wide, found.status, (*found.notes, told))
