"""Where runs turn: a run that is steeper than its size's law by chance is so about some value of log10 X.

About the middle of the run, its level there says nothing of its slope. Runs that begin as one checkpoint fan out from where
they begin, and runs that differ in k alone from X = 1: their levels and slopes depart together. Which it is, is integrated
over with the spreads. Shapes: H ways to turn, A spreads of slopes, K = H A, S sizes, M runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.run_lines import RunLines

Array = NDArray[np.float64]
TURNS = ("about their middle", "from their first evaluation", "from X = 1")
"""Ways to turn; runs made with this project, of one checkpoint each size, fan out from their start (`experiments/e05`)."""
SHARES = np.array([0.5, 0.25, 0.25])
"""How likely each is beforehand."""


@dataclass(frozen=True)
class Turned:
    """Levels of runs where they say nothing of their slopes, for every way to turn and every spread of slopes.

    Attributes
    ----------
    level, variance : ndarray, shape (K, M)
        Moved to one place for each size's runs, and what noise leaves unknown of them.
    tilt : ndarray, shape (K, S)
        How far that place lies beyond the size's centre [decades].
    log_prior : ndarray, shape (K,)
        Without a spread of slopes all ways are one.
    """

    level: Array
    variance: Array
    tilt: Array
    log_prior: Array


def turn_lines(lines: RunLines, first: NDArray[np.intp], rough: Array, own: Array) -> Turned:
    """Move levels to where they are independent of slopes.

    Parameters
    ----------
    lines : RunLines
        By size.
    first : ndarray, shape (S,)
        Each size's first run.
    rough : ndarray, shape (M,)
        Slopes along which a run's level is moved to that of its size's runs.
    own : ndarray, shape (A, M)
        Variance of the runs' slopes about those of their sizes, 0 first.
    """
    counts = np.diff(np.append(first, len(lines.params)))
    moved, variance = independent(lines.back[:, None], own, lines.slope_variance, lines.level_variance)
    moved, variance = (one.reshape(-1, len(rough)) for one in (moved, variance))
    at = np.add.reduceat(lines.centre + moved, first, 1) / counts
    # How wrong the slope is with which a level is moved is added.
    off = lines.centre + moved - np.repeat(at, counts, 1)
    level = lines.level - lines.slope * moved - rough * off
    shares = SHARES[: len(lines.back)]
    prior = np.repeat(np.log(shares / shares.sum())[:, None], len(own), 1)
    prior[:, 0] = np.where(np.arange(len(lines.back)) == 0, 0.0, -np.inf)
    return Turned(level, variance + off**2 * lines.slope_variance, at - at[0], prior.ravel())


def independent(back: Array, own: Array, slope_variance: Array, level_variance: Array) -> tuple[Array, Array]:
    """Return how far from its centre a run's level and slope are independent [decades], and the variance of noise there.

    Parameters
    ----------
    back : ndarray
        How far before the centre runs turn [decades].
    own : ndarray
        Variance of the runs' slopes about their size's.
    slope_variance, level_variance : ndarray
        What noise leaves unknown, of the level at the centre.
    """
    share = own / (own + slope_variance)
    return -back * share, level_variance + back**2 * share * slope_variance
