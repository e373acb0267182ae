"""Figure 16, not in the paper: a, b: what laws leave along the curves; c, d: start and gain of each size on the common clock."""

from __future__ import annotations

import numpy as np
import pandas as pd
from common import ROOT, SERIES, result, save

from scalefit.plotting.style import log_ticks, new_figure, styled

LAWS = {
    "saturating": ("the paper's law", "o", "#c44e00"),
    "power": ("a power law of each size", "s", "#d99a2b"),
    "clock": ("one clock, start and gain of each size", "D", "#2a788e"),
    "sigmoid": ("a sigmoid of each size", "^", "#1f4e79"),
}
COLOURS = {"base": "#1f4e79", "instruct": "#c44e00"}


@styled()
def main() -> None:
    """Draw the four panels."""
    found = result("clock")
    figure, axes = new_figure(2, 2, height=3.6)
    numbers = {}
    for axis, letter, series in zip(axes, "ab", SERIES, strict=False):
        mine = found[f"{series} samples"]["by lag"]
        white = mine["white"]
        name = "white noise about a sigmoid, 95 %"
        axis.fill_between(mine["lags"], white["low"], white["high"], color="0.85", lw=0, label=name)
        axis.axhline(0, color="0.5", lw=0.8)
        for law, (name, mark, colour) in LAWS.items():
            axis.plot(mine["lags"], mine[law], f"{mark}-", ms=3.5, lw=1, color=colour, label=name)
        axis.set(xlabel="evaluations apart", ylabel="autocorrelation of what is left", ylim=(-0.15, 0.45))
        axis.set_xticks([1, 5, 10, 15, 20])
        axis.set_title(f"{letter}  {series}, mean over the sizes", loc="left")
        numbers[letter] = mine
    axes[0].legend(frameon=False, fontsize=7)
    points = pd.read_csv(ROOT / "data" / "paper" / "final_losses.csv").query("kind == 'before' and eval == 'holdout'")
    for series in SERIES:
        before = points[points["system"] == series]
        axes[2].plot(before["params"], before["loss"], "o", ms=7, mfc="none", color=COLOURS[series])
        numbers[f"c {series}, before training"] = before[["params", "loss"]].to_dict("list")
    for axis, letter, part in zip(axes[2:], "cd", ("L0", "G"), strict=True):
        numbers[letter] = {}
        for series in SERIES:
            clock = found[f"{series} samples"]["clock"]
            ends = np.abs(np.array(clock[f"{part} ends"]).T - clock[part])
            axis.errorbar(clock["params"], clock[part], ends, fmt="o-", ms=4, lw=1, color=COLOURS[series], label=series)
            numbers[letter][series] = {name: clock[name] for name in ("params", part, f"{part} ends")}
        log_ticks(axis, "x", clock["params"])
        axis.set(xlabel="N [parameters]", ylim=(0.4 if part == "L0" else 0, None))
        axis.legend(frameon=False, fontsize=7)
    axes[2].set_ylabel("loss")
    axes[2].set_title(r"c  start $L_0$, 95 %; hollow: before training", loc="left")
    axes[3].set_ylabel("loss")
    axes[3].set_title(r"d  gain $G$, 95 %", loc="left")
    save(__file__, figure, numbers)


if __name__ == "__main__":
    main()
