"""Every picture that a table allows, and why the others are not drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from scalefit.errors import FitError
from scalefit.fitting.fit import has_final_losses
from scalefit.names import file_names
from scalefit.plotting.law import draw_clock, draw_law, draw_slopes, law_legend, size_legend
from scalefit.plotting.pictures import draw_on
from scalefit.plotting.runs import SMOOTHED, draw_arms, window_of
from scalefit.plotting.studies import draw_horizon, draw_passes
from scalefit.plotting.style import new_figure, new_panels, save_figure, size_colours, styled
from scalefit.plotting.systems import draw_scores, draw_transfer, looks, systems_legend
from scalefit.prediction.ensemble import LEAST_SIZES
from scalefit.prediction.holdouts import across_sizes, all_sizes, slopes, within_runs
from scalefit.prediction.started import on_one_clock
from scalefit.progress import steps
from scalefit.studies.horizon import study_horizon
from scalefit.studies.reuse import Reuse, study_reuse
from scalefit.studies.sharpening import study_sharpening
from scalefit.studies.systems import Transfer
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.resources import choose_resource
from scalefit.table.schema import RESOURCES, USUAL
from scalefit.table.select import select
from scalefit.table.systems import SystemTable
from scalefit.units import format_quantity

CLOCKED = 3
"""Sizes that a common clock is drawn for."""
ACROSS = 3
"""Benchmarks side by side, of which there are many: with more a page shows their names too small to be read."""
ARMS = {"reuse": ("τ = ", "Reuse of prompts"), "group_size": ("G = ", "Rollouts a prompt")}
"""How an arm is named, and its picture."""


@dataclass
class Gallery:
    """Files written, and each picture that was not drawn with the reason."""

    made: list[Path] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, list[str]]:
        """What was not drawn, by the reason."""
        found: dict[str, list[str]] = {}
        for name, why in self.skipped.items():
            found.setdefault(why, []).append(name)
        return found


@styled()
def draw_gallery(runs: RunTable, out: Path, where: Mapping[str, str | float] | None = None) -> Gallery:
    """Draw the law of every series and resource, response lengths, and comparisons of reuse and rollouts.

    Parameters
    ----------
    runs : RunTable
        From `scalefit.read_runs`.
    out : Path
        Existing directory for NAME.png, NAME.pdf and NAME.json.
    where : mapping, optional
        Columns and the values to keep.
    """
    gallery, frame = Gallery(), select(runs, where).frame
    labels = _labels(frame)
    pictures: list[tuple[str, Callable[[], None]]] = []
    others = [] if any(name in frame for name in USUAL) else [choose_resource(select(runs, where))]
    for resource in others or USUAL:
        if resource not in frame or frame[resource].isna().all():
            gallery.skipped[f"law by {resource}"] = f"the table has no {resource}"
            continue
        prepared = prepare(runs, resource, where)
        gallery.skipped.update({f"law of {name} by {resource}": why for name, why in prepared.unanswered.items()})
        for data in prepared:
            label = labels[data.series, str(data.record["eval"])]
            pictures += [(f"law of {label}", partial(_draw_law, gallery, data, label, out))]
            pictures += [(f"clock of {label}", partial(_draw_clock, gallery, data, label, out))]
    chosen = RunTable(frame, runs.metadata, (), runs.path)
    costs = _costs_of_reuse(chosen)
    names = file_names({str(series): str(series) for series in frame["series"].unique()})
    for name, label in names.items():
        rows = frame[frame["series"].astype(str) == name]
        pictures += [(f"lengths of {label}", partial(_draw_lengths, gallery, label, rows, out))]
    for (series, held), rows in frame.groupby(["series", "eval"]):
        label = labels[str(series), str(held)]
        pictures += [(f"{arm} of {label}", partial(_draw_arm, gallery, label, rows, arm, costs, out)) for arm in ARMS]
    pictures += [("pass@k", partial(_draw_passes, gallery, chosen, out))]
    pictures += [("horizon", partial(_draw_horizon, gallery, chosen, out))]
    for _, draw in steps(pictures, lambda one: f"drawing: {one[0]}"):
        draw()
    return gallery


@styled()
def draw_systems(table: SystemTable, out: Path, transfers: Sequence[Transfer]) -> list[Path]:
    """Draw every benchmark's scores against size and cost, and every benchmark against the source; return the files.

    Parameters
    ----------
    table : SystemTable
        From `scalefit.read_systems`.
    out : Path
        Existing directory for NAME.png, NAME.pdf and NAME.json.
    transfers : sequence of Transfer
        From `study_transfer`.
    """
    made: list[Path] = []
    look = looks(table.frame)
    parts = {name: table.frame[table.frame["benchmark"] == name] for name in table.benchmarks}
    for x in ("params", "cost"):
        known = {name: rows for name, rows in parts.items() if rows[x].notna().sum() > 1}
        if known:
            figure, panels = new_panels(len(known), ACROSS)
            numbers = {
                name: draw_scores(axes, rows, x, name, look)
                for axes, (name, rows) in zip(panels, known.items(), strict=True)
            }
            systems_legend(figure, look)
            made += save_figure(figure, out / f"scores_by_{x}", numbers)
    if transfers:
        figure, panels = new_panels(len(transfers), ACROSS)
        numbers = {}
        for axes, one in zip(panels, transfers, strict=True):
            told = one.same + one.opposite
            title = (
                f"{told} pairs told apart in both, {one.same} in the same order"
                if told
                else "no pair is told apart in both"
            )
            names = one.source, one.target
            numbers[one.target] = draw_transfer(axes, parts[one.source], parts[one.target], names, title, look)
        systems_legend(figure, look)
        made += save_figure(figure, out / "transfer", numbers)
    return made


def _labels(frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return what each series and evaluation is called in a file's name: the series, and what was evaluated if several."""
    pairs = list(frame[["series", "eval"]].astype(str).drop_duplicates().itertuples(index=False, name=None))
    times = Counter(series for series, _ in pairs)
    return file_names({(series, held): f"{series}_{held}" if times[series] > 1 else series for series, held in pairs})


def _draw_law(gallery: Gallery, data: FitData, label: str, out: Path) -> None:
    resource = data.resources[0]
    name = f"law_{label}_{resource}"
    if len(data.sizes) < 2:
        gallery.skipped[name] = "one model size: a law of size needs two"
        return
    few = len(data.sizes) <= LEAST_SIZES
    cuts = {"all sizes": data}
    if few:
        gallery.skipped[f"{name}, largest size held out"] = f"{len(data.sizes)} sizes; it needs {LEAST_SIZES + 1}"
    else:
        cuts[f"≤ {format_quantity(data.sizes[-2])}"] = data.keep(data.params < data.sizes[-1])
    finals = has_final_losses(data)
    try:
        first = all_sizes(data) if few else across_sizes(data)
        rest = None if finals else within_runs(data)
        k = None if finals else slopes(cuts)
    except FitError as error:
        gallery.skipped[name] = str(error)
        return
    figure, panels = new_figure(1 if finals else 3, height=4.2)
    top = first["curves"][-1]
    unseen = "" if few else f"{format_quantity(top['params'])} predicted unseen: RMSE {top['scores']['rmse']:.3f}"
    draw_law(panels[0], first, unseen or "All sizes fitted")
    if rest is not None and k is not None:
        draw_law(panels[1], rest, "First quarter of every run fitted")
        draw_slopes(panels[2], k, "The slope k(N); points: each size alone")
    drawn = [one for one in (first, rest) if one is not None]
    law_legend(figure, drawn, columns=3 if finals else 6)
    gallery.made += save_figure(figure, out / name, {"law": first, "within runs": rest, "slopes": k})


def _draw_clock(gallery: Gallery, data: FitData, label: str, out: Path) -> None:
    """Draw all sizes of a series on one clock."""
    resource = data.resources[0]
    name = f"clock_{label}_{resource}"
    if len(data.sizes) < CLOCKED:
        gallery.skipped[name] = f"{len(data.sizes)} model size(s): a clock that all share needs {CLOCKED}"
        return
    if has_final_losses(data):
        gallery.skipped[name] = "runs have too few evaluations for a curve each"
        return
    found = on_one_clock(data)
    figure, (axes,) = new_figure(height=4.0)
    x = found["line"]["x"]
    half = f"at {format_quantity(found['X_mid'])}" if x[0] < found["X_mid"] else "before the runs"
    half = half if found["X_mid"] < x[-1] else "beyond the runs"
    draw_clock(axes, found, f"All on one clock: half-way {half}, steepness {found['B']:.2f}")
    size_legend(figure, size_colours([curve["params"] for curve in found["curves"]]))
    gallery.made += save_figure(figure, out / name, found)


def _draw_passes(gallery: Gallery, runs: RunTable, out: Path) -> None:
    try:
        found = study_sharpening(runs)
    except FitError:
        gallery.skipped["pass_at_k"] = "the table has no pass_rates and no pass_at_k"
        return
    figure, panels = new_panels(len(found))
    for axes, one in zip(panels, found, strict=True):
        draw_passes(axes, one.passes, one.law, f"{one.series}, {one.eval}, {format_quantity(one.params)}")
    panels[0].legend(frameon=False, fontsize=7, loc="lower right")
    gallery.made += save_figure(figure, out / "pass_at_k", [vars(one) for one in found])


def _draw_horizon(gallery: Gallery, runs: RunTable, out: Path) -> None:
    try:
        found = study_horizon(runs)
    except FitError:
        gallery.skipped["horizon"] = "the table has no depth"
        return
    figure, panels = new_panels(len(found))
    for axes, one in zip(panels, found, strict=True):
        draw_horizon(axes, vars(one), f"{one.series}, {format_quantity(one.params)}")
        axes.legend(frameon=False, fontsize=7)
    gallery.made += save_figure(figure, out / "horizon", [vars(one) for one in found])


def _resource(rows: pd.DataFrame) -> str | None:
    """Return the first known resource that is there."""
    return next((x for x in RESOURCES if x in rows and rows[x].notna().any()), None)


def _draw_lengths(gallery: Gallery, label: str, rows: pd.DataFrame, out: Path) -> None:
    """Draw the response length of a series, a panel an evaluation."""
    name = f"response_length_{label}"
    resource = _resource(rows)
    if resource is None or "response_length" not in rows or rows["response_length"].isna().all():
        gallery.skipped[name] = "the table has no response_length"
        return
    parts = {str(held): part for held, part in rows.groupby("eval") if part["response_length"].notna().any()}
    labels = {size: format_quantity(size) for size in sorted(rows["params"].unique())}
    figure, panels = new_panels(len(parts))
    numbers = {}
    for axes, (held, part) in zip(panels, parts.items(), strict=True):
        numbers[held] = draw_arms(axes, part, "params", resource, labels, y="response_length")
        axes.set_title(f"Response length, {label}" if len(parts) == 1 else f"{label}: {held}", loc="left")
    ends = [end for axes in panels for end in axes.get_ylim()]
    for axes in panels:
        axes.set_ylim(min(ends), max(ends))
    if len(labels) > 1 or len(parts) == 1:
        panels[0].legend(frameon=False, fontsize=7, title="N", ncols=2)
    gallery.made += save_figure(figure, out / name, numbers)


def _costs_of_reuse(runs: RunTable) -> dict[tuple[str, str, float], Reuse]:
    """Return what reuse costs, by series, evaluation and size; nothing where it does not vary."""
    try:
        found = study_reuse(runs)
    except FitError:
        return {}
    return {(one.series, one.eval, one.params): one for one in found if isinstance(one, Reuse)}


def _draw_arm(
    gallery: Gallery,
    label: str,
    rows: pd.DataFrame,
    arm: str,
    costs: Mapping[tuple[str, str, float], Reuse],
    out: Path,
) -> None:
    """Draw the curves of an arm's values by samples, rollouts by FLOPs too, and beside reuse what it costs."""
    name = f"{arm}_{label}"
    counts = rows.groupby("params")[arm].nunique() if arm in rows else pd.Series(dtype=int)
    varied = counts[counts > 1]
    if varied.empty:
        gallery.skipped[name] = f"{arm} does not vary within a size"
        return
    first = _resource(rows) or "step"
    resources = [
        first,
        *(x for x in USUAL if arm == "group_size" and x != first and x in rows and rows[x].notna().any()),
    ]
    mark, what = ARMS[arm]
    series, held = (str(rows[column].iloc[0]) for column in ("series", "eval"))
    judged = {
        size: costs[series, held, size] for size in varied.index if arm == "reuse" and (series, held, size) in costs
    }
    figure, panels = new_panels(len(varied) * len(resources) + len(judged))
    places, numbers = iter(panels), {}
    for size in varied.index:
        mine = rows[rows["params"] == size]
        labels = {value: f"{mark}{value:g}" for value in sorted(mine[arm].unique())}
        window = window_of(mine)
        for resource in resources:
            axes = next(places)
            key = format_quantity(size) if resource == first else f"{format_quantity(size)} by {resource}"
            numbers[key] = draw_arms(axes, mine, arm, resource, labels, window=window)
            smoothed = f"; lines: means of {SMOOTHED} evaluations" if window > 1 else ""
            axes.set_title(f"{what}, {label}, {format_quantity(size)}{smoothed}", loc="left")
        if size in judged:
            draw_on(axes := next(places), judged[size])
            axes.set_title("what it costs", loc="left")
    several = max(rows.groupby(["params", arm])["run_id"].nunique()) > 1
    panels[0].legend(frameon=False, fontsize=7, title="band: range of the runs" if several else None, title_fontsize=7)
    gallery.made += save_figure(figure, out / name, numbers)
