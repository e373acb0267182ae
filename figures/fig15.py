"""Figure 15, not in the paper: all sizes on one clock; a: base, b: instruct."""

from __future__ import annotations

from common import SERIES, result, save

from scalefit.plotting.law import draw_clock, size_legend
from scalefit.plotting.style import new_figure, size_colours, styled


@styled()
def main() -> None:
    """Draw both panels."""
    found = result("clock")
    figure, axes = new_figure(2, sharey=True, height=4.0)
    numbers = {}
    for axis, letter, series in zip(axes, "ab", SERIES, strict=True):
        mine = found[f"{series} samples"]["on one clock"]
        colours = size_colours(curve["params"] for curve in mine["curves"])
        half = f"half-way at {mine['X_mid'] / 1e3:.1f}k prompts, steepness {mine['B']:.1f}"
        draw_clock(axis, mine, f"{letter}  {series}: {half}", colours)
        numbers[letter] = mine
    axes[1].set_ylabel("")
    size_legend(figure, colours)
    save(__file__, figure, numbers)


if __name__ == "__main__":
    main()
