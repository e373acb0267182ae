"""From which size of table on is a common clock told from power laws? Power by simulation, for both truths.

Tables are drawn from clocks and from the published law, with runs that scatter and noise that may be correlated, and each is
asked by what `scalefit.fitting.describe` says of it: F of the clock over a power law of each size, correlated noise allowed for.
Run as `make bench-apart` (ten minutes); writes `apart.json` and its table in `docs/laws.md`. Fixed seeds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.study import between
from scalefit.fitting.describe import PLAIN
from scalefit.fitting.f_test import judge_larger
from scalefit.fitting.fit import fit_data
from scalefit.fitting.left import left_by
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.output import write_json, write_text
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_name("apart.json")
PAGE = ROOT / "docs" / "laws.md"
SEED, SETTLED_ON, TABLES = 20261, 8, 20
"""Tables of each kind that thresholds are settled on, and those, drawn anew, that they are then judged by."""
LAST, SIGMA, LEVEL = 53_760.0, 0.01, 0.01
"""Samples at the end of a run, noise of an evaluation [loss], spread of levels where runs scatter [log10 loss]."""
SMALLEST, LARGEST = 0.5e9, 64e9
ALPHAS, BOUNDS = (0.05, 0.01, 0.005, 0.001), (1.0, 0.5, 0.0, -0.5, -1.0)
"""Chances at or below which a clock may be told, and F below which a law: of each the widest is taken that errs seldom enough."""
ERRS = 0.05


@dataclass(frozen=True)
class Clock:
    """One clock for all sizes: L = L0 (1 - g s(X)), g = gain N/(N + half), L0 from `start` at 0.5B falling by `fall` a decade."""

    middle: float
    steepness: float
    gain: float = 0.45
    half: float = 9e9
    start: float = 0.93
    fall: float = 0.12
    law = "clock"

    def curves(self, sizes: Array, x: Array, turned: Array) -> Array:
        """Return losses (S, seeds, T); each run's fall is its size's times 1 + `turned` (S, seeds, 1), about its middle."""
        share = 1 / (1 + (self.middle / x) ** self.steepness)
        first = (self.start - self.fall * np.log10(sizes / SMALLEST))[:, None, None]
        gain = first * (self.gain * sizes / (sizes + self.half))[:, None, None]
        return np.asarray(first - gain * (share.mean() + (1 + turned) * (share - share.mean())))


@dataclass(frozen=True)
class Straight:
    """The published law with a level that goes with the slope: log10 L = E0 + x0 k - k log10 X, k = k_max N/(N + N0)."""

    k_max: float
    N0: float
    E0: float
    x0: float
    law = "law"

    def curves(self, sizes: Array, x: Array, turned: Array) -> Array:
        """Return losses as `Clock.curves`; the slope of a run is its size's times 1 + `turned`."""
        k, at = (self.k_max * sizes / (sizes + self.N0))[:, None, None], np.log10(x)
        return np.asarray(10.0 ** (self.E0 + k * self.x0 - k * (at.mean() + (1 + turned) * (at - at.mean()))))


TRUTHS: dict[str, Clock | Straight] = {
    "clock like base": Clock(5_400, 1.1),
    "clock like instruct": Clock(11_500, 1.8, gain=0.3, half=1e10, start=0.92, fall=0.17),
    "early, flat clock": Clock(1_500, 0.7),
    "late clock": Clock(30_000, 1.0),
    "law, k_max .17, N0 8B": Straight(0.17, 8e9, -0.03, 1.1),
    "law, k_max .25, N0 3B": Straight(0.25, 3e9, 0.05, 0.8),
    "law, k_max .1, N0 20B": Straight(0.1, 2e10, -0.03, 1.1),
}


@dataclass(frozen=True)
class Kind:
    """A kind of table: sizes, evaluations of each run, runs of each size, correlation of noise, spread of slopes as a share."""

    sizes: int
    evaluations: int
    seeds: int
    rho: float
    scatter: float


KINDS = [Kind(*one) for one in itertools.product((3, 5, 7), (12, 30, 105), (1, 3), (0.0, 0.3), (0.0, 0.1, 0.2))]


def draw(truth: Clock | Straight, kind: Kind, seed: Sequence[int], sigma: float = SIGMA) -> FitData:
    """Draw a table of curves, each the mean of a size's runs, evenly in steps; least squares and F see no more of the runs."""
    rng, shape = np.random.default_rng(seed), (kind.sizes, kind.seeds, 1)
    sizes = np.geomspace(SMALLEST, LARGEST, kind.sizes)
    x = LAST * np.arange(1, kind.evaluations + 1) / kind.evaluations
    turned = kind.scatter * rng.standard_normal(shape)
    moved = 10.0 ** ((LEVEL if kind.scatter else 0.0) * rng.standard_normal(shape))
    noise = ar1_noise(rng, Noise(kind.rho, np.full(kind.seeds, sigma)), (kind.sizes, kind.seeds, len(x)))
    loss = np.clip(truth.curves(sizes, x, turned) * moved + noise, 0, 1)
    mean = loss.mean(1)
    resource, unknown, runs = (
        np.broadcast_to(x, (1, *mean.shape)).copy(),
        np.full(kind.sizes, np.nan),
        (1,) * kind.sizes,
    )
    return FitData("drawn", ("samples",), sizes, resource, mean, np.ones_like(mean), unknown, runs, {"eval": "drawn"})


def ask(data: FitData) -> dict[str, float]:
    """Return F and p of the clock over a power law of each size, and p of it over the published law."""
    left = {law: left_by(fit_data(law, data, PLAIN)) for law in ("saturating", "power", "clock")}
    shape, published = (judge_larger(left[law], left["clock"]) for law in ("power", "saturating"))
    return {"f": shape.f_correlated, "p": shape.p_correlated, "published": published.p_correlated}


def ask_all(first: int, count: int) -> pd.DataFrame:
    """Return what tables `first` to `first + count` of every kind and truth say, a row each; truths take turns."""
    rows = []
    for which, kind in enumerate(KINDS):
        for law in ("clock", "law"):
            names = [name for name, truth in TRUTHS.items() if truth.law == law]
            for table in range(first, first + count):
                # The truths' turns begin elsewhere in every kind, so that each has its share of all.
                name = names[(table + which) % len(names)]
                said = ask(draw(TRUTHS[name], kind, (SEED, which, table)))
                rows.append({**asdict(kind), "truth": law, "name": name, **said})
        print(f"{kind}: {100 * (which + 1) / len(KINDS):.0f} %", file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def settle(asked: pd.DataFrame) -> tuple[float, float]:
    """Return the widest chance to tell a clock and F to tell a law that err in no more than `ERRS` of any group of tables."""
    group = ["sizes", "evaluations", "rho"]
    wrong_clock = {a: (asked["p"] <= a)[asked["truth"] == "law"] for a in ALPHAS}
    wrong_law = {f: (asked["f"] < f)[asked["truth"] == "clock"] for f in BOUNDS}

    def widest(wrong: Mapping[float, pd.Series]) -> float:
        for bound, one in wrong.items():
            share = one.groupby([asked.loc[one.index, name] for name in group]).mean()
            if share.max() <= ERRS:
                return bound
        return list(wrong)[-1]

    return widest(wrong_clock), widest(wrong_law)


def count(asked: pd.DataFrame, alpha: float, bound: float) -> dict[str, list[Any]]:
    """Return how many tables of each kind and truth are told to be a clock's and a law's; spreads of slopes are pooled."""
    told = asked.assign(clock=asked["p"] <= alpha, law=asked["f"] < bound)
    by = told.groupby(["sizes", "evaluations", "seeds", "rho", "truth", "name"], sort=False)
    return _listed(by.agg(tables=("p", "size"), clock=("clock", "sum"), law=("law", "sum")))


def published(asked: pd.DataFrame, alpha: float) -> dict[str, list[Any]]:
    """Return in how many tables of the published law F of the clock over that law itself calls for a clock, by scatter."""
    mine = asked[asked["truth"] == "law"].assign(clock=lambda frame: frame["published"] <= alpha)
    return _listed(mine.groupby(["scatter", "seeds"]).agg(tables=("p", "size"), clock=("clock", "sum")))


def _listed(counts: pd.DataFrame) -> dict[str, list[Any]]:
    frame = counts.reset_index()
    return {"columns": list(frame), "rows": [list(row) for row in frame.itertuples(index=False)]}


def study(settled_on: int, tables: int) -> dict[str, Any]:
    """Return the thresholds, and what tables that they were not settled on say."""
    alpha, bound = settle(ask_all(0, settled_on))
    asked = ask_all(settled_on, tables)
    rule = {"clock where p is at most": alpha, "law where F is below": bound}
    return {"rule": rule, "told": count(asked, alpha, bound), "by the published law": published(asked, alpha)}


def _frame(listed: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(listed["rows"], columns=listed["columns"])


def _percent(rows: pd.DataFrame, told: str) -> str:
    return f"{100 * rows[told].sum() / rows['tables'].sum():.0f}"


def _cells(rows: pd.DataFrame) -> list[str]:
    """Return the table's cells of one number of sizes and evaluations."""
    cells = []
    for truth in ("clock", "law"):
        mine = rows[rows["truth"] == truth]
        cells.append(" / ".join(_percent(mine[mine["seeds"] == seeds], truth) for seeds in (1, 3)))
        each = mine.groupby("name").apply(lambda some, told=truth: _percent(some, told), include_groups=False)
        hardest = each.astype(float).idxmin()
        cells.append(f"{each[hardest]} ({hardest})")
    cells += [_percent(rows[rows["truth"] == truth], other) for truth, other in (("law", "clock"), ("clock", "law"))]
    return cells


def whole(report: Mapping[str, Any]) -> str:
    """Return the part of the page that is made of the report."""
    told, rule = _frame(report["told"]), report["rule"]
    alpha, bound = rule.values()
    group = ["sizes", "evaluations", "seeds", "rho"]
    worst = {}
    for truth, other in (("law", "clock"), ("clock", "law")):
        some = told[told["truth"] == truth].groupby(group)[["tables", other]].sum()
        share = some[other] / some["tables"]
        worst[truth] = f"{100 * share.max():.0f} % of {some['tables'].loc[share.idxmax()]}"
    free = _frame(report["by the published law"])
    naive = [_percent(free[some], "clock") for some in (free["scatter"] == 0, free["scatter"] > 0)]
    heads = ["sizes", "evaluations", "clocks told, 1 / 3 runs a size", "hardest clock"]
    heads += ["laws told, 1 / 3 runs a size", "hardest law", "laws told clocks", "clocks told laws"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for (sizes, evaluations), rows in told.groupby(["sizes", "evaluations"]):
        lines.append("| " + " | ".join([str(sizes), str(evaluations), *_cells(rows)]) + " |")
    said = (
        f"{told['tables'].sum()} tables. Told a clock: p of `clock` over `power` at most {alpha:g}, correlated noise allowed for; "
        f"told a law: F below {bound:g}; else undecided. Settled on other tables as the widest that err in no more than "
        f"{100 * ERRS:.0f} % of them. Wrong at most, in any group of one number of sizes, evaluations and runs and one "
        f"correlation: {worst['law']} tables of the law told to be a clock's, {worst['clock']} of clocks told to be a law's. "
        f"Held against `saturating` in place of `power` by the same p, tables of the published law are told to be a clock's in "
        f"{naive[0]} % where runs do not scatter and in {naive[1]} % where they do: the clock has a gain of each size's own, "
        "and that F takes scatter for shape."
    )
    return "\n".join([said, "", *lines])


def with_report(page: str, report: Mapping[str, Any]) -> str:
    """Return the page with its part of the report made anew."""
    return between(page, "apart", f"\n{whole(report)}\n")


def main() -> None:
    """Draw, ask, write the counts and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="only the page, of the counts that are there")
    given = parser.parse_args()
    if not given.page:
        os.nice(15)
        write_json(OUT, study(SETTLED_ON, TABLES), 6)
    report = json.loads(OUT.read_text(encoding="utf-8"))
    write_text(PAGE, with_report(PAGE.read_text(encoding="utf-8"), report))


if __name__ == "__main__":
    main()
