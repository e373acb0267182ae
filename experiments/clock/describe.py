"""What do the curves say of the law? Every committed table: rms, whiteness, F tests, and the clock in each resource.

Writes `results.json` and the tables of the notes.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from study import DATA, ROOT, put_result

import scalefit as sf
from scalefit.fitting.describe import OF_EACH, PLAIN, TESTS, Account, describe_laws
from scalefit.fitting.f_test import judge_larger
from scalefit.fitting.fit import fit_data
from scalefit.fitting.left import Left, left_by
from scalefit.fitting.one_clock import apart, by_clock, pace
from scalefit.fitting.whiteness import LAGS, judge_whiteness
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.output import write_json
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.units import format_quantity

PAPER = ROOT / "data" / "paper" / "runs.parquet"
LEAST = 3
"""Sizes from which laws of size are described; below, each curve by itself."""
CLOCKS = {"prompts": "samples", "tokens": "tokens", "FLOPs per parameter": "flops", "FLOPs": "flops"}
"""What the common clock may tick in, and the table's column. Steps are no other clock: every table has one batch size."""
ASKED = ("paper", "e01", "e03", "e05")
"""Tables whose clock is asked: of several sizes, and of several rollouts a prompt (e03)."""
DRAWS, SEED, RHO = 200, 0, 0.3
"""Simulated tables a law, and the correlation of their noise where it has one."""
DIGITS, SAME = 5, 1e-4
"""Significant digits of results, and how far numbers of another processor may lie from those that are there."""

OF_SIZES = ("e07_start", "e07_tokens")
"""Tables of the replication that are of sizes; the others change one thing on a few, or are pilots."""


def tables() -> list[tuple[str, RunTable, str]]:
    """Return every committed table of training curves with the resource it is described in."""
    paper = [("paper", sf.read_runs(PAPER), x) for x in ("samples", "flops")]
    own = [path for path in sorted(DATA.glob("*.parquet")) if path.stem[:3] < "e07" or path.stem in OF_SIZES]
    return paper + [(path.stem, sf.read_runs(path), "samples") for path in own]


def describe(data: FitData) -> tuple[dict[str, Any], Account]:
    """Return what describes a series: all laws where it has sizes, else laws of each curve alone."""
    sized = len(data.sizes) >= LEAST
    found = describe_laws(data) if sized else describe_laws(apart(data), OF_EACH)
    laws = {one.law: {name: value for name, value in asdict(one).items() if name != "law"} for one in found.laws}
    for one in laws.values():
        one |= one.pop("whiteness")
    row = {
        "series": data.series,
        "eval": str(data.record["eval"]),
        "resource": data.resources[0],
        "sizes": len(data.sizes),
        "curves": len(data.params),
        "points": data.points,
        "laws": laws,
        "tests": [asdict(test) | {"nested": TESTS[test.smaller, test.larger]} for test in found.tests],
        "of_each": [asdict(test) for test in found.of_each],
    }
    if sized:
        fit = found.left["clock"].fit
        row["clock"] = {name: asdict(fit.params[name]) for name in ("X_mid", "B")} | {"params": data.sizes}
        for name in ("L0", "G"):
            own = [fit.params[f"{name}[{format_quantity(size)}]"] for size in data.sizes]
            row["clock"] |= {name: [one.value for one in own], f"{name} ends": [[one.low, one.high] for one in own]}
    return row, found


def ticks(runs: RunTable, series: str) -> list[dict[str, Any]]:
    """Return how well one clock describes the runs of a series in each resource: the same points and parameters everywhere."""
    rows: list[dict[str, Any]] = []
    base = None
    for name, resource in CLOCKS.items():
        if resource not in runs.frame:
            continue
        (data,) = prepare(runs, resource, {"series": series})
        each = data.each
        spent = each.resource / each.params[:, None] if name == "FLOPs per parameter" else each.resource
        left, points = by_clock(each, spent, name)
        first, worth = base = base or (left, points)
        assert len(left.values) == len(first.values)
        middle, steepness = (left.fit.params[part].value for part in ("X_mid", "B"))
        rows.append({"ticks in": name, "runs": len(each.params), "points": len(left.values), "rms": left.rms})
        rows[-1] |= {"X_mid": middle, "B": steepness, "against prompts": worth * np.log(first.squares / left.squares)}
    return rows


def paces(data: FitData) -> dict[str, dict[str, float | None]]:
    """Return the same of all sizes, and without the smallest and the largest, on which such a power may rest."""
    least, most = data.sizes[[0, -1]]
    kept = {
        "all": data.params > 0,
        "without the smallest": data.params > least,
        "without the largest": data.params < most,
    }
    return {sizes: pace(data.keep(rows)) for sizes, rows in kept.items()}


def alarms(data: FitData, account: Account) -> dict[str, float]:
    """Return how often each test is wrong at 5 %, by tables drawn from the laws fitted to this one and fitted again."""
    rng, found = np.random.default_rng(SEED), {}
    for rho, laws in ((0.0, tuple(account.left)), (RHO, ("clock",))):
        for law in laws:
            left = account.left[law]
            sigma = np.sqrt((left.curves**2).sum(1) / left.present.sum(1))
            noise = ar1_noise(rng, Noise(rho, sigma), (DRAWS, *data.loss.shape))
            drawn = [left_by(fit_data(law, drawn_from(data, left, one), PLAIN)) for one in noise]
            if not rho:
                found[f"{law} is not white"] = float(np.mean([judge_whiteness(one).p <= 0.05 for one in drawn]))
            if law == "clock":
                tests = [judge_larger(one, left_by(fit_data("sigmoid", one.fit.data, PLAIN))) for one in drawn]
                for kind in ("p", "p_correlated"):
                    name = f"sigmoids over the clock, noise correlated by {rho:g}, {kind}"
                    found[name] = float(np.mean([getattr(test, kind) <= 0.05 for test in tests]))
    return found


def drawn_from(data: FitData, left: Left, noise: np.ndarray) -> FitData:
    """Return a table of a fitted law with other noise."""
    loss = np.where(left.present, data.loss - left.curves + noise, data.loss)
    return replace(data, loss=loss, run_loss=None, run_curve=None)


def shown(p: float) -> str:
    """Return a chance as text."""
    return f"{p:.3f}" if p >= 5e-4 else f"{p:.0e}"


def law_lines(row: dict[str, Any]) -> list[dict[str, str]]:
    """Return rms, autocorrelation and whiteness of every law on a series."""
    lines = []
    for law, one in row["laws"].items():
        line = {"table": row["name"], "law": law, "parameters": str(one["parameters"]), "rms": f"{one['rms']:.4f}"}
        line |= {f"lag {lag}": f"{r:+.2f}" for lag, r in zip(LAGS, one["autocorrelation"], strict=True)}
        lines.append(line | {"lag 1 if white": f"{one['if_white'][0]:+.2f}", "p white": shown(one["p"])})
    return lines


def test_lines(row: dict[str, Any], tests: str) -> list[dict[str, str]]:
    """Return F tests on a series."""
    lines = []
    for test in row[tests]:
        line = {"table": row["name"], "law": test["smaller"], "against": test["larger"]}
        if tests == "of_each":
            line = {"table": row["name"], "size" if row["sizes"] >= LEAST else "curve": format_quantity(test["size"])}
        for kind, after in (("", ""), ("_correlated", ", correlated")):
            first, second = test[f"dof{kind}"]
            line |= {f"F{after}": f"{test[f'f{kind}']:.1f}", f"on{after}": f"{first:.3g}, {second:.0f}"}
            line |= {f"p{after}": shown(test[f"p{kind}"])}
        lines.append(line | {"rho": f"{test['rho']:+.2f}"})
        if tests == "tests":
            lines[-1]["nested"] = "yes" if test["nested"] else "no"
    return lines


def main() -> None:
    """Describe every table."""
    rows: list[dict[str, Any]] = []
    clocks: list[dict[str, Any]] = []
    ahead: list[dict[str, Any]] = []
    for table, runs, resource in tables():
        for data in prepare(runs, resource):
            about = {"paper": f"{data.series}, {resource}", "e01": data.series}.get(table, "")
            about = str(data.record["eval"]).removeprefix("logic-") if table == "e06" else about
            row, account = describe(data)
            rows.append({"name": f"{table} {about}".strip(), "table": table} | row)
            if table.startswith(ASKED) and table != "e01_rates" and resource == "samples":
                name = f"{table} {data.series}" if table in ("paper", "e01") else table
                clocks += [{"table": name} | row for row in ticks(runs, data.series)]
                if len(data.sizes) >= LEAST:
                    ahead += [{"table": name, "sizes": sizes} | one for sizes, one in paces(data).items()]
            if rows[-1]["name"] == "paper base, samples":
                wrong = alarms(data, account)
    found = {"tables": rows, "clocks": clocks, "pace": ahead, "false alarms": wrong}
    write_json(Path(__file__).with_name("results.json"), found, DIGITS, same=SAME)
    sized = [row for row in rows if row["sizes"] >= LEAST]
    alone = [row for row in rows if row["sizes"] < LEAST]
    form = {
        "rms": ".5f",
        "X_mid": ".3g",
        "B": ".2f",
        "against prompts": "+.1f",
        "power": ".2f",
        "low": ".2f",
        "high": ".2f",
    }
    told = [
        [{k: "" if v is None else f"{v:{form.get(k, '')}}" for k, v in row.items()} for row in part]
        for part in (clocks, ahead)
    ]
    for mark, lines in {
        "laws": [line for row in sized for line in law_lines(row)],
        "tests": [line for row in sized for line in test_lines(row, "tests")],
        "sizes": [line for row in sized for line in test_lines(row, "of_each")],
        "curves": [line for row in alone for line in law_lines(row)],
        "clocks": told[0],
        "pace": told[1],
        "alarms": [{"test": name, "wrong at 5 %": f"{share:.3f}"} for name, share in wrong.items()],
    }.items():
        put_result(__file__, pd.DataFrame(lines).to_string(index=False), mark)


if __name__ == "__main__":
    main()
