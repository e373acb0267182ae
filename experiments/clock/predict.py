"""What does each form cost in prediction? Unseen sizes, the rest of runs, their ends, a start, and what ten points can hold.

Writes `predictions.json`, its tables of the notes, and the short one of `docs/laws.md`; about five minutes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from study import DATA, ROOT, between, put_result
from ten import ten_points

import scalefit as sf
from scalefit.fitting.fit import fit_data
from scalefit.laws import OFFSET_FORMS
from scalefit.laws.clocks import CLOSED_CLOCKS
from scalefit.output import write_json, write_text
from scalefit.prediction.crossval import AVERAGE, cross_validate_data
from scalefit.prediction.ensemble import LEAST_SIZES, Ensemble, average_offsets
from scalefit.prediction.outlook import Siblings
from scalefit.prediction.rolling import LEAST_POINTS
from scalefit.prediction.siblings import Setting, among_siblings, band
from scalefit.prediction.started import Started
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.units import format_quantity

Array = NDArray[np.float64]
OUT = Path(__file__).with_name("predictions.json")
PAGE = ROOT / "docs" / "laws.md"
CLOSED = tuple(law.name for law in (*OFFSET_FORMS, *CLOSED_CLOCKS))
TREND, STARTED, FROM_START = "trend alone", f"{AVERAGE} with the start", "clock from its start"
WITHIN, SHARES = ("saturating", "power", "clock", "sigmoid"), (0.25, 0.5, 0.7)
"""Laws that continue runs, and the part of each run that they see."""
ONE_OUT, UPWARD = "one left out", "from smaller"
DIGITS, SAME = 4, 1e-3
"""Significant digits of results, and how far numbers of another processor may lie from those that are there."""


@dataclass(frozen=True)
class Series:
    """A series of a committed table in a resource."""

    name: str
    runs: RunTable
    data: FitData
    paper: bool

    @property
    def starts(self) -> dict[float, float]:
        """Loss of the untrained model of each size, mean of its seeds; none where the table has no step 0."""
        frame = self.runs.frame
        rows = frame[(frame["step"] == 0) & (frame["series"] == self.data.series)]
        return {float(size): float(loss) for size, loss in rows.groupby("params")["loss"].mean().items()}


def series() -> Iterator[Series]:
    """Yield the paper's two series in both resources, and those of our studies that have five sizes or more."""
    for path in (ROOT / "data" / "paper" / "runs.parquet", DATA / "e01.parquet", *sorted(DATA.glob("e05_*.parquet"))):
        runs, paper = sf.read_runs(path), path.parent.name == "paper"
        for resource in ("samples", "flops") if paper else ("samples",):
            for data in prepare(runs, resource):
                several = [data.series] if paper or path.stem == "e01" else []
                name = " ".join(["paper" if paper else path.stem, *several, *([resource] if paper else [])])
                yield Series(name, runs, data, paper)


def rms(errors: Any) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(np.asarray(errors, float)))))


def predictions(train: FitData, size: float, resource: Array, start: float | None) -> dict[str, Array]:
    """Return the loss that everything asked predicts for a size that was not fitted, at values of the resource (1, n)."""
    every = np.full(resource.shape[1], size)
    found = {law: 10.0 ** fit_data(law, train).log_curve(every, resource)[0] for law in CLOSED}
    whole = average_offsets(train)
    found[TREND] = 10.0 ** whole.trend.mean_curve(size, resource).centre
    found[AVERAGE] = _loss(whole, size, resource)
    if start is not None:
        found[STARTED] = _loss(whole.started(start), size, resource)
        found[FROM_START] = 10.0 ** Started(train, start).mean_curve(size, resource).centre
    return found


def _loss(whole: Ensemble, size: float, resource: Array) -> Array:
    return whole.predict(size, resource)["loss"]


def zero_shot(data: FitData, starts: Mapping[float, float]) -> dict[str, dict[str, Any]]:
    """Return RMSE at each size that is left out, of all others and of the smaller ones alone, by what predicted it."""
    found: dict[str, dict[str, Any]] = {}
    for fold, sizes in ((ONE_OUT, data.sizes), (UPWARD, data.sizes[LEAST_SIZES:])):
        row: dict[str, Any] = {"sizes": sizes.tolist()}
        for size in sizes.tolist():
            here = data.keep(data.params == size)
            train = data.keep(data.params != size if fold == ONE_OUT else data.params < size)
            told = predictions(train, size, here.resource[:, here.present], starts.get(size))
            for name, loss in told.items():
                row.setdefault(name, []).append(rms(loss - here.loss[here.present]))
        found[fold] = row
    return found


def within(data: FitData) -> list[dict[str, Any]]:
    """Return RMSE and bias of the last tenth of the rest of runs, of which the first part is fitted."""
    rows = []
    for law in WITHIN:
        for share in SHARES:
            told = cross_validate_data(data, law, "prefix", share=share)
            row = {"law": law, "seen": share, "rmse": rms(told["rmse"]), "end bias": float(told["end_bias"].mean())}
            rows.append({**row, "cover95": float(told["cover95"].mean())})
    return rows


def at_end(one: Series) -> list[dict[str, Any]]:
    """Return RMSE, bias and coverage of forecasts of the last tenth of every run, with its siblings and without.

    What is committed was measured with siblings' clocks as a form of the run, which forecasts no longer have.
    """
    frame, rows = one.runs.frame, []
    names = frame.loc[frame["series"] == one.data.series, "run_id"].unique()
    for name in names:
        setting = among_siblings(one.runs, str(name), one.data.resources[0], str(one.data.record["eval"]))
        for share in SHARES:
            count = max(int(share * len(setting.curve.x)), LEAST_POINTS)
            for clock in (True, False):
                rows.append({"seen": share, "clock": clock, **_end(setting, count, clock)})
    table = pd.DataFrame(rows)
    by = table.groupby(["seen", "clock"], sort=False)
    return (
        by.agg(runs=("off", "size"), rmse=("off", rms), bias=("bias", "mean"), cover95=("cover95", "mean"))
        .reset_index()
        .to_dict("records")
    )


def _end(setting: Setting, count: int, clock: bool) -> dict[str, float]:
    whole = setting.curve
    told = setting if clock else replace(setting, siblings=Siblings())
    last = slice(len(whole.x) - max(len(whole.x) // 10, 1), None)
    told, loss = band(told.look(float(whole.x[-1]), whole.first(count)), whole.x[last]), whole.loss[last]
    held = (loss >= told["eval_low95"]) & (loss <= told["eval_high95"])
    off = told["loss"] - loss
    return {"off": rms(off), "bias": float(off.mean()), "cover95": float(held.mean())}


def study() -> dict[str, Any]:
    """Return all of it."""
    found: dict[str, Any] = {"zero-shot": {}, "within": {}, "at the end": {}, "ten points": {}}
    for one in series():
        print(one.name, file=sys.stderr, flush=True)
        found["zero-shot"][one.name] = zero_shot(one.data, one.starts)
        found["within"][one.name] = within(one.data)
        found["at the end"][one.name] = at_end(one)
        if one.paper:
            found["ten points"][one.name] = ten_points(one.data)
    return found


def zero_shot_lines(found: Mapping[str, Any], fold: str, names: tuple[str, ...]) -> list[dict[str, str]]:
    """Return RMSE over the sizes left out of each series."""
    lines = []
    for series, row in found["zero-shot"].items():
        told = {name: f"{rms(row[fold][name]):.4f}" for name in names if name in row[fold]}
        lines.append({"table": series, "sizes": str(len(row[fold]["sizes"])), **told})
    return lines


def size_lines(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return RMSE at the paper's sizes, predicted from smaller ones."""
    lines = []
    for series, row in found["zero-shot"].items():
        told = row[UPWARD]
        for at, size in enumerate(told["sizes"] if series.startswith("paper") else []):
            each = {name: f"{told[name][at]:.4f}" for name in (*CLOSED, TREND, AVERAGE)}
            lines.append({"table": series, "size": format_quantity(size), **each})
    return lines


def within_lines(found: Mapping[str, Any], value: str) -> list[dict[str, str]]:
    """Return a number of each law and part seen."""
    form = {"rmse": ".4f", "end bias": "+.4f"}[value]
    lines = []
    for series, rows in found["within"].items():
        for share in SHARES:
            told = {row["law"]: f"{row[value]:{form}}" for row in rows if row["seen"] == share}
            lines.append({"table": series, "seen": f"{share:g}", **told})
    return lines


def end_lines(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return forecasts of the last tenth, with and without the clock."""
    lines = []
    for series, rows in found["at the end"].items():
        for share in SHARES:
            line = {"table": series, "seen": f"{share:g}"}
            for row in (one for one in rows if one["seen"] == share):
                told = "clock" if row["clock"] else "none"
                line |= {f"rmse, {told}": f"{row['rmse']:.4f}", f"bias, {told}": f"{row['bias']:+.4f}"}
                line |= {f"95 % holds, {told}": f"{100 * row['cover95']:.0f}"}
            lines.append(line)
    return lines


def ten_lines(found: Mapping[str, Any]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return what the whole run would let ten points say, and what simulated runs say."""
    known, simulated = [], []
    for series, row in found["ten points"].items():
        known.append({"table": series, **{name: f"{value:.4f}" for name, value in row["known"].items()}})
        for name, one in row["simulated"].items():
            spread = " ".join(f"{value:.4f}" for value in one["quantiles"])
            line = {"table": series, "drawn from, and what is known": name, "rmse 5, 50, 95 %": spread}
            simulated.append(line | {"at most .0125": f"{100 * one['share']:.0f} %"})
    return known, simulated


def said(found: Mapping[str, Any]) -> str:
    """Return where the clock wins and where it loses, in a paragraph."""
    best = {
        fold: sum(
            min(rms(row[fold][law.name]) for law in CLOSED_CLOCKS)
            < min(rms(row[fold][law.name]) for law in OFFSET_FORMS)
            for row in found["zero-shot"].values()
        )
        for fold in (ONE_OUT, UPWARD)
    }
    rests = [{(one["law"], one["seen"]): one["rmse"] for one in rows} for rows in found["within"].values()]
    won = {share: sum(rest["clock", share] < rest["power", share] for rest in rests) for share in SHARES}
    ends = [{(one["seen"], one["clock"]): one["rmse"] for one in rows} for rows in found["at the end"].values()]
    change = [end[share, True] / end[share, False] for end in ends for share in SHARES]
    tables = len(rests)
    return (
        f"{tables} tables. The best closed clock errs less than the best closed line in {best[ONE_OUT]} of them where each size is left "
        f"out, and in {best[UPWARD]} where sizes are predicted from smaller ones. The rest of runs, of which a quarter, a half and .7 are "
        f"seen, one clock predicts better than power laws of each size in {won[0.25]}, {won[0.5]} and {won[0.7]} of {tables}. Given the clock "
        f"of its siblings, a forecast of the last tenth of a run errs less in {sum(one < 1 for one in change)} of {len(change)} "
        f"cases, by {100 * (1 - np.median(change)):.0f} % in the middle case ({100 * (1 - min(change)):.0f} % less in the best, "
        f"{100 * (max(change) - 1):.0f} % more in the worst)."
    )


def whole(found: Mapping[str, Any]) -> str:
    """Return the part of the page that is made of the results."""
    heads = ["RMSE", "lines, best / worst", "clocks, best / worst", "trend alone", "average"]
    heads += [
        "rest of runs, half seen: power laws / one clock",
        "last tenth, half seen: without / with the siblings' clock",
    ]
    lines = [said(found), "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for series, row in found["zero-shot"].items():
        told, cells = row[ONE_OUT], [series]
        for laws in (OFFSET_FORMS, CLOSED_CLOCKS):
            each = sorted(rms(told[law.name]) for law in laws)
            cells.append(f"{each[0]:.3f} / {each[-1]:.3f}")
        cells += [f"{rms(told[name]):.3f}" for name in (TREND, AVERAGE)]
        half = {one["law"]: one["rmse"] for one in found["within"][series] if one["seen"] == 0.5}
        end = {one["clock"]: one["rmse"] for one in found["at the end"][series] if one["seen"] == 0.5}
        cells += [f"{half['power']:.3f} / {half['clock']:.3f}", f"{end[False]:.3f} / {end[True]:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_results(page: str, found: Mapping[str, Any]) -> str:
    """Return the page with its part of the results made anew."""
    return between(page, "prediction", f"\n{whole(found)}\n")


def notes(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables of the notes by their marks."""
    known, simulated = ten_lines(found)
    lines = {
        "unseen": zero_shot_lines(found, ONE_OUT, (*CLOSED, TREND, AVERAGE)),
        "upward": zero_shot_lines(found, UPWARD, (*CLOSED, TREND, AVERAGE)),
        "paper sizes": size_lines(found),
        "started": [
            line for line in zero_shot_lines(found, ONE_OUT, (AVERAGE, STARTED, FROM_START)) if STARTED in line
        ],
        "within": within_lines(found, "rmse"),
        "end bias": within_lines(found, "end bias"),
        "ends": end_lines(found),
        "ten known": known,
        "ten simulated": simulated,
    }
    return {mark: pd.DataFrame(rows).to_string(index=False) for mark, rows in lines.items()}


def main() -> None:
    """Predict everything that was left out."""
    write_json(OUT, study(), DIGITS, same=SAME)
    found = json.loads(OUT.read_text(encoding="utf-8"))
    for mark, text in notes(found).items():
        put_result(__file__, text, mark)
    write_text(PAGE, with_results(PAGE.read_text(encoding="utf-8"), found))


if __name__ == "__main__":
    main()
