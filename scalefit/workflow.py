"""The two verbs of a script: fit a table, load a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scalefit.errors import UsageError
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.profile import profile_interval
from scalefit.fitting.record import load_fits, pick_series
from scalefit.laws import get_law
from scalefit.table.io import RunTable
from scalefit.table.prepare import prepare


def fit_series(
    runs: RunTable,
    law: str = "saturating",
    x: str | None = None,
    where: Mapping[str, str | float] | None = None,
    *,
    weights: str = "uniform",
    objective: str = "loss",
    noise: str = "ar1",
    huber: float | None = None,
    clip: int = 0,
) -> list[Fit]:
    """Fit a law to every series of a table; see `fit`."""
    chosen = get_law(law)
    found = []
    for data in prepare(runs, x, where, both=chosen.resources == 2, clip=clip, weights=weights):
        result = fit_data(chosen, data, Specification(objective, noise, huber))
        if chosen.line is not None and huber is None:
            names = [name for name in ("k_max", "N0") if name in result.bound.names]
            result = replace(result, profiles={name: profile_interval(result, name) for name in names})
        found.append(result)
    return found


def fit(
    runs: RunTable,
    law: str = "saturating",
    x: str | None = None,
    where: Mapping[str, str | float] | None = None,
    *,
    weights: str = "uniform",
    objective: str = "loss",
    noise: str = "ar1",
    huber: float | None = None,
    clip: int = 0,
) -> Fit:
    """Fit a law to one series of a table.

    Parameters
    ----------
    runs : RunTable
        From `read_runs`.
    law : str
        A name of `LAWS`.
    x : {"samples", "flops"}, optional
        Resource; by default the first that is present and varies.
    where : mapping, optional
        Column to value; must leave one series.
    weights : {"uniform", "size", "binomial"}
        Equal per point, per model size, or by binomial error.
    objective : {"loss", "log10-loss"}
        What the residual is taken of.
    noise : {"ar1", "independent"}
        Noise model: generalised least squares with AR(1), or ordinary least squares.
    huber : float, optional
        Width of a Huber loss.
    clip : int
        Drop evaluations with step <= clip.

    Raises
    ------
    UsageError
        If more than one series is left.
    FitError
        If the data cannot support the fit.
    """
    fits = fit_series(runs, law, x, where, weights=weights, objective=objective, noise=noise, huber=huber, clip=clip)
    if len(fits) != 1:
        names = ", ".join(f"{found.data.series} on {found.data.record['eval']}" for found in fits)
        raise UsageError(f"{runs.path} holds several series ({names}); choose one with where.")
    return fits[0]


def load_fit(path: str | Path, series: str | None = None) -> Fit:
    """Load a fit from `fit.json`; name the series where the file holds several.

    Raises
    ------
    FitError, UsageError
        If it is no fit file of this version, or has no such series.
    """
    return pick_series(load_fits(path), series, path)


__all__ = ["fit", "fit_series", "load_fit"]
