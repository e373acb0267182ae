"""Fit the paper's curves as its authors did, hold 72B out, and write both tables into the README.

Run as `python experiments/paper_fits/run.py`; `--check` only says whether the README is up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import scalefit as sf
from scalefit.fitting.fit import Specification, fit_data
from scalefit.provenance import replace_file
from scalefit.table.prepare import prepare
from scalefit.validation.crossval import baselines, score
from scalefit.validation.ensemble import average_offsets, first_points

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "data" / "paper" / "published_fits.csv"
OLS = Specification(noise="independent")


def published_table() -> list[str]:
    """Return the rows of published fits beside ours: equal weight per size, ordinary least squares."""
    runs = sf.read_runs(ROOT / "data" / "paper" / "runs.parquet")
    rows = [
        "| series, resource, fitted on | k_max published | ours | N0 [1e9] published | ours | R² ours | points |",
        "|---|---|---|---|---|---|---|",
    ]
    for _, row in pd.read_csv(PUBLISHED).iterrows():
        (data,) = prepare(runs, row.x, {"series": row.source}, clip=int(row.warmup_clip), weights="size")
        what = row.fitted_on.split(";")[0]
        if "0.5B-32B" in what:
            data = data.keep(data.params < data.sizes[-1])
        elif "dropped" in what:
            drop = 80 if "80" in what else 65
            data = data.keep(np.ones(len(data.params), bool), first=data.present.sum(1) - drop)
        fit = fit_data("saturating", data, OLS)
        rows.append(
            f"| {row.source}, {row.x}, {what} | {row.k_max:.4f} | {fit.params['k_max'].value:.4f} | {row.N0 / 1e9:.2f} "
            f"| {fit.params['N0'].value / 1e9:.2f} | {fit.r2:.4f} | {data.points} |"
        )
    return rows


def held_out_table() -> list[str]:
    """Return how 72B is predicted from 0.5B-32B by the default average, beside what must be beaten."""
    runs = sf.read_runs(ROOT / "data" / "paper" / "runs.parquet")
    rows = [
        "| series, resource | zero-shot RMSE | end bias | in the 95 % band | nearest size carried | 10-step anchor RMSE | end bias | in the 95 % band |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for series in ("base", "instruct"):
        for x in ("samples", "flops"):
            (data,) = prepare(runs, x, {"series": series})
            top = float(data.sizes[-1])
            train, here = data.keep(data.params < top), data.keep(data.params == top)
            resource, loss = here.resource[:, here.present], here.loss[here.present]
            cells = []
            for points in (0, 10):
                anchor = first_points(data, top, points) if points else None
                found = average_offsets(train, anchor_points=points).predict(
                    top, resource, anchor=anchor, eval_size=float(here.eval_size[0])
                )
                scores = score(found["loss"], loss, {"cover": (found["new_low"], found["new_high"])})
                cells += [f"{scores['rmse']:.4f}", f"{scores['end_bias']:+.3f}", f"{scores['cover']:.0%}"]
            near = score(baselines(train, top, resource, None)["nearest_size"], loss)["rmse"]
            rows.append(f"| {series}, {x} | {' | '.join(cells[:3])} | {near:.4f} | {' | '.join(cells[3:])} |")
    return rows


def main() -> None:
    """Rewrite the README's two generated tables, or check them."""
    path = ROOT / "README.md"
    text = old = path.read_text()
    for name, rows in (("published", published_table()), ("held-out", held_out_table())):
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, rest = text.split(start)
        text = before + start + "\n".join(rows) + "\n" + end + rest.split(end, 1)[1]
    if "--check" in sys.argv:
        sys.exit("README tables are out of date; run python experiments/paper_fits/run.py" if text != old else 0)
    replace_file(path, lambda target: Path(target).write_text(text))


if __name__ == "__main__":
    main()
