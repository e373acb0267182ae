"""The two verbs of a script: fit a table, load a fit; and what they return, a fit that predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each, html_list, text_table
from scalefit.errors import UsageError
from scalefit.fitting import record as records
from scalefit.fitting.arviz_bridge import to_arviz
from scalefit.fitting.estimate import Estimate
from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.misfit import briefly
from scalefit.fitting.scatter import Scatter, describe_scatter
from scalefit.laws import Law, get_law
from scalefit.prediction.ensemble import Anchor
from scalefit.prediction.predict import Prediction, predict_size
from scalefit.prediction.saturation import Saturation, weigh_saturation
from scalefit.said import Said
from scalefit.units import format_quantity, parse_quantity

if TYPE_CHECKING:
    import pandas as pd

    from scalefit.table.fit_data import FitData


@dataclass(frozen=True, repr=False)
class SeriesFit(Answer):
    """A fitted law that answers for any size: what `scalefit.fit` and `scalefit.load_fit` hand out.

    Whatever its `Fit` knows (theta, covariance, noise, dof, ...) can be asked of it as well.

    Attributes
    ----------
    fit : Fit
        The law, its data and its estimates.
    """

    fit: Fit

    ROWS: ClassVar[str] = "params"

    def __getattr__(self, name: str) -> Any:
        """Return what the fit has under this name."""
        if name.startswith("__") or name == "fit":
            raise AttributeError(name)
        return getattr(self.fit, name)

    @property
    def status(self) -> str:
        """Converged, misfit (converged on a law that misses most of its sizes), at-bound, unidentified or stopped."""
        return self.fit.verdict

    @property
    def params(self) -> dict[str, Estimate]:
        """Every parameter by name, per-size ones as `E[7B]`, with its 95 % interval."""
        return self.fit.params

    @property
    def warnings(self) -> list[str]:  # type: ignore[override]
        """Why the fit should be trusted less."""
        return [*self.fit.data.caveats, *self.fit.notes, *self.fit.misfit.warnings]

    @property
    def frame(self) -> pd.DataFrame:
        """Parameters as a frame: value, se, low, high (95 %), indexed by name."""
        return self.fit.frame

    @cached_property
    def saturation(self) -> Saturation | None:
        """Whether k(N) saturates; None where the law or the data cannot ask."""
        return weigh_saturation(self.fit)

    @cached_property
    def scatter(self) -> Scatter:
        """How far runs of one size lie apart, and whether that is told apart from misfit."""
        return describe_scatter(self.fit)

    @property
    def headline(self) -> str:
        """What was fitted to what, and how it ended."""
        data = self.fit.data
        of = "" if data.size_name == "params" else f" of {data.size_name}"
        sizes = f"{len(data.sizes)} size{'s' if len(data.sizes) > 1 else ''}{of}, {data.points} points"
        return f"{data.series} on {data.record['eval']}: {self.fit.law.name} in {', '.join(data.resources)}, {sizes}: {self.status}"

    def k(self, params: str | float, level: float = 0.95) -> Estimate:
        """Return k(N) at a model size, with its interval.

        Raises
        ------
        FitError
            If the law has no k(N), or none for this size.
        """
        return self.fit.k(params, level)

    def to_arviz(self, draws: int = 1000, seed: int = 0) -> Any:
        """Return draws as an `arviz.InferenceData`; see `scalefit.fitting.arviz_bridge`."""
        return to_arviz(self.fit, draws, seed)

    def predict(
        self, params: str | float, *, samples: Any = None, flops: Any = None, at: Any = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Predict the loss curve at given values of the resource.

        Parameters
        ----------
        params : str or float
            Model size [parameters].
        samples, flops : float or sequence of float, optional
            D [prompts] or C [FLOPs], whichever the law was fitted on, both for `joint`; by default round values within
            the range measured.
        at : float or sequence of float, optional
            Values of the resource that the law was fitted on, whatever it is.
        level : float
            Of the intervals.

        Returns
        -------
        pandas.DataFrame
            Columns params, the resource, loss, low, high (the law's mean curve), run_low, run_high (a new run),
            eval_low, eval_high (one evaluation of it); its
            `attrs["rests_on"]` says what answers, and `attrs["warnings"]` why to trust it less.
        """
        return self.predict_size(params, samples=samples, flops=flops, at=at, level=level).frame

    def predict_size(
        self,
        params: str | float,
        *,
        samples: Any = None,
        flops: Any = None,
        at: Any = None,
        level: float = 0.95,
        loss: float | None = None,
        anchor: Anchor | None = None,
    ) -> Prediction:
        """Predict a model size with all that is known of it; see `predict` and `scalefit.predict_size`."""
        size = parse_quantity(params, "params")
        values = _asked(self.fit.data.resources, {"samples": samples, "flops": flops}, at)
        found = predict_size(self.fit, size, values, level=level, loss=loss, anchor=anchor)
        return replace(found, warnings=[*found.warnings, *self.fit.misfit.warnings]) if self.fit.misfit.most else found

    def save(self, path: str | Path) -> None:
        """Write `fit.json`, which `load_fit` and `scalefit predict` read.

        Raises
        ------
        LawError
            If the law is one's own and in no module from which it could be loaded again.
        """
        records.save_fits([self.fit], path)

    def record(self) -> dict[str, Any]:
        """Return the fit as plain data, but for the numbers that were fitted."""
        whole = {name: value for name, value in records.as_record(self.fit).items() if name != "data"}
        return {
            "headline": self.headline,
            **whole,
            "scatter": vars(self.scatter),
            "saturation": self.saturation and vars(self.saturation),
        }

    def summary(self) -> str:
        """Return the text that `scalefit fit` prints."""
        fit, head = self.fit, ["value", "95 % low", "high"]
        lines = [
            self.headline,
            *([] if self.saturation is None else [f"  {self.saturation.sentence}"]),
            f"  {self.scatter.sentence}",
            *([] if fit.misfit.missed else [f"  {fit.misfit.sentence}"]),
            *(f"  note: {briefly(note)}" for note in self.warnings),
            text_table([["parameter", *head], *([name, *one.cells()] for name, one in self.params.items())]),
        ]
        if fit.law.line is not None:
            sizes = fit.data.sizes.tolist()
            rows = [[format_quantity(size), *k.cells()] for size, k in zip(sizes, fit.k_of_sizes(sizes), strict=True)]
            lines.append(text_table([["k(N)", *head], *rows]))
        return Said(lines)

    @property
    def details(self) -> Said:
        """The formula, how much of the scatter it explains, how it misses sizes, and what likelihoods say of saturation."""
        fit = self.fit
        between = " (mostly between sizes; see crossval)" if len(fit.data.sizes) > 1 else ""
        lines = [f"  {fit.law.formula}", f"  R² {fit.r2:.5f}{between}; {fit.misfit.correlation(fit.noise.rho)}"]
        said = [] if self.saturation is None else [self.saturation.in_sample]
        return Said([*lines, *(f"  {text}" for text in (*fit.misfit.warnings, *said))])

    def _repr_html_(self) -> str:
        from html import escape

        table: str = self.frame.to_html(float_format="{:.4g}".format, border=0)
        formula = escape(self.fit.law.formula)
        return f"<p><b>{escape(self.headline)}</b><br><code>{formula}</code></p>{table}{html_list(self.warnings)}"


def _asked(resources: tuple[str, ...], named: Mapping[str, Any], at: Any) -> NDArray[np.float64] | None:
    """Return the values asked for, one row a resource of the fit; None where none are."""
    among = " and ".join(resources)
    given = {name: values for name, values in named.items() if values is not None}
    for name in given:
        if name not in resources:
            how = among if among in named or len(resources) > 1 else f"--at, values of {among},"
            raise UsageError(
                f"--{name}: this fit is in {among}; give {how}, or fit with --x {name}.".replace(",,", ",")
            )
    if at is not None:
        if given or len(resources) > 1:
            raise UsageError(
                f"--at gives values of one resource; this fit is in {among}, give {'both' if len(resources) > 1 else 'one of the two options'}."
            )
        given = {resources[0]: at}
    if given and len(given) < len(resources):
        raise UsageError(f"this fit is in {among}; give both.")
    rows = [np.atleast_1d(np.asarray(given[name], float)) for name in resources if name in given]
    if len({len(row) for row in rows}) > 1:
        raise UsageError(f"give as many {resources[0]} as {resources[1]}.")
    return np.stack(rows) if rows else None


def fit_series(
    runs: Any,
    law: str | Law = "saturating",
    x: str | None = None,
    where: Mapping[str, Any] | None = None,
    *,
    weights: str = "uniform",
    objective: str = "loss",
    noise: str = "ar1",
    huber: float | None = None,
    clip: int = 0,
) -> Answers[SeriesFit]:
    """Fit a law to every series of a table that can bear it; the others are named in `unanswered`.

    Parameters are those of `fit`.

    Raises
    ------
    FitError
        If no series can bear the law.
    """
    from scalefit.table.prepare import prepare

    prepared = prepare(runs, x, where, both=get_law(law).resources == 2, clip=clip, weights=weights)
    asked = Specification(objective, noise, huber)
    return answer_each({_name(data): partial(_fit_one, law, data, asked) for data in prepared}, prepared.unanswered)


def _name(data: FitData) -> str:
    return f"{data.series} on {data.record['eval']}"


def _fit_one(law: Law | str, data: FitData, specification: Specification) -> SeriesFit:
    return SeriesFit(fit_data(law, data, specification))


def fit(
    runs: Any,
    law: str | Law = "saturating",
    x: str | None = None,
    where: Mapping[str, Any] | None = None,
    *,
    size: str | None = None,
    weights: str = "uniform",
    objective: str = "loss",
    noise: str = "ar1",
    huber: float | None = None,
    clip: int = 0,
) -> SeriesFit:
    """Fit a law to one series of a table.

    Parameters
    ----------
    runs : RunTable, str, Path or data frame
        A runs table in any form that `as_runs` takes.
    law : str or Law
        A name of `LAWS`, a `Law` of one's own (see `law`), or `module:NAME` of one.
    x : str, optional
        Resource: samples, flops, tokens, gpu_hours, hours or a column of the table's own that grows along its runs; by
        default the first of these.
    where : mapping, optional
        Column to value; must leave one series.
    size : {"params", "active_params"}, optional
        Column that is the model size, in `where` too.
    weights : {"uniform", "size", "binomial"}
        Of points: equal, equal per model size, or by binomial error. With AR(1) noise a run weighs by the noise that was
        measured instead, and the notes say so.
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
    from scalefit.table.io import as_runs
    from scalefit.table.prepare import prepare

    table = as_runs(runs, size=size)
    prepared = prepare(table, x, where, both=get_law(law).resources == 2, clip=clip, weights=weights)
    if len(prepared) != 1:
        names = ", ".join(map(_name, prepared))
        raise UsageError(f"{table.path} holds several series ({names}); choose one with where.")
    return _fit_one(law, prepared[0], Specification(objective, noise, huber))


def load_fits(path: str | Path, series: str | None = None, evaluation: str | None = None) -> Answers[SeriesFit]:
    """Load every fit of `fit.json`, or those of one series or evaluation; errors are those of `load_fit`."""
    return Answers([SeriesFit(one) for one in records.pick_fits(records.load_fits(path), series, evaluation, path)])


def load_fit(path: str | Path, series: str | None = None, evaluation: str | None = None) -> SeriesFit:
    """Load a fit from `fit.json`; name the series and the evaluation where the file holds several.

    The fit of a law of one's own imports the module that the file names, which runs it.

    Raises
    ------
    FitError, UsageError
        If it is no fit file of this version, or has no such fit or several.
    """
    return SeriesFit(records.pick_fit(records.load_fits(path), series, evaluation, path))
