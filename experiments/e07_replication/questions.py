"""The study's questions, each answered by a command of scalefit: a text of its numbers, and what sentences rest on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from power import differences  # noqa: E402
from tables import TARGET, NotMade, arm, arms, of  # noqa: E402

import scalefit as sf  # noqa: E402
from experiments.study import DATA, levels, section  # noqa: E402

MAIN = {"equal start": ("start", "start_3M"), "equal tokens": ("tokens", "tokens_3M")}
RESOURCES = ("samples", "flops")
LATE = 10
"""Steps that are left out where it is asked whether a slope is that of the first, slow ones."""
Found = tuple[str, dict[str, Any]]


def main_arms() -> dict[str, pd.DataFrame]:
    """Return the arms of all sizes."""
    return {series: arms(*names, series=series) for series, names in MAIN.items()}


def below(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what is not held out."""
    return frame[frame["params"] < TARGET]


def what_was_made() -> Found:
    """Say where runs start and end, by arm and size."""
    parts, facts = [], {}
    for series, frame in main_arms().items():
        table = levels(frame)
        table["pass@64"] = frame[frame["step"] == 0].groupby("params")["pass_at_64"].mean()
        table["runs"] = frame.groupby("params")["run_id"].nunique()
        parts.append(section(series, table))
        facts[series] = table
    try:
        forced = arm("ceiling")
        ends = forced.sort_values("step").groupby(["params", "way"])["loss"].agg(["first", "last"])
        free = arm("start").query("seed in @forced.seed").sort_values("step").groupby("params")["loss"].last()
        ends = ends.join(free.rename("free"))
        parts.append(
            section("forced into a way from the first character on, before and after; free runs of its seeds", ends)
        )
        facts["ceiling"] = ends
    except NotMade:
        pass
    return "\n\n".join(parts), facts


def rates() -> Found:
    """Show the pilots of three learning rates, by which the plan chose."""
    rows = {}
    for name, times in (("rates_low", 0.5), ("rates_mid", 1.0), ("rates_high", 2.0)):
        try:
            frame = arm(name)
        except NotMade:
            continue
        for params, one in frame.groupby("params"):
            loss = one.set_index("step")["loss"]
            half = loss.index[(loss.index - loss.index.max() / 2).map(abs).argmin()]
            rows[params, times] = {
                "start": loss.iloc[0],
                "half-way": loss[half],
                "end": loss.iloc[-1],
                "entropy at the end": one["entropy"].iloc[-1],
            }
    if not rows:
        raise NotMade("rates_low, rates_mid, rates_high")
    table = pd.DataFrame(rows).T.sort_index().rename_axis(["params", "times 4e-3/channels"])
    return section("three learning rates, one seed, 100 steps", table), {"rates": table}


def power() -> Found:
    """Put what the plan assumed of runs, as e01's are, beside what they turned out to be, and what three and five seeds then show."""
    before = sf.read_runs(DATA / "e01.parquet").frame.query("series == 'base'")
    rows = {}
    for name, frame, some in (
        ("assumed, as in e01", before, sf.study_level(before, x="samples")),
        ("found, equal start", arm("start"), sf.study_level(arm("start"), x="samples")),
    ):
        spread = float(levels(frame)["sd end"].median())
        dof = some[0].rises[0]["dof"]
        between = [
            (size["high"] - size["low"]) / 2 / t.ppf(0.975, dof) * np.sqrt(size["runs"]) / size["k"]
            for size in some[0].sizes
            if size["low"] is not None
        ]
        seen = differences(spread)["smallest difference"]
        rows[name] = {
            "sd of slopes over k": float(np.median(between)),
            "sd of end losses": spread,
            **{f"difference seen by {seeds} seeds": float(gap) for seeds, gap in seen.items()},
        }
    table = pd.DataFrame(rows)
    return section("medians over sizes; differences of end losses at power .8", table), {"power": table}


def efficiency() -> Found:
    """Ask whether larger models learn more efficiently, and how much of it is level; slopes are each run's own, over all of its range."""
    parts, facts = [], {}
    both = main_arms()
    for x in RESOURCES:
        (facts[x],) = sf.study_level(both["equal start"], both["equal tokens"], x)
        parts.append(facts[x].summary())
    trained = {series: frame[(frame["step"] == 0) | (frame["step"] > LATE)] for series, frame in both.items()}
    (facts["late"],) = sf.study_level(trained["equal start"], trained["equal tokens"], "samples")
    parts.append(f"after the first {LATE} steps, on which all sizes are slow:\n{facts['late'].summary()}")
    try:
        one = pd.concat([arm("one_rate"), of(arm("start", "one_rate"), "300k")], ignore_index=True)
        (facts["one rate"],) = sf.study_level(one, x="samples")
        parts.append(f"one learning rate for all sizes:\n{facts['one rate'].summary()}")
    except NotMade:
        pass
    return "\n\n".join(parts), facts


def prediction() -> Found:
    """Ask whether the law predicts the held-out size, and the rest of runs from their first quarter."""
    parts, facts = [], {}
    shown = ["params", "fold", "rmse", "end_bias", "cover50", "cover95", "run95", "rmse_nearest_size"]
    for series, frame in main_arms().items():
        for x in RESOURCES:
            if frame["params"].max() < TARGET:
                parts.append(f"{series}, {x}, zero-shot: the held-out size is not made yet")
                continue
            scores = sf.cross_validate(sf.as_runs(frame), x=x, mode="zero-shot")
            parts.append(section(f"{series}, {x}, zero-shot", scores[shown], index=False))
            facts[series, x, "zero-shot"] = scores
        ahead = sf.cross_validate(sf.as_runs(frame), law="saturating", x="samples", mode="prefix")
        parts.append(
            section(
                f"{series}, the rest of each size from its first quarter",
                ahead[["params", "rmse", "end_bias", "cover95", "rmse_last_value", "rmse_own_power"]],
                index=False,
            )
        )
        facts[series, "prefix"] = ahead
    return "\n\n".join(parts), facts


def saturation() -> Found:
    """Ask whether k saturates."""
    parts, facts = [], {}
    for series, frame in main_arms().items():
        for x in RESOURCES:
            fit = sf.fit(frame, law="saturating", x=x)
            said = fit.saturation
            parts.append(
                f"{series}, {x}: {fit.status}. {said.sentence if said else 'no verdict'}\n{fit.scatter.sentence}"
            )
            facts[series, x] = {
                "status": str(fit.status),
                "misfit": list(fit.misfit.missed),
                "scatter": fit.scatter.sentence,
                "weighed": asdict(said) if said else None,
            }
    return "\n\n".join(parts), facts


def reuse() -> Found:
    """Ask whether repeats are free, and by what they cost."""
    joined = pd.concat(
        [of(arm("start", "reuse"), "100k"), arm("reuse_long", "reuse"), arm("reuse_short", "reuse")], ignore_index=True
    )
    found = sf.study_reuse(joined)
    return found.summary(), {"answers": list(found)}


def rollouts() -> Found:
    """Ask for the best group size, at equal prompts of a step and at equal rollouts."""
    parts, facts = [], {}
    eight = of(arm("start"), "100k")
    eight = eight[eight["seed"] < 3]
    for name, others in {
        "equal prompts": ["rollouts_prompts"],
        "equal rollouts": [f"rollouts_equal_{group}" for group in (4, 16, 32)],
    }.items():
        joined = pd.concat([eight, *(arm(other) for other in others)], ignore_index=True).assign(series=name)
        (found,) = sf.study_rollouts(joined)
        parts.append(found.summary())
        facts[name] = found
    return "\n\n".join(parts), facts


def offsets() -> Found:
    """Ask whether the untrained model says where a curve lies and how much it gains."""
    parts, facts = [], {}
    for series, frame in main_arms().items():
        for x in RESOURCES:
            (found,) = sf.study_offsets(frame, x)
            parts.append(f"{x}: {found.summary()}")
            facts[series, x] = found
    return "\n\n".join(parts), facts


def instruct() -> Found:
    """Ask whether models that have read careful answers more often learn otherwise; both read as many tokens before that."""
    careful = arm("instruct", "walk")
    sizes = set(careful["params"])
    plain = arm("tokens", "walk")
    plain = plain[plain["params"].isin(sizes) & plain["seed"].isin(set(careful["seed"]))]
    table = levels(careful)
    (found,) = sf.compare_recipes(careful, plain, names=("instruct", "base"), x="samples")
    text = f"{section('instruct', table)}\n\n{found.summary()}"
    return text, {"levels": table, "base levels": levels(plain), "compared": found}


def clocks() -> Found:
    """Ask whether arms that differ in one thing share a clock, and in which unit."""
    parts, facts = [], {}
    start = arm("start", "walk")
    some = start[(start["params"] < 5e5) & (start["seed"] < 2)]
    for name in ("batch", "slow", "curriculum", "alike"):
        try:
            found = list(sf.study_clocks(some, arm(name, "walk")))
        except NotMade:
            continue
        parts += [f"{name}: {one.summary()}" for one in found]
        facts[name] = found
    return "\n\n".join(parts), facts


def joint() -> Found:
    """Ask which parts of a law in compute and data at once are determined."""
    tables = [
        of(arm("start", "walk"), "100k"),
        *(arm(name, "walk") for name in ("rollouts_prompts", "reuse_long", "reuse_short")),
    ]
    found = list(sf.study_joint(*tables))
    return "\n\n".join(one.summary() for one in found), {"answers": found}


QUESTIONS: dict[str, Callable[[], Found]] = {
    "Where runs start and end": what_was_made,
    "The learning rate": rates,
    "What the plan assumed": power,
    "1. Do larger models learn more efficiently": efficiency,
    "2. Does the law predict": prediction,
    "3. Does k saturate": saturation,
    "4. Is reuse free": reuse,
    "How many rollouts": rollouts,
    "Base or instruct": instruct,
    "5. Where does E(N) come from": offsets,
    "6. Is there one clock": clocks,
    "7. The law in compute and data at once": joint,
}
