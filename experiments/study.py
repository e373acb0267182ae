"""What the experiments share, and benchmarks with them: tables of comparisons, and where results go.

Runs of one seed share their base model and the order of their problems, so arms are compared within a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scalefit.errors import ScalefitError
from scalefit.output import write_file, write_text
from scalefit.studies.differences import Measured, difference, mean_difference, scatter
from scalefit.studies.recipes import Comparison

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data" / "study"


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what pre-training left, where the runs ended, and the spread over seeds."""
    steps = {"start": frame["step"].min(), "end": frame["step"].max()}
    at = {name: frame[frame["step"] == step].groupby("params")["loss"] for name, step in steps.items()}
    found = {name: loss.mean() for name, loss in at.items()}
    return pd.DataFrame({**found, "sd start": at["start"].std(), "sd end": at["end"].std()})


def at_end(frame: pd.DataFrame, column: str) -> dict[float, list[Measured]]:
    """Return the last value of a column that is measured at the ends of runs only, by size and run."""
    last = frame[frame[column].notna()].sort_values("step").groupby("run_id").tail(1)
    return {
        size: [Measured(*row, 0.0) for row in rows.to_numpy()]
        for size, rows in last.groupby("params")[["seed", column]]
    }


def against(frame: pd.DataFrame, base: pd.DataFrame, column: str) -> dict[str, float]:
    """Return an arm's difference from another in such a column, mean of the sizes, with its 95 % interval."""
    mine, theirs = at_end(frame, column), at_end(base, column)
    known = scatter([(mine[size], theirs[size]) for size in mine])
    return mean_difference([difference(mine[size], theirs[size], known) for size in mine]).row


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


def say(text: str, *holds: Any) -> str:
    """Return a sentence, or refuse where what it claims does not hold.

    Raises
    ------
    ScalefitError
        With the sentence.
    """
    if not all(bool(one) for one in holds):
        raise ScalefitError(f"the results no longer support this sentence of the page, write it anew: {text!r}")
    return text


def between(page: str, mark: str, block: str) -> str:
    """Return the text of a page with a block in place of what was between its marks, each on a line of its own.

    Raises
    ------
    ScalefitError
        If the page has no such marks, in this order.
    """
    first, last = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    head, begun, rest = page.partition(first)
    _, ended, tail = rest.partition(last)
    if not (begun and ended):
        raise ScalefitError(
            f"the page has no {first.strip()} ... {last.strip()}, between which a part of it is written"
        )
    return f"{head}{first}{block}\n{last}{tail}"


def put_result(script: str, text: str, mark: str = "result", page: str = "notes.md", *, fenced: bool = True) -> None:
    """Print a result and put it between the marks of the notes, or another page, beside the script; as it is, or as prose."""
    print(text)
    notes = Path(script).with_name(page)
    block = f"```\n{text}\n```" if fenced else text
    write_text(notes, between(notes.read_text(encoding="utf-8"), mark, block))
