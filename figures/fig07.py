"""Figure 7, data reuse at 7B: a, b: loss by tau, base and instruct; c: the final loss and the margin of equivalence."""

from __future__ import annotations

from common import SERIES, paper_table, result, save

from scalefit.plotting.runs import SMOOTHED, draw_arms
from scalefit.plotting.style import new_figure, styled

OFFSET = {"base": -0.08, "instruct": 0.08}
COLOURS = {"base": "#1f4e79", "instruct": "#c44e00"}


@styled()
def main() -> None:
    """Draw the three panels."""
    found, runs = result("reuse"), paper_table("reuse")
    figure, axes = new_figure(3, height=4.0)
    numbers = {}
    for axis, letter, series in zip(axes, "ab", SERIES, strict=False):
        mine = runs[runs["series"] == series]
        labels = {tau: f"τ = {tau:g}" for tau in sorted(mine["reuse"].unique())}
        numbers[letter] = draw_arms(axis, mine, "reuse", "samples", labels, window=SMOOTHED)
        axis.set_title(f"{letter}  {series}, 7B; lines: means of {SMOOTHED} steps", loc="left")
        axis.set_ylim(0.62, 0.84)
    axes[0].legend(frameon=False, fontsize=7, ncols=2)
    last = axes[2]
    for series in SERIES:
        arms = found[series]["arms"]
        place = [at + OFFSET[series] for at in range(len(arms))]
        gap = [arm["difference"] for arm in arms]
        reach = [
            [arm["difference"] - arm["low"] for arm in arms],
            [arm["high"] - arm["difference"] for arm in arms],
        ]
        last.errorbar(
            place, gap, reach, fmt="o", ms=4, lw=1, color=COLOURS[series], label=f"{series}, 95 % between runs"
        )
        numbers[f"c {series}"] = arms
    margin = found["margin"]
    last.axhspan(-margin, margin, color="0.9", lw=0, zorder=0, label=f"margin of equivalence ± {margin:g}")
    last.axhline(0, color="0.5", lw=0.8)
    last.set_xticks(range(len(arms)), [f"{arm['tau']:g}" for arm in arms])
    last.set(
        xlabel="τ [times each prompt is seen]",
        ylabel="final loss, less the other free arms'",
        ylim=(-0.045, 0.085),
    )
    last.set_title("c  mean over the last fifth", loc="left")
    last.legend(frameon=False, fontsize=7, loc="upper left")
    save(__file__, figure, numbers)


if __name__ == "__main__":
    main()
