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
STILL = 8
"""Steps in a row without a gain after which none is waited for."""
FREE = 1e-10
"""Damping of a step that is asked only what could still be gained."""
ROUNDING = 1e-13
"""What rounding does to a sum of squares, as a share: a gain below it says nothing for or against a step."""
Normal = Callable[[Array], tuple[Array, Array, Array]]


def normal_of(residual: Callable[[Array], tuple[Array, Array]]) -> Normal:
    """Return what `minimise` asks of one problem, from its residual (n,) and the law's derivatives (n, P) at parameters (P,)."""

    def normal(theta: Array) -> tuple[Array, Array, Array]:
        told = [residual(one) for one in theta]
        return (
            np.array([0.5 * r @ r for r, _ in told]),
            np.stack([J.T @ r for r, J in told]),
            np.stack([J.T @ J for _, J in told]),
        )

    return normal


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
    ground: Array | float = 0.0,
    own: NDArray[np.intp] | None = None,
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
    ground : ndarray, shape (B,), optional
        A gain below it is rounding, for data without noise, of which next to no cost is left.
    own : ndarray of int, shape (S, k), optional
        Parameters that couple with those of their row and with those of no row only: time is linear in rows.
    """
    (low, high), limits = bounds, limits or Limits()
    theta = np.array(start, float)
    damping = _Damping(len(theta), limits.patient)
    active, lost = np.ones(len(theta), bool), np.zeros(len(theta), bool)
    cost, g, A = normal(theta)
    for _ in range(limits.iterations):
        stuck = ((theta <= low) & (g < 0)) | ((theta >= high) & (g > 0))
        stuck |= False if held is None else held
        extra, least = damping.of(A), limits.tolerance * cost + ground
        room = (low - theta, high - theta) if limits.patient else None
        equations = _Equations(A, g, own)
        step, gm, gain, promised = _propose(equations, stuck, extra, room)
        if room is not None:
            gain = _still_to_gain(equations, stuck, damping, room, (promised <= 1e3 * least) | damping.stands)
        done = active & (gain <= least) & (limits.patient | (damping.size <= 1e-2))
        if not limits.patient and done.any():
            theta = np.where(done[:, None], np.minimum(np.maximum(theta + step, low), high), theta)
        if not (active := active & ~done).any():
            break
        step = step if reach is None else np.clip(step, -reach, reach)
        trial = np.minimum(np.maximum(theta + step * active[:, None], low), high)
        new_cost, new_g, new_A = normal(trial)
        better = new_cost <= cost * (1 + damping.unseen)
        settled = damping.settles(cost, new_cost, gain, limits.tolerance)
        damping.adapt(better, cost, new_cost, promised)
        theta, cost, g, A = _take(better & active, (trial, new_cost, new_g, new_A), (theta, cost, g, A))
        given_up = active & (damping.size > 1e12)
        if limits.patient and given_up.any():
            lost |= given_up & _steep(A, gm, cost)
        if not (active := active & ~(settled | given_up)).any():
            break
    return Solution(theta, cost, A, ~(active | lost))


def minimise_between(normal: Normal, start: Array, ends: tuple[Array, Array], limits: Limits) -> Solution:
    """Minimise in one parameter between two ends (B, 1) each, of which neither is below the start.

    Steps of Newton where they stay between the nearest points on either side that lead down to one another, else halves:
    kinks of the curvature, where a coefficient comes to its bound, do not stop it.
    """
    low, high = ends
    theta = start
    for _ in range(limits.iterations):
        cost, g, A = normal(theta)
        low, high = np.where(g > 0, theta, low), np.where(g < 0, theta, high)
        step = g / np.maximum(A[:, 0], 1e-300)
        done = (step * g)[:, 0] <= limits.tolerance * cost
        there = np.clip(theta + step, low, high)
        theta = np.where(done[:, None] | ((there > low) & (there < high)), there, 0.5 * (low + high))
        if done.all():
            break
    cost, g, A = normal(theta)
    return Solution(theta, cost, A, done)


def _propose(
    equations: _Equations, stuck: NDArray[np.bool_], extra: Array, room: tuple[Array, Array] | None
) -> tuple[Array, Array, Array, Array]:
    """Return a step, the right side without what is stuck, and what a whole and this step are expected to gain."""
    step, right = equations.step(stuck, extra)
    if room is None:
        gain = (step * right).sum(1)
        return step, right, gain, gain
    step, cut = _inside(equations, stuck, extra, step, room)
    promised = (step * right).sum(1) - 0.5 * (step * (equations.A @ step[..., None])[..., 0]).sum(1)
    # A step that was cut at a bound may promise nothing where a shorter one would.
    return step, right, np.where(cut & (promised < 0), np.inf, 2 * promised), promised


def _still_to_gain(
    equations: _Equations,
    stuck: NDArray[np.bool_],
    damping: _Damping,
    room: tuple[Array, Array],
    ask: NDArray[np.bool_],
) -> Array:
    """Return what a step without damping is expected to gain, where asked: under heavy damping every step is short."""
    if not ask.any():
        return np.full(len(ask), np.inf)
    return np.where(ask, _propose(equations, stuck, FREE * damping.main(equations.A), room)[2], np.inf)


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
        self.still = np.zeros(count, int)
        self.unseen = ROUNDING if patient else 1e-15

    def of(self, A: Array) -> Array:
        """Return the addition (B, P)."""
        return self.size[:, None] * self.main(A)

    def main(self, A: Array) -> Array:
        """Return what the size is a share of (B, P)."""
        main = A.diagonal(axis1=1, axis2=2)
        if self.patient:
            main = np.maximum(main, 1e-12 * main.max(1, keepdims=True))
            self.scale = main = np.maximum(self.scale, main)
        return main

    @property
    def stands(self) -> NDArray[np.bool_]:
        """Which problems have not moved for many steps."""
        return self.still >= STILL - 1

    def settles(self, cost: Array, new_cost: Array, gain: Array, tolerance: float) -> NDArray[np.bool_]:
        """Return where a step that changed so little, of so much that could be gained, says that none is needed."""
        if not self.patient:
            better = new_cost <= cost * (1 + self.unseen)
            return np.asarray(better & (cost - new_cost <= tolerance * cost) & (self.size <= 1e-2))
        # A small gain may be a bend of a valley; where many steps in a row change nothing, rounding is all that is left.
        self.still = np.where(cost - new_cost <= self.unseen * cost, self.still + 1, 0)
        return np.asarray((self.still >= STILL) & (gain <= 1e-9 * cost))

    def adapt(self, better: NDArray[np.bool_], cost: Array, new_cost: Array, promised: Array) -> None:
        """Ease or tighten after a step."""
        if not self.patient:
            self.size = np.where(better, np.maximum(self.size * 0.1, 1e-12), np.maximum(self.size * 30, 1e-6))
            return
        unseen = self.unseen * cost
        share = np.clip((cost - new_cost + unseen) / (promised + unseen + 1e-300), 0, 1)
        eased = self.size * np.maximum(1 / 10, 1 - (2 * share - 1) ** 3)
        self.size = np.where(better, np.maximum(eased, 1e-12), np.maximum(self.size * self.growth, 1e-6))
        self.growth = np.where(better, 2.0, 2 * self.growth)


@dataclass(frozen=True)
class _Equations:
    """Normal equations A x = g of a batch, of which the parameters in each row of `own` meet no other row's."""

    A: Array
    g: Array
    own: NDArray[np.intp] | None

    def step(self, fixed: NDArray[np.bool_], extra: Array, given: Array | None = None) -> tuple[Array, Array]:
        """Return the damped step, in which fixed parameters move by what is given or not at all, and the right side without them."""
        M = self.A.copy()
        right = self.g if given is None else self.g - (self.A @ given[..., None])[..., 0]
        held = bool(fixed.any())
        if held:
            right = np.where(fixed, 0.0, right)
            M[fixed[:, :, None] | fixed[:, None, :]] = 0.0
        # A view of the diagonal, which costs less than its indices.
        main = M.reshape(len(M), -1)[:, :: right.shape[1] + 1]
        main += extra + 1e-300
        if held:
            main[fixed] = 1.0
        try:
            step = self._solve(M, right)
        except np.linalg.LinAlgError:
            step = np.stack([np.linalg.lstsq(m, v, rcond=None)[0] for m, v in zip(M, right, strict=True)])
        if not np.isfinite(step).all():
            step[~np.isfinite(step)] = 0.0
        return step if given is None else np.where(fixed, given, step), right

    def _solve(self, M: Array, right: Array) -> Array:
        if self.own is None:
            return np.asarray(np.linalg.solve(M, right[..., None])[..., 0], float)
        own = self.own
        shared = np.setdiff1d(np.arange(right.shape[1]), own)
        cross = M[:, own[:, :, None], shared]
        blocks = M[:, own[:, :, None], own[:, None, :]]
        solved = np.linalg.solve(blocks, np.concatenate([cross, right[:, own, None]], 3))
        taken = (cross.swapaxes(2, 3) @ solved).sum(1)
        step = np.empty_like(right)
        left = M[:, shared[:, None], shared] - taken[..., :-1], right[:, shared, None] - taken[..., -1:]
        step[:, shared] = np.linalg.solve(*left)[..., 0]
        step[:, own] = solved[..., -1] - (solved[..., :-1] @ step[:, None, shared, None])[..., 0]
        return step


def _inside(
    equations: _Equations, stuck: NDArray[np.bool_], extra: Array, step: Array, room: tuple[Array, Array]
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the step in which parameters that would leave their bounds go to them and the others know of it, and whether."""
    fixed, given = stuck.copy(), np.zeros_like(step)
    for _ in range(step.shape[1]):
        out = ~fixed & ((step < room[0]) | (step > room[1]))
        if not out.any():
            break
        given = np.where(out, np.clip(step, *room), given)
        fixed |= out
        step, _ = equations.step(fixed, extra, given)
    return step, (given != 0).any(1)
