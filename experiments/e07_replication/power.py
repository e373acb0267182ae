"""What the design can tell, from the scatter of earlier runs, before a run of it is made; written into `plan.md`.

Tables are drawn with the sizes, seeds and evaluations of the arms, with the scatter between runs that e01 shows, and asked
by the commands that will be asked of the real ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from make import SHARED  # noqa: E402

import scalefit as sf  # noqa: E402
from experiments.study import DATA, levels, put_result, section  # noqa: E402

DRAWS = 40
SIZES = (25_248, 100_672, 310_480, 996_624)
HELD_OUT = 3.1e6
SEEDS = 5
END = SHARED["grpo"]["steps"] * SHARED["grpo"]["prompts"]
SAMPLES = SHARED["grpo"]["prompts"] * np.unique(np.round(10 ** (np.arange(19) / 8))).clip(1, SHARED["grpo"]["steps"])
LAW = {"k_max": 0.1, "N0": 1e5, "E0": -0.065, "x0": 1.8}
"""Sizes start together at .86, and the largest ends near .55, as the last pilots of the task do."""
LOSS, NOISE = 0.6, 0.008
"""About where differences are asked for, and the noise of an evaluation of 1,024 problems, four answers each."""


def table(
    law: str, theta: dict[str, Any], scatter: float, seed: int, sizes: tuple[float, ...] = SIZES, seeds: int = SEEDS
) -> pd.DataFrame:
    """Return a table drawn from a law, with runs that differ in slope as e01's do."""
    drawn = sf.simulate(
        law, theta, params=sizes, samples=SAMPLES, sigma=NOISE, seeds=seeds, slope_sd=scatter, level_sd=0.01, seed=seed
    )
    return drawn.frame


def slopes(scatter: float) -> pd.DataFrame:
    """Return how well slopes, saturation and the held-out size are told."""
    gaps, said, wide, missed = [], [], [], []
    for seed in range(DRAWS):
        runs = table("saturating-affine", LAW, scatter, seed)
        fit = sf.fit(runs, law="saturating", x="samples")
        low, high = fit.k(SIZES[0]), fit.k(SIZES[-1])
        gaps.append(low.high < high.low)
        said.append(fit.saturation.verdict if fit.saturation else "")
        told = fit.predict(params=HELD_OUT, samples=[END])
        law = sf.simulate("saturating-affine", LAW, params=[HELD_OUT], samples=[END])
        mean = float(law.frame["loss"].iloc[0])
        wide.append(float(told["run_high"].iloc[0] - told["run_low"].iloc[0]))
        missed.append(float(told["loss"].iloc[0] - mean))
    rows = {
        "k of the largest size told from that of the smallest": np.mean(gaps),
        "saturation told where it is true": np.mean([one == "saturating" for one in said]),
        "3M, zero-shot: root mean square error at the end": np.sqrt(np.mean(np.square(missed))),
        "3M, zero-shot: width of the 95 % band of a run at the end": np.mean(wide),
    }
    return pd.DataFrame({"value": rows})


def differences(spread: float) -> pd.DataFrame:
    """Return the smallest difference of end losses that two arms of so many seeds show in four of five cases."""
    rows = {}
    for seeds in (2, 3, 5):
        for gap in np.arange(0.01, 0.5, 0.01):
            table = sf.resolve_difference(float(gap), LOSS, run_sd=spread, pairing=0.5).table
            needed = next(row["seeds"] for row in table if row["problems"] >= SHARED["eval"]["problems"])
            if needed is not None and needed <= seeds:
                rows[seeds] = {"smallest difference": gap}
                break
    return pd.DataFrame(rows).T.rename_axis("seeds")


def clocks(scatter: float) -> pd.DataFrame:
    """Return how often two tables' clocks, three sizes of two seeds each, are told apart by the ratio of their half-way points."""
    rows = {}
    for ratio in (1.0, 1.25, 1.5, 2.0):
        told = []
        for seed in range(DRAWS // 2):
            frames = []
            for which, middle in enumerate((3e3, 3e3 * ratio)):
                theta = {"L0": [0.85] * 3, "G": [0.3, 0.4, 0.5], "X_mid": middle, "B": 1.5}
                frame = table("clock", theta, scatter, 2 * seed + which, SIZES[:3], 2)
                frames.append(frame.assign(step=frame["samples"] / SHARED["grpo"]["prompts"]))
            found = [*sf.study_clocks(*frames)]
            units = found[0].units if found else []  # where a clock is open nothing is told
            told.append(any(one["differ"] for one in units if one["unit"] == "prompts"))
        rows[ratio] = {"told apart": np.mean(told)}
    return pd.DataFrame(rows).T.rename_axis("ratio")


def main() -> None:
    """Write the plan's numbers."""
    runs = sf.read_runs(DATA / "e01.parquet")
    base = runs.frame[runs.frame["series"] == "base"]
    fit = sf.fit(base, law="saturating", x="samples")
    spread = float(levels(base)["sd end"].median())
    scatter = fit.scatter.slope[1]
    grid = pd.DataFrame({f"scatter {one:.2f}": slopes(one)["value"] for one in (scatter, scatter / 3)})
    apart = pd.DataFrame({f"scatter {one:.2f}": clocks(one)["told apart"] for one in (scatter, scatter / 3)})
    parts = [
        f"e01 base: {fit.scatter.sentence}; end losses of a size spread by {spread:.3f} (median of sizes)",
        section(
            f"the grid of {len(SIZES)} sizes x {SEEDS} seeds, {DRAWS} drawn tables, by the scatter of slopes", grid
        ),
        section("difference of end losses that is seen with power .8, arms sharing problems", differences(spread)),
        section("half-way points of two tables of three sizes x 2 seeds, told apart by their ratio", apart),
    ]
    put_result(__file__, "\n\n".join(parts), page="plan.md")


if __name__ == "__main__":
    main()
