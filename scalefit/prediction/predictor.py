"""The two verbs of a script: fit a table, load a fit; and what they return, a fit that also predicts unseen sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scalefit.errors import UsageError
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.profile import profile_interval
from scalefit.fitting.record import load_fits, pick_series
from scalefit.laws import get_law
from scalefit.prediction.predict import predict_size
from scalefit.table.io import RunTable
from scalefit.table.prepare import prepare
from scalefit.units import parse_quantity


class SeriesFit(Fit):
    """A fit that answers for sizes it has not seen, where its law by itself cannot, by the averaged closed offsets."""

    def predict(
        self, params: str | float, *, samples: Any = None, flops: Any = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Predict the loss curve at given values of the resource.

        Parameters
        ----------
        params : str or float
            Model size [parameters]; one that was fitted, or any where the law has k(N) and there are sizes enough.
        samples, flops : float or sequence of float
            D [prompts] or C [FLOPs], whichever the law was fitted on.
        level : float
            Of the interval; for an unseen size 0.95 only.

        Returns
        -------
        pandas.DataFrame
            Columns params, samples or flops, loss, low, high; its `attrs["rests_on"]` says what it rests on, and
            `attrs["warnings"]` why to trust it less.
        """
        size = parse_quantity(params, "params")
        seen = bool(np.isclose(self.data.sizes, size, rtol=1e-9).any())
        resource = self.data.resources[0]
        given = samples if resource == "samples" else flops
        if seen or not self.law.per_size or self.law.line is None or given is None or level != 0.95:
            frame = super().predict(params, samples=samples, flops=flops, level=level)
            frame.attrs["rests_on"] = f"{self.law.name}, fitted on {self.data.points} points"
            return frame
        found = predict_size(self, size, np.atleast_1d(np.asarray(given, float)))
        frame = pd.DataFrame(found.curve)[[resource, "loss", "low", "high"]]
        frame.insert(0, "params", size)
        frame.attrs.update(rests_on=f"averaged closed offsets, fitted on {found.fitted_on}", warnings=found.warnings)
        return frame


def _as_series_fit(found: Fit) -> SeriesFit:
    return SeriesFit(**{entry.name: getattr(found, entry.name) for entry in fields(Fit)})


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
) -> list[SeriesFit]:
    """Fit a law to every series of a table; see `fit`."""
    chosen = get_law(law)
    found = []
    for data in prepare(runs, x, where, both=chosen.resources == 2, clip=clip, weights=weights):
        result = fit_data(chosen, data, Specification(objective, noise, huber))
        if chosen.line is not None and huber is None:
            names = [name for name in ("k_max", "N0") if name in result.bound.names]
            result = replace(result, profiles={name: profile_interval(result, name) for name in names})
        found.append(_as_series_fit(result))
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
) -> SeriesFit:
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


def load_fit(path: str | Path, series: str | None = None) -> SeriesFit:
    """Load a fit from `fit.json`; name the series where the file holds several.

    Raises
    ------
    FitError, UsageError
        If it is no fit file of this version, or has no such series.
    """
    return _as_series_fit(pick_series(load_fits(path), series, path))


__all__ = ["fit", "fit_series", "load_fit"]
