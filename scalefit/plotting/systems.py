"""Pictures of whole systems: scores against size or cost, and one benchmark against another."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalefit.plotting.style import Colour, log_ticks, ordered_colours, size_colours

AXES = {"params": "N [parameters]", "cost": "cost [the table's unit]"}
MARKS = "osD^vP"
MOST_NAMED = 24
"""Systems with a colour and mark of their own; with more, the numbers beside the picture say which is which."""
Look = dict[str, tuple[Colour, str]]


def looks(frame: pd.DataFrame) -> Look:
    """Return the colour and mark of each system, small ones light, those of a size alike in colour; one look for all where there are too many."""
    sizes = frame.groupby("system", sort=False)["params"].first().sort_values(kind="stable", na_position="first")
    if len(sizes) > MOST_NAMED:
        return dict.fromkeys(sizes.index, (ordered_colours(1)[0], "o"))
    if sizes.isna().any():
        colours = dict(zip(sizes.index, ordered_colours(len(sizes)), strict=True))
    else:
        shades = size_colours(sizes)
        colours = {name: shades[params] for name, params in sizes.items()}
    return {str(name): (colours[name], MARKS[int(at) % len(MARKS)]) for name, at in _marks(sizes).items()}


def _marks(sizes: pd.Series) -> pd.Series:
    """Return the number of each system's mark: its place among those of its size, or among all where sizes are not known."""
    if sizes.isna().any():
        return pd.Series(range(len(sizes)), sizes.index)
    return sizes.groupby(sizes).cumcount()


def systems_legend(figure: Figure, look: Look, columns: int = 7) -> None:
    """Put one legend of the systems under the panels, where each has a look of its own."""
    if len(set(look.values())) == len(look) > 1:
        handles = [
            Line2D([], [], color=colour, marker=mark, ls="", ms=5, label=name) for name, (colour, mark) in look.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def draw_scores(axes: Axes, frame: pd.DataFrame, x: str, title: str, look: Look) -> list[dict[str, Any]]:
    """Draw the scores of a benchmark's systems against their size or cost, with exact 95 % intervals."""
    frame = frame[frame[x].notna()].sort_values(x)
    for row in frame.to_dict("records"):
        _point(axes, look[row["system"]], (row[x], row["score"]), y=(row["low"], row["high"]))
    log_ticks(axes, "x", frame[x])
    axes.set(xlabel=AXES[x], title=title)
    spec = axes.get_subplotspec()
    if spec is None or spec.is_first_col():
        axes.set_ylabel("score, 95 % binomial interval")
    return _records(frame[["system", x, "score", "low", "high", "n"]])


def draw_transfer(
    axes: Axes, source: pd.DataFrame, target: pd.DataFrame, names: tuple[str, str], title: str, look: Look
) -> list[dict[str, Any]]:
    """Draw one benchmark's scores against another's, over the systems that have both, with exact 95 % intervals."""
    both = source.merge(target, on="system", suffixes=("_source", "_target"))
    for row in both.to_dict("records"):
        across, along = ((row[f"low_{side}"], row[f"high_{side}"]) for side in ("source", "target"))
        _point(axes, look[row["system"]], (row["score_source"], row["score_target"]), x=across, y=along)
    axes.set(xlabel=f"{names[0]}, score", ylabel=f"{names[1]}, score", title=title)
    columns = ["system", *(f"{what}_{side}" for side in ("source", "target") for what in ("score", "low", "high"))]
    return _records(both[columns])


def _point(
    axes: Axes,
    look: tuple[Colour, str],
    at: tuple[float, float],
    *,
    y: tuple[float, float],
    x: tuple[float, float] | None = None,
) -> None:
    colour, mark = look
    axes.plot([at[0]] * 2, y, lw=1, color=colour)
    if x is not None:
        axes.plot(x, [at[1]] * 2, lw=1, color=colour)
    axes.plot(*at, mark, ms=5, color=colour)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
