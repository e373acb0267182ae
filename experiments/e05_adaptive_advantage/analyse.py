"""Does an advantage move the law, or pass@k? FADE, Dr. GRPO and RLOO against GRPO over the size sweep.

Draws `figures/adaptive_advantage.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from study import DATA, against, by_law, put_result, save, section

import scalefit as sf
from scalefit.plotting.runs import draw_arms
from scalefit.plotting.style import new_figure, ordered_colours, styled

ARMS = {"grpo": "GRPO", "dr-grpo": "Dr. GRPO", "rloo": "RLOO", "fade": "FADE"}
K = (1, 8, 64)


@styled()
def main() -> None:
    """Print the tables and draw."""
    tables = {arm: sf.read_runs(DATA / f"e05_{arm}.parquet") for arm in ARMS}
    runs = pd.concat([table.frame.assign(arm=arm) for arm, table in tables.items()], ignore_index=True)
    others = list(ARMS)[1:]
    law = pd.DataFrame({arm: by_law(sf.compare_recipes(tables[arm], tables["grpo"])[0]) for arm in others})
    gaps = [(k, arm, against(tables[arm].frame, tables["grpo"].frame, f"pass_at_{k}")) for k in K for arm in others]
    passes = pd.DataFrame([{"arm": arm, "k": k, **gap} for k, arm, gap in gaps]).set_index("arm")
    sharp = []
    for arm, table in tables.items():
        for one in sf.study_sharpening(table, k=K):
            change = {f"pass@{row['k']}": row["difference"] for row in one.passes}
            sharp.append({"advantage": arm, "params": one.params, **change, "verdict": one.verdict.partition(":")[0]})
    passes = passes[["k", "difference", "low", "high"]]
    said = [section("minus GRPO, by the law [95 %]", law), section("pass@k at the end, minus GRPO's", passes)]
    put_result(__file__, "\n\n".join([*said, section("after training minus before", pd.DataFrame(sharp), index=False)]))
    figure, panels = new_figure(2)
    draw_arms(panels[0], runs[runs["size"] == "100k"], "arm", "samples", ARMS)
    panels[0].set_title("100k parameters; band: three seeds")
    panels[0].legend(frameon=False, fontsize=8)
    for at, (arm, colour) in enumerate(zip(others, ordered_colours(len(ARMS))[1:], strict=True)):
        mine = passes.loc[[arm]]
        error = [mine["difference"] - mine["low"], mine["high"] - mine["difference"]]
        where = np.arange(len(K)) + 0.15 * (at - 1)
        panels[1].errorbar(where, mine["difference"], yerr=error, fmt="o", ms=4, color=colour, label=ARMS[arm])
    panels[1].axhline(0, color="0.4", lw=0.8)
    panels[1].set_xticks(range(len(K)), [f"k = {k}" for k in K])
    panels[1].set(ylabel="pass@k at the end, minus GRPO's", title="15 pairs of size and seed, 95 % intervals")
    panels[1].legend(frameon=False, fontsize=8, loc="upper left")
    save(figure, "adaptive_advantage.png")


if __name__ == "__main__":
    main()
