"""How far runs of one size lie apart, in words and numbers: what a fit's bands of a new run rest on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.deviations import Deviations
from scalefit.fitting.fit import Fit
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.turns import TURNS

Array = NDArray[np.float64]
Ends = tuple[float, float, float]
SAID = 0.8
"""Share of what fits from which a way to turn is told."""


@dataclass(frozen=True)
class Scatter:
    """Standard deviations between runs and of sizes about the law: 2.5th, 50th and 97.5th percentile of what runs say.

    Attributes
    ----------
    slope, level : tuple of float or None
        Of runs of one size, in slope as a share of it, and in level as a share of the loss; None where runs say nothing.
    slope_misfit, level_misfit : tuple of float or None
        Of sizes about the law; None where it is not told apart from the scatter of runs.
    repeats : int
        Runs beyond one a size.
    sentence : str
        All of it for a reader.
    """

    slope: Ends | None
    level: Ends | None
    slope_misfit: Ends | None
    level_misfit: Ends | None
    repeats: int
    sentence: str


def describe_scatter(fit: Fit) -> Scatter:
    """Describe how far a fit's runs lie apart."""
    found = fit.evidence
    if fit.single:
        said = (
            "each run has one or two evaluations: their noise and the scatter between runs are one, and told together"
        )
        return Scatter(None, None, None, None, found.repeats, said)
    if not found.known:
        said = (
            "the intervals are of these runs: the law has as much freedom as they have, so how far another run would lie from "
            "them the data do not say, and the bands of a new run assume what runs elsewhere do"
        )
        return Scatter(None, None, None, None, 0, said)
    slope, level, slope_misfit, level_misfit = (_ends(found.weight, spread) for spread in found.spreads)
    level, level_misfit = (tuple(10.0**end - 1 for end in ends) for ends in (level, level_misfit))
    said = f"runs of one size differ by {_share(slope)} in slope and {_share(level)} in level"
    said += _fan(found) if isinstance(found, Hierarchy) else ""
    apart = bool(found.spreads[2:].any())
    if apart:
        said += f"; sizes depart from the law by {_share(slope_misfit)} in slope"
    elif found.repeats == 0:
        said += "; one run a size: told apart from misfit of the law only by assumption"
    elif isinstance(found, Deviations):
        said += "; misfit of the law is not told apart from it"
    else:
        said += "; too few repeated runs to tell it apart from misfit of the law"
    return Scatter(
        slope,
        (level[0], level[1], level[2]),
        slope_misfit if apart else None,
        (level_misfit[0], level_misfit[1], level_misfit[2]) if apart else None,
        found.repeats,
        said,
    )


def _fan(found: Hierarchy) -> str:
    """Return where runs fan out from, as far as the data say."""
    shares = np.bincount(found.turn, found.weight, len(TURNS))
    way = int(np.argmax(shares))
    return f" and fan out {TURNS[way]} ({100 * shares[way]:.0f} %)" if way and shares[way] > SAID else ""


def _ends(weight: Array, spread: Array) -> Ends:
    """Return the 2.5th, 50th and 97.5th percentile of a spread on a grid, in between by straight lines; 0 as far as it is 0."""
    values, which = np.unique(spread, return_inverse=True)
    share = np.bincount(which, weight)
    below = np.cumsum(share) - share / 2
    none = share[0] if values[0] == 0 else 0.0
    low, middle, high = (0.0 if at <= none else float(np.interp(at, below, values)) for at in (0.025, 0.5, 0.975))
    return low, middle, high


def _share(ends: tuple[float, ...]) -> str:
    low, middle, high = (f"{100 * end:.2g}" for end in ends)
    return f"{middle} % [{low}, {high}]"
