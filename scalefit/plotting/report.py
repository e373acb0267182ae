"""One page that a team lead can read in a minute: the answer, what it is worth, what to do next; then questions, evidence, methods.

The page only writes what `studies.overview` found, in the sentences that the commands say. The methods follow the checklist of
Li et al. 2025, "(Mis)Fitting", arXiv:2502.18969.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scalefit.fitting.bands import BANDS
from scalefit.plotting import interactive
from scalefit.plotting.evidence import add_diagnostics, add_held_out, add_law, add_trust, trust_line
from scalefit.plotting.explorer import add_plan, add_reuse, add_rollouts
from scalefit.plotting.methods import add_methods
from scalefit.plotting.page import Page
from scalefit.prediction.predict import Prediction
from scalefit.studies.overview import Asked, Overview, Part, look_over, worth_of_more
from scalefit.studies.reuse import Reuse
from scalefit.studies.trust import trust_arms
from scalefit.table.io import as_runs
from scalefit.table.select import Source
from scalefit.table.summary import describe_table
from scalefit.units import format_quantity

SHOWN = 3
"""Series that the first screen answers in full; the rest follow below."""


def make_report(
    runs: Source,
    *,
    x: str | None = None,
    where: Mapping[str, Any] | None = None,
    params: Sequence[float] = (),
    flops: float | None = None,
    source: Path | None = None,
) -> str:
    """Return the report of a runs table, a page of HTML.

    Parameters
    ----------
    runs : RunTable, path or data frame
        Runs of one size or several.
    x : str, optional
        Resource of the law.
    where : mapping, optional
        Column to value.
    params : sequence of float
        Sizes to predict [parameters]; beside the largest one measured, nothing is predicted that is not asked for.
    flops : float, optional
        The compute at hand [FLOPs]; by default that of the median run.
    source : Path, optional
        The table's file, for its hash.

    Raises
    ------
    FitError
        If no series can be fitted.
    """
    table = as_runs(runs)
    found = look_over(table, Asked(x, where, tuple(params), flops))
    page = Page()
    _first_screen(page, found)
    page.contents()
    _ends(page, found.parts)
    _budget(page, found.parts)
    _ahead(page, found.parts)
    _designs(page, found.parts)
    _comparisons(page, found)
    page.question("How far can this be trusted?")
    for part in found.parts:
        _named(page, part, found.parts)
        add_trust(page, part)
        add_held_out(page, part)
        with page.fold(f"The law of {part.data.name}: parameters and what it leaves"):
            add_law(page, part)
            add_diagnostics(page, part)
    _unanswered(page, found)
    page.question("How was this made?")
    add_methods(page, found, source)
    return page.html(f"Scaling of {', '.join(dict.fromkeys(part.data.series for part in found.parts))}")


def _first_screen(page: Page, found: Overview) -> None:
    names = list(dict.fromkeys(part.data.series for part in found.parts))
    page.heading(1, f"What the runs of {', '.join(names[:SHOWN])}{' and others' if len(names) > SHOWN else ''} say")
    page.text(describe_table(found.runs), "about")
    for comparison in (found.reuse, found.rollouts):
        for answer in list(comparison or ())[:SHOWN]:
            page.text(answer.headline, "lead")
            page.raw(trust_line(trust_arms(answer)))
    for part in found.parts[:SHOWN]:
        for said in _answers(part):
            page.text(said, "lead")
        page.raw(trust_line(part.first_trust))
        page.text(f"What next: {' '.join(part.next_steps)}", "lead")
        if found.asked.params or found.asked.flops:
            page.points([f"{name}: {why}" for name, why in part.unanswered.items()], "warn")
    if more := found.parts[SHOWN:]:
        page.text(f"And {len(more)} more, below: {', '.join(part.data.name for part in more)}.")
    page.table(
        _bands(found.parts),
        "Where runs end: measured, as the mean of the last fifth of each, and by the law, with three bands of that",
        stack=True,
    )
    page.table(_forecasts(found.parts), "How single runs go on: where they end, and the bands of that", stack=True)


def _answers(part: Part) -> list[str]:
    """Return what a part answers first: what its largest size came to, what is predicted, which size a budget is best spent on."""
    if part.alone and part.forecast is not None:
        return [f"{part.forecast.headline}."]
    largest, *asked = part.ends
    said = [f"{end.headline}." for end in asked]
    if (found := part.reached) is None or part.again is None:
        said = [f"{largest.headline}.", *said]
    else:
        end = part.again.curve[-1]
        another = f"By the law, another run of it would end at {end['run_low']:.3f} to {end['run_high']:.3f} (95 %)."
        said = [f"{found.sentence} {another}", *said]
    return said + ([part.plan.headline] if part.plan is not None else [])


def _bands(parts: Sequence[Part]) -> pd.DataFrame:
    """Return where each size that was asked for ends, with its three bands."""
    rows = []
    for part in (one for one in parts if not one.alone):
        for end in part.ends:
            curve = end.curve[-1]
            row = {"what": f"{part.data.name}, {format_quantity(end.params)}", **_at(end)}
            seen = part.reached if part.reached is not None and end is part.ends[0] else None
            row |= {"loss_measured": None if seen is None else seen.loss, "loss_by_law": curve["loss"]}
            row["solved"] = round(100 * (1 - (curve["loss"] if seen is None else seen.loss)))
            rows.append(
                row | {f"{prefix}{side}": curve[f"{prefix}{side}"] for prefix in BANDS for side in ("low", "high")}
            )
    return pd.DataFrame(rows)


def _forecasts(parts: Sequence[Part]) -> pd.DataFrame:
    """Return where parts that are single runs are forecast to end, with the bands of that."""
    rows = []
    for found in (part.forecast for part in parts if part.alone):
        if found is not None:
            row = {"what": found.run, found.resource: found.end[found.resource], "loss": found.end["loss"]}
            row["solved"] = round(100 * (1 - found.end["loss"]))
            bands = {name: found.end[name] for name in ("low50", "high50", "low95", "high95")}
            rows.append(row | bands | {name: found.curve[-1][name] for name in ("eval_low95", "eval_high95")})
    return pd.DataFrame(rows)


def _at(end: Prediction) -> dict[str, float]:
    return {name: end.curve[-1][name] for name in end.resource.split(" and ")}


def _named(page: Page, part: Part, parts: Sequence[Part]) -> None:
    """Put the name of a series over its answer where there are several."""
    if len(parts) > 1:
        page.heading(3, part.data.name)


def _ends(page: Page, parts: Sequence[Part]) -> None:
    page.question("How far do these runs go?")
    for part in parts:
        _named(page, part, parts)
        for end in part.ends:
            page.text(f"{end.headline}.")
        page.points([warning for end in part.ends for warning in end.warnings], "warn")
        unseen = any(curve["extrapolated"] for curve in part.shown["curves"])
        top = format_quantity(float(part.data.sizes[-1]))
        dashed = f", dashed: {top} predicted from the smaller sizes alone" if unseen else ""
        page.picture(
            interactive.draw_curves(part.shown),
            f"Loss of every size; lines are the law with its 95 % bands{dashed}.",
            interactive.say_curves(part.shown),
        )
        with page.fold(f"The curve of {', '.join(format_quantity(end.params) for end in part.ends)} in numbers"):
            for end in part.ends:
                points = part.fitted.predict_size(end.params)
                page.table(points.frame, f"{format_quantity(end.params)}, by {points.rests_on}")


def _budget(page: Page, parts: Sequence[Part]) -> None:
    planned = [part for part in parts if part.plan is not None]
    if not planned:
        return
    page.question("Which size for this budget?")
    for part in planned:
        plan = part.plan
        assert plan is not None
        _named(page, part, planned)
        page.text(plan.headline)
        page.picture(
            interactive.draw_plan(plan.sizes),
            "Loss of each size at the same compute, with 95 % of the law's mean curve (thick) and of a new run (thin).",
            interactive.say_plan(plan.sizes),
        )
        page.points(plan.warnings, "warn")
        page.points([f"{line[0].upper()}{line[1:]}." for line in (*plan.near_lines, *plan.crossing_lines)])
        with page.fold("Every size in numbers, and what a GPU-hour is taken to be"):
            keep = ["params", "loss", "low", "high", "run_low", "run_high", "samples", "gpu_hours"]
            page.table(
                plan.frame[[*keep, "probability_best", "probability_best_run", "outside"]],
                "The budget spent on each size",
            )
            said = plan.assumptions
            page.text(
                f"GPU-hours: {said['gpu']} at {said['mfu']:.0%} of {said['peak_flops'] / 1e12:g} TFLOP/s; passes {said['passes']}."
            )
    add_plan(
        page, [(part.plan, part.options) for part in planned if part.plan is not None and part.options is not None]
    )


def _ahead(page: Page, parts: Sequence[Part]) -> None:
    going = [part for part in parts if part.forecast is not None]
    if not going:
        return
    page.question("Is it worth going on?")
    for part in going:
        found = part.forecast
        assert found is not None
        assert part.run is not None
        _named(page, part, going)
        page.text(f"{found.headline}.")
        page.text(f"{worth_of_more(found)}.")
        if part.forecast_trust is not None:
            page.raw(trust_line(part.forecast_trust))
        page.points(found.warnings, "warn")
        end = found.end
        page.picture(
            interactive.draw_forecast(found.curve, found.resource, *part.run),
            f"{found.run} so far, and how it goes on; band: {found.calibrated_on}.",
            f"Loss of {found.run}: {found.now['loss']:.3f} now, {end['loss']:.3f} expected at the end, 95 % from {end['low95']:.3f} to {end['high95']:.3f}.",
        )
        with page.fold("The forecast in numbers"):
            page.table(pd.DataFrame(found.curve).iloc[::4], f"{found.run}, {found.series}")


def _designs(page: Page, parts: Sequence[Part]) -> None:
    for part in parts:
        if part.design is not None:
            page.question(f"What to run next, {part.data.name}?")
            page.text(part.design.headline)
            page.text(f"{part.design.seeds[0].upper()}{part.design.seeds[1:]}.")
            page.table(part.design.frame, f"Runs to make, to predict {format_quantity(part.design.target['params'])}")
            page.points(part.design.warnings, "warn")


def _comparisons(page: Page, found: Overview) -> None:
    if found.reuse is not None:
        page.question("Reuse prompts or buy more?")
        for answer in found.reuse:
            page.text(answer.headline)
            page.table(answer.frame, "What repeats cost")
            page.points(answer.warnings, "warn")
            if isinstance(answer, Reuse):
                add_reuse(page, answer)
        page.points(found.reuse.open, "warn")
    if found.rollouts is not None:
        page.question("How many rollouts a prompt?")
        for one in found.rollouts:
            page.text(one.headline)
            page.points(one.warnings, "warn")
            for resource, rows in one.frontier.items():
                if rows:
                    arms = ", ".join(f"{arm['group_size']} rollouts {arm['loss']:.3f}" for arm in rows[-1]["arms"])
                    page.picture(
                        interactive.draw_groups(rows, resource),
                        f"Loss of each group size at the same {resource}, with 95 % intervals.",
                        f"Loss by group size at the largest budget: {arms}.",
                    )
            with page.fold("Why: how often a group's rollouts are all alike"):
                page.table(one.frame, "Groups all alike teach nothing")
            add_rollouts(page, one)
        page.points(found.rollouts.open, "warn")


def _unanswered(page: Page, found: Overview) -> None:
    path = f"{found.runs.path}: "
    said = [f"{name}: {why.removeprefix(path)}" for name, why in found.unanswered.items()]
    for part in found.parts:
        said += [f"{part.data.name}, {name}: {why.removeprefix(path)}" for name, why in part.unanswered.items()]
    said += [str(fault) for fault in found.runs.warnings]
    if said:
        page.question("What do these runs not say?")
        page.points(said, "warn")
