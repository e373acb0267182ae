"""What the figure scripts share: where results lie, and panels of the law in the paper's arrangement.

A script here reads results and draws; nothing is fitted. `scalefit paper` runs all `fig*.py`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.image import imread

import scalefit as sf
from scalefit.output import alike, write_file
from scalefit.plotting.law import draw_law, draw_slopes, law_legend, size_legend
from scalefit.plotting.style import LOSS, log_ticks, new_figure, save_figure, size_colours, styled
from scalefit.units import resource_label

ROOT = Path(__file__).parents[1]
SAME = 1e-4
"""Relative difference of numbers that one does not see."""
CLEARLY, FEW = 0.1, 1e-3
"""Difference of a colour, of 1, that one sees; share of pixels that may have it, where a line falls between two."""
SERIES = ("base", "instruct")
SYMBOL = {"flops": "C", "samples": "D"}
IN_DOMAIN = ("gsm8k", "math500", "amc2023", "aime2024")
OUT_OF_DOMAIN = ("humaneval", "zebra", "supergpqa")


def result(name: str) -> Any:
    """Return a result of `experiments/paper`."""
    return json.loads((ROOT / "experiments" / "paper" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def paper_table(name: str) -> pd.DataFrame:
    """Return a table of the paper's curves."""
    return sf.read_runs(ROOT / "data" / "paper" / f"{name}.parquet").frame


def save(script: str, figure: Any, numbers: Any) -> None:
    """Write PNG, PDF and JSON beside the script, under its name."""
    with tempfile.TemporaryDirectory() as folder:
        update(save_figure(figure, Path(folder) / Path(script).stem, numbers), ROOT / "figures")


def update(made: Iterable[Path], folder: Path) -> None:
    """Put pictures and their numbers into a folder, but for those that are there and differ in what one cannot see."""
    for picture in (path for path in made if path.suffix == ".png"):
        new = [picture.with_name(f"{picture.stem}{suffix}") for suffix in (".png", ".pdf", ".json")]
        old = [folder / path.name for path in new]
        known = old[0].exists() and old[2].exists() and looks_alike(old[0], new[0]) and _same_numbers(old[2], new[2])
        for source, target in zip(new, old, strict=True):
            if not (known and target.exists()):
                write_file(target, partial(shutil.copyfile, source))


def _same_numbers(one: Path, other: Path) -> bool:
    return alike(*(json.loads(path.read_text(encoding="utf-8")) for path in (one, other)), SAME)


def looks_alike(one: Path, other: Path) -> bool:
    """Say whether two pictures have one size, and at most one pixel in a thousand that is clearly different."""
    pixels = [imread(path) for path in (one, other)]
    if pixels[0].shape != pixels[1].shape:
        return False
    return bool((np.abs(pixels[0] - pixels[1]).max(axis=2) > CLEARLY).mean() <= FEW)


@styled()
def law_panels(script: str, panels: list[tuple[str, str, str]]) -> None:
    """Draw panels of (series, resource, "across" or "within"), two a row, lettered, and save."""
    figure, axes = new_figure(2, (len(panels) + 1) // 2, height=3.9)
    laws = {}
    for axis, letter, (series, resource, kind) in zip(axes, "abcd"[: len(panels)], panels, strict=True):
        law = laws[letter] = result(f"prediction_{series}_{resource}")[kind]
        if kind == "across":
            said = f"≤ 32B fitted, 72B unseen: RMSE {law['curves'][-1]['scores']['rmse']:.3f}"
        else:
            said = f"first {law['curves'][0]['first']} points of each size fitted"
        draw_law(axis, law, f"{letter}  {series}, {SYMBOL[resource]}: {said}")
    law_legend(figure, list(laws.values()), columns=5)
    save(script, figure, laws)


@styled()
def slope_panels(script: str, resource: str) -> None:
    """Draw k(N) of base and instruct with the published curves, and save."""
    fits = pd.read_csv(ROOT / "data" / "paper" / "published_fits.csv")
    fits = fits[(fits["x"] == resource) & fits["origin"].str.startswith("read from figures")]
    names = {True: "published, ≤ 32B", False: "published, first parts"}
    figure, axes = new_figure(2, sharey=True, height=4.0)
    numbers = {}
    for axis, letter, series in zip(axes, "ab", SERIES, strict=True):
        found = result(f"prediction_{series}_{resource}")["slopes"]
        theirs = [
            {"name": names["0.5B-32B" in row.fitted_on], "k_max": row.k_max, "N0": row.N0}
            for row in fits[fits["source"] == series].itertuples()
        ]
        draw_slopes(axis, found, f"{letter}  {series}, k_{SYMBOL[resource]}(N); points: each size alone", theirs)
        numbers[letter] = {"ours": found, "published": theirs}
    axes[1].set_ylabel("")
    save(script, figure, numbers)


@styled()
def benchmark_panels(script: str, panels: list[tuple[str, str]], columns: int) -> None:
    """Draw (series, benchmark) panels as points only, each saying how many of its points were recovered, and save.

    The missing points are not missing at random, so no line, spread or interval is drawn through what is left.
    """
    runs = paper_table("cross_domain")
    drawn = paper_table("runs").groupby("series", observed=True).size()
    figure, axes = new_figure(columns, len(panels) // columns, height=3.4)
    colours = size_colours(runs["params"])
    numbers = {}
    for axis, letter, (series, name) in zip(axes, "abcdefgh"[: len(panels)], panels, strict=True):
        mine = runs[(runs["series"] == series) & (runs["eval"] == name)]
        for size, part in mine.groupby("params"):
            axis.plot(part["samples"], part["loss"], ".", ms=2.5, color=colours[size])
        log_ticks(axis, "x", mine["samples"], most=6)
        axis.set(xlabel=resource_label("samples"), ylabel=LOSS if axis.get_subplotspec().is_first_col() else "")
        axis.set_title(f"{letter}  {series}, {name} ({mine['eval_size'].iloc[0]} problems)", loc="left")
        note = f"{len(mine)} of some {drawn[series]} points read; those missing are not missing at random"
        axis.text(0, -0.25, note, fontsize=6, color="0.3", transform=axis.transAxes)
        numbers[letter] = {"series": series, "eval": name, "note": note}
        numbers[letter] |= mine[["params", "samples", "loss"]].to_dict("list")
    size_legend(figure, colours)
    save(script, figure, numbers)
