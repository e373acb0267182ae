"""Noise like the paper's own: what power laws leave of its curves, with phases drawn anew."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import scalefit as sf
from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.fit import Specification, fit_data
from scalefit.fitting.point_fit import make_problem
from scalefit.laws import get_law
from scalefit.table.prepare import prepare

Array = NDArray[np.float64]
ROOT = Path(__file__).parents[1]
PLAIN = Specification(noise="independent")


@cache
def _left(series: str) -> list[Array]:
    """Return what power laws leave of each of the paper's curves [loss]."""
    (data,) = prepare(sf.read_runs(ROOT / "data" / "paper" / "runs.parquet"), "samples", {"series": series})
    problem = make_problem(BoundLaw(get_law("power"), data.sizes), data, PLAIN)
    left = problem.residual(fit_data("power", data, PLAIN).theta)
    return [row[here] for row, here in zip(left, data.present, strict=True)]


def draw_surrogate(series: str, count: int, rng: np.random.Generator) -> Array:
    """Return noise with the autocorrelation of one of the paper's curves, a stretch of it.

    Source: Theiler et al. 1992, Physica D 58, 77 (surrogates: the amplitudes of the spectrum, with random phases).
    """
    left = _left(series)
    spectrum = np.fft.rfft(left[rng.integers(len(left))])
    turned = np.abs(spectrum) * np.exp(2j * np.pi * rng.random(len(spectrum)))
    turned[0] = 0.0
    drawn = np.fft.irfft(turned, 2 * len(spectrum) - 2)
    return np.resize(np.roll(drawn, int(rng.integers(len(drawn)))), count)
