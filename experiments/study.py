"""What the experiments share: paired differences between the arms of a study, and one kind of picture.

Runs of one seed share their base model and the order of their problems, so arms are compared within a seed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy.stats import t as student

mpl.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from style import log_ticks, set_style

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data" / "study"
LAST = 3
"""Evaluations at the end that make a run's final loss."""


def final_loss(frame: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Return the mean loss of the last evaluations, a row a seed (and size) and a column an arm."""
    ends = frame.sort_values("step").groupby(["size", "seed", arm], sort=True)["loss"]
    return ends.apply(lambda loss: loss.tail(LAST).mean()).unstack(arm)


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what pre-training left, where the runs ended, and the spread over seeds."""
    steps = {"start": frame["step"].min(), "end": frame["step"].max()}
    at = {name: frame[frame["step"] == step].groupby("params")["loss"] for name, step in steps.items()}
    found = {name: loss.mean() for name, loss in at.items()}
    return pd.DataFrame({**found, "sd start": at["start"].std(), "sd end": at["end"].std()})


def paired(frame: pd.DataFrame, arm: str, base: object) -> pd.DataFrame:
    """Return each arm's final loss and its difference from `base`, with a 95 % Student interval over pairs."""
    ends = final_loss(frame, arm)
    rows = []
    for name in ends:
        gap = ends[name] - ends[base]
        width = student.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))
        rows.append({arm: name, "loss": ends[name].mean(), "difference": gap.mean(), "low": gap.mean() - width})
        rows[-1] |= {"high": gap.mean() + width, "pairs": len(gap)}
    return pd.DataFrame(rows).set_index(arm)


def new_figure(columns: int = 1) -> tuple[plt.Figure, list[Axes]]:
    """Return a figure in the project's style and its panels, one loss axis for all."""
    set_style(1)
    figure, panels = plt.subplots(
        1, columns, figsize=(1 + 3.8 * columns, 3.5), constrained_layout=True, sharey=True, squeeze=False
    )
    return figure, list(panels[0])


def draw_arms(axes: Axes, frame: pd.DataFrame, arm: str, x: str, labels: dict[object, str]) -> None:
    """Draw each arm's mean curve over its seeds, with the seeds' range."""
    colours = set_style(len(labels))
    frame = frame[frame[x] > 0]
    for colour, (name, label) in zip(colours, labels.items(), strict=True):
        curves = frame[frame[arm] == name].groupby("step")
        at, loss = curves[x].mean(), curves["loss"]
        axes.fill_between(at, loss.min(), loss.max(), color=colour, alpha=0.15, lw=0)
        axes.plot(at, loss.mean(), color=colour, lw=1.4, label=label)
    log_ticks(axes, "x", frame[x])
    units = {"samples": "D [prompts]", "flops": "C [FLOPs]"}
    axes.set_xlabel(units[x])
    if axes.get_subplotspec().is_first_col():
        axes.set_ylabel("test loss 1 − pass@1")


def save(figure: plt.Figure, name: str) -> None:
    """Write the picture to `figures/`."""
    figure.savefig(ROOT / "figures" / name, metadata={"Software": "scalefit"})


def section(title: str, frame: pd.DataFrame, *, digits: int = 3, index: bool = True) -> str:
    """Return a titled table as text."""
    return f"{title}\n{frame.round(digits).to_string(index=index)}"


def put_result(script: str, text: str, mark: str = "result") -> None:
    """Print a result and put it between the marks of the notes beside the script."""
    print(text)
    notes = Path(script).with_name("notes.md")
    first, last = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    head, _, rest = notes.read_text(encoding="utf-8").partition(first)
    tail = rest.partition(last)[2]
    notes.write_text(f"{head}{first}\n```\n{text}\n```\n{last}{tail}", encoding="utf-8")
