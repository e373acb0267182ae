"""Whether slopes and levels of sizes are those of a law that shares them between sizes.

A size's mean line is held against the law's, with noise, the scatter between runs and the law's own error. The scatter is
told by runs of one size among themselves, so that no misfit widens it; with one run a size only its prior is known, and the
test is silent but for gross misfits.
Shapes: R runs by size, S sizes, P flat parameters, A values of the scatter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.bends import Rows
from scalefit.fitting.hierarchy import LEVELS, SLOPES, make_side
from scalefit.fitting.problem import Problem
from scalefit.laws.law import FLOOR, LN10
from scalefit.numerics.tails import chi_square_tail, normal_below

Array = NDArray[np.float64]
ROUNDED = 1e-7
"""Share of what a parameter does to level and slope below which it does nothing to one of them."""
GONE = 1e-6
"""Share of a size's variance that the law's freedom leaves, below which the size cannot be tested."""
LEAST = 1e-24
"""Variance below which rounding would speak."""


@dataclass(frozen=True)
class Chances:
    """p-values of slopes or of levels: of the whole table, and of each size (S,); nan where nothing can be tested."""

    p: float
    each: Array


def weigh_lines(problem: Problem, theta: Array, rows: Rows) -> tuple[Chances, Chances]:
    """Hold slopes and levels of sizes against the law's, the problem weighing by the noise."""
    present, unit = problem.present, rows.rows[:, 0]
    scale = unit / np.where(present, LN10 * np.maximum(rows.curve, FLOOR), 1.0) if problem.linear else unit
    parts = np.concatenate([rows.rows[:, :2], problem.by_curve(theta) * scale[:, None], rows.rows[:, -1:]], 1)
    parts = problem.whiten(parts, rows=True)
    gram = parts @ parts.swapaxes(1, 2)
    normal = gram[:, :2, :2]
    error = np.linalg.inv(normal + 1e-13 * np.einsum("rii->ri", normal).max(1)[:, None, None] * np.eye(2))
    coefficients = error @ gram[:, :2, 2:]
    own = rows.line + coefficients[:, :, -1]
    # A level that is a size's own has no slope but for rounding.
    most = np.abs(coefficients).max((0, 1))
    coefficients = np.where(np.abs(coefficients) > ROUNDED * most, coefficients, 0.0)
    design = np.zeros((len(own), 2, len(theta)))
    index = problem.bound.flat_index[problem.size_of_curve]
    np.put_along_axis(design, np.repeat(index[:, None], 2, 1), coefficients[:, :, :-1], 2)
    steep = np.maximum(np.abs(_slopes(rows, present)), 1e-12)
    steep = np.maximum(steep, 0.05 * steep.max())
    variance, half = np.maximum(np.einsum("rii->ri", error), LEAST), rows.half
    slope = own[:, 1] / half, variance[:, 1] / half**2, design[:, 1] / half[:, None]
    return (
        _against(problem, slope, steep, SLOPES),
        _against(problem, (own[:, 0], variance[:, 0], design[:, 0]), np.ones(len(own)), LEVELS),
    )


def _slopes(rows: Rows, present: NDArray[np.bool_]) -> Array:
    """Return the slope of the law's curve of each run, by a line through log10 L [a decade], (R,)."""
    z = np.where(present, rows.z - (rows.z * present).sum(1, keepdims=True) / present.sum(1, keepdims=True), 0.0)
    return np.asarray((z * np.where(present, rows.log, 0.0)).sum(1) / np.maximum((z**2).sum(1), 1e-12) / rows.half)


def _against(problem: Problem, departure: tuple[Array, Array, Array], scale: Array, prior: float) -> Chances:
    """Hold departures of runs against 0 by size.

    Parameters
    ----------
    departure : tuple of ndarray, shape (R,), (R,) and (R, P)
        Itself, what noise leaves unknown of it, and its derivative by the law's parameters.
    scale : ndarray, shape (R,)
        What a scatter of 1 is.
    prior : float
        Scale of the prior of the scatter.
    """
    own, variance, design = departure
    sizes, first = np.unique(problem.size_of_curve, return_index=True)
    side = make_side(own, variance, first, scale, prior)
    log = side.log_prior[:, 0]
    weight = np.exp(log - np.logaddexp.reduce(log))
    total = variance + (side.spread[:, None] * scale) ** 2
    root = np.sqrt(side.groups.variance)
    pulled, away = np.add.reduceat(design / total[:, :, None], first, 1) * root[..., None], side.groups.mean / root
    size = np.abs(pulled).max(1, keepdims=True)
    columns, width, _ = np.linalg.svd(pulled / np.maximum(size, 1e-12 * size.max() + 1e-300), full_matrices=False)
    known = width > 1e-8 * np.maximum(width[:, :1], 1e-300)
    columns = columns * known[:, None]
    rest = away - (columns @ (columns.swapaxes(1, 2) @ away[..., None]))[..., 0]
    left, free = len(sizes) - known.sum(1), 1 - (columns**2).sum(2)
    each = np.full(len(problem.bound.sizes), np.nan)
    if left.min() <= 0:
        return Chances(np.nan, each)
    each[sizes] = weight @ np.where(
        free > GONE, 2 * normal_below(-np.abs(rest) / np.sqrt(np.maximum(free, GONE))), np.nan
    )
    # Weights sum to 1 but for rounding.
    return Chances(min(float(weight @ chi_square_tail(left, (rest**2).sum(1))), 1.0), np.minimum(each, 1.0))
