"""Figure 6, a: final loss against N with other models' points; b: response length of base against D."""

from __future__ import annotations

import pandas as pd
from common import ROOT, SERIES, paper_table, save

from scalefit.plotting.runs import draw_arms
from scalefit.plotting.style import LOSS, log_ticks, new_figure, styled
from scalefit.units import format_quantity

MARKS = {"Qwen3 dense": "s", "Qwen3 MoE": "D", "GPT-OSS MoE": "^"}
COLOURS = {"base": "#1f4e79", "instruct": "#c44e00"}


@styled()
def main() -> None:
    """Draw both panels."""
    points = pd.read_csv(ROOT / "data" / "paper" / "final_losses.csv")
    figure, (final, length) = new_figure(2, height=4.0)
    numbers = {"a": {}}
    last = points[points["kind"] == "last_step"]
    for series in SERIES:
        mine = last[last["system"] == series]
        name = f"{series}, last step ± standard error"
        style = {"ms": 4, "lw": 1, "elinewidth": 1, "color": COLOURS[series]}
        final.errorbar(mine["params"], mine["loss"], mine["sem"], fmt="o-", label=name, **style)
        numbers["a"][series] = mine[["params", "loss", "sem"]].to_dict("list")
    others = points[points["kind"] == "reference"]
    for system, mark in MARKS.items():
        theirs = others[others["system"] == system]
        final.plot(theirs["params"], theirs["loss"], mark, ms=5, mfc="none", color="0.35", label=system)
        numbers["a"][system] = theirs[["params", "loss"]].to_dict("list")
    log_ticks(final, "x", points["params"])
    final.set(xlabel="N [parameters, all of a mixture]", ylabel=LOSS, ylim=(0.25, 1.0))
    final.set_title("a  final loss; hollow: other models, not trained here", loc="left")
    final.legend(frameon=False, fontsize=7, loc="lower left")
    base = paper_table("runs").query("series == 'base' and response_length.notna()")
    sizes = {size: format_quantity(size) for size in sorted(base["params"].unique())}
    numbers["b"] = draw_arms(length, base, "params", "samples", sizes, y="response_length")
    length.set_ylabel("response length [tokens]")
    length.set_title("b  response length, base", loc="left")
    length.legend(frameon=False, fontsize=7, title="N", title_fontsize=7, ncols=3, loc="best")
    save(__file__, figure, numbers)


if __name__ == "__main__":
    main()
