"""What the paper's data say beyond its law, each sentence with what must be true of the results for it to stand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from record import RESOURCES, ROOT, SERIES, SYMBOL, load
from study import say

from scalefit.fitting.whiteness import LAGS
from scalefit.units import format_quantity

LAWS = {
    "saturating": "the paper's law",
    "power": "a power law of each size",
    "clock": "one clock, start and gain of each size",
    "sigmoid": "a sigmoid of each size",
}
CUTS = ("without the smallest", "without the largest")
WHITE = 0.05
"""Chance from which what is left is called white."""


def own_studies() -> dict[str, Any]:
    """Return what the same says of this project's runs."""
    return json.loads((ROOT / "experiments" / "clock" / "results.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def law_rows() -> list[list[str]]:
    """Return a row a series and law: rms, what is left along the curves, and whether it is white."""
    rows = []
    for series in SERIES:
        for resource in RESOURCES[::-1]:
            for law, one in load("clock")[f"{series} {resource}"]["laws"].items():
                cells = [f"{series}, {SYMBOL[resource]}", LAWS[law], str(one["parameters"]), f"{one['rms']:.4f}"]
                cells.append(", ".join(f"{r:+.2f}" for r in one["autocorrelation"]))
                rows.append([*cells, f"{one['if_white'][0]:+.2f}", _chance(one["p"])])
    return rows


def test_rows() -> list[list[str]]:
    """Return the F tests in D: over all sizes, and of a sigmoid against a power law within each."""
    rows = []
    for series in SERIES:
        mine = load("clock")[f"{series} samples"]
        for test in mine["tests"] + mine["of_each"]:
            size = "" if test["size"] is None else f", {format_quantity(test['size'])}"
            cells = [f"{series}{size}", f"{LAWS[test['larger']]} over {LAWS[test['smaller']]}"]
            cells.append("yes" if test.get("nested") else "no")
            for kind in ("", "_correlated"):
                first, second = test[f"dof{kind}"]
                cells.append(f"{test[f'f{kind}']:.1f} on {first:.3g}, {second:.0f}; {_chance(test[f'p{kind}'])}")
            rows.append(cells)
    return rows


def _chance(p: float) -> str:
    return f"{p:.3f}" if p >= 5e-4 else f"{p:.0e}"


def beyond() -> tuple[str, list[str]]:
    """Say what the paper's data say beyond its law."""
    found = {series: load("clock")[f"{series} samples"] for series in SERIES}
    return (
        "one clock in prompts for all sizes describes them better than a power law of each size; where no curriculum sets the pace it does not tick in prompts",
        [*_residuals(found), *_tests(found), *_reading(found), *_ticking(found)],
    )


def _residuals(found: dict[str, Any]) -> list[str]:
    """Tell what laws leave along the curves."""
    left = {law: {s: found[s]["laws"][law] for s in SERIES} for law in LAWS}
    rms = {law: " and ".join(f"{left[law][s]['rms']:.4f}" for s in SERIES) for law in LAWS}
    lag = {law: {s: one["autocorrelation"] for s, one in of.items()} for law, of in left.items()}
    over = max(np.subtract(left["sigmoid"][s]["autocorrelation"], left["sigmoid"][s]["if_white"]).max() for s in SERIES)
    return [
        say(
            f"What the paper's law leaves of a curve is correlated along it, as far as {LAGS[-1]} evaluations apart: {_list(lag['saturating']['base'])} on base and "
            f"{_list(lag['saturating']['instruct'])} on instruct at lags {', '.join(map(str, LAGS))} (D, mean over the sizes). A power law of each size's own leaves "
            f"{_list(lag['power']['base'])} and {_list(lag['power']['instruct'])}. Noise of an evaluation has no such memory: about a sigmoid of each size's own next to nothing is left, "
            f"{_list(lag['sigmoid']['base'])} and {_list(lag['sigmoid']['instruct'])}. What looks like correlated noise is mostly the law's misfit.",
            *(one["p"] < 0.01 for law in ("saturating", "power") for one in left[law].values()),
            *(max(map(abs, lag["sigmoid"][s])) < 0.06 for s in SERIES),
        ),
        say(
            "Next to nothing is not nothing: fitting four parameters a size pulls residuals below zero, and against white noise fitted likewise instruct is white "
            f"(p {left['sigmoid']['instruct']['p']:.2f}) and base, by its many points, is not (p {left['sigmoid']['base']['p']:.3f}; the excess is {over:.2f} at most).",
            left["sigmoid"]["instruct"]["p"] > WHITE > left["sigmoid"]["base"]["p"],
            over < 0.1,
        ),
        say(
            "One half-way point and one steepness for all sizes of a series, with a start and a gain of each size's own, L = L0(N) − G(N)/(1 + (X_mid/X)^B), describe "
            f"the curves better than a power law of each size's own, for two parameters more: rms {rms['clock']} against {rms['power']} on base and instruct (the paper's "
            f"law {rms['saturating']}, own sigmoids {rms['sigmoid']}). "
            f"On instruct it leaves little ({_list(lag['clock']['instruct'])}), on base some ({_list(lag['clock']['base'])}).",
            *(left["sigmoid"][s]["rms"] < left["clock"][s]["rms"] < left["power"][s]["rms"] for s in SERIES),
            left["clock"]["instruct"]["p"] > 0.01 > left["clock"]["base"]["p"],
            *(found[s]["laws"]["clock"]["parameters"] == found[s]["laws"]["power"]["parameters"] + 2 for s in SERIES),
        ),
    ]


def _tests(found: dict[str, Any]) -> list[str]:
    """Tell the F tests."""
    test = {s: {(t["smaller"], t["larger"]): t for t in found[s]["tests"]} for s in SERIES}
    clear = {s: [t for t in found[s]["of_each"] if t["p_correlated"] < WHITE] for s in SERIES}
    free = {s: test[s]["clock", "sigmoid"] for s in SERIES}
    by_flops = {(t["smaller"], t["larger"]): t for t in load("clock")["instruct flops"]["tests"]}["clock", "sigmoid"]
    size = [f"{min(t['f'] for t in clear[s]):.0f} to {max(t['f'] for t in clear[s]):.0f}" for s in SERIES]
    return [
        say(
            f"Within a size, a sigmoid wins over a power law on {len(clear['base'])} of 7 base sizes (F {size[0]} on 2 degrees of freedom) and {len(clear['instruct'])} of 7 on instruct ({size[1]}), "
            "residual correlation allowed for, in neither on 500M, which has next to nothing to gain. A power law is a sigmoid only in the limit of an unbounded start, so these p are a yardstick.",
            len(clear["base"]) == 6,
            len(clear["instruct"]) == 4,
            *(t["size"] > 5e8 for s in SERIES for t in clear[s]),
        ),
        say(
            f"Clocks of each size's own (sigmoids) still win over the common one, clearly on base (F {free['base']['f']:.1f} on {free['base']['dof'][0]:.0f}), less so on instruct "
            f"({free['instruct']['f']:.1f}; in C, counted per parameter, {by_flops['f']:.1f} with p {by_flops['p_correlated']:.2f}): one clock is a good description, not the whole of it.",
            free["base"]["p_correlated"] < 1e-4,
            1e-4 < free["instruct"]["p_correlated"] < WHITE < by_flops["p_correlated"],
        ),
    ]


def _reading(found: dict[str, Any]) -> list[str]:
    """Tell what the paper's first and third finding read like on the clock."""
    clock = {s: found[s]["clock"] for s in SERIES}
    slope = {
        s: [one["value"] for one in load("saturation")[f"{s} samples"]["each size alone"].values()] for s in SERIES
    }
    gain = {s: np.divide(clock[s]["G"], clock[s]["L0"]) for s in SERIES}
    points = pd.read_csv(ROOT / "data" / "paper" / "final_losses.csv").query("kind == 'before' and eval == 'holdout'")
    before = {s: points[points["system"] == s].sort_values("params")["loss"].to_numpy() for s in SERIES}
    off = {s: np.abs(np.subtract(clock[s]["L0"], before[s])) for s in SERIES}
    half = " and ".join(f"{clock[s]['X_mid']['value'] / 1e3:.1f}k" for s in SERIES)
    steep = " and ".join(f"{clock[s]['B']['value']:.1f}" for s in SERIES)
    last = {s: gain[s][-1] / gain[s][-2] - 1 for s in SERIES}
    earlier = {s: gain[s][-2] / gain[s][-3] - 1 for s in SERIES}
    return [
        say(
            f"Read so, 'larger models learn more efficiently' becomes: all sizes of a series learn by the same clock, half-way at {half} prompts with steepness {steep} on base and instruct, and size "
            "sets where they start and how much there is to gain. The slope k(N) of each size alone ranks the sizes exactly as the relative gain G/L0 does, in both series.",
            *((np.argsort(slope[s]) == np.argsort(gain[s])).all() for s in SERIES),
        ),
        say(
            f"Its saturation is the gain's: from 32B to 72B the relative gain grows by {100 * last['base']:.0f} % on base and {100 * last['instruct']:.0f} % on instruct, from 14B to 32B by "
            f"{100 * earlier['base']:.0f} % and {100 * earlier['instruct']:.0f} %, and the intervals of the gains of 32B and 72B overlap.",
            *(last[s] < 0.1 < 0.3 < earlier[s] for s in SERIES),
            *(clock[s]["G ends"][-1][0] < clock[s]["G ends"][-2][1] for s in SERIES),
            *(clock[s]["G ends"][-1][1] > clock[s]["G ends"][-2][0] for s in SERIES),
        ),
        say(
            f"The fitted start is what the untrained model scores, to {max(np.median(one) for one in off.values()):.3f} in the median and {max(one.max() for one in off.values()):.3f} at most: "
            "it can be measured for next to nothing before a size is trained.",
            max(one.max() for one in off.values()) < 0.05,
        ),
    ]


def _ticking(found: dict[str, Any]) -> list[str]:
    """Tell what the clock ticks in, here and in runs without a curriculum."""
    ticks = {s: {row["ticks in"]: row["against prompts"] for row in found[s]["ticks"]} for s in SERIES}
    pace, ours = {s: found[s]["pace"]["all"] for s in SERIES}, own_studies()
    less = [found[s]["pace"][cut]["power"] for s in SERIES for cut in CUTS]
    here = " and ".join(f"{pace[s]['power']:.2f} [{pace[s]['low']:.2f}, {pace[s]['high']:.2f}]" for s in SERIES)
    every = [row for row in ours["pace"] if not row["table"].startswith("paper")]
    mine = {row["table"]: row for row in every if row["sizes"] == "all"}
    bare = {cut: sum((row["low"] or 0) > 0 for row in every if row["sizes"] == cut) for cut in CUTS}
    power = [row["power"] for row in mine.values()]
    flops = [row["against prompts"] for row in ours["clocks"] if row["ticks in"] == "FLOPs" and row["table"] in mine]
    lost, per = ([ticks[s][name] for s in SERIES] for name in ("FLOPs", "FLOPs per parameter"))
    return [
        say(
            f"The clock ticks in prompts here, not in FLOPs: twice the log-likelihood falls by {-lost[0]:.0f} on base and {-lost[1]:.0f} on instruct where it "
            "ticks in FLOPs; in FLOPs per parameter, which differ from prompts by the length of answers, it changes by "
            f"{per[0]:+.0f} and {per[1]:+.0f}. A larger model's clock runs ahead by N to the power of {here}, not at all; with the smallest or "
            f"the largest size left out {min(less):.2f} to {max(less):.2f}. Prompts and steps are one here, 512 prompts each.",
            max(lost) < -50,
            max(map(abs, less)) < 0.2,
            *(pace[s]["low"] <= 0 <= pace[s]["high"] < 0.2 for s in SERIES),
            per[0] < 0 < per[1],
        ),
        say(
            "The paper's prompts go from easy to hard, the same for all sizes, which by itself would make them tick alike. This project's own runs "
            "(7k to 1M parameters, arithmetic) draw theirs shuffled, and there larger models are ahead: by N to the power of "
            f"{min(power):.1f} to {max(power):.1f}, zero outside the interval in all {len(mine)} tables (four of which share their base models; in "
            f"{bare[CUTS[0]]} without the smallest size, in {bare[CUTS[1]]} without the largest), and a clock in FLOPs "
            f"describes every one better than one in prompts (by {min(flops):+.0f} to {max(flops):+.0f}). So the common clock may be the "
            "curriculum's; runs of one range of sizes with and without it would tell (experiments/clock/notes.md).",
            *(row["low"] > 0 for row in mine.values()),
            len(flops) == len(mine) == bare[CUTS[1]] == 6,
            bare[CUTS[0]] >= 4,
            min(flops) > 0,
        ),
    ]


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}".replace("0.", ".") for value in values)
