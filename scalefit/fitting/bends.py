"""How runs bend beyond the law's curve of their size: what noise and a run's own line cannot explain.

Each run's residual is regressed, by generalised least squares, on what may be its own (level, slope, and what the law leaves
to its size) and on a few smooth bends. The noise is estimated about all of these, so that misfit does not pass for noise
correlation, and what is not known of the correlation is integrated over.
Shapes: R runs, S sizes, T evaluations, q bends, p parameters that sizes share, K correlations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.problem import Problem
from scalefit.laws.law import FLOOR, LN10
from scalefit.numerics.ar1 import PRIOR, RHO, Noise, restricted_likelihood, smallest_pivots, take_out, whitened_products
from scalefit.numerics.tails import chi_square_quantile, chi_square_tail, f_tail

Array = NDArray[np.float64]
ORDERS = (2, 3, 4)
"""Orders of the polynomials in log X that bends are sought among."""
EVERY = 4
"""Evaluations beyond what a run has for itself that a bend takes."""
AT_ONCE = 256
"""Runs whose products are held at once."""
FINEST = 1e-6
"""Spread of evaluations [loss] below which no noise is thought to be: a solver's last digits are no misfit."""
LEAN = 1.0
"""Of the correlation's prior, 1 / (1 - rho) to this power: few evaluations hide a correlation that bends like a misfit.

Chosen, as `EVERY`, on simulations of runs of 9 to 30 evaluations with correlations up to .95.
"""
ALIKE = 10.0
"""Degrees of freedom with which repeated runs are thought to bend alike."""
UNLIKELY = 1e-3
"""Share of the likeliest correlation's weight below which one is not looked at."""
SHARED = 1e-3
"""Share of a size's bend that is left by what sizes share, below which it says nothing of its own."""
BEYOND = 400.0
"""Above the logarithm of every number."""
ALMOST = 1e-5
"""Share of a bend's square that a run's own freedom leaves, below which it is none of its own: rounding is to be far below."""
SAME = 1e-9
"""Share of a direction that rounding leaves of none."""


@dataclass(frozen=True)
class Rows:
    """What runs are regressed on, each (R, T): the residual about a run's own line is the last of `rows` (R, n, T).

    Attributes
    ----------
    own : int
        How many of the rows a run may have for itself; bends follow, then what sizes share.
    curve, log : ndarray, shape (R, T)
        The law's, on the objective's scale and as log10 L.
    line : ndarray, shape (R, 2)
        Level and slope of each run about the law, in log10 loss and per unit of `z`.
    z, half : ndarray, shape (R, T) and (R,)
        log10 X within the range of a run's size, -1 to 1, and half the width of that range [decades].
    bent : ndarray of int, shape (R,)
        Bends that each run has evaluations enough for.
    """

    rows: Array
    own: int
    bends: int
    curve: Array
    log: Array
    line: Array
    z: Array
    half: Array
    bent: NDArray[np.intp]


def rows_of(problem: Problem, theta: Array) -> Rows:
    """Return what runs are regressed on about a law's curves."""
    present, law = problem.present, problem.law
    low = np.where(present, problem.x, np.inf).min(1)
    high = np.where(present, problem.x, -np.inf).max(1)
    # A size without a run is beyond everything.
    first, last = np.full((2, len(problem.bound.sizes)), BEYOND)
    np.minimum.at(first, problem.size_of_curve, low)
    np.minimum.at(last, problem.size_of_curve, -high)
    middle, half = 0.5 * (first - last), np.maximum(-0.5 * (first + last), 1e-6)
    middle, half = middle[problem.size_of_curve], half[problem.size_of_curve]
    z = np.where(present, (problem.x - middle[:, None]) / half[:, None], 0.0)
    curve = problem.curves(theta[None])[0]
    log = np.log10(np.maximum(curve, FLOOR)) if problem.linear else curve
    line, unit, residual = _own_lines(problem, curve, z)
    own, shared = [np.ones_like(z), z], np.zeros((len(z), 0, z.shape[1]))
    if law.line is None or law.bends:
        # A run may turn along its own curve.
        own.append(np.where(present, log - log.max(1, where=present, initial=-300.0, keepdims=True), 0.0))
        scale = 1 / np.where(present, LN10 * np.maximum(curve, FLOOR), 1.0) if problem.linear else np.ones_like(z)
        tangents = problem.by_curve(theta) * scale[:, None]
        each = np.array([param.per_size for param in law.params])
        own += list(tangents[:, each].swapaxes(0, 1))
        shared = tangents[:, ~each]
    bends = bends_at(z)
    bent = np.clip((present.sum(1) - len(own)) // EVERY, 0, len(ORDERS))
    bends *= np.arange(len(ORDERS))[None, :, None] < bent[:, None, None]
    rows = np.concatenate([np.stack(own, 1), bends, shared], 1) * unit[:, None]
    rows = np.concatenate([rows, residual[:, None]], 1) * present[:, None]
    return Rows(rows, len(own), len(ORDERS), curve, log, line, z, half, bent)


def bends_at(z: Array) -> Array:
    """Return the bends at log10 X within a range, -1 to 1, (..., T), as (..., q, T)."""
    return np.stack([np.polynomial.legendre.legval(z, np.eye(order + 1)[order]) for order in ORDERS], -2)


def _own_lines(problem: Problem, curve: Array, z: Array) -> tuple[Array, Array, Array]:
    """Return each run's level and slope about the law (R, 2), the derivative by its level, and its residual, (R, T) each."""
    present = problem.present
    line, both = np.zeros((len(z), 2)), np.stack([np.ones_like(z), z], 1) * present[:, None]
    for last in (False, False, False, True):
        moved = line[:, :1] + line[:, 1:] * z
        fitted = curve * 10.0**moved if problem.linear else curve + moved
        unit = np.where(present, LN10 * fitted if problem.linear else 1.0, 0.0)
        residual = np.where(present, problem.y - fitted, 0.0)
        if last:
            break
        J = both * unit[:, None]
        gram = J @ J.swapaxes(1, 2)
        gram += 1e-12 * np.einsum("rii->r", gram)[:, None, None] * np.eye(2) + 1e-300 * np.eye(2)
        line = np.clip(line + np.linalg.solve(gram, J @ residual[..., None])[..., 0], -1.0, 1.0)
    return line, unit, residual


@dataclass(frozen=True)
class Bends:
    """What runs say of bends that their size shares.

    Attributes
    ----------
    p : float
        Of all sizes together; nan where nothing can be tested.
    each : ndarray, shape (S,)
        Of each size.
    noise : Noise
        About own lines and bends, a spread a run of those that can bend.
    """

    p: float
    each: Array
    noise: Noise


def weigh_bends(rows: Rows, problem: Problem) -> Bends | None:
    """Weigh what runs say of bends; None where no run has evaluations enough."""
    S, use = len(problem.bound.sizes), np.flatnonzero(rows.bent > 0)
    if not use.size:
        return None
    parts = [_products(rows, problem, use[at : at + AT_ONCE]) for at in range(0, len(use), AT_ONCE)]
    blocks, floor, squares, log_det, taken = (np.concatenate(part, 1) for part in zip(*parts, strict=True))
    dof = np.maximum(problem.present[use].sum(1) - taken.max(0), 1).astype(float)
    found = restricted_likelihood(squares, dof, log_det, RHO)
    prior = np.gradient(RHO) / (1 - RHO) ** LEAN
    weight = np.exp(-0.5 * (found.criterion - found.criterion.min())) * prior
    kept = np.flatnonzero(weight > UNLIKELY * weight.max())
    weight = weight[kept] / weight[kept].sum()
    best = int(np.argmax(weight))
    variance = np.maximum(found.variance[kept], FINEST**2 * (1 - RHO[kept, None] ** 2))
    rho = float(RHO[kept[best]])
    noise = Noise(rho, np.sqrt(variance[best] / (1 - rho**2)))
    blocks, floor = blocks[kept] / variance[..., None, None], floor[kept] / variance[..., None]
    table, each = _chances(blocks, floor, problem.size_of_curve[use], dof + PRIOR, S)
    # Weights sum to 1 but for rounding.
    return Bends(min(float(weight @ table), 1.0), np.minimum(weight @ each, 1.0), noise)


def _products(rows: Rows, problem: Problem, use: NDArray[np.intp]) -> tuple[Any, ...]:
    """Return of some runs, for every correlation, what is left of the products when what runs have for themselves is taken out.

    The products of bends with all that follows, what rounding leaves of them, the sum of squares that bends leave, the
    logarithm of the determinant, and how many directions were taken out.
    """
    products = whitened_products(rows.rows[use], problem.present[use], RHO)
    least = smallest_pivots(products, ALMOST)
    at, after = rows.own, rows.own + rows.bends
    log_own, own = take_out(products, range(at), 1e-2 * least)
    blocks = products[:, :, at:, at:].copy()
    log_bends, bent = take_out(products, range(at, after), least)
    return blocks, least[:, :, at:after], np.maximum(products[..., -1, -1], 0.0), log_own + log_bends, own + bent


def _chances(blocks: Array, floor: Array, size: NDArray[np.intp], dof: Array, S: int) -> tuple[Array, Array]:
    """Return p-values of all sizes (K,) and of each (K, S), the noise being known but for its spread.

    Parameters
    ----------
    blocks : ndarray, shape (K, R, q + p + 1, q + p + 1)
        Products of bends, of what sizes share, and of the residual, in units of the noise.
    floor : ndarray, shape (K, R, q)
        What rounding leaves of a bend that is none.
    size : ndarray of int, shape (R,)
    dof : ndarray, shape (R,)
        What each run's spread of noise rests on.
    """
    q = floor.shape[2]
    member = (size == np.arange(S)[:, None]).astype(float)
    sums = np.einsum("sr,krij->ksij", member, blocks[:, :, :q])
    root, count = _roots(sums[..., :q], np.einsum("sr,kri->ksi", member, floor))
    told = root @ sums[..., q:]
    squares = (told[..., -1] ** 2).sum(-1)
    alone, every = _roots(blocks[:, :, :q, :q], floor)
    within = ((alone @ blocks[:, :, :q, -1:]) ** 2).sum((1, 2, 3)) - squares.sum(1)
    spare = (every.sum(1) - count.sum(1)).astype(float)
    # A spread of noise that is itself estimated: the same chance, as if it were known.
    n = np.maximum(count, 1)
    tail = np.maximum(f_tail(n, np.maximum(member @ dof, 1.0), squares / n), 1e-300)
    told[..., -1] *= np.sqrt(np.minimum(chi_square_quantile(n, tail) / np.maximum(squares, 1e-300), 1.0))[..., None]
    left, total, squares, count = _without_shared(told, count)
    # Runs of one size may bend each in its own way; as much as they do, it is no misfit.
    apart = np.maximum((np.maximum(within, 0.0) + ALIKE) / (spare + ALIKE), 1.0)

    def chance(squares: Array, n: NDArray[np.intp], apart: Array, spare: Array) -> Array:
        some = np.maximum(n, 1)
        told = np.where(spare > 0, f_tail(some, spare + ALIKE, squares / apart / some), chi_square_tail(some, squares))
        return np.where(n > 0, told, 1.0)

    return chance(total, left, apart, spare), chance(squares, count, apart[:, None], spare[:, None])


def _roots(normal: Array, floor: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return roots of the inverses of normal matrices (..., q, q), and their ranks; rows of directions of no effect are 0."""
    size = np.sqrt(np.maximum(np.einsum("...ii->...i", normal), floor + 1e-300))
    values, vectors = np.linalg.eigh(normal / size[..., :, None] / size[..., None, :])
    known = values > np.maximum(SAME, (floor / size**2).max(-1, keepdims=True) * (values > 0))
    root = np.where(known, 1 / np.sqrt(np.where(known, values, 1.0)), 0.0)[..., None] * vectors.swapaxes(-1, -2)
    return root / size[..., None, :], known.sum(-1)


def _without_shared(told: Array, count: NDArray[np.intp]) -> tuple[NDArray[np.intp], Array, Array, NDArray[np.intp]]:
    """Allow for what sizes share, which the fit has chosen: return degrees of freedom and squares of all (K,), and of each (K, S).

    `told` (K, S, q, p + 1) are bends of variance 1 by what sizes share, and as they are.
    """
    K, S, q, p = told.shape
    squares = (told[..., -1] ** 2).sum(-1)
    left = count.sum(1)
    if p == 1:
        return left, squares.sum(1), squares, count
    design, bends = told[..., :-1].reshape(K, S * q, -1), told[..., -1].reshape(K, S * q, 1)
    columns, width, _ = np.linalg.svd(
        design / np.maximum(np.abs(design).max(1, keepdims=True), 1e-300), full_matrices=False
    )
    columns = columns * (width > SAME * np.maximum(width[:, :1], 1e-300))[:, None]
    rest = bends - columns @ (columns.swapaxes(1, 2) @ bends)
    left = left - (width > SAME * np.maximum(width[:, :1], 1e-300)).sum(1)
    own = columns.reshape(K, S, q, -1)
    values, vectors = np.linalg.eigh(np.eye(q) - own @ own.swapaxes(2, 3))
    # Of bends of no effect nothing is told, and of what sizes share has taken whole nothing is left.
    far = (vectors.swapaxes(2, 3) @ rest.reshape(K, S, q, 1))[..., 0] ** 2
    free = values > SHARED
    each = np.where(free, far / np.where(free, values, 1.0), 0.0).sum(-1)
    return left, (rest[..., 0] ** 2).sum(1), each, np.maximum(count - (~free).sum(-1), 0)
