"""The methods of a report: what was fitted to what and how, by the checklist of Li et al. 2025, arXiv:2502.18969."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from scalefit.plotting.page import Page
from scalefit.provenance import versions
from scalefit.studies.overview import Overview
from scalefit.table.prepare import FitData
from scalefit.table.remote import sha256_of_table


def add_methods(page: Page, found: Overview, source: Path | None) -> None:
    """Add the checklist."""
    facts = _facts(found, source)
    page.raw(
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items()) + "</dl>"
    )


def _facts(found: Overview, source: Path | None) -> dict[str, str]:
    runs, fits = found.runs, [part.fitted.fit for part in found.parts]
    data, first, frame, where = fits[0].data, fits[0], runs.frame, found.asked.where
    conventions = ", ".join(f"{key}: {value}" for key, value in runs.metadata.items() if key.endswith("_convention"))
    return {
        "Hypothesis": f"{first.law.formula}; source: {first.law.source}",
        "Variables": f"N [parameters], {data.resources[0]}, loss 1 − pass@1; {conventions}",
        "Data points": "; ".join(
            f"{fit.data.series}: {fit.data.points} evaluations of {len(fit.data.sizes)} sizes, {sum(fit.data.runs)} runs"
            for fit in fits
        ),
        "Selection": f"{len(frame)} rows read; kept {dict(where) if where else 'all series'}; points at {data.resources[0]} 0 dropped; "
        f"clip {data.record['clip']}; seeds {'merged to their mean' if data.record['merge'] else 'kept apart'}; weights {data.record['weights']}",
        "Evaluation": "; ".join(f"{fit.data.record['eval']}, {_problems(fit.data)}" for fit in fits),
        "Loss of the fit": f"squared error of the {first.specification.objective}, weighted by AR(1) noise (REML); Huber {first.specification.huber or 'no'}",
        "Optimiser": "variable projection start, batched Levenberg-Marquardt with analytic Jacobian; one start, computed from each size's line; no random restart",
        "Parameters": "; ".join(
            f"{param.name} in {param.bounds[0]:g} to {param.bounds[1]:g}{', fitted on a logarithmic scale' if param.scale == 'log' else ''}"
            for param in first.law.params
        ),
        "Intervals": "95 %; the run is the unit of evidence, the scatter between runs integrated over; plans from 1000 draws, seed 0",
        "Validation": "largest size predicted from the others; every size left out by the default prediction; each forecast run from its first half",
        "Seeds": f"training seeds in the table: {sorted(frame['seed'].dropna().unique().tolist()) if 'seed' in frame else 'not recorded'}",
        "Table": f"{runs.path}{f', SHA-256 {sha256_of_table(source)}' if source else ''}; numbers fitted: {', '.join(fit.data.digest()[:16] for fit in fits)}",
        "Versions": ", ".join(f"{name} {version}" for name, version in versions("pandas").items()),
    }


def _problems(data: FitData) -> str:
    size = data.eval_size[np.isfinite(data.eval_size)]
    return f"{np.median(size):g} problems times runs merged" if len(size) else "number of problems not recorded"
