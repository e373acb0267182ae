"""All that one table answers, asked once: what a page says first, and what it shows below.

Each series has a part: its fit, where it ends, what a budget buys, how its largest run goes on, and how far to trust it.
What cannot be answered is named with its reason. Fits that several answers rest on are made once (`fitting.once`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from scalefit.answer import Answers
from scalefit.errors import FitError, ScalefitError
from scalefit.fitting.fit import fit_data
from scalefit.fitting.once import kept
from scalefit.prediction.ensemble import LEAST_SIZES, Ensemble, average_offsets
from scalefit.prediction.forecast import Forecast, forecast
from scalefit.prediction.holdouts import across_sizes, fitted_curves, law_of_sizes, slopes
from scalefit.prediction.predict import Prediction
from scalefit.prediction.predictor import SeriesFit
from scalefit.prediction.roads import range_end
from scalefit.prediction.siblings import among_siblings
from scalefit.progress import steps
from scalefit.studies.budget import Plan, plan
from scalefit.studies.design import Design, design
from scalefit.studies.ends import LAST_SHARE
from scalefit.studies.reached import Reached, measure_reached
from scalefit.studies.reuse import study_reuse
from scalefit.studies.rollouts import Rollouts, study_rollouts
from scalefit.studies.sizes import Options, make_options
from scalefit.studies.trust import FARTHEST, Trust, trust_forecast, trust_size
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import select
from scalefit.units import format_quantity

LINE = "power"
"""The law of one size."""
AHEAD = 2.0
"""How far a run is forecast: what doubling it would be worth."""
BEYOND = (1.4, 2.0, FARTHEST)
"""Sizes beyond the largest that an explorer offers, as multiples of it."""
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Asked:
    """What a page is asked: resource, rows, sizes to predict [parameters], compute at hand [FLOPs]; None where nothing is."""

    x: str | None = None
    where: Mapping[str, Any] | None = None
    params: Sequence[float] = ()
    flops: float | None = None


@dataclass
class Part:
    """What one series of a table answers.

    Attributes
    ----------
    fitted : SeriesFit
    ends : list of Prediction
        Where the largest size ends, and the sizes asked for.
    trust : Trust
        Of the furthest of these.
    reached : Reached or None
        What the runs of the largest size came to, as measured; None where they are too short to tell.
    again : Prediction or None
        What the law has of another run there, at the middle (in log X) of the last fifth that `reached` is the mean of.
    shown : dict
        Its curves as they are drawn: with four sizes and more, the largest predicted from the others.
    slopes : dict or None
        k(N) of all sizes and of all but the largest.
    plan : Plan or None
        What the budget buys.
    options : Options or None
        The draws behind it, sizes beyond the largest among them, for an explorer.
    forecast, forecast_trust, run : Forecast, Trust, tuple of ndarray or None
        How its largest run goes on to twice what it has spent, and the run so far.
    design : Design or None
        What to run next for a size that was asked for.
    unanswered : dict
        Reasons by question.
    """

    fitted: SeriesFit
    ends: list[Prediction]
    trust: Trust
    shown: dict[str, Any]
    reached: Reached | None = None
    again: Prediction | None = None
    slopes: dict[str, Any] | None = None
    plan: Plan | None = None
    options: Options | None = None
    forecast: Forecast | None = None
    forecast_trust: Trust | None = None
    run: tuple[Any, Any] | None = None
    design: Design | None = None
    unanswered: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> FitData:
        """Its curves."""
        return self.fitted.fit.data

    @property
    def alone(self) -> bool:
        """Whether it is a single run, of which its forecast says more than a law."""
        return sum(self.data.runs) == 1 and self.forecast is not None

    @property
    def first_trust(self) -> Trust:
        """That of what is said first: of the forecast where there is one run, else of the law's prediction."""
        return self.forecast_trust if self.alone and self.forecast_trust is not None else self.trust

    @property
    def next_steps(self) -> list[str]:
        """What to do next: what doubling the largest run would be worth, the runs designed, what would mend the trust."""
        steps = [] if self.forecast is None else [worth_of_more(self.forecast)]
        if self.design is not None:
            steps.append(self.design.headline)
        if mends := self.first_trust.mends:
            steps.append(f"To trust this more: {'; '.join(mends[:2])}")
        return [f"{step.rstrip('.')}." for step in steps]


@dataclass(frozen=True)
class Overview:
    """All parts of a table, the comparisons in it, and what could not be answered, by name with the reason."""

    runs: RunTable
    asked: Asked
    parts: list[Part]
    reuse: Answers[Any] | None
    rollouts: Answers[Rollouts] | None
    unanswered: dict[str, str]


def look_over(runs: RunTable, asked: Asked) -> Overview:
    """Ask a runs table all that it can answer, a step a series.

    Raises
    ------
    FitError
        If no series can be fitted.
    """
    with kept():
        runs = select(runs, asked.where)
        prepared = prepare(runs, asked.x)
        unanswered, parts = dict(prepared.unanswered), []
        arms: dict[str, Callable[[], Answers[Any]]] = {
            "Reuse of prompts": lambda: study_reuse(runs),
            "Rollouts a prompt": lambda: study_rollouts(runs),
        }
        found: dict[str, Answers[Any] | None] = {}
        for one in steps([*prepared, *arms], lambda one: one if isinstance(one, str) else one.name):
            if isinstance(one, str):
                found[one] = _try(arms[one], unanswered, one)
            elif (part := _try(partial(_part, runs, one, asked), unanswered, one.name)) is not None:
                parts.append(part)
        if not parts:
            raise FitError(
                "nothing can be fitted:\n" + "\n".join(f"  {name}: {why}" for name, why in unanswered.items())
            )
    reuse, rollouts = found.values()
    return Overview(runs, asked, parts, reuse, rollouts, unanswered)


def _try(ask: Callable[[], Kind], unanswered: dict[str, str], name: str) -> Kind | None:
    try:
        return ask()
    except ScalefitError as error:
        unanswered[name] = str(error)
        return None


def _part(runs: RunTable, data: FitData, asked: Asked) -> Part:
    several = len(data.sizes) > 1
    fitted = SeriesFit(fit_data(law_of_sizes(data) if several else LINE, data))
    few, top = len(data.sizes) < LEAST_SIZES + 1, float(data.sizes[-1])
    unanswered: dict[str, str] = {}
    ends = [fitted.predict_size(top, at=[range_end(data, top)])]
    for size in asked.params:
        ask = partial(fitted.predict_size, size, at=[range_end(data, size)])
        found = _try(ask, unanswered, f"Predicting {format_quantity(size)}")
        ends += [found] if found is not None and not np.isclose(size, top) else []
    shown = fitted_curves(fitted.fit) if few or not several else across_sizes(data)
    part = Part(fitted, ends, trust_size(fitted.fit, top), shown, unanswered=unanswered)
    if not fitted.fit.single:
        with suppress(FitError):
            part.reached = measure_reached(runs, data, top)
            part.again = fitted.predict_size(top, at=[range_end(data, top) * np.sqrt(1 - LAST_SHARE)])
    if several and not fitted.fit.single:
        cuts = {"all sizes": data} | ({} if few else {f"all but {format_quantity(top)}": data.keep(data.params < top)})
        part.slopes = slopes(cuts)
    ensemble = _plan(part, runs, asked)
    # Each band is as far to trust as the size that lies furthest outside.
    furthest = max([top, *(end.params for end in ends)], key=lambda N: max(N / top, float(data.sizes[0]) / N))
    part.trust = trust_size(fitted.fit, furthest, ensemble=ensemble or _average(data))
    _ahead(part, runs)
    _next(part, runs, asked)
    return part


def _average(data: FitData) -> Ensemble | None:
    with suppress(FitError):
        return average_offsets(data)
    return None


def _mine(data: FitData) -> dict[str, Any]:
    return {"series": data.series, "eval": str(data.record["eval"])}


def _plan(part: Part, runs: RunTable, asked: Asked) -> Ensemble | None:
    """Ask what a budget buys, by default the compute of the median run; return the prediction it rests on."""
    both = all(name in runs.frame and runs.frame[name].notna().any() for name in ("samples", "flops"))
    if not both or len(part.data.sizes) < 2:
        why = "it needs prompts and FLOPs" if not both else "it needs two sizes"
        part.unanswered["Which size for a budget"] = why
        return None
    data = next((one for one in prepare(runs, "flops", _mine(part.data))), None)
    if data is None:
        return None
    budget = asked.flops or float(np.median(np.where(data.present, data.resource[0], 0.0).max(1)))
    ensemble, wanted = _average(data), None
    if asked.params and ensemble is not None:
        wanted = np.unique([*data.sizes, *asked.params]).tolist()
    found = _try(
        lambda: plan(runs, flops=budget, sizes=wanted, where=_mine(data)), part.unanswered, "Which size for a budget"
    )
    if found is not None:
        part.plan = found[0]
        sizes = np.asarray(data.sizes if wanted is None else wanted, float)
        beyond = [float(f"{times * data.sizes[-1]:.2g}") for times in BEYOND] if ensemble is not None else []
        offered = np.append(sizes, [size for size in beyond if size > 1.05 * sizes[-1]])
        part.options = make_options(runs, data, offered, ensemble)
    return ensemble


def _ahead(part: Part, runs: RunTable) -> None:
    """Forecast the series' largest run to twice what it has spent."""
    mine = {**_mine(part.data), "params": float(part.data.sizes[-1])}
    run = str(select(runs, mine).frame["run_id"].iloc[0])
    evaluation, resource = mine["eval"], part.data.resources[0]

    def ask() -> None:
        setting = among_siblings(runs, run, resource, evaluation)
        until = AHEAD * float(setting.curve.x[-1])
        part.forecast = forecast(runs, run, x=resource, evaluation=evaluation, until=until)
        part.forecast_trust = trust_forecast(part.forecast, setting)
        part.run = setting.curve.x, setting.curve.loss

    _try(ask, part.unanswered, f"The rest of {run}")


def _next(part: Part, runs: RunTable, asked: Asked) -> None:
    """Design the next runs for the size asked for, where one was and a budget with it."""
    if asked.params and asked.flops:
        target = max(asked.params)
        name = f"What to run next for {format_quantity(target)}"
        found = _try(lambda: design(runs, asked.flops or 0.0, target, where=_mine(part.data)), part.unanswered, name)
        part.design = None if found is None else found[0]


def worth_of_more(found: Forecast) -> str:
    """Return what going on to the end of a forecast is worth, in a sentence."""
    now, end, resource = found.now["loss"], found.end, found.resource
    times = end[resource] / found.now[resource]
    gain, low, high = now - end["loss"], now - end["high95"], now - end["low95"]
    how = "Doubling the run" if abs(times - 2) < 0.01 else f"{times:.2g} times the {resource} of the run"
    size = format_quantity(found.params)
    nothing = ", and perhaps nothing" if low <= 0 else ""
    return f"{how} of {size} ({found.run}) is worth {gain:.3f} in loss (95 % {low:.3f} to {high:.3f}){nothing}"
