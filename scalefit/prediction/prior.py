"""What is known of curves before a run has begun: a population of shapes, and how much of their own power law they keep.

Shipped as `prior.json`; `benchmarks/forecast_prior.py` makes it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.prediction.shapes import Population

Array = NDArray[np.float64]
HORIZONS = np.array([0.16, 0.36, 0.7, 1.4, 2.1])
"""Values of ln(X / X now) at which fading and errors are known; linear between, level outside."""


@dataclass(frozen=True)
class Prior:
    """What families of curves say of a run of another.

    Attributes
    ----------
    families : tuple of str
        That it was fitted on, each weighing the same.
    population : Population
        Of the shapes.
    kept, between, within : ndarray, shape (H,)
        The share of its own power law that a run keeps at each of `HORIZONS`, and how far that differs between tables
        and between runs of one.
    wander : float
        By how much a level is off beside its noise, for a unit of ln(X / X now), in standard deviations of a coin.
    noise : float
        What errors of levels are in units of those of independent evaluations.
    shapes_off, off : ndarray, shape (H,)
        Errors in units of their standard errors: of the shapes, and of what is said altogether.
    """

    families: tuple[str, ...]
    population: Population
    kept: Array
    between: Array
    within: Array
    wander: float
    noise: float
    shapes_off: Array
    off: Array

    def at(self, name: str, horizon: Array) -> Array:
        """Return one of the columns at values of ln(X / X now)."""
        return np.interp(horizon, HORIZONS, getattr(self, name))


def from_record(record: Mapping[str, Any]) -> Prior:
    """Return the prior that a JSON object holds."""
    population = Population(**{name: np.array(value, float) for name, value in record["population"].items()})
    kept, between, within, shapes_off, off = (
        np.array(record[name], float) for name in ("kept", "between", "within", "shapes_off", "off")
    )
    wander, noise = float(record["wander"]), float(record["noise"])
    return Prior(tuple(record["families"]), population, kept, between, within, wander, noise, shapes_off, off)


@cache
def shipped() -> Prior:
    """Return the prior that comes with the package."""
    import orjson

    return from_record(orjson.loads(resources.files("scalefit.prediction").joinpath("prior.json").read_bytes()))
