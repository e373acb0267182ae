"""Figure 14, response length against D, base and instruct."""

from __future__ import annotations

from common import SERIES, paper_table, save

from scalefit.plotting.runs import draw_arms
from scalefit.plotting.style import new_figure, styled
from scalefit.units import format_quantity


@styled()
def main() -> None:
    """Draw both panels."""
    runs = paper_table("runs")
    runs = runs[runs["response_length"].notna()]
    sizes = {size: format_quantity(size) for size in sorted(runs["params"].unique())}
    figure, axes = new_figure(2, sharey=True, height=4.0)
    numbers = {}
    for axis, letter, series in zip(axes, "ab", SERIES, strict=True):
        mine = runs[runs["series"] == series]
        numbers[letter] = draw_arms(axis, mine, "params", "samples", sizes, y="response_length")
        axis.set_title(f"{letter}  {series}", loc="left")
    axes[0].set_ylabel("response length [tokens]")
    axes[1].legend(frameon=False, fontsize=7, title="N", title_fontsize=7, ncols=2)
    save(__file__, figure, numbers)


if __name__ == "__main__":
    main()
