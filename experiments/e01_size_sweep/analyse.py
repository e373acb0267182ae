"""Does the law hold for small models on arithmetic? Levels, ceilings, slopes, saturation, held-out sizes, other laws.

Draws `figures/ceiling.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from beside import beside, cannot, draw, missing
from study import DATA, levels, put_result, save, section

import scalefit as sf
from scalefit.plotting.style import styled
from scalefit.prediction.crossval import compare_laws
from scalefit.table.io import RunTable
from scalefit.table.prepare import prepare

RUNS = DATA / "e01.parquet"


def report(runs: RunTable, series: str) -> str:
    """Return everything about one series."""
    where = {"series": series}
    fit, alone = sf.fit(runs, where=where), sf.fit(runs, "power", where=where)
    slopes = pd.DataFrame({f"{N:.3g}": vars(alone.k(N)) for N in alone.data.sizes}).T
    mine, (data,) = runs.frame[runs.frame["series"] == series], prepare(runs, None, where)
    said = [
        section(f"== {series}: what pre-training left, and the end", levels(mine)),
        section("the ceiling beside them, of the same seeds", beside(mine)) + f"\n{missing(mine)}",
        f"saturating: {fit.status}, R² {fit.r2:.3f}, noise correlation {fit.noise.rho:.2f}\n"
        + "\n".join([fit.scatter.sentence, *fit.notes]),
        section("k of each size alone", slopes, digits=4),
        fit.saturation.sentence,
    ]
    for mode, law in (("zero-shot", "average"), ("prefix", "saturating")):
        found = sf.cross_validate(runs, law, mode=mode, where=where)
        columns = ["params", "rmse", "end_bias", "cover95", "run95", "rmse_nearest_size", "rmse_last_value"]
        said.append(section(f"{mode}, {law}", found[[name for name in columns if name in found]], index=False))
    columns = ["law", "held_out_rmse", "largest_rmse", "end_bias", "aic", "r2"]
    return "\n\n".join([*said, section("laws by held-out error", compare_laws(data)[columns], index=False)])


@styled()
def main() -> None:
    """Report both series, and what the runs cannot say."""
    runs = sf.read_runs(RUNS)
    put_result(__file__, "\n\n\n".join(report(runs, series) for series in ("base", "instruct")))
    put_result(__file__, "\n".join(cannot(runs)), mark="cannot", fenced=False)
    save(draw(runs), "ceiling.png")


if __name__ == "__main__":
    main()
