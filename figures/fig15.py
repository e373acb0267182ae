"""Figure 15, not in the paper: all sizes on one clock; a: base, b: instruct."""

from __future__ import annotations

from common import SERIES, result, save

from scalefit.plotting.law import size_legend
from scalefit.plotting.style import log_ticks, new_figure, size_colours, styled
from scalefit.units import resource_label

SEEN = (-0.2, 1.3)
"""Shares that are drawn: of a size that gains next to nothing, noise is the larger part."""


@styled()
def main() -> None:
    """Draw both panels."""
    found = result("clock")
    figure, axes = new_figure(2, sharey=True, height=4.0)
    numbers = {}
    for axis, letter, series in zip(axes, "ab", SERIES, strict=True):
        mine = found[f"{series} samples"]
        colours = size_colours(curve["params"] for curve in mine["curves"])
        for curve in mine["curves"]:
            axis.plot(curve["x"], curve["share"], "o", ms=3, mew=0, alpha=0.75, color=colours[curve["params"]])
        axis.plot(mine["line"]["x"], mine["line"]["share"], lw=1.4, color="0.1")
        middle, steepness = (mine["clock"][name]["value"] for name in ("X_mid", "B"))
        axis.axvline(middle, color="0.4", ls="--", lw=0.8)
        axis.set_title(
            f"{letter}  {series}: half-way at {middle / 1e3:.1f}k prompts, steepness {steepness:.1f}", loc="left"
        )
        log_ticks(axis, "x", mine["line"]["x"])
        axis.set(xlabel=resource_label("samples"), ylim=SEEN)
        numbers[letter] = {name: mine[name] for name in ("curves", "line", "clock")}
    axes[0].set_ylabel(r"share of the gain, $(L_0 - L)/G$")
    size_legend(figure, colours)
    save(__file__, figure, numbers)


if __name__ == "__main__":
    main()
