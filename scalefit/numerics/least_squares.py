"""One damped least-squares loop for every fit: Levenberg-Marquardt within bounds, many problems in one vectorised call.

Shapes: B problems, P parameters.
Source: Marquardt 1963, J. SIAM 11, 431; bounds by leaving out parameters that press against theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Normal = Callable[[Array], tuple[Array, Array, Array]]


@dataclass(frozen=True)
class Solution:
    """A batch of fits: `theta` (B, P), `cost` (B,) = half the weighted sum of squares, `normal` (B, P, P)."""

    theta: Array
    cost: Array
    normal: Array
    converged: NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """How steps are damped, and when they end.

    Attributes
    ----------
    iterations : int
        Steps at most.
    tolerance : float
        Gain as a share of the cost below which a minimum is reached.
    patient : bool
        For problems far from quadratic: damping begins large and follows how much of the promised gain a step brings, it
        keeps hold of parameters that lose their effect (Nielsen 1999, IMM-REP-1999-05; More 1978), and no step is taken
        unseen. Otherwise the start is taken for near: damping begins with next to nothing, and the last step, which is
        expected to gain less than the tolerance, is taken without a look.
    """

    iterations: int = 200
    tolerance: float = 1e-9
    patient: bool = False


def minimise(
    normal: Normal,
    start: Array,
    bounds: tuple[Array, Array],
    *,
    held: NDArray[np.bool_] | None = None,
    reach: Array | None = None,
    limits: Limits | None = None,
) -> Solution:
    """Minimise half a sum of squares; deterministic.

    Parameters
    ----------
    normal : callable theta (B, P) -> cost (B,), right side (B, P), matrix (B, P, P)
        The normal equations at a batch of points.
    start : ndarray, shape (B, P)
    bounds : two ndarrays, shape (P,)
    held : ndarray of bool, shape (P,), optional
        Parameters that stay where they are.
    reach : ndarray, shape (P,), optional
        How far a step may move each parameter.
    """
    low, high = bounds
    limits = limits or Limits()
    tolerance = limits.tolerance
    theta = np.array(start, float)
    damping = _Damping(len(theta), limits.patient)
    active = np.ones(len(theta), bool)
    lost = ~active
    cost, g, A = normal(theta)
    for _ in range(limits.iterations):
        stuck = ((theta <= low) & (g < 0)) | ((theta >= high) & (g > 0))
        if held is not None:
            stuck |= held
        extra = damping.of(A)
        step, gm, gain, promised = _propose(A, g, stuck, extra, (low - theta, high - theta) if limits.patient else None)
        # What the step is expected to gain says that a minimum is reached.
        done = active & (damping.size <= 1e-2) & (gain <= tolerance * cost)
        if done.any():
            if not limits.patient:
                theta = np.where(done[:, None], np.minimum(np.maximum(theta + step, low), high), theta)
            active &= ~done
            if not active.any():
                break
        if reach is not None:
            step = np.clip(step, -reach, reach)
        trial = np.minimum(np.maximum(theta + step * active[:, None], low), high)
        new_cost, new_g, new_A = normal(trial)
        better = new_cost <= cost * (1 + 1e-15)
        # A small gain under heavy damping is a short step, not a minimum; to the patient it may be a bend of a valley.
        settled = better & (cost - new_cost <= tolerance * cost) & (damping.size <= 1e-2) & (not limits.patient)
        damping.adapt(better, cost - new_cost, promised)
        theta, cost, g, A = _take(better & active, (trial, new_cost, new_g, new_A), (theta, cost, g, A))
        given_up = active & (damping.size > 1e12)
        if limits.patient:
            lost |= given_up & _steep(A, gm, cost)
        active &= ~(settled | given_up)
        if not active.any():
            break
    return Solution(theta, cost, A, ~(active | lost))


def _propose(
    A: Array, g: Array, stuck: NDArray[np.bool_], extra: Array, room: tuple[Array, Array] | None
) -> tuple[Array, Array, Array, Array]:
    """Return a step, the right side without what is stuck, and what a whole and this step are expected to gain."""
    step, right = _step(A, g, stuck, extra)
    if room is None:
        gain = (step * right).sum(1)
        return step, right, gain, gain
    step, cut = _inside(A, g, stuck, extra, step, room)
    promised = (step * right).sum(1) - 0.5 * np.einsum("bp,bpq,bq->b", step, A, step)
    # A step that was cut at a bound may promise nothing where a shorter one would.
    return step, right, np.where(cut, np.inf, 2 * promised), promised


def _take(take: NDArray[np.bool_], new: tuple[Array, ...], old: tuple[Array, ...]) -> tuple[Array, ...]:
    if take.all():
        return new
    return tuple(np.where(take.reshape(-1, *(1,) * (a.ndim - 1)), a, b) for a, b in zip(new, old, strict=True))


def _steep(A: Array, right: Array, cost: Array) -> NDArray[np.bool_]:
    """Return which problems, where no step helps, are at no minimum as far as rounding lets one see."""
    steep = np.abs(right) > 1e-5 * np.sqrt(2 * cost[:, None] * A.diagonal(axis1=1, axis2=2)) + 1e-300
    return np.asarray(steep.any(1))


class _Damping:
    """What is added to the normal matrix's diagonal, by problem; see `Limits`."""

    def __init__(self, count: int, patient: bool) -> None:
        self.patient = patient
        self.size = np.full(count, 1e-2 if patient else 1e-8)
        self.growth = np.full(count, 2.0)
        self.scale: Array | float = 0.0

    def of(self, A: Array) -> Array:
        """Return the addition (B, P)."""
        main = A.diagonal(axis1=1, axis2=2)
        if self.patient:
            main = np.maximum(main, 1e-12 * main.max(1, keepdims=True))
            self.scale = main = np.maximum(self.scale, main)
        return self.size[:, None] * main

    def adapt(self, better: NDArray[np.bool_], gained: Array, promised: Array) -> None:
        """Ease or tighten after a step."""
        if not self.patient:
            self.size = np.where(better, np.maximum(self.size * 0.1, 1e-12), np.maximum(self.size * 30, 1e-6))
            return
        share = np.clip(gained / (promised + 1e-300), 0, 1)
        eased = self.size * np.maximum(1 / 10, 1 - (2 * share - 1) ** 3)
        self.size = np.where(better, np.maximum(eased, 1e-12), np.maximum(self.size * self.growth, 1e-6))
        self.growth = np.where(better, 2.0, 2 * self.growth)


def _step(
    A: Array, g: Array, fixed: NDArray[np.bool_], extra: Array, given: Array | None = None
) -> tuple[Array, Array]:
    """Return the damped step, in which fixed parameters move by what is given or not at all, and the right side without them."""
    M = A.copy()
    right = g if given is None else g - (A @ given[..., None])[..., 0]
    held = bool(fixed.any())
    if held:
        right = np.where(fixed, 0.0, right)
        M[fixed[:, :, None] | fixed[:, None, :]] = 0.0
    # A view of the diagonal, which costs less than its indices.
    main = M.reshape(len(M), -1)[:, :: g.shape[1] + 1]
    main += extra + 1e-300
    if held:
        main[fixed] = 1.0
    try:
        step = np.asarray(np.linalg.solve(M, right[..., None])[..., 0], float)
    except np.linalg.LinAlgError:
        step = np.stack([np.linalg.lstsq(m, v, rcond=None)[0] for m, v in zip(M, right, strict=True)])
    if not np.isfinite(step).all():
        step[~np.isfinite(step)] = 0.0
    return step if given is None else np.where(fixed, given, step), right


def _inside(
    A: Array, g: Array, stuck: NDArray[np.bool_], extra: Array, step: Array, room: tuple[Array, Array]
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the step in which parameters that would leave their bounds go to them and the others know of it, and whether."""
    fixed, given = stuck.copy(), np.zeros_like(step)
    for _ in range(step.shape[1]):
        out = ~fixed & ((step < room[0]) | (step > room[1]))
        if not out.any():
            break
        given = np.where(out, np.clip(step, *room), given)
        fixed |= out
        step, _ = _step(A, g, fixed, extra, given)
    return step, (given != 0).any(1)
