"""Pictures of a law: curves with fitted and extrapolated lines, and the slope k(N); drawn from `validation.holdouts`' numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scalefit.fitting.bands import BANDS
from scalefit.plotting.shades import OPAQUE, band_names, named, share_of_darkness
from scalefit.plotting.style import LOSS, Colour, log_ticks, shade, size_colours
from scalefit.units import format_quantity, resource_label

Numbers = Mapping[str, Any]
DASH = (0, (4, 2))
CLOCKED = (-0.2, 1.3)
"""Shares of a gain that are drawn: of a size that gains next to nothing, noise is the larger part."""
GREYS = ("0.15", "0.5", "0.65")


def draw_law(axes: Axes, law: Numbers, title: str, colours: Mapping[float, Colour] | None = None) -> None:
    """Draw every size's points, the fitted part of its line solid and the extrapolated part dashed, with its three 95 % bands.

    Parameters
    ----------
    law : mapping
        From `all_sizes`, `across_sizes` or `within_runs`, or their JSON.
    colours : mapping, optional
        Of the sizes, where several panels share them.
    """
    colours = colours or size_colours([curve["params"] for curve in law["curves"]])
    share = share_of_darkness(law)
    # Bands of many sizes lie over one another: those fitted have that of the mean curve only.
    few = sum(bool(curve["fitted"]) for curve in law["curves"]) < 3
    for curve in law["curves"]:
        colour, first = colours[curve["params"]], curve["first"]
        x, loss = np.asarray(curve["x"]), np.asarray(curve["loss"])
        axes.plot(x[:first], loss[:first], ".", ms=2.5, color=colour, alpha=0.6)
        axes.plot(x[first:], loss[first:], "o", ms=2.2, mfc="none", mew=0.5, color=colour, alpha=0.8)
        for part, style in (("fitted", "-"), ("extrapolated", DASH)):
            if line := curve[part]:
                draw_bands(axes, line["x"], line, colour, few=few or part == "extrapolated", share=share)
                axes.plot(line["x"], line["loss"], ls=style, lw=1.2, color=shade(colour), zorder=3)
        if level := curve.get("level_set"):
            axes.plot(level["x"], level["loss"], ls=":", lw=1.3, color="0.1", zorder=3)
    everything = np.concatenate([curve["loss"] for curve in law["curves"]])
    log_ticks(axes, "x", np.concatenate([curve["x"] for curve in law["curves"]]))
    log_ticks(axes, "y", np.maximum(everything, 1e-3))
    low, high = max(float(everything.min()), 1e-3), float(everything.max())
    axes.set_ylim(0.85 * low, 1.08 * high)
    axes.set(xlabel=resource_label(law["resource"], law.get("units")), ylabel=LOSS)
    axes.set_title(title, loc="left")


def draw_clock(axes: Axes, clock: Numbers, title: str, colours: Mapping[float, Colour] | None = None) -> None:
    """Draw the share of its gain that every size has made by when, and the clock that all sizes share.

    Parameters
    ----------
    clock : mapping
        From `on_one_clock`, or its JSON.
    """
    colours = colours or size_colours([curve["params"] for curve in clock["curves"]])
    for curve in clock["curves"]:
        axes.plot(curve["x"], curve["share"], "o", ms=3, mew=0, alpha=0.75, color=colours[curve["params"]])
    x = np.asarray(clock["line"]["x"])
    axes.plot(x, clock["line"]["share"], lw=1.4, color="0.1")
    if x.min() < clock["X_mid"] < x.max():
        axes.axvline(clock["X_mid"], color="0.4", ls="--", lw=0.8)
    log_ticks(axes, "x", x)
    per = clock["resource"] == "flops"
    label = "compute per parameter, in samples" if per else resource_label(clock["resource"], clock.get("units"))
    axes.set(xlabel=label, ylim=CLOCKED, ylabel=r"share of the gain, $(L_0 - L)/G$")
    axes.set_title(title, loc="left")


def draw_bands(
    axes: Axes, x: Any, line: Mapping[str, Any], colour: Any, *, label: str = "", share: float = 1, few: bool = True
) -> None:
    """Draw the three bands of a curve, the widest first, or that of the mean curve alone.

    `label` has a place for the name of each, `share` is of their darkness.
    """
    for prefix, name in list(BANDS.items())[::-1] if few else list(BANDS.items())[:1]:
        said = label.format(name) if label else None
        low, high = line[f"{prefix}low"], line[f"{prefix}high"]
        axes.fill_between(x, low, high, color=colour, alpha=share * OPAQUE[prefix], lw=0, zorder=1, label=said)


def law_legend(figure: Figure, laws: Sequence[Numbers], columns: int = 5) -> None:
    """Put one legend under the panels: sizes, and what kinds of line there are."""
    sizes = sorted({curve["params"] for law in laws for curve in law["curves"]})
    handles = _size_marks(size_colours(sizes))
    parts = {part for law in laws for curve in law["curves"] for part in ("fitted", "extrapolated") if curve[part]}
    if "fitted" in parts:
        handles.append(Line2D([], [], color="0.3", lw=1.2, label="fitted"))
    if "extrapolated" in parts:
        handles.append(Line2D([], [], color="0.3", lw=1.2, ls=DASH, label="extrapolated"))
        ring = Line2D([], [], color="0.3", mfc="none", mew=0.7, marker="o", ls="", ms=4, label="not fitted on")
        handles.append(ring)
    for prefix, name in band_names(laws).items():
        handles.append(Patch(color="0.3", alpha=1.3 * OPAQUE[prefix], lw=0, label=f"95 %, {name}"))
    if any(curve.get("level_set") for law in laws for curve in law["curves"]):
        handles.append(
            Line2D([], [], color="0.1", lw=1.3, ls=":", label="the same shape at the level of its own points")
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=7)


def size_legend(figure: Figure, colours: Mapping[float, Colour]) -> None:
    """Put the sizes under the panels."""
    handles = _size_marks(colours)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=7)


def _size_marks(colours: Mapping[float, Colour]) -> list[Artist]:
    """Return a dot a size, of many sizes some."""
    return [
        Line2D([], [], color=colours[size], marker="o", ls="", ms=4, label=format_quantity(size))
        for size in named(sorted(colours))
    ]


def draw_slopes(axes: Axes, found: Numbers, title: str, published: Sequence[Numbers] = ()) -> None:
    """Draw k(N) with its bands, solid up to the largest size fitted, and the slope of every size alone, hollow where the first law misses it.

    Parameters
    ----------
    found : mapping
        From `slopes`, or its JSON.
    published : sequence of mapping, optional
        `name`, `k_max` and `N0` of curves to lay over them.
    """
    each = found["each size alone"]
    grid = np.asarray(found["laws"][0]["params"])
    tops, missed = [*each["k"], *each["high"]], found["laws"][0].get("missed", ())
    handles: list[Any] = []
    for law, grey, hatch in zip(found["laws"], GREYS, (None, "////", "...."), strict=False):
        k, inside = np.asarray(law["k"]), int(np.sum(grid <= law["largest"]))
        low, high = (np.array([np.nan if end is None else end for end in law[name]]) for name in ("low", "high"))
        known = bool(np.isfinite(low).all() and np.isfinite(high).all())
        label = f"fitted on {law['name']}" + (", 95 %" if known else f" ({law['status']}: no interval)")
        (line,) = axes.plot(grid[:inside], k[:inside], color=grey, lw=1.3, label=label)
        # The dashes begin where the line ends.
        axes.plot(grid[max(inside - 1, 0) :], k[max(inside - 1, 0) :], color=grey, lw=1.3, ls=DASH)
        if known:
            band = axes.fill_between(grid, low, high, fc=grey, alpha=0.18, lw=0, hatch=hatch, ec=grey)
            handles.append((band, line))
        else:
            handles.append(line)
        tops += [float(k.max())]
    for curve, style in zip(published, (":", "-."), strict=False):
        k = curve["k_max"] * grid / (grid + curve["N0"])
        handles += axes.plot(grid, k, ls=style, lw=1.4, color="#c44e00", label=curve["name"])
        tops.append(float(k.max()))
    for (size, colour), k, low, high in zip(
        size_colours(each["params"]).items(), each["k"], each["low"], each["high"], strict=True
    ):
        face: Any = "white" if size in missed else colour
        axes.errorbar(size, k, [[k - low], [high - k]], fmt="o", ms=4, lw=1, color=colour, mfc=face, mew=1.1)
    if missed:
        handles += axes.plot([], [], "o", ms=4, mfc="white", mew=1.1, color="0.3", label="size that the law misses")
    log_ticks(axes, "x", grid)
    axes.set(xlabel="N [parameters]", ylabel="k(N)")
    axes.set_ylim(min(0.0, float(np.min(each["low"]))), (1.35 + 0.06 * len(published)) * max(tops))
    axes.set_title(title, loc="left")
    names = [str((one[-1] if isinstance(one, tuple) else one).get_label()) for one in handles]
    axes.legend(handles, names, frameon=False, fontsize=7, loc="upper left")
