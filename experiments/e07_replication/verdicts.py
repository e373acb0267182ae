"""A verdict on each of the seven questions, from `results.json`: sentences with what must be true of the results for them to stand.

Where a new result breaks one it is not written, and the sentence has to be.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import numpy as np  # noqa: E402
from walk import WAYS  # noqa: E402

from experiments.study import say  # noqa: E402
from scalefit.units import format_quantity  # noqa: E402

RESULTS, PLAN = HERE / "results.json", HERE / "plan.md"
CLOCKS = HERE.parent / "clock" / "results.json"
HALF = 0.5
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What came of a question.

    Attributes
    ----------
    finding : str
        The question, or the paper's finding.
    word : str
        The answer, in short.
    agrees : str
        With the paper: yes, no, in part, open, or - where it has no such claim.
    why : str
        What an agreement rests on, or a difference may come from.
    sentences : list of str
    """

    finding: str
    word: str
    agrees: str
    why: str
    sentences: list[str]


def _between(row: Facts, name: str = "k", digits: int = 3) -> str:
    """Return a row's value with its interval."""
    return f"{row[name]:+.{digits}f} [{row['low']:+.{digits}f}, {row['high']:+.{digits}f}]"


def _ends(level: Facts, arm: int) -> tuple[Facts, Facts]:
    """Return the smallest and the largest size of one of the arms of a study of level."""
    name = level["rises"][arm]["arm"]
    mine = sorted((row for row in level["sizes"] if row["arm"] == name), key=lambda row: row["params"])
    return mine[0], mine[-1]


def _a_decade(level: Facts) -> dict[str, float]:
    """Return by how much k rises a decade of N in the first arm, with its interval."""
    first, last = _ends(level, 0)
    decades = math.log10(last["params"] / first["params"])
    return {name: level["rises"][0][name] / decades for name in ("k", "low", "high")}


def _rise(level: Facts, arm: int, where: str) -> str:
    """Say by how much k rises over the sizes of an arm; it must."""
    first, last = _ends(level, arm)
    starts = f"{10 ** first['start']:.3f} and {10 ** last['start']:.3f}"
    return say(
        f"From {where} (mean losses of {starts} before training) k_D rises from {first['k']:.3f} at "
        f"{format_quantity(first['params'])} to {last['k']:.3f} at {format_quantity(last['params'])}, along the line in log N by "
        f"{_between(level['rises'][arm])} between {first['runs']} and {last['runs']} runs a size.",
        level["rises"][arm]["low"] > 0,
    )


def _assumed(results: Facts, what: str) -> tuple[float, float]:
    """Return what the plan assumed of runs, and what was found."""
    row = next(one for one in results["What the plan assumed"]["power"] if one["index"] == what)
    return row["assumed, as in e01"], row["found, equal start"]


def _ceiling(forced: Sequence[Facts], free: Sequence[Facts], spread: float) -> str:
    """Say where models end that are forced into their best way, beside the free one of their seed and the mean of all.

    `spread` is that of seeds at the end.
    """
    best: dict[float, Facts] = {}
    for row in forced:
        if row["params"] not in best or row["last"] < best[row["params"]]["last"]:
            best[row["params"]] = row
    means = {row["params"]: row["end"] for row in free}
    each = "; ".join(
        f"{format_quantity(size)} {row['first']:.2f} to {row['last']:.2f}, free {row['free']:.2f}, all {means[size]:.2f}"
        for size, row in best.items()
    )
    (way,) = {row["way"] for row in best.values()}
    below = sum(row["last"] < means[size] for size, row in best.items())
    return say(
        f"Forced into its best way ({WAYS[way]}) from the first character on, one model a size at equal start, it is not told apart at the end from the free one of its seed, "
        f"and ends below the mean of all free ones at {below} of {len(best)} sizes ({each}).",
        *(abs(row["last"] - row["free"]) < spread for row in best.values()),
    )


def efficiency(results: Facts) -> Verdict:
    """Answer question 1."""
    facts, ends = results["1. Do larger models learn more efficiently"], results["Where runs start and end"]
    level, left, within = facts["samples"], facts["samples"]["left"], facts["samples"]["within"][1]
    often = [row for row in ends["equal start"] if row["runs"] > 2]
    spread, means = [row["sd end"] for row in often], [row["end"] for row in often]
    assumed, found = _assumed(results, "sd of end losses")
    seen = _assumed(results, "difference seen by 5 seeds")
    share = f"{left['share']:.0%} [{left['low']:.0%}, {left['high']:.0%}] of the rise is left at equal start"
    if left["low"] > HALF:
        how = say(f"Size is most of it: {share}.", left["low"] > HALF)
    else:
        how = say(f"How much of it is level is open: {share}.", left["low"] <= HALF <= left["high"])
    sentences = [
        _rise(level, 0, "the same start"),
        _rise(level, 1, "the same number of tokens"),
        how,
        say(
            "It is the same by compute, and after the first ten steps, on which all sizes are slow.",
            *(facts[part]["rises"][arm]["low"] > 0 for part in ("flops", "late") for arm in (0, 1)),
        ),
        say(
            f"Of models of one size that read the same tokens, those that start better learn faster: k_D changes by {_between(within, 'coefficient', 2)} "
            "a decade of loss at the start.",
            within["high"] < 0,
        ),
        say(
            f"Of the sizes with five seeds at equal start, those of one size end {min(spread):.2f} to {max(spread):.2f} apart (standard deviation), those of e01, by which this was planned, "
            f"{assumed:.2f}: whether a run finds the rarer themes is chance. Five seeds show a difference of end losses from {seen[1]:.2f} on and "
            f"not from {seen[0]:.2f}: one run a size, as in the paper, tells sizes that are far apart and not neighbours.",
            min(spread) > 2 * assumed,
            found > 2 * assumed,
            means[0] - means[-1] > seen[1],
            min(above - below for above, below in pairwise(means)) < max(spread),
        ),
    ]
    if "ceiling" in ends:
        sentences.append(_ceiling(ends["ceiling"], ends["equal start"], max(spread)))
    if "one rate" in facts:
        same, scaled = _a_decade(facts["one rate"]), _a_decade(level)
        apart = same["low"] > scaled["high"] or same["high"] < scaled["low"]
        sentences.append(
            f"With one learning rate for all sizes, as the paper has it, k_D rises by {_between(same)} a decade of N, with rates that fall with the width by "
            f"{_between(scaled)}: {'told apart' if apart else 'not told apart'}."
        )
    return Verdict(
        "Larger models learn more efficiently",
        "yes, from the same start too",
        "yes",
        "here the start is the same by construction, there it rises with N",
        sentences,
    )


def _planned(row: str) -> float:
    """Return what the plan expects at the scatter between runs of e01."""
    line = next(one for one in PLAN.read_text(encoding="utf-8").splitlines() if one.startswith(row))
    return float(line.removeprefix(row).split()[0])


ENOUGH = 0.9
"""Share of a left-out size's points that bands for 95 % must hold."""
IN_WORDS = {"samples": "by data", "flops": "by compute"}


def _in_words(arm: str) -> str:
    """Return an arm with its resource in words."""
    series, _, resource = arm.rpartition(" ")
    return f"{series} {IN_WORDS[resource]}"


def _form(results: Facts, arm: str, law: str) -> str:
    """Return by how much a form of the law misses the largest size, left out of its fit."""
    return f"{results['3. Does k saturate'][arm]['weighed']['held_out'][law]:.3f}"


def _across(results: Facts) -> tuple[bool | None, list[str]]:
    """Return whether the largest size, left out, is predicted better than by the next size's curve, None for in part, and what says so.

    Nothing where its runs are not made.
    """
    last = {
        name.removesuffix(" zero-shot"): max(rows, key=lambda row: row["params"])
        for name, rows in results["2. Does the law predict"].items()
        if name.endswith("zero-shot")
    }
    if not last:
        return None, []
    each = "; ".join(
        f"{_in_words(name)} {row['rmse']:.3f}, {row['rmse_nearest_size']:.3f}, {row['cover95']:.0%}"
        for name, row in last.items()
    )
    (params,) = {row["params"] for row in last.values()}
    size = format_quantity(params)
    sentences = [
        f"The curve of {size}, predicted from the smaller sizes by the average of the closed laws, is missed by (rms of the loss; that of carrying over the curve of the next size; "
        f"share of its points in the bands for 95 %): {each}.",
        f"The paper's own form misses it by {', '.join(_form(results, name, 'saturating-linear') for name in last)}, a slope that is a power of N by "
        f"{', '.join(_form(results, name, 'power-k-linear') for name in last)}.",
    ]
    expected, bias = (
        _planned("3M, zero-shot: root mean square error at the end"),
        [row["end_bias"] for row in last.values()],
    )
    sentences.append(
        say(
            f"Of tables that are drawn from the law its end is missed by {expected:.3f} (the plan); here the prediction ends {min(bias):.2f} to {max(bias):.2f} above.",
            min(bias) > 2 * expected,
        )
    )
    gains = {name: results["5. Where does E(N) come from"][name]["gain"] for name in last}
    if all(one["top_against"] == "gain of log N" for one in gains.values()):
        missed = "; ".join(f"{_in_words(name)} {one['top_against_missed']:.3f}" for name, one in gains.items())
        closer = [one["top_against_missed"] < last[name]["rmse"] for name, one in gains.items()]
        ends = "closer each time" if all(closer) else f"closer in {sum(closer)} of {len(closer)}"
        sentences.append(
            f"One clock for all sizes, with a gain along log N and told where {size} starts, comes {ends}: {missed}."
        )
    better = {row["rmse"] < row["rmse_nearest_size"] and row["cover95"] >= ENOUGH for row in last.values()}
    return (better.pop() if len(better) == 1 else None), sentences


def prediction(results: Facts) -> Verdict:
    """Answer question 2; across sizes as soon as the held-out one is there."""
    within, apart = (results["2. Does the law predict"][f"{arm} prefix"] for arm in ("equal start", "equal tokens"))
    held = [row["cover95"] for row in within]
    covered = ", ".join(f"{row['cover95']:.0%}" for row in apart)
    better, across = _across(results)
    sentences = [
        say(
            f"From the first quarter of a size's runs at equal start the law misses the rest by {min(row['rmse'] for row in within):.2f} to "
            f"{max(row['rmse'] for row in within):.2f} (rms of the loss), within a tenth of what the last value seen and each run's own power law miss it by, and at "
            f"most {max(held):.0%} of the rest lies in the bands for 95 %: the loss ends lower than a line in log X has it at every size.",
            *(abs(row["rmse"] / row["rmse_last_value"] - 1) < 0.1 for row in within),
            *(abs(row["rmse"] / row["rmse_own_power"] - 1) < 0.1 for row in within),
            *(row["end_bias"] > 0 for row in within),
            max(held) < HALF,
        ),
        say(
            f"At equal tokens the bands hold {covered} by size, and a run's own power law comes closer than the law at all but the smallest.",
            *(row["rmse_own_power"] < row["rmse"] for row in apart[1:]),
            apart[0]["rmse_own_power"] > apart[0]["rmse"],
        ),
        *across,
    ]
    if not across:
        word = "not within runs; across sizes the runs are not made yet"
    else:
        word = {
            True: "across sizes, not within runs",
            False: "no: neither within runs nor to the size left out",
            None: "not within runs; to the size left out in part",
        }[better]
    return Verdict(
        "The law predicts",
        word,
        "no" if better is False else "in part",
        "the paper's curves flatten, these steepen: they begin where next to nothing is right",
        sentences,
    )


def saturation(results: Facts) -> Verdict:
    """Answer question 3."""
    facts = results["3. Does k saturate"]
    missed = [len(one["misfit"]) for one in facts.values()]
    sizes = [row["params"] for row in results["Where runs start and end"]["equal start"]]
    return Verdict(
        "k(N) saturates",
        "the data do not settle it",
        "open",
        f"the law's straight lines miss the curves, and sizes span a factor of {max(sizes) / min(sizes):.0f}",
        [
            say(
                "Neither arm settles whether k(N) saturates, by data or by compute.",
                *(one["weighed"]["verdict"] == "undecided" for one in facts.values()),
            ),
            say(
                f"The law misses at least {min(missed)} of the sizes of an arm: curves here steepen after the first steps, which a line in log X cannot.",
                min(missed) > 1,
            ),
        ],
    )


def reuse(results: Facts) -> Verdict:
    """Answer question 4."""
    *by_length, passes = results["4. Is reuse free"]["answers"]
    short, long = ({arm["tau"]: arm for arm in one["arms"]} for one in by_length)
    most = max(long)
    means = passes["means"]
    distinct = [row["problems"] for row in passes["costs"]]
    return Verdict(
        "Reuse is nearly free",
        f"up to τ = {by_length[0]['equivalent_up_to']:g} in short runs, where τ = 25 costs a little; in long ones τ = {most:g} costs, and 5 and 25 are not shown",
        "in part",
        f"{min(distinct):g} to {max(distinct):g} distinct problems here; runs of one arm differ by more than most costs",
        [
            say(
                f"Within a margin of {by_length[0]['margin']:g} repeats are free up to τ = {by_length[0]['equivalent_up_to']:g} after "
                f"{format_quantity(by_length[0]['samples'])} samples; τ = 25 costs {_between(short[25.0], 'difference')} there.",
                short[5.0]["equivalent"],
                short[25.0]["costs"],
            ),
            say(
                f"After {format_quantity(by_length[1]['samples'])} samples τ = {most:g} costs {_between(long[most], 'difference')}; "
                f"for τ = 5 and 25 neither a cost nor equivalence is shown ({_between(long[5.0], 'difference')} and {_between(long[25.0], 'difference')}).",
                long[most]["costs"],
                *(not (long[tau]["costs"] or long[tau]["equivalent"]) for tau in (5.0, 25.0)),
            ),
            say(
                "Whether passes or too few distinct problems are what costs is not told: four times the passes at equal problems "
                f"change the cost by {_between(means['passes'], 'difference')}, four times the problems at equal passes by {_between(means['problems'], 'difference')}, "
                "as the plan expected of three seeds.",
                not means["passes"]["shown"],
                not means["problems"]["shown"],
            ),
            say(
                "With the scatter of runs taken over both lengths together, no single cost is shown.",
                *(row["low"] <= 0 for row in passes["costs"]),
            ),
        ],
    )


def rollouts(results: Facts) -> Verdict:
    """Answer how many rollouts a prompt are best, by samples and by FLOPs."""
    facts = results["How many rollouts"]
    steps = {
        name: {(one["from"], one["to"]): one for one in answer["steps"]["flops"]} for name, answer in facts.items()
    }
    first, *beyond = facts["equal prompts"]["steps"]["samples"]
    more, most = steps["equal rollouts"][8, 16], steps["equal prompts"][8, 16]
    return Verdict(
        "How many rollouts",
        "8 are better than 4 for the same prompts, beyond 8 nothing is shown; at equal FLOPs 16 are worse than 8",
        "-",
        "the paper's data for it are not public; more rollouts leave fewer groups without a signal; beyond 8 their compute is better spent on prompts",
        [
            say(
                f"At equal samples and prompts a step 8 end {_between(first, 'difference')} from where 4 do; from 8 to 16 and to 32 nothing is shown "
                f"({', '.join(_between(one, 'difference') for one in beyond)}).",
                first["high"] < 0,
                *(one["low"] < 0 < one["high"] for one in beyond),
            ),
            say(
                f"At equal FLOPs 16 end above 8, by {_between(more, 'difference')} at as many rollouts an update and by {_between(most, 'difference')} at as many prompts; "
                "4 and 8 are not told apart.",
                more["low"] > 0,
                most["low"] > 0,
                *(some[4, 8]["low"] < 0 < some[4, 8]["high"] for some in steps.values()),
            ),
            say(
                "Which G is best the data do not say at any length, nor how it grows with the budget.",
                *(answer["verdict"].count("do not say which G is best") >= 2 for answer in facts.values()),
            ),
        ],
    )


def instruct(results: Facts) -> Verdict:
    """Answer whether instruct models learn otherwise than base models."""
    facts = results["Base or instruct"]
    careful, plain = ({row["params"]: row for row in facts[name]} for name in ("levels", "base levels"))
    each = "; ".join(
        f"{format_quantity(size)}: {row['start']:.2f} to {row['end']:.2f} (base {plain[size]['start']:.2f} to {plain[size]['end']:.2f})"
        for size, row in careful.items()
    )
    found = facts["compared"]
    gap = found["overall"]
    ends = "lower" if gap["high"] < 0 else "higher" if gap["low"] > 0 else "no differently, as far as is shown"
    slopes = [row["k"] for row in found["sizes"] if row["k"]]
    steeper = sum(row["low"] > 0 for row in slopes)
    flatter = sum(row["high"] < 0 for row in slopes)
    told = "not told apart at any size"
    if steeper or flatter:
        told = f"steeper at {steeper or 'none'} of {len(slopes)} sizes, flatter at {flatter or 'none'}"
    return Verdict(
        "Base or instruct",
        f"instruct models end {ends}; curves are {told}",
        "-",
        "the paper has both, of other pre-training; here instruct models have read more, and more answers that are written out",
        [
            f"Loss before and after, means of the seeds: {each}.",
            f"Over all sizes and pairs of seeds instruct models end {_between(gap, 'difference')} from where base models do.",
        ],
    )


def joint(results: Facts) -> Verdict:
    """Answer question 7."""
    (found,) = results["7. The law in compute and data at once"]["answers"]
    (size,) = found["rows"]
    worn = found["r_star"]
    return Verdict(
        "The law in compute and data at once",
        "its slopes are told apart, at one size; what repeats cost is bounded from one side",
        "-",
        "the paper fits compute and data each alone",
        [
            say(
                f"Of {found['runs']} runs of {format_quantity(size['params'])}, in which group sizes and repeats move compute and data apart, k_C is {size['k_C']['value']:.3f} "
                f"[{size['k_C']['low']:.3f}, {size['k_C']['high']:.3f}] and k_D {size['k_D']['value']:.3f} [{size['k_D']['low']:.3f}, {size['k_D']['high']:.3f}].",
                size["told"] == "own",
                size["k_C"]["low"] > 0,
                size["k_D"]["low"] > 0,
            ),
            say(f"R* is at least {worn['low']:.0f}: no upper limit is told.", worn["high"] is None),
        ],
    )


def _gains(results: Facts) -> tuple[str, list[str]]:
    """Return whether the untrained model tells what is gained on a common clock, in short and in sentences."""
    facts = results["5. Where does E(N) come from"]
    told = {name: one["gain"] for name, one in facts.items() if one["gain"]["says"] == "yes"}
    rest = {name: one["gain"] for name, one in facts.items() if name not in told}
    if not told:
        shown = say(
            "Nor does a reading tell the share that is gained: none halves what is missed without it.",
            *(one["ratio"] > HALF for one in rest.values()),
        )
        return "", [shown]
    sentences = []
    for name, one in told.items():
        last = max(results["2. Does the law predict"][f"{name} zero-shot"], key=lambda row: row["params"])
        other = one["against"].removeprefix("gain of ")
        ratio = f"{one['ratio']:.2f} times [{one['low']:.2f}, {one['high']:.2f}]; shuffled among sizes it does as well in {one['p']:.0%}"
        sentences.append(
            say(
                f"What is told is the gain on a common clock ({_in_words(name)}). With a gain that follows {one['reads']} before training a size "
                f"left out is missed by {one['missed']:.3f}, with one along {other} by {one['against_missed']:.3f} ({ratio}). "
                f"{format_quantity(last['params'])} is missed by {one['top_missed']:.3f} and {one['top_against_missed']:.3f}; the prediction by "
                f"laws, which is not told where it starts, misses it by {last['rmse']:.3f}, and the curve of the next size by {last['rmse_nearest_size']:.3f}.",
                one["against"] == one["top_against"],
                one["top_missed"] < HALF * min(one["top_against_missed"], last["rmse"], last["rmse_nearest_size"]),
                one["high"] < 1,
            )
        )
    others = "; ".join(
        f"{_in_words(name)}: {one['missed']:.3f} and {one['against_missed']:.3f}" for name, one in rest.items()
    )
    sentences.append(
        say(
            f"Elsewhere the two are not told apart ({others}).",
            *(one["low"] < 1 < one["high"] for one in rest.values()),
        )
    )
    reads = {one["reads"] for one in told.values()}
    where = " and ".join(f"at {_in_words(name)}" for name in told)
    spread = {
        arm: np.ptp([row["value"] for row in facts[f"{arm} samples"]["untrained"] if row["reads"] in reads])
        for arm in ("equal start", "equal tokens")
    }
    return f"; but its {' and '.join(sorted(reads))} tells what a size gains on one clock, {where} and nowhere else", [
        *sentences,
        say(
            f"Of {len(facts)} such tests it is one, and its chance among shuffled sizes is the smallest that so few sizes can show. At equal start sizes differ in it by {spread['equal start']:.2f} "
            f"[log10], at equal tokens by {spread['equal tokens']:.2f}.",
            len(told) == 1,
            *(one["p"] <= 1.01 / one["orders"] for one in told.values()),
            10 * spread["equal start"] < spread["equal tokens"],
        ),
    ]


def offsets(results: Facts) -> Verdict:
    """Answer question 5."""
    facts = results["5. Where does E(N) come from"]
    read = [one["offset"] for one in facts.values()]
    missed = "; ".join(
        f"{_in_words(name)} {one['offset']['missed']:.3f} by {one['offset']['reads']} against {one['offset']['against_missed']:.3f}"
        for name, one in facts.items()
    )
    gains, sentences = _gains(results)
    return Verdict(
        "E(N) is read from the untrained model",
        f"E(N) is not: no reading halves the law's error{gains}",
        "-",
        "the paper leaves E(N) free",
        [
            *sentences,
            say(
                f"A size left out is missed by (rms of the loss) what an offset that reads the untrained model leaves, against the best closed one: {missed}. No reading helps the law.",
                *(one["says"] in ("no", "open") and one["ratio"] > HALF for one in read),
            ),
        ],
    )


CHANGED = {
    "batch": "half the prompts a step",
    "slow": "half the learning rate",
    "curriculum": "short walks first",
    "alike": "text that has all themes alike",
}
"""What an arm changes, of those that may move the clock."""


def _moved(arm: str, answer: Facts) -> tuple[str, bool]:
    """Return where the half-way point of an arm lies, as a multiple of where it is in `start`, and whether that is told from 1."""
    places = {}
    for one in answer["units"]:
        ratio, low, high = one["ratio"], one["low"], one["high"]
        if one["of"][0] == answer["groups"][1]:
            ratio, low, high = 1 / ratio, 1 / high, 1 / low
        places[one["unit"]] = f"{ratio:.2f} [{low:.2f}, {high:.2f}]"
    steps, prompts = places["steps"], places["prompts"]
    where = steps if steps == prompts else f"{steps} in steps and {prompts} in prompts"
    return f"{where} with {CHANGED[arm]}", any(one["differ"] for one in answer["units"])


def clock(results: Facts) -> Verdict:
    """Answer question 6."""
    known = {
        one["table"]: one
        for one in json.loads(CLOCKS.read_text(encoding="utf-8"))["tables"]
        if one["resource"] == "samples"
    }
    both = {
        arm: known[table]["laws"] for arm, table in {"equal start": "e07_start", "equal tokens": "e07_tokens"}.items()
    }
    rms = "; ".join(
        f"{arm}: {laws['saturating']['rms']:.3f}, {laws['clock']['rms']:.3f}, {laws['sigmoid']['rms']:.3f}"
        for arm, laws in both.items()
    )
    sentences = [
        say(
            "One clock for all sizes but the one left out, with a start and a gain of each, leaves far less of the seeds' means than the law; a sigmoid of each size leaves half of that, "
            f"so the clock is not quite one (rms of the loss by law, clock and sigmoids: {rms}).",
            *(
                known[table]["sizes"] == len(results["Where runs start and end"][arm]) - 1
                for arm, table in {"equal start": "e07_start", "equal tokens": "e07_tokens"}.items()
            ),
            *(laws["clock"]["rms"] < HALF * laws["saturating"]["rms"] for laws in both.values()),
            *(laws["sigmoid"]["rms"] < 0.6 * laws["clock"]["rms"] for laws in both.values()),
        )
    ]
    moved = [_moved(arm, one) for arm, answers in results["6. Is there one clock"].items() for one in answers]
    if moved:
        sentences.append(
            say(
                f"What moves it is not told by two seeds of three sizes a side: the half-way point lies at {'; '.join(place for place, _ in moved)}, "
                "as multiples of that of the equal start.",
                not any(told for _, told in moved),
            )
        )
    return Verdict(
        "One clock",
        "one clock is near, and not quite it",
        "yes",
        "as in the paper's curves, though here no curriculum sets a pace",
        sentences,
    )


VERDICTS: dict[str, Callable[[Facts], Verdict]] = {
    "1. Do larger models learn more efficiently": efficiency,
    "2. Does the law predict": prediction,
    "3. Does k saturate": saturation,
    "4. Is reuse free": reuse,
    "How many rollouts": rollouts,
    "Base or instruct": instruct,
    "5. Where does E(N) come from": offsets,
    "6. Is there one clock": clock,
    "7. The law in compute and data at once": joint,
}


def read_results() -> dict[str, Any]:
    """Return what the questions found."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def verdicts(results: Facts) -> list[Verdict]:
    """Return the verdicts on the questions whose arms are made."""
    return [judge(results) for title, judge in VERDICTS.items() if title in results]


def words() -> dict[str, str]:
    """Return the answers in short, by finding."""
    return {one.finding: one.word for one in verdicts(read_results())}


def lines() -> str:
    """Return a line a question: its answer, and the first of what it rests on."""
    each = ((one.finding, one.word, one.sentences[0]) for one in verdicts(read_results()))
    return "\n".join(f"- **{finding}**: {word}. {first}" for finding, word, first in each)


def page(claims: Mapping[str, str]) -> str:
    """Return the section of the page on the paper: a row a question, and its sentences; `claims` is what its own data say, by finding."""
    found = verdicts(read_results())
    rows = [[one.finding, claims.get(one.finding, ""), one.word, one.agrees, one.why] for one in found]
    head = ["question", "in the paper's data", "in our laboratory", "agrees", "why"]
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(row)} |" for row in lines)
    parts = [f"**{one.finding}.** " + " ".join(one.sentences) for one in found]
    return "\n\n".join([table, *parts])
