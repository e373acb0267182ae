"""How far an answer can be trusted, in three words: well supported, thin, do not use.

Every ground (misfit, what was held out, the scatter of runs, reach, numbers of problems) has a word, a reason in numbers and
what would mend it; an answer is worth what its weakest ground is. A command and the report say the same sentence.
To add a ground, write a function that returns one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scalefit.answer import Answer
from scalefit.fitting.fit import Fit
from scalefit.fitting.hierarchy import REPEATS
from scalefit.fitting.misfit import SizeMisfit
from scalefit.fitting.scatter import describe_scatter
from scalefit.laws.law import LN10
from scalefit.numerics.intervals import student
from scalefit.prediction.ensemble import LEAST_SIZES, Ensemble
from scalefit.prediction.forecast import REACH, Forecast, forecast_curve
from scalefit.prediction.misses import DOF, Misses
from scalefit.prediction.predict import REACH as SCORED
from scalefit.prediction.roads import range_begin, range_end
from scalefit.prediction.rolling import LEAST_POINTS
from scalefit.prediction.siblings import Setting
from scalefit.studies.systems import Ranking
from scalefit.units import format_quantity

WELL, THIN, NOT = "well supported", "thin", "do not use"
WORDS = (WELL, THIN, NOT)
"""From the best to the worst."""
STATUS = {
    "at-bound": "a parameter of the law lies at its bound",
    "unidentified": "these runs do not determine all that the law asks of them",
}
"""Of a fit that ended otherwise than it should, in words."""
HELD, HALF = 0.8, 0.5
"""Shares of held-out sizes within their 95 % band from which it is well supported, and below which it is not to be used."""
FARTHEST = 3.0
"""How many times the largest size a size can be that is predicted at all."""
FAR = 2.0
"""Half widths of the 95 % band within which a run that left it is near to it."""
WIDE = 0.25
"""Half width of a band from which it holds half of all that a loss can be [loss]."""
LEVEL = 0.95


@dataclass(frozen=True)
class Ground:
    """One reason to trust an answer or not: its name, its word, why, and what would mend it (empty where nothing need be)."""

    name: str
    word: str
    why: str
    mend: str = ""


@dataclass(frozen=True)
class Trust:
    """What an answer rests on."""

    grounds: tuple[Ground, ...]

    @property
    def word(self) -> str:
        """That of its weakest ground."""
        return max((ground.word for ground in self.grounds), key=WORDS.index)

    @property
    def sentence(self) -> str:
        """The word with the reasons for it: those that weaken it, or all where none does."""
        weak = [ground for ground in self.grounds if ground.word != WELL] or list(self.grounds)
        weak.sort(key=lambda ground: -WORDS.index(ground.word))
        why = "; ".join(ground.why for ground in weak)
        return f"Trust: {self.word}. {why[0].upper()}{why[1:]}."

    @property
    def mends(self) -> list[str]:
        """What would make it better, the weakest ground first."""
        weak = sorted(self.grounds, key=lambda ground: -WORDS.index(ground.word))
        return [ground.mend for ground in weak if ground.mend]

    def record(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"word": self.word, "sentence": self.sentence, "grounds": [vars(ground) for ground in self.grounds]}


def trust_size(fit: Fit, params: float, at: float | None = None, ensemble: Ensemble | None = None) -> Trust:
    """Return how far the prediction of a size can be trusted.

    Parameters
    ----------
    fit : Fit
        What predicts.
    params : float
        The size [parameters].
    at : float, optional
        Furthest value of the resource that is asked for; by default the end of what was measured.
    ensemble : Ensemble, optional
        The default prediction of the same data, for what it was wrong by at sizes left out; None where there are too few.
    """
    return Trust((on_fit(fit), on_held_out(fit, ensemble), on_scatter(fit), on_reach(fit, params, at)))


def trust_forecast(found: Forecast, setting: Setting) -> Trust:
    """Return how far the forecast of a run can be trusted; `setting` is the run among its siblings."""
    return Trust((on_own_past(setting), on_run_ahead(found), on_horizon(found)))


def on_fit(fit: Fit) -> Ground:
    """Return whether the law describes its sizes: where it misses some, by less than its band of a new run holds or by more."""
    name, mend = "fit", "go by the runs themselves, or look for a law that fits them better (scalefit compare)"
    if fit.status == "stopped":
        return Ground(name, NOT, "the search for the law's parameters stopped early", mend)
    missed = [one for one in fit.misfit.sizes if one.missed]
    if np.isnan(fit.misfit.p):
        why = "whether the law describes its sizes could not be tested"
        return Ground(name, THIN, why, "evaluate each run more often")
    if missed:
        some = f"{len(missed)} of {len(fit.misfit.sizes)} sizes" if len(fit.misfit.sizes) > 1 else "its one size"
        depart = "departs" if len(missed) == 1 else "depart"
        off, half = max((_departure(fit, one) for one in missed), key=lambda pair: pair[0] / pair[1])
        if half > WIDE:
            return Ground(
                name, NOT, f"{some} {depart} from the law, whose band of ±{half:.2g} in loss says nothing", mend
            )
        held = off <= half
        why = f"{some} {depart} from the law by up to {off:.2g} in loss, {'less' if held else 'more'} than a new run may (±{half:.2g})"
        return Ground(name, THIN if held else NOT, why, mend)
    if fit.status != "converged":
        return Ground(name, THIN, STATUS.get(fit.status, f"the fit is {fit.status}"), "more sizes, or larger ones")
    return Ground(name, WELL, "no size departs from the law beyond noise and the scatter of runs")


def _departure(fit: Fit, one: SizeMisfit) -> tuple[float, float]:
    """Return by how much the law misses a size [loss], and half its 95 % band of a new run at the end of the size's range."""
    begin, end = range_begin(fit.data, one.params), range_end(fit.data, one.params)
    at = np.array([end])
    if len(fit.data.resources) > 1:
        at = fit.data.resource[:, fit.data.params == one.params][..., -1].max(1)
    bands = fit.bands(one.params, at[:, None]).columns()
    loss, half = float(bands["loss"][0]), float(bands["run_high"][0] - bands["run_low"][0]) / 2
    turned = LN10 * loss * abs(one.slope - one.law_slope) * np.log10(end / begin) / 2
    off = {"bend": one.away, "slope": turned, "level": abs(one.level) * loss}
    return max(float(off[way]) for way in one.missed), max(half, 1e-9)


def on_held_out(fit: Fit, ensemble: Ensemble | None) -> Ground:
    """Return how sizes that were left out lay in their bands, each band from what was missed at the others."""
    name, count = "held-out sizes", len(fit.data.sizes)
    if ensemble is None:
        sizes = f"{count} size{'s' if count > 1 else ''}"
        if count >= LEAST_SIZES:
            why = f"{sizes}: none could be held out, as runs have too few evaluations for a line each"
            return Ground(name, THIN, why, "evaluate each run more often")
        return Ground(name, THIN, f"{sizes}: none could be held out, which needs {LEAST_SIZES}", "add a size")
    inside = held_within(ensemble.misses)
    share = float(np.mean(inside))
    word = WELL if share >= HELD else THIN if share >= HALF else NOT
    why = f"{int(np.sum(inside))} of {len(inside)} predictions of sizes left out lie within their 95 % band"
    return Ground(name, word, why, "" if word == WELL else "add a size between the others")


def held_within(misses: Misses, level: float = LEVEL) -> list[bool]:
    """Return of each prediction of a size left out whether its level lies within the band that the others' misses give."""
    found, quantile = [], student(level, DOF)
    for at, one in enumerate(misses.each):
        others = [other for other, miss in enumerate(misses.each) if other != at]
        rest = replace(misses, each=tuple(misses.each[other] for other in others)) if others else misses
        variance = float(rest.variance(one.way, np.array([misses.middle]))[0])
        found.append(abs(one.level) <= quantile * np.sqrt(variance))
    return found


def on_scatter(fit: Fit) -> Ground:
    """Return whether how far runs of one size lie apart is measured or assumed."""
    name, found = "scatter of runs", describe_scatter(fit)
    again = "run two sizes again with other seeds"
    if fit.single:
        return Ground(
            name, THIN, "each run has one or two evaluations, so that its noise and the scatter of runs are one", again
        )
    if found.repeats >= REPEATS:
        return Ground(name, WELL, f"{found.repeats} repeated runs tell how far reruns lie apart")
    if found.slope is None:
        return Ground(name, THIN, "how far another run would lie from these is assumed, as runs elsewhere do", again)
    low, middle, high = (100 * end for end in found.slope)
    apart = f"{middle:.2g} % [{low:.2g}, {high:.2g}] faster or slower"
    few = "one run a size" if found.repeats == 0 else "one repeated run"
    return Ground(name, THIN, f"{few}: that a rerun would learn {apart} is assumed, not measured", again)


def on_reach(fit: Fit, params: float, at: float | None = None) -> Ground:
    """Return how far a size, and what it is given, lie outside what was measured."""
    name, data = "reach", fit.data
    top, end = float(data.sizes[-1]), range_end(data, params)
    words, whys, mends = [WELL], [], []
    size = format_quantity(params)
    if params > top * (1 + 1e-9):
        words.append(THIN if params <= FARTHEST * top else NOT)
        whys.append(f"{size} is {params / top:.2g} times the largest size measured, beyond every held-out test")
        mends.append(f"begin a run of {size} and give its first steps with --anchor")
    elif params < data.sizes[0] * (1 - 1e-9):
        words.append(THIN)
        whys.append(f"{size} is below the smallest size measured")
    ratio = 1.0 if at is None else at / end
    if ratio > 1.001:
        words.append(THIN if ratio <= SCORED else NOT)
        whys.append(f"{ratio:.2g} times the {data.resources[0]} measured")
        mends.append("run a small size as long")
    why = "; ".join(whys) or f"{size} lies within what was measured"
    return Ground(name, max(words, key=WORDS.index), why, "; ".join(mends))


def on_own_past(setting: Setting) -> Ground:
    """Return whether the run ended where its first half would have had it end."""
    name, curve = "held-out half", setting.curve
    first = curve.first(len(curve.x) // 2)
    if len(first.x) < LEAST_POINTS:
        why = f"{len(curve.x)} evaluations are too few to forecast the second half of them"
        return Ground(name, THIN, why, "wait for more evaluations")
    told = forecast_curve(first, float(curve.x[-1]), setting)
    seen = float(curve.loss[-int(told["points"]) :].mean())
    half = (told["high95"] - told["low95"]) / 2
    off = abs(seen - (told["high95"] + told["low95"]) / 2) / max(half, 1e-9)
    word = WELL if off <= 1 else THIN if off <= FAR else NOT
    where = f"{told['loss']:.3f} [{told['low95']:.3f}, {told['high95']:.3f}]"
    why = f"from its first half the run was forecast to come to {where}, and it came to {seen:.3f}"
    return Ground(name, word, why, "" if word == WELL else "wait for more evaluations before going by this forecast")


def on_run_ahead(found: Forecast) -> Ground:
    """Return whose errors make the band of a forecast, and whether it says anything."""
    name = "band"
    if found.end["high95"] - found.end["low95"] > 0.5 * found.now["loss"]:
        return Ground(name, NOT, "the band at the end is wider than half the present loss", "wait for more evaluations")
    if found.warnings:
        return Ground(name, THIN, found.warnings[0], "put runs of other sizes or seeds into the same table")
    return Ground(name, WELL, f"the band is {found.calibrated_on}")


def on_horizon(found: Forecast) -> Ground:
    """Return how far ahead a forecast looks."""
    ratio = found.end[found.resource] / found.now[found.resource]
    if ratio > REACH * (1 + 1e-9):
        return Ground("reach", NOT, f"{ratio:.2g} times what is spent is further than any forecast was scored")
    return Ground("reach", WELL, f"it looks {ratio:.2g} times as far as the run has gone, as forecasts were scored")


def trust_ranking(found: Ranking) -> Trust:
    """Return how far a ranking of systems can be trusted: as far as their numbers of problems separate them."""
    share = found.separated / max(found.pairs, 1)
    why = f"{found.separated} of {found.pairs} pairs of systems are told apart by their numbers of problems"
    word = WELL if share == 1 else THIN if found.separated else NOT
    return Trust((Ground("problems", word, why, "" if share == 1 else "evaluate the tied systems on more problems"),))


def trust_arms(found: Answer) -> Trust:
    """Return how far a comparison of arms can be trusted: thin where it warns, as with one run an arm, or does not say."""
    grounds = (
        [Ground("runs an arm", THIN, found.warnings[0], "run each arm again with another seed")]
        if found.warnings
        else []
    )
    if "do not say" in found.headline:
        grounds.append(
            Ground("verdict", THIN, "not all that was asked is told apart", "run the arms longer, or more of them")
        )
    said = Ground("runs an arm", WELL, "every arm has several runs, whose scatter is in the intervals")
    return Trust(tuple(grounds) or (said,))
