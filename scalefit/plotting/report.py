"""One page that a team lead can read: the question, the law, held-out evidence, diagnostics, decisions, methods.

The methods appendix follows the checklist of Li et al. 2025, "(Mis)Fitting", arXiv:2502.18969. The page is one file and
asks the network for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scalefit.errors import FitError
from scalefit.fitting.fit import Fit
from scalefit.fitting.hierarchy import OPEN, Hierarchy
from scalefit.fitting.scatter import describe_scatter
from scalefit.plotting import interactive
from scalefit.plotting.page import Page, number
from scalefit.prediction.ensemble import LEAST_SIZES
from scalefit.prediction.forecast import Forecast, forecast
from scalefit.prediction.holdouts import across_sizes, fitted_curves, law_of_sizes, slopes, within_runs
from scalefit.prediction.predictor import fit_series
from scalefit.prediction.saturation import weigh_saturation
from scalefit.provenance import versions
from scalefit.studies.budget import Plan, plan
from scalefit.studies.design import Design, design
from scalefit.studies.reuse import study_reuse
from scalefit.studies.rollouts import study_rollouts
from scalefit.table.io import RunTable, as_runs
from scalefit.table.prepare import FitData, prepare
from scalefit.table.remote import sha256_of_table
from scalefit.table.select import Source, select
from scalefit.units import format_quantity

LINE = "power"
"""The law of one size."""
LAGS = 15


def make_report(
    runs: Source, *, x: str | None = None, where: Mapping[str, Any] | None = None, source: Path | None = None
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
    source : Path, optional
        The table's file, for its hash.

    Raises
    ------
    FitError
        If no series can be fitted.
    """
    runs = as_runs(runs)
    fits, unanswered = _fits(runs, x, where)
    plans = _plans(runs, where)
    page = Page()
    title = f"Scaling of {', '.join(fit.data.series for fit in fits)}"
    page.heading(1, title)
    page.text(_question(fits), "lead")
    page.heading(2, "In short")
    verdicts = {fit.data.series: weigh_saturation(fit) for fit in fits}
    page.points(
        [f"{series}: {verdict.sentence}" for series, verdict in verdicts.items() if verdict]
        + [f"{one.series}, a budget of {format_quantity(one.budget['flops'])} FLOPs: {one.verdict}" for one in plans]
        + [f"{fit.data.series}: one size, so nothing is said of others" for fit in fits if len(fit.data.sizes) == 1]
    )
    page.points([f"{name} is left out: {why}" for name, why in unanswered.items()], "warn")
    for fit in fits:
        _series(page, fit)
    page.heading(2, "Decisions")
    _decisions(page, runs, where, plans)
    _methods(page, runs, fits, where, source)
    return page.html(title)


def _fits(runs: RunTable, x: str | None, where: Mapping[str, Any] | None) -> tuple[list[Fit], dict[str, str]]:
    """Fit every series, one of a single size by that size's own line; return them and what could not be fitted."""
    found: list[Fit] = []
    refused: dict[str, str] = {}
    prepared = prepare(runs, x, where)
    for data in prepared:
        held = str(data.record["eval"])
        mine = {**(where or {}), "series": data.series, "eval": held}
        try:
            found += [one.fit for one in fit_series(runs, law_of_sizes(data) if len(data.sizes) > 1 else LINE, x, mine)]
        except FitError as error:
            refused[f"{data.series} on {held}"] = str(error)
    if not found:
        raise FitError("nothing can be fitted:\n" + "\n".join(f"  {name}: {why}" for name, why in refused.items()))
    return found, {**refused, **prepared.unanswered}


def _question(fits: Sequence[Fit]) -> str:
    data = fits[0].data
    sizes = f"{format_quantity(data.sizes[0])} to {format_quantity(data.sizes[-1])}"
    return (
        f"How does the test loss of {', '.join(fit.data.series for fit in fits)} fall with {data.resources[0]} and with size, {sizes}, "
        "and what does that say of sizes and budgets that were not run? Every interval is 95 %; what the data do not say is said."
    )


def _series(page: Page, fit: Fit) -> None:
    data = fit.data
    page.heading(2, f"{data.series} on {data.record['eval']}")
    page.heading(3, "The law")
    page.text(
        f"{fit.law.formula}. Status {fit.verdict}; {fit.misfit.correlation(fit.noise.rho)}; {data.points} evaluations."
    )
    said = describe_scatter(fit).sentence
    page.text(f"{said[0].upper()}{said[1:]}.")
    page.points([*data.caveats, *fit.notes, *fit.misfit.warnings], "warn")
    rows = [{"parameter": name, **_cells(one)} for name, one in fit.params.items()]
    if fit.law.line is not None:
        each = zip(data.sizes, fit.k_of_sizes(data.sizes.tolist()), strict=True)
        rows += [{"parameter": f"k({format_quantity(size)})", **_cells(k)} for size, k in each]
    page.table(pd.DataFrame(rows))
    few = len(data.sizes) <= LEAST_SIZES
    found = fitted_curves(fit) if few else across_sizes(data)
    name = format_quantity(data.sizes[-1])
    page.heading(3, "Held-out evidence")
    if few:
        count = f"{len(data.sizes)} size{'s' if len(data.sizes) > 1 else ''}"
        page.text(f"{count}: none can be held out; that needs {LEAST_SIZES + 1}.", "warn")
    page.picture(
        interactive.draw_curves(found),
        f"Loss of every size; lines are the law with three 95 % bands: its mean curve, a new run, one evaluation of it{'' if few else f', dashed: {name} predicted from the smaller sizes alone'}.",
    )
    if not few:
        top = found["curves"][-1]
        others = ", ".join(f"{_words(key)} {value:.4f}" for key, value in top["baselines"].items())
        page.text(
            f"{name} unseen: RMSE {top['scores']['rmse']:.4f}, bias at its end {top['scores']['end_bias']:+.4f}, 95 % band of an evaluation covers "
            f"{top['scores']['cover95']:.0%}. Without a law: {others}."
        )
    if fit.single:
        page.text("Each run has one evaluation or two: nothing of a run can be predicted from its beginning.")
        return
    rest = within_runs(data, law=fit.law.name)
    scores = [
        {
            "size": format_quantity(curve["params"]),
            "fitted": curve["first"],
            "RMSE of the rest": curve["scores"]["rmse"],
            "RMSE of the last value": curve["baselines"]["last_value"],
            "95 % band covers": curve["scores"]["cover95"],
        }
        for curve in rest["curves"]
        if "scores" in curve
    ]
    page.text("The rest of every run, predicted from its first quarter:")
    page.table(pd.DataFrame(scores))
    if len(data.sizes) > 1:
        cuts = {"all sizes": data} | ({} if few else {f"without {name}": data.keep(data.params < data.sizes[-1])})
        caption = "The slope k(N) of the law's mean curve with its 95 % band; points are each size alone."
        page.picture(interactive.draw_slopes(slopes(cuts)), caption)
    _diagnostics(page, fit)


def _diagnostics(page: Page, fit: Fit) -> None:
    data = fit.data
    page.heading(3, "Diagnostics")
    x = [data.resource[0, row, data.present[row]] for row in range(len(data.params))]
    left = [
        data.loss[row, data.present[row]] - 10.0 ** fit.log_curve(np.full(len(at), data.params[row]), at[None])[0]
        for row, at in enumerate(x)
    ]
    page.picture(
        interactive.draw_residuals(data.params.tolist(), x, left, data.resources[0]),
        "Residuals by size. A line that stays on one side is misfit, not noise.",
    )
    lags = np.arange(1, min(LAGS, min(map(len, left)) - 2) + 1)
    measured = [
        float(np.mean([one[lag:] @ one[:-lag] / max(float(one @ one), 1e-300) for one in left]))
        for lag in lags.tolist()
    ]
    page.picture(
        interactive.draw_correlation(lags, measured, fit.noise.rho**lags),
        f"Autocorrelation of the residuals; the intervals allow for AR(1) noise with correlation {fit.noise.rho:.2f}.",
    )
    if isinstance(fit.evidence, Hierarchy) and "N0" in fit.evidence.profiles:
        values, log = fit.evidence.profiles["N0"]
        page.picture(
            interactive.draw_profile(np.exp(values), 2 * (log.max() - log), -2 * np.log(OPEN), "N0 [parameters]"),
            "Profile of N0, the scatter of runs integrated over: where it stays below the dotted line to the right, the data do not bound it.",
        )
    bounds = [note for note in fit.notes if "bound" in note]
    page.text("At a bound: " + ("; ".join(bounds) if bounds else "none."))


def _plans(runs: RunTable, where: Mapping[str, str | float] | None) -> list[Plan]:
    """Plan for the compute that the median size's whole run took, a budget inside what was measured."""
    if not all(name in runs.frame and runs.frame[name].notna().any() for name in ("samples", "flops")):
        return []
    found: list[Plan] = []
    for data in prepare(runs, "flops", where):
        ends = np.where(data.present, data.resource[0], 0.0).max(1)
        budget = float(np.median(ends))
        try:
            found += plan(
                runs, flops=budget, where={**(where or {}), "series": data.series, "eval": str(data.record["eval"])}
            )
        except FitError:
            continue
    return found


def _decisions(page: Page, runs: RunTable, where: Mapping[str, str | float] | None, plans: Sequence[Plan]) -> None:
    for one in plans:
        page.heading(3, f"{one.series}: which size for {format_quantity(one.budget['flops'])} FLOPs")
        page.text(one.verdict)
        page.picture(
            interactive.draw_plan(one.sizes),
            "Loss of each size at the same compute, with 95 % of the law's mean curve (thick) and of a new run (thin).",
        )
        keep = ["params", "loss", "low", "high", "run_low", "run_high", "samples", "gpu_hours"]
        keep += ["probability_best", "probability_best_run"]
        page.table(one.frame[keep].assign(params=[format_quantity(row["params"]) for row in one.sizes]))
        said = one.assumptions
        page.text(
            f"GPU-hours: {said['gpu']} at {said['mfu']:.0%} of {said['peak_flops'] / 1e12:g} TFLOP/s; passes {said['passes']}."
        )
        page.points([_crossing(row) for row in one.crossovers])
        page.points(one.warnings, "warn")
    for name, answer in _ahead(runs, where):
        page.heading(3, name)
        if isinstance(answer, FitError):
            page.text(f"Not answered by this table: {str(answer).removeprefix(f'{runs.path}: ')}")
            continue
        page.text(answer.headline)
        if isinstance(answer, Design):
            page.text(f"{answer.seeds[0].upper()}{answer.seeds[1:]}.")
        page.table(answer.frame if isinstance(answer, Design) else _every_fourth(answer))
        page.points(answer.warnings, "warn")
    for study, name in ((study_reuse, "Reuse of prompts"), (study_rollouts, "Rollouts per prompt")):
        try:
            answers: Any = study(runs, where=where)
        except FitError as error:
            page.heading(3, name)
            page.text(f"Not answered by this table: {str(error).removeprefix(f'{runs.path}: ')}")
            continue
        page.heading(3, name)
        for answer in answers:
            page.text(answer.headline)
            page.table(answer.frame)
            page.points(answer.warnings, "warn")
    page.text("Two recipes are compared between two tables, by scalefit compare-recipes.")


def _ahead(
    runs: RunTable, where: Mapping[str, str | float] | None
) -> Iterator[tuple[str, Forecast | Design | FitError]]:
    """For every series: the rest of its largest run, and what to run next for a size twice the largest."""
    runs = select(runs, where)
    both = all(name in runs.frame and runs.frame[name].notna().any() for name in ("samples", "flops"))
    for data in prepare(runs, None, where):
        mine = {**(where or {}), "series": data.series, "eval": str(data.record["eval"])}
        rows = select(runs, {**mine, "params": float(data.sizes[-1])}).frame
        run = str(rows["run_id"].iloc[0])
        try:
            yield f"{data.series}: the rest of {run}", forecast(runs, run, evaluation=str(data.record["eval"]))
        except FitError as error:
            yield f"{data.series}: the rest of {run}", error
        if both:
            target, budget = 2 * float(data.sizes[-1]), float(rows["flops"].max())
            name = f"{data.series}: what to run next for {format_quantity(target)}, for the FLOPs of {run}"
            try:
                yield name, design(runs, budget, target, where=mine)[0]
            except FitError as error:
                yield name, error


def _every_fourth(found: Forecast) -> pd.DataFrame:
    return found.frame.iloc[::4][[found.resource, "loss", "low50", "high50", "low95", "high95"]]


def _crossing(row: Mapping[str, Any]) -> str:
    pair = f"{format_quantity(row['larger'])} overtakes {format_quantity(row['smaller'])}"
    return (
        f"{pair} at {row['flops']:.3g} FLOPs ({row['low']:.3g} to {row['high']:.3g})"
        if row["settled"]
        else f"{pair}: the data do not say where"
    )


def _methods(
    page: Page, runs: RunTable, fits: Sequence[Fit], where: Mapping[str, str | float] | None, source: Path | None
) -> None:
    data: FitData = fits[0].data
    page.heading(2, "Methods")
    frame = runs.frame
    facts = {
        "Hypothesis": f"{fits[0].law.formula}; source: {fits[0].law.source}",
        "Variables": f"N [parameters], {data.resources[0]}, loss 1 − pass@1; "
        + ", ".join(f"{key}: {value}" for key, value in runs.metadata.items() if key.endswith("_convention")),
        "Data points": "; ".join(
            f"{fit.data.series}: {fit.data.points} evaluations of {len(fit.data.sizes)} sizes, {sum(fit.data.runs)} runs"
            for fit in fits
        ),
        "Selection": f"{len(frame)} rows read; kept {dict(where) if where else 'all series'}; points at {data.resources[0]} 0 dropped; "
        f"clip {data.record['clip']}; seeds {'merged to their mean' if data.record['merge'] else 'kept apart'}; weights {data.record['weights']}",
        "Evaluation": "; ".join(f"{fit.data.record['eval']}, {_problems(fit.data)}" for fit in fits),
        "Loss of the fit": f"squared error of the {fits[0].specification.objective}, weighted by AR(1) noise (REML); Huber {fits[0].specification.huber or 'no'}",
        "Optimiser": "variable projection start, batched Levenberg-Marquardt with analytic Jacobian; one start, computed from each size's line; no random restart",
        "Parameters": "; ".join(
            f"{param.name} in {param.bounds[0]:g} to {param.bounds[1]:g}{', fitted on a logarithmic scale' if param.scale == 'log' else ''}"
            for param in fits[0].law.params
        ),
        "Intervals": "95 %; the run is the unit of evidence, the scatter between runs integrated over; plans from 1000 draws, seed 0",
        "Validation": "largest size predicted from the others; the rest of every run from its first quarter; baselines beside both",
        "Seeds": f"training seeds in the table: {sorted(frame['seed'].dropna().unique().tolist()) if 'seed' in frame else 'not recorded'}",
        "Table": f"{runs.path}{f', SHA-256 {sha256_of_table(source)}' if source else ''}; numbers fitted: {', '.join(fit.data.digest()[:16] for fit in fits)}",
        "Versions": ", ".join(f"{name} {version}" for name, version in versions("pandas", "plotly").items()),
    }
    page.pieces.append(
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items()) + "</dl>"
    )


def _problems(data: FitData) -> str:
    size = data.eval_size[np.isfinite(data.eval_size)]
    return f"{np.median(size):g} problems times runs merged" if len(size) else "number of problems not recorded"


def _cells(one: Any) -> dict[str, str]:
    if not np.isfinite(one.se):
        return {"value": "not determined", "95 % low": "", "high": ""}
    return {"value": number(one.value), "95 % low": number(one.low), "high": number(one.high)}


def _words(name: str) -> str:
    return name.replace("_", " ")
