"""By what the default prediction of a size that was not fitted was chosen, and whether its bands hold what they name.

    python benchmarks/unseen.py [TABLE ...] --out benchmarks/unseen.json

Each size with at least four smaller ones is predicted from those, by closed laws whose weights come from leaving out sizes
among the smaller ones, and by the trend of the sizes. The tables: the paper's sizes up to 32B (72B is refused: it is what
the method is judged by), the project's own studies, further ones that are named (runs of accuracies, such as the ladder of
allenai/OLMo-ladder, Apache-2.0), and tables drawn from nine truths, whose predictions are held against the truth.
A family's error is the root mean square over its sizes; over families again; over truths it is the geometric mean.
Everything is decided by seeds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.unseen_tables import TRUTHS, Table, measured_tables, simulated_tables
from scalefit.laws import ANCHORED, AVERAGED, OFFSET_FORMS
from scalefit.laws.clocks import CLOSED_CLOCKS
from scalefit.laws.law import Law
from scalefit.output import write_json
from scalefit.prediction import ensemble, trend
from scalefit.prediction.crossval import ONE_OUT, cross_validate_data
from scalefit.prediction.ensemble import LEAST_SIZES, SHARE, average_offsets, first_points
from scalefit.prediction.misses import GROWTH
from scalefit.prediction.scores import score_held_out
from scalefit.prediction.trend import NEAREST, WAY, Trend
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]
OUT = Path(__file__).with_suffix(".json")
EVERY = (*ANCHORED, *CLOSED_CLOCKS)
POINTS = 10
"""First points of an anchor."""

_LINES, _CLOCKS = OFFSET_FORMS, CLOSED_CLOCKS[:2]
POOLS: dict[str, tuple[Law, ...]] = {
    "two lines, two clocks": AVERAGED,
    "four lines": _LINES,
    "four lines, four bent": ANCHORED,
    "four lines, two clocks": (*_LINES, *_CLOCKS),
    "two lines": _LINES[:2],
    "two clocks": _CLOCKS,
    "three clocks": CLOSED_CLOCKS,
    "line and clock, affine": (_LINES[1], _CLOCKS[1]),
    "all eleven": EVERY,
}
"""Closed laws that are averaged: straight and bent lines by their offsets, clocks by their starts."""
SHARES = (0.0, 0.25, 0.5, 0.67, 0.75, 1.0)
"""The trend's part."""
WEIGHTS = ("all folds", "upward folds", "equal")
"""By which sizes left out laws are weighed: every one, or those above all that were fitted."""
CHOSEN = {"pool": "two lines, two clocks", "trend": SHARE, "weights": "all folds"}
BEFORE = {"pool": "four lines, four bent", "trend": 0.0, "weights": "upward folds"}
FIRST = {"pool": "four lines", "trend": 0.67, "weights": "all folds"}
"""The prediction as it is, as it was, and one that was chosen and shown on 72B before clocks and simulations were tried."""
SCALES: dict[str, dict[str, Callable[[Array], Array]]] = {
    "log odds": {},
    "log loss": {"odds": lambda log: log, "from_odds": lambda log: log},
}
Variant = tuple[str, int, float]
VARIANTS: tuple[Variant, ...] = tuple(itertools.product(SCALES, (2, 3, 4), (0.5, 0.67, 1.0)))
"""Of the trend: the scale it goes along, the sizes its line goes through, the part of the way it goes."""
TREND: Variant = ("log odds", NEAREST, WAY)
ANCHORS = {
    "eight lines, straight and bent, moved": ("four lines, four bent", 0.0, 1.0),
    "four lines, moved": ("four lines", 0.0, 1.0),
    "lines and clocks with the trend, moved": ("two lines, two clocks", SHARE, 1.0),
    "lines and clocks with the trend, moved half of the way": ("two lines, two clocks", SHARE, POINTS / (POINTS + 10)),
    "lines and clocks with the trend, left alone": ("two lines, two clocks", SHARE, 0.0),
}
"""What is done with ten first points: the laws, the trend's part, the part of the way each is moved onto the points."""


@dataclass(frozen=True)
class Target:
    """A size predicted from smaller ones: log10 L (n,) of laws by name and of trends, and what was to come [loss].

    `squared` is the mean squared error of each law at the sizes left out among the smaller ones, by what is left out.
    """

    family: str
    laws: Mapping[str, Array]
    trends: Mapping[Variant, Array]
    squared: Mapping[str, Mapping[str, float]]
    loss: Array

    def error(self, pool: Sequence[Law], share: float, weights: str, along: Variant = TREND) -> float:
        """Return the root mean squared error of a candidate."""
        at = {name: 1.0 for name in self.laws} if weights == "equal" else self.squared[weights]
        logs = weigh(self.laws, pool, at)
        return rms(10.0 ** ((1 - share) * logs + share * self.trends[along]) - self.loss)


def weigh(laws: Mapping[str, Array], pool: Sequence[Law], squared: Mapping[str, float]) -> Array:
    """Return the average of a pool's curves, each weighed by the inverse of its mean squared error."""
    weight = np.array([1 / (squared[law.name] + 1e-12) for law in pool])
    return np.asarray(weight / weight.sum() @ np.stack([laws[law.name] for law in pool]))


def rms(values: Sequence[float] | Array) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


_OCCASIONS = ensemble._occasions


def upward(data: FitData) -> list[Any]:
    """Return the occasions at which the size left out lies above all that are fitted, four of them or all others."""
    kept = []
    for some, fitted in _OCCASIONS(data):
        below = data.sizes[fitted(data.sizes)]
        if below[-1] < some[0] and (len(below) >= LEAST_SIZES or some[-1] == data.sizes[-1]):
            kept.append((some, fitted))
    return kept


def read_targets(table: Table) -> Iterator[Target]:
    """Predict each size with at least four smaller ones by every law and by every trend."""
    for below, size in table.steps:
        whole = average_offsets(below, EVERY)
        with mock.patch.object(ensemble, "_occasions", upward):
            risen = average_offsets(below, EVERY)
        here = (table.truth or table.data).keep(table.data.params == size)
        resource, loss = here.resource[:, here.present], here.loss[here.present]
        names = [law.name for law in EVERY]
        squared = {
            rule: dict(zip(names, one.held_out[:-1] ** 2, strict=True))
            for rule, one in (("all folds", whole), ("upward folds", risen))
        }
        laws = dict(zip(names, whole.curves(size, resource)[:-1], strict=True))
        yield Target(table.family, laws, continue_curves(whole.trend, size, resource), squared, loss)


def continue_curves(found: Trend, size: float, resource: Array) -> dict[Variant, Array]:
    """Return log10 L of every variant of the trend at values of the resource."""
    curves = {}
    for variant in VARIANTS:
        scale, nearest, way = variant
        with mock.patch.multiple(trend, NEAREST=nearest, WAY=way, **SCALES[scale]):
            curves[variant] = found.mean_curve(size, resource).centre
    return curves


def anchor_errors(table: Table, steps: Iterable[tuple[FitData, float]]) -> Iterator[dict[str, float]]:
    """Yield what each way to use ten first points is wrong by on the rest of a size, predicted from those given."""
    for others, size in steps:
        here = table.data.keep(table.data.params == size)
        rest = here.present.copy()
        rest[:, :POINTS] = False
        if not rest.any():
            continue
        resource, loss = here.resource[:, rest], here.loss[rest]
        told, alone = average_offsets(others, EVERY, anchor_points=POINTS), average_offsets(others, EVERY)
        plain = told.curves(size, resource)
        shift = told.curves(size, resource, first_points(table.data, size, POINTS)) - plain
        names = [law.name for law in EVERY]
        row = {}
        for name, (pool, share, part) in ANCHORS.items():
            curves = plain + part * shift
            squared = dict(zip(names, (told if part else alone).held_out[:-1] ** 2, strict=True))
            logs = weigh(dict(zip(names, curves[:-1], strict=True)), POOLS[pool], squared)
            row[name] = rms(10.0 ** ((1 - share) * logs + share * curves[-1]) - loss)
        yield row


def held(table: Table, points: int) -> Iterator[dict[str, Any]]:
    """Yield what the real prediction and its bands hold of each size left out, and of each predicted from smaller ones."""
    kept = ("rmse", "cover50", "cover95")
    folds = cross_validate_data(table.data, mode="anchored" if points else "zero-shot", points=points)
    for fold in folds[folds["fold"] == ONE_OUT].to_dict("records"):
        yield {"family": table.family, "how": "left out", **{name: fold[name] for name in kept}}
    for below, size in table.steps:
        scored = score_held_out(None, below, table.data, np.array([size]), points)
        if scored is not None:
            yield {"family": table.family, "how": "upward", **{name: scored[name] for name in kept}}


def mean_miss(data: FitData) -> tuple[float, float]:
    """Return the mean absolute miss of level and of slope at a way of 1, of sizes left out [log10 loss]."""
    each = average_offsets(data).misses.each
    grown = np.array([one.way for one in each]) ** GROWTH
    level, slope = (np.abs(some) / grown for some in ([one.level for one in each], [one.slope for one in each]))
    return float(np.mean(level)), float(np.mean(slope))


def sum_up(errors: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return errors by family, of the measured ones, of the truths, and the geometric mean of these two."""
    frame = pd.DataFrame(errors, columns=["family", "error"])
    by = {str(name): rms(some["error"]) for name, some in frame.groupby("family", sort=False)}
    found: dict[str, Any] = {"families": by}
    measured, drawn = ([error for name, error in by.items() if (name in TRUTHS) is wanted] for wanted in (False, True))
    found["measured"] = rms(measured)
    if drawn:
        found["simulated"] = float(np.exp(np.mean(np.log(drawn))))
        found["both"] = float(np.sqrt(found["measured"] * found["simulated"]))
    return found


def judge(targets: Sequence[Target]) -> dict[str, Any]:
    """Return the errors of every candidate, and those of the chosen one along every trend."""
    rows = [
        {"pool": pool, "trend": share, "weights": rule}
        | sum_up([(one.family, one.error(laws, share, rule)) for one in targets])
        for (pool, laws), share, rule in itertools.product(POOLS.items(), SHARES, WEIGHTS)
    ]
    chosen = (POOLS[str(CHOSEN["pool"])], float(CHOSEN["trend"]), str(CHOSEN["weights"]))
    trends = [
        {"scale": along[0], "nearest": along[1], "way": along[2]}
        | sum_up([(one.family, one.error(*chosen, along)) for one in targets])
        for along in VARIANTS
    ]
    return {"candidates": rows, "trends": trends}


def cover(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean shares of evaluations in the bands over folds, of all and by family, and the error."""
    frame = pd.DataFrame(rows)
    found = {}
    for how, some in frame.groupby("how", sort=False):
        shares = {name: float(some[name].mean()) for name in ("cover50", "cover95")}
        by = some.groupby("family", sort=False)[["cover50", "cover95"]].mean().to_dict("index")
        found[str(how)] = {"folds": len(some), "rmse": rms(some["rmse"]), **shares, "families": by}
    return found


def anchored(measured: Sequence[Table]) -> dict[str, Any]:
    """Return the errors of each way to use ten points, of sizes predicted from smaller ones and from all others."""
    found = {}
    for name in ("steps", "gaps"):
        rows = [(one.family, row) for one in measured for row in anchor_errors(one, getattr(one, name))]
        found[name] = {how: sum_up([(family, row[how]) for family, row in rows]) for how in ANCHORS}
    return found


def bands(measured: Sequence[Table], drawn: Sequence[Table], count: int) -> dict[str, Any]:
    """Return what bands hold of tables that were measured, with ten points too, and of so many of those drawn from each truth."""
    drawn = [table for truth in TRUTHS for table in [one for one in drawn if one.family == truth][:count]]
    kinds = {"measured": (measured, 0), "measured, ten points": (measured, POINTS), "simulated": (drawn, 0)}
    return {
        kind: cover([row for table in tables for row in held(table, points)])
        for kind, (tables, points) in kinds.items()
    }


def misses(measured: Sequence[Table]) -> dict[str, Any]:
    """Return mean misses by table, and their mean over families."""
    found = {table.name: mean_miss(table.data) for table in measured}
    families = pd.DataFrame(found.values(), columns=["level", "slope"]).groupby([one.family for one in measured])
    return {"tables": found, "mean": families.mean().mean().to_dict()}


def main() -> None:
    """Measure part by part, and write each as it comes; parts that are not asked for are left as they are."""
    parts: dict[str, Callable[[list[Table], list[Table]], dict[str, Any]]] = {
        "choice": lambda measured, drawn: judge([one for table in (*measured, *drawn) for one in read_targets(table)]),
        "anchored": lambda measured, _: anchored(measured),
        "bands": lambda measured, drawn: bands(measured, drawn, given.simulated // 4),
        "misses": lambda measured, _: misses(measured),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="*", help="CSV tables of runs")
    parser.add_argument("--simulated", type=int, default=12, help="tables of each truth")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--part", choices=parts, action="append", help="only this part; may be repeated")
    given = parser.parse_args()
    measured, drawn = list(measured_tables(given.tables)), list(simulated_tables(given.simulated))
    report: dict[str, Any] = json.loads(given.out.read_text()) if given.part and given.out.exists() else {}
    report |= {"tables": [table.name for table in measured], "tables of each truth": given.simulated}
    for name in given.part or parts:
        report[name] = parts[name](measured, drawn)
        write_json(given.out, report, 4)


if __name__ == "__main__":
    main()
