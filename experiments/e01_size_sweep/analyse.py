"""Does the law hold for small models on arithmetic? Levels, slopes, saturation, held-out sizes, other laws.

Draws `figures/study_base.png` and `figures/study_instruct.png`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pandas as pd
from study import DATA, ROOT

import scalefit as sf
from scalefit.table.prepare import prepare
from scalefit.validation.crossval import compare_laws
from scalefit.validation.saturation import weigh_saturation

RUNS = DATA / "e01.parquet"


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what pre-training left, where the runs ended, and the spread over seeds."""
    steps = {"start": frame["step"].min(), "end": frame["step"].max()}
    at = {name: frame[frame["step"] == step].groupby("params")["loss"] for name, step in steps.items()}
    found = {name: loss.mean() for name, loss in at.items()}
    return pd.DataFrame({**found, "sd start": at["start"].std(), "sd end": at["end"].std()})


def report(runs: sf.RunTable, series: str) -> None:
    """Print everything about one series."""
    where = {"series": series}
    print(f"\n== {series}\n{levels(runs.frame[runs.frame['series'] == series]).round(3).to_string()}")
    fit, alone = sf.fit(runs, where=where), sf.fit(runs, "power", where=where)
    print(f"\nsaturating: {fit.status}, R² {fit.r2:.3f}, noise correlation {fit.noise.rho:.2f}; {'; '.join(fit.notes)}")
    print(pd.DataFrame({f"{N:.3g}": vars(alone.k(N)) for N in alone.data.sizes}).T.round(4).to_string())
    print(weigh_saturation(fit).sentence)
    for mode in ("zero-shot", "prefix"):
        found = sf.cross_validate(runs, "average" if mode == "zero-shot" else "saturating", mode=mode, where=where)
        columns = ["params", "rmse", "end_bias", "cover95", "rmse_nearest_size", "rmse_last_value"]
        print(f"\n{mode}\n{found[[name for name in columns if name in found]].round(3).to_string(index=False)}")
    (data,) = prepare(runs, None, where)
    print(f"\n{compare_laws(data).round(3).to_string(index=False)}")


def main() -> None:
    """Report both series and draw them."""
    runs = sf.read_runs(RUNS)
    for series in ("base", "instruct"):
        report(runs, series)
        out = ROOT / "figures" / f"study_{series}.png"
        draw = [sys.executable, ROOT / "figures" / "law.py", RUNS, "--series", series, "--out", out]
        subprocess.run(list(map(str, draw)), check=True)


if __name__ == "__main__":
    main()
