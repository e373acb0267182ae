"""What an answer of the report rests on: its trust with every ground, what was held out, the law and what it leaves."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd

from scalefit.fitting.hierarchy import OPEN, Hierarchy
from scalefit.plotting import interactive
from scalefit.plotting.page import Page
from scalefit.plotting.words import number
from scalefit.studies.overview import Part
from scalefit.studies.trust import NOT, THIN, WELL, Trust
from scalefit.units import format_quantity

LAGS = 15
CLASSES = {WELL: "well", THIN: "thin", NOT: "not"}


def trust_line(trust: Trust) -> str:
    """Return how far to trust an answer, as HTML: the sentence, and the word of every ground."""
    kind, opening = CLASSES[trust.word], f"Trust: {trust.word}."
    rest = trust.sentence.removeprefix(opening)
    words = " · ".join(
        f'{escape(ground.name)}: <span class="word {CLASSES[ground.word]}">{ground.word}</span>'
        for ground in trust.grounds
    )
    return f'<p class="trust {kind}"><span class="word {kind}">{opening}</span>{escape(rest)}<br><span class="soft">{words}</span></p>'


def add_trust(page: Page, part: Part) -> None:
    """Add the grounds of a series' trust."""
    page.raw(trust_line(part.trust))
    rows = [
        {"ground": one.name, "word": one.word, "why": one.why, "what would mend it": one.mend}
        for one in part.trust.grounds
    ]
    with page.fold("Each ground, and what would mend it"):
        page.table(pd.DataFrame(rows), "What the word rests on")


def add_held_out(page: Page, part: Part) -> None:
    """Add how the largest size was predicted without it."""
    top = part.shown["curves"][-1]
    if "scores" not in top:
        return
    others = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in top["baselines"].items())
    scores, name = top["scores"], format_quantity(top["params"])
    page.text(
        f"{name} predicted from the smaller sizes alone is off by {scores['rmse']:.3f} in loss (root mean square) and by "
        f"{scores['end_bias']:+.3f} at its end; the 95 % band of an evaluation holds {scores['cover95']:.0%} of its evaluations. "
        f"Without a law: {others}."
    )


def add_law(page: Page, part: Part) -> None:
    """Add the law, what is said of it, and its parameters."""
    fitted, fit = part.fitted, part.fitted.fit
    page.text(
        f"{fit.law.formula}. Status: {fit.verdict}; {fit.misfit.correlation(fit.noise.rho)}; {part.data.points} evaluations."
    )
    said = fitted.scatter.sentence
    page.text(f"{said[0].upper()}{said[1:]}.")
    page.points(fitted.warnings, "warn")
    if not fit.misfit.missed:
        page.text(f"{fit.misfit.sentence[0].upper()}{fit.misfit.sentence[1:]}.")
    if fitted.saturation is not None:
        page.text(fitted.saturation.sentence)
    rows = [{"parameter": name, **_cells(one)} for name, one in fit.params.items()]
    if fit.law.line is not None:
        each = zip(part.data.sizes, fit.k_of_sizes(part.data.sizes.tolist()), strict=True)
        rows += [{"parameter": f"k({format_quantity(size)})", **_cells(k)} for size, k in each]
    page.table(pd.DataFrame(rows), "Parameters of the law, with 95 % intervals")
    if part.slopes is not None:
        own = part.slopes["each size alone"]
        alone = ", ".join(f"{format_quantity(size)} {k:.3f}" for size, k in zip(own["params"], own["k"], strict=True))
        page.picture(
            interactive.draw_slopes(part.slopes),
            "The slope k(N) of the law's mean curve with its 95 % band; points are each size alone.",
            f"Slope of each size alone: {alone}.",
        )


def _cells(one: Any) -> dict[str, str]:
    if not np.isfinite(one.se):
        return {"value": "not determined", "low": "", "high": ""}
    ends = [number(end) if np.isfinite(end) else "no bound" for end in (one.value, one.low, one.high)]
    return dict(zip(("value", "low", "high"), ends, strict=True))


def add_diagnostics(page: Page, part: Part) -> None:
    """Add what the law leaves, how far that hangs together, and the profile of N0."""
    fit, data = part.fitted.fit, part.data
    if fit.single or len(data.resources) > 1:
        return
    x = [data.resource[0, row, data.present[row]] for row in range(len(data.params))]
    left = [
        data.loss[row, data.present[row]] - 10.0 ** fit.log_curve(np.full(len(at), data.params[row]), at[None])[0]
        for row, at in enumerate(x)
    ]
    worst = max(range(len(left)), key=lambda row: float(np.abs(left[row]).mean()))
    page.picture(
        interactive.draw_residuals(data.params.tolist(), x, left, data.resources[0]),
        "What the law leaves, by size. A line that stays on one side is misfit, not noise.",
        f"Loss minus law of each size; on average {np.mean([np.abs(one).mean() for one in left]):.3f} away, most at "
        f"{format_quantity(float(data.params[worst]))}, {np.abs(left[worst]).mean():.3f}.",
    )
    lags = np.arange(1, min(LAGS, min(map(len, left)) - 2) + 1)
    measured = [
        float(np.mean([one[lag:] @ one[:-lag] / max(float(one @ one), 1e-300) for one in left]))
        for lag in lags.tolist()
    ]
    if measured:
        page.picture(
            interactive.draw_correlation(lags, measured, fit.noise.rho**lags),
            f"How evaluations that are so far apart hang together; intervals allow for AR(1) noise with correlation {fit.noise.rho:.2f}.",
            f"Correlation of what the law leaves: {measured[0]:.2f} between neighbours, {measured[-1]:.2f} at {len(measured)} apart.",
        )
    if isinstance(fit.evidence, Hierarchy) and "N0" in fit.evidence.profiles:
        values, log = fit.evidence.profiles["N0"]
        low, high = (
            format_quantity(end) if np.isfinite(end) else "without bound"
            for end in fit.intervals.get("N0", (0, np.inf))
        )
        page.picture(
            interactive.draw_profile(np.exp(values), 2 * (log.max() - log), -2 * np.log(OPEN), "N0 [parameters]"),
            "Profile of N0, the scatter of runs integrated over: where it stays below the dotted line, the data do not bound it.",
            f"How much worse the fit gets as N0 moves; 95 % of it lies between {low} and {high}.",
        )
