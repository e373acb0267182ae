"""The ceiling beside e01's curves, and what these runs cannot say: sentences with what must be true for them to stand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

EXPERIMENTS = Path(__file__).parents[1]
sys.path.insert(0, str(EXPERIMENTS))

import pandas as pd  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from study import DATA, say  # noqa: E402

import scalefit as sf  # noqa: E402
from scalefit.plotting.style import LOSS, log_ticks, new_figure, size_colours  # noqa: E402
from scalefit.runner.config_file import read_config  # noqa: E402
from scalefit.table.io import RunTable  # noqa: E402
from scalefit.units import format_quantity, resource_label  # noqa: E402

SERIES = ("base", "instruct")


def ceiling() -> pd.DataFrame:
    """Return the loss of each size and seed whose model was evaluated before wrong answers were put in."""
    return pd.read_csv(DATA / "e01_ceiling.csv").set_index(["params", "seed"])["loss"].rename("ceiling").to_frame()


def beside(frame: pd.DataFrame) -> pd.DataFrame:
    """Return start, ceiling and end of a series' sizes, means of the seeds of which the ceiling is known, and the share of the fall."""
    ordered = frame.sort_values("step").groupby(["params", "seed"])["loss"]
    ends = pd.DataFrame({"start": ordered.first(), "end": ordered.last()})
    known = ends.join(ceiling(), how="inner").reset_index().groupby("params")
    means = known[["start", "ceiling", "end"]].mean()
    made = (means["start"] - means["end"]) / (means["start"] - means["ceiling"])
    return means.assign(**{"share made": made, "seeds": known.size()})


def missing(frame: pd.DataFrame) -> str:
    """Say of which models the ceiling is not known."""
    known, all_of = set(ceiling().index), frame["params"].nunique()
    left: dict[int, list[str]] = {}
    for size, params, seed in sorted(
        set(zip(frame["size"], frame["params"], frame["seed"], strict=True)), key=lambda one: one[1:]
    ):
        if (params, seed) not in known:
            left.setdefault(seed, []).append(size)
    said = [
        f"seed {seed} of {'all' if len(some) == all_of else ', '.join(some)}" for seed, some in sorted(left.items())
    ]
    return f"no ceiling yet: {'; '.join(said)}" if left else "the ceiling of every model is known"


def draw(runs: RunTable) -> Figure:
    """Draw every size's mean curve and its ceiling."""
    figure, panels = new_figure(len(SERIES))
    colours = size_colours(sorted(runs.frame["params"].unique()))
    for axes, series in zip(panels, SERIES, strict=True):
        frame = runs.frame[(runs.frame["series"] == series) & (runs.frame["samples"] > 0)]
        level = beside(runs.frame[runs.frame["series"] == series])["ceiling"]
        for params, mean in frame.groupby(["params", "samples"])["loss"].mean().groupby(level=0):
            curve = mean.droplevel(0)
            axes.plot(curve.index, curve, color=colours[params], label=format_quantity(params))
            if params in level:
                axes.axhline(level[params], color=colours[params], linestyle="--", linewidth=0.8)
        axes.set(xscale="log", ylim=(0.3, 0.95), xlabel=resource_label("samples"), ylabel=LOSS)
        axes.set_title(f"{series}; dashed: before wrong answers")
        log_ticks(axes, "x", frame["samples"], 4)
    panels[-1].legend(frameon=False, fontsize=7, ncols=3, loc="upper right")
    return figure


def cannot(runs: RunTable) -> list[str]:
    """Return what these runs cannot say, and why."""
    tables = {series: beside(runs.frame[runs.frame["series"] == series]) for series in SERIES}
    base, instruct = tables["base"], tables["instruct"]
    noises = [read_config(path).pretrain.base_noise for path in EXPERIMENTS.glob("e0[1-6]*/*.toml")]
    level = {found.series: found for found in sf.study_level(runs, x="samples")}
    r = {series: level[series].between[0]["r"] for series in SERIES}
    within = {series: level[series].within[0] for series in SERIES}
    smallest, largest = base.iloc[0], base.iloc[-1]
    sizes = f"{format_quantity(base.index[0])} to {format_quantity(base.index[-1])}"
    return [
        say(
            "These runs cannot decide any of the paper's four findings, and neither can those of e02 to e06: all of them start from models "
            "that learnt right answers first and wrong ones after, and their reinforcement learning undoes the noise that was put in.",
            *(noise > 0 for noise in noises),
        ),
        say(
            f"What a model could do before that is its ceiling (the skill stage alone, evaluated alike; {sizes}, dashed below): a loss of {smallest['ceiling']:.2f} "
            f"to {largest['ceiling']:.2f}, where the base models start at {smallest['start']:.2f} to {largest['start']:.2f}. "
            f"The runs make {100 * base['share made'].min():.0f} to {100 * base['share made'].max():.0f} % of that fall on base and "
            f"{100 * instruct['share made'].min():.0f} to {100 * instruct['share made'].max():.0f} % on instruct, "
            "and no size ends below its ceiling: they fall towards what pre-training had reached, and not beyond it.",
            *((table["ceiling"] < table["start"]).all() for table in tables.values()),
            *((table["ceiling"] < table["end"]).all() for table in tables.values()),
        ),
        say(
            f"Larger models start lower: start loss and log N go together (r {r['base']:+.2f} on base, {r['instruct']:+.2f} on instruct), so that what of a difference in slope "
            "is size, and what is level, sizes alone cannot tell.",
            *(value < -0.9 for value in r.values()),
        ),
        say(
            f"Nor do seeds: within a size, k on base: {_told(within['base'])}; on instruct: {_told(within['instruct'])}, and an interval that holds zero says nothing.",
            within["base"]["coefficient"] is None,
            within["instruct"]["low"] < 0 < within["instruct"]["high"],
        ),
    ]


def _told(within: dict[str, Any]) -> str:
    return str(within["says"]).split(", which makes")[0]
