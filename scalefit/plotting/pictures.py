"""The picture of every result, for its `plot()`: a result in, a figure out.

To give a result a picture, write a function that draws it on axes and mark it with `picture_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalefit.answer import Answer
from scalefit.errors import ScalefitError
from scalefit.plotting.law import draw_bands, draw_law, law_legend
from scalefit.plotting.stopping import draw_trade_off
from scalefit.plotting.studies import draw_horizon, draw_looks, draw_passes, draw_signs
from scalefit.plotting.style import LOSS, log_ticks, new_figure, ordered_colours, shade, styled
from scalefit.plotting.untrained import draw_level, draw_readings
from scalefit.prediction.forecast import Forecast
from scalefit.prediction.holdouts import fitted_curves
from scalefit.prediction.predict import SHOWN, Prediction
from scalefit.prediction.predictor import SeriesFit
from scalefit.studies.budget import Plan
from scalefit.studies.clocks import NEAR, Clocks
from scalefit.studies.design import Design
from scalefit.studies.gate import Gate
from scalefit.studies.horizon import Horizon
from scalefit.studies.joint import Joint
from scalefit.studies.level import Level
from scalefit.studies.offsets import OffsetStudy
from scalefit.studies.passes import Passes
from scalefit.studies.recipes import Comparison
from scalefit.studies.replay import TradeOff
from scalefit.studies.resolution import Resolution
from scalefit.studies.reuse import Reuse
from scalefit.studies.rollouts import Rollouts
from scalefit.studies.sharpening import Sharpening
from scalefit.studies.signs import Signs
from scalefit.studies.spending import ENDS
from scalefit.studies.systems import Ranking, Transfer
from scalefit.units import format_amount, format_quantity, resource_label

Result = TypeVar("Result", bound=Answer)
PICTURES: dict[type[Answer], Callable[[Axes, Any], None]] = {}
LINE = shade(ordered_colours(1)[0])


def picture_of(
    kind: type[Result],
) -> Callable[[Callable[[Axes, Result], None]], Callable[[Axes, Result], None]]:
    """Mark a function as what draws a kind of result."""

    def mark(function: Callable[[Axes, Result], None]) -> Callable[[Axes, Result], None]:
        PICTURES[kind] = function
        return function

    return mark


@styled()
def draw(result: Answer) -> Figure:
    """Draw a result in a figure of its own.

    Raises
    ------
    ScalefitError
        If results of its kind have no picture.
    """
    figure, (axes,) = new_figure()
    figure.set_size_inches(6.0, 4.0)
    draw_on(axes, result)
    return figure


def draw_on(axes: Axes, result: Answer) -> None:
    """Draw a result on axes, within `styled`.

    Raises
    ------
    ScalefitError
        If results of its kind have no picture.
    """
    function = next((PICTURES[kind] for kind in type(result).__mro__ if kind in PICTURES), None)
    if function is None:
        raise ScalefitError(f"a {type(result).__name__} has no picture; its numbers are in .frame.")
    function(axes, result)


def _whole(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


@picture_of(SeriesFit)
def _fit(axes: Axes, found: SeriesFit) -> None:
    if len(found.data.resources) > 1:
        raise ScalefitError("a law in two resources has no picture; draw its predictions.")
    curves = fitted_curves(found.fit)
    draw_law(axes, curves, f"{found.data.series}: {found.law.name}, {found.status}")
    law_legend(_whole(axes), [curves])


@picture_of(Prediction)
def _prediction(axes: Axes, found: Prediction) -> None:
    if " and " in found.resource:
        raise ScalefitError("a prediction in two resources has no picture; its numbers are in .frame.")
    frame = found.frame.sort_values(found.resource)
    x, share = frame[found.resource], f"{100 * found.level:g} %"
    draw_bands(axes, x, {name: frame[name] for name in SHOWN}, LINE, label=f"{share}, {{}}")
    axes.plot(x, frame["loss"], "o-", ms=3, lw=1.2, color=LINE)
    _loss_axes(axes, found.resource, x)
    axes.set_title(f"{found.series}: {format_quantity(found.params)} by {found.answered_by}", loc="left")
    axes.legend(frameon=False, fontsize=7)


@picture_of(Forecast)
def _forecast(axes: Axes, found: Forecast) -> None:
    frame = found.frame
    x = frame[found.resource]
    for level, grey in (("95", "0.88"), ("50", "0.75")):
        axes.fill_between(
            x, frame[f"low{level}"], frame[f"high{level}"], color=grey, lw=0, label=f"{level} %, the curve"
        )
    axes.plot(x, frame["loss"], lw=1.4, color=LINE, label="expected")
    _loss_axes(axes, found.resource, x)
    axes.set_title(f"{found.run}: after {found.points} evaluations", loc="left")
    axes.legend(frameon=False, fontsize=7)


def _loss_axes(axes: Axes, resource: str, x: Any) -> None:
    log_ticks(axes, "x", x, resource=resource)
    axes.set(xlabel=resource_label(resource), ylabel=LOSS)


def draw_intervals(axes: Axes, names: Sequence[str], rows: Sequence[tuple[float, ...]]) -> None:
    """Draw values with their intervals, one a line from the top; rows are (value, low, high), and a wider one's low and high."""
    for at, (value, low, high, *wider) in enumerate(rows):
        axes.plot([low, high], [at, at], lw=3.5 if wider else 1.5, color=LINE)
        if wider:
            axes.plot(wider, [at, at], lw=1, color=LINE)
        axes.plot(value, at, "o", ms=5, color=LINE, mec="white", mew=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _margin(axes: Axes, margin: float) -> None:
    axes.axvspan(-margin, margin, color="0.92", lw=0, zorder=0)
    axes.axvline(0, color="0.4", lw=0.8)


@picture_of(Reuse)
def _reuse(axes: Axes, found: Reuse) -> None:
    draw_intervals(
        axes,
        [f"τ = {arm['tau']:g}" for arm in found.arms],
        [(arm["difference"], arm["low"], arm["high"]) for arm in found.arms],
    )
    _margin(axes, found.margin)
    axes.set_xlabel(f"end loss against the smallest τ, 95 %\n(grey: within {found.margin:g})")
    axes.set_title(f"{found.series}, {format_quantity(found.params)}: reuse of prompts", loc="left")


@picture_of(Passes)
def _passes(axes: Axes, found: Passes) -> None:
    rows = sorted(found.rows, key=lambda row: (row["what"], row["held"]))
    names = [
        f"{row['times']:.3g} × {row['what']}, at {row['held']:g} {'problems' if row['what'] == 'passes' else 'passes'}"
        for row in rows
    ]
    draw_intervals(axes, names, [(row["difference"], row["low"], row["high"]) for row in rows])
    _margin(axes, found.margin)
    axes.set_xlabel(f"change of the cost [loss], 95 %; grey: within {found.margin:g}")
    axes.set_title(f"{found.series}, {format_quantity(found.params)}: passes or distinct problems", loc="left")


@picture_of(Clocks)
def _clocks(axes: Axes, found: Clocks) -> None:
    if not found.units:
        raise ScalefitError("the clock of one table has no picture; its numbers are in .frame.")
    draw_intervals(
        axes, [one["unit"] for one in found.units], [(one["ratio"], one["low"], one["high"]) for one in found.units]
    )
    axes.axvspan(1 / NEAR, NEAR, color="0.92", lw=0, zorder=0)
    axes.axvline(1, color="0.4", lw=0.8)
    axes.set_xlim(
        max(0.9 * min(one["low"] for one in found.units), 0.05), min(1.1 * max(one["high"] for one in found.units), 20)
    )
    log_ticks(axes, "x", axes.get_xlim())
    axes.set_xlabel(f"ratio of half-way points, 95 %; grey: within {NEAR:g} times")
    axes.set_title(f"{found.series} on {found.eval}: in what the clock ticks", loc="left")


@picture_of(Joint)
def _joint(axes: Axes, found: Joint) -> None:
    parts = [("k_C", "k_D") if row["k_C"] else ("k",) for row in found.rows]
    told = [(row, part) for row, some in zip(found.rows, parts, strict=True) for part in some]
    names = [f"{'k_C + k_D' if part == 'k' else part}, {format_quantity(row['params'])}" for row, part in told]
    ends = [tuple(row[part][end] for end in ("value", "low", "high")) for row, part in told]
    finite = [(value, *(end if np.isfinite(end) else value for end in (low, high))) for value, low, high in ends]
    draw_intervals(axes, names, finite)
    axes.axvline(0, color="0.4", lw=0.8)
    axes.set_xlabel("slope of log10 loss, 95 %")
    axes.set_title(f"{found.series} on {found.eval}: compute or data", loc="left")


@picture_of(Comparison)
def _comparison(axes: Axes, found: Comparison) -> None:
    known = [row for row in found.sizes if row["end_loss"]]
    gaps = [(one["difference"], one["low"], one["high"]) for one in (row["end_loss"] for row in known)]
    overall = found.overall
    draw_intervals(
        axes,
        [*(format_quantity(row["params"]) for row in known), "all sizes"],
        [*gaps, (overall["difference"], overall["low"], overall["high"])],
    )
    _margin(axes, found.margin)
    axes.set_xlabel(f"end loss, {found.first} minus {found.second}, 95 %; grey: within {found.margin:g}")
    axes.set_title(f"{found.series} on {found.eval}", loc="left")


@picture_of(Gate)
def _gate(axes: Axes, found: Gate) -> None:
    draw_looks(axes, found.looks, found.margin)
    axes.set(ylabel=f"loss, {found.second} minus {found.first}, {100 * (1 - found.alpha):.3g} %")
    axes.set_xlabel(f"{resource_label(found.resource)}; grey: within {found.margin:g}")
    axes.set_title(f"{found.series} on {found.eval}, {format_quantity(found.params)}: {found.verdict}", loc="left")


@picture_of(Signs)
def _signs(axes: Axes, found: Signs) -> None:
    draw_signs(axes, found.runs)
    axes.set_xlabel("loss above its best level; dark: a sign of collapse")
    axes.set_title(f"{found.series} on {found.eval}, {format_quantity(found.params)}", loc="left")


@picture_of(Rollouts)
def _rollouts(axes: Axes, found: Rollouts) -> None:
    resource, budgets = next((name, some) for name, some in found.frontier.items() if some)
    sizes = [arm["group_size"] for arm in budgets[0]["arms"]]
    x = np.array([row["budget"] for row in budgets])
    for at, (size, colour) in enumerate(zip(sizes, ordered_colours(len(sizes)), strict=True)):
        arms = [row["arms"][at] for row in budgets]
        low, high = ([arm[end] for arm in arms] for end in ("low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        axes.plot(x, [arm["loss"] for arm in arms], "o-", ms=3, lw=1.2, color=colour, label=f"G = {size}")
    _loss_axes(axes, resource, x)
    axes.set_title(f"{found.series}, {format_quantity(found.params)}: rollouts a prompt", loc="left")
    axes.legend(frameon=False, fontsize=7)


@picture_of(Plan)
def _plan(axes: Axes, found: Plan) -> None:
    to_loss = "loss" in found.budget
    keys = ("flops" if to_loss else "loss", *ENDS[to_loss])
    known = [row for row in found.sizes if all(row[key] is not None for key in keys)]
    rows = [tuple(float(row[key]) for key in keys) for row in known]
    draw_intervals(axes, [format_quantity(row["params"]) for row in known], rows)
    ((name, value),) = found.budget.items()
    if to_loss:
        axes.set_xscale("log")
    what = resource_label("flops") if to_loss else LOSS
    axes.set_xlabel(f"{what}, 95 % (thick: the law's mean curve, thin: a new run)")
    said = f"{value:g}" if to_loss else format_amount(value, name)
    axes.set_title(f"{found.series}: every size at {name} {said}", loc="left")


@picture_of(Design)
def _design(axes: Axes, found: Design) -> None:
    names = [f"{format_quantity(run['params'])}, {format_quantity(run['samples'])} samples" for run in found.runs]
    shares = [run["flops"] / found.spent for run in found.runs]
    axes.barh(names, shares, color=LINE, alpha=0.7)
    for at, run in enumerate(found.runs):
        axes.text(shares[at], at, f" {run['count']:g} run{'s' if run['count'] > 1 else ''}", va="center", fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="share of the compute spent", xlim=(0, 1.2 * max(shares)))
    axes.grid(axis="y", visible=False)
    widths = f"95 % width {found.width_now:.4f} to {found.width_after:.4f}"
    axes.set_title(f"To predict {format_quantity(found.target['params'])}: {widths}", loc="left")


@picture_of(Sharpening)
def _sharpening(axes: Axes, found: Sharpening) -> None:
    draw_passes(axes, found.passes, found.law, f"{found.series}, {found.eval}, {format_quantity(found.params)}")
    axes.legend(frameon=False, fontsize=7, loc="lower right")


@picture_of(OffsetStudy)
def _offsets(axes: Axes, found: OffsetStudy) -> None:
    draw_readings(axes, found.readings, ", ".join(map(format_quantity, found.held_out)))
    _whole(axes).set_size_inches(6.0, 1.2 + 0.22 * len(found.readings))
    axes.set_title(f"{found.series} on {found.eval}: where the level and the gain come from", loc="left")
    axes.legend(frameon=False, fontsize=7)


@picture_of(Level)
def _level(axes: Axes, found: Level) -> None:
    draw_level(axes, found.sizes)
    axes.set_title(f"{found.series} on {found.eval}: slope and start", loc="left")
    axes.legend(frameon=False, fontsize=7)


@picture_of(Horizon)
def _horizon(axes: Axes, found: Horizon) -> None:
    draw_horizon(axes, vars(found), f"{found.series}, {format_quantity(found.params)}")
    axes.legend(frameon=False, fontsize=7)


@picture_of(Ranking)
def _ranking(axes: Axes, found: Ranking) -> None:
    draw_intervals(
        axes,
        [row["system"] for row in found.rows],
        [(row["score"], row["low"], row["high"]) for row in found.rows],
    )
    _whole(axes).set_size_inches(6.0, max(2.5, 1.0 + 0.25 * len(found.rows)))
    axes.set_xlabel("score, 95 %")
    axes.set_title(found.headline, loc="left", wrap=True)


@picture_of(TradeOff)
def _trade_off(axes: Axes, found: TradeOff) -> None:
    draw_trade_off(axes, found)


@picture_of(Transfer)
def _transfer(axes: Axes, found: Transfer) -> None:
    draw_intervals(axes, [found.target], [(found.tau, found.low, found.high)])
    axes.axvline(0, color="0.4", lw=0.8)
    axes.set_xlim(-1.05, 1.05)
    _whole(axes).set_size_inches(6.0, 1.8)
    axes.set_xlabel(f"Kendall's tau with {found.source}, 95 %")
    axes.set_title(f"{found.systems} systems, {found.pairs} pairs", loc="left")


@picture_of(Resolution)
def _resolution(axes: Axes, found: Resolution) -> None:
    known = [(row["problems"], row["seeds"]) for row in found.table if row["seeds"] is not None]
    if not known:
        raise ScalefitError("no number of seeds shows this difference; there is nothing to draw.")
    problems, seeds = zip(*known, strict=True)
    axes.plot(problems, seeds, "o-", ms=4, lw=1.2, color=LINE)
    log_ticks(axes, "x", problems)
    axes.set_ylim(0, 1.1 * max(seeds))
    axes.set(xlabel="evaluation problems", ylabel="seeds an arm")
    axes.set_title(f"To see a difference of {found.difference:g} at loss {found.loss:g}", loc="left")
