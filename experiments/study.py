"""What the experiments share: paired differences between the arms of a study, and where results go.

Runs of one seed share their base model and the order of their problems, so arms are compared within a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student

from scalefit.output import write_file, write_text
from scalefit.studies.recipes import Comparison

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data" / "study"
LAST = 3
"""Evaluations at the end that make a run's final loss."""


def final(frame: pd.DataFrame, arm: str, column: str = "loss") -> pd.DataFrame:
    """Return the mean of the last evaluations that have the column, a row a seed (and size) and a column an arm."""
    ends = frame.sort_values("step").groupby(["size", "seed", arm], sort=True)[column]
    return ends.apply(lambda values: values.tail(LAST).mean()).unstack(arm)


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what pre-training left, where the runs ended, and the spread over seeds."""
    steps = {"start": frame["step"].min(), "end": frame["step"].max()}
    at = {name: frame[frame["step"] == step].groupby("params")["loss"] for name, step in steps.items()}
    found = {name: loss.mean() for name, loss in at.items()}
    return pd.DataFrame({**found, "sd start": at["start"].std(), "sd end": at["end"].std()})


def paired(frame: pd.DataFrame, arm: str, base: object, column: str = "loss") -> pd.DataFrame:
    """Return where each arm ends and its difference from `base`, with a 95 % Student interval over pairs."""
    ends = final(frame, arm, column)
    rows = []
    for name in ends:
        gap = ends[name] - ends[base]
        width = student.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))
        rows.append({arm: name, column: ends[name].mean(), "difference": gap.mean(), "low": gap.mean() - width})
        rows[-1] |= {"high": gap.mean() + width, "pairs": len(gap)}
    return pd.DataFrame(rows).set_index(arm)


def by_law(found: Comparison) -> dict[str, str]:
    """Return a comparison's differences by the law, meaned over sizes with 95 % intervals, and its resource multiplier."""
    row = {}
    for name in ("end_loss", "k", "E", "asymptote"):
        gaps = [size[name] for size in found.sizes if size[name]]
        row[name] = _mean([(gap["difference"], (gap["high"] - gap["low"]) / 2) for gap in gaps], "{:+.4f}".format)
    logs = [(np.log(one["value"]), np.log(one["high"] / one["low"]) / 2) for one in found.multiplier]
    return row | {f"{found.resource}, times": _mean(logs, lambda log: f"{np.exp(log):.2f}")}


def _mean(each: list[tuple[float, float]], show: Callable[[float], str]) -> str:
    mean, width = np.mean([value for value, _ in each]), np.sqrt(sum(half**2 for _, half in each)) / len(each)
    return f"{show(mean)} [{show(mean - width)}, {show(mean + width)}], {len(each)} sizes"


def save(figure: Figure, name: str) -> None:
    """Write the picture to `figures/`."""
    kind = Path(name).suffix[1:]
    write_file(ROOT / "figures" / name, partial(figure.savefig, format=kind, metadata={"Software": "scalefit"}))


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
    write_text(notes, f"{head}{first}\n```\n{text}\n```\n{last}{tail}")
