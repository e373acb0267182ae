"""Intervals hold what they name: tables drawn from known laws with scatter between runs, and what the page says of many more.

Each test judges tables by fixed seeds. A share is held against the count that a binomial distribution of the least share asked for
falls below once in `ALARM` times, so that a right interval fails a check with a smaller chance than that.
"""

import json
import os
import re

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import coverage, intervals
from benchmarks.coverage import CASES, HELD, PARTS, draw, judge
from scalefit.fitting.fit import fit_data
from scalefit.table.prepare import prepare
from tests.conftest import ROOT

ALARM = 1000
LEAST, MIDDLE = 0.90, (0.40, 0.65)
"""What intervals of 95 and of 50 % are asked to cover."""
QUICK = ("no scatter", "slopes 10 %", "slopes 10 %, 3 seeds", "4 sizes, slopes 10 %")


def report():
    return json.loads((ROOT / "benchmarks" / "coverage.json").read_text())


def hold(name, part, tables):
    found = judge(PARTS[part].judge, CASES[name], tables)
    for quantity in (one for one in HELD if one in found):
        held = round(found[quantity] * tables)
        low, high = MIDDLE if quantity.endswith(" 50") else (LEAST, 1.0)
        assert held >= binom.ppf(1 / ALARM, tables, low), (quantity, held)
        assert held <= binom.isf(1 / ALARM, tables, high), (quantity, held)
    return found


@pytest.mark.parametrize("name", QUICK)
def test_intervals_of_the_law_hold_the_truth(name):
    """60 tables: a 95 % interval must hold at least 46, a 50 % one 13 to 50."""
    found = hold(name, "law", 60)
    assert found["converged and endless"] == 0
    assert found["k further away than the width"] <= binom.isf(1 / ALARM, 60, 0.01) / 60


def test_not_knowing_the_scatter_costs_little_where_there_is_none():
    assert judge(PARTS["law"].judge, CASES["no scatter"], 30)["width of k by width without scatter"] <= 1.7


def test_where_grids_are_looked_at_closely_some_cells_are_left():
    """A table whose runs speak against every scatter of levels that goes with the likely ones of slopes, but a little."""
    (data,) = prepare(draw(CASES["slopes 10 %, 3 seeds"], 7).runs)
    fit = fit_data("saturating-affine", data)
    assert fit.status == "converged"
    assert fit.evidence.weight.sum() == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in QUICK])
def test_intervals_of_the_law_hold_the_truth_elsewhere(name):
    assert hold(name, "law", 60)["converged and endless"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no scatter", "slopes 10 %", "slopes 10 %, levels .01, 3 seeds", "500 problems"])
def test_bands_of_an_unseen_size_hold_what_they_name(name):
    hold(name, "unseen", 30)


def test_tables_are_drawn_as_they_say():
    """Spreads of 3000 runs' slopes and levels by least squares, of simulated sizes, within 5 standard errors of the asked."""
    case = coverage.Case(slope=0.1, level=0.01, seeds=1000, sizes=(1e9, 4e9, 16e9), sigma=1e-5, rho=0.0, evaluations=5)
    drawn = draw(case, 0)
    frame = drawn.runs.frame
    for size, rows in frame.groupby("params"):
        log = np.log10(rows["loss"].to_numpy().reshape(1000, 5))
        x = np.log10(rows["samples"].to_numpy()[:5])
        slope, level = -np.polyfit(x - x.mean(), log.T, 1) * [[1], [-1]]
        k, E = case.line(size)
        noise = 5 / np.sqrt(2 * 1000)
        assert slope.std() / k == pytest.approx(0.1, rel=noise)
        assert level.std() == pytest.approx(0.01, rel=noise)
        assert slope.mean() == pytest.approx(k, abs=5 * 0.1 * k / np.sqrt(1000))
        assert level.mean() == pytest.approx(E - k * x.mean(), abs=5 * 0.01 / np.sqrt(1000))


def test_a_new_run_and_its_evaluation_are_drawn_anew():
    """The largest size's misfit is its own and stays with its new run; what the law says has none of it."""
    case = coverage.Case(misfit=0.1, sigma=0.0, sizes=(1e9, 4e9, 16e9))
    drawn = draw(case, 3)
    last = drawn.runs.frame.query("params == 16e9")["loss"].iloc[-1]
    seen = drawn.losses["seen"]
    k, E = case.line(16e9)
    assert seen["run_"] == pytest.approx(last) == pytest.approx(seen["eval_"])
    assert seen[""] == pytest.approx(10 ** (E - k * np.log10(drawn.end)))
    assert seen["run_"] != pytest.approx(seen[""], rel=1e-3)


def test_page_tells_the_luck_of_the_draw():
    """What is said of the evaluations that the unseen sizes are judged by, from the draws themselves."""
    case = CASES["no scatter"]
    off = [draw(case, seed).losses["unseen"] for seed in range(40)]
    beyond = np.array([abs(one["eval_"] - one["run_"]) > 1.96 * case.sigma for one in off])
    text = (ROOT / "docs" / "intervals.md").read_text()
    assert f"of which {beyond.sum()} evaluations of the unseen size happen to lie" in text
    assert f"{100 * (1 - beyond.mean()):.0f} is what a right band" in text


def test_an_hour_is_not_lost(tmp_path, monkeypatch, capsys):
    """A case that was judged on as many tables is not judged again; one that is drawn otherwise now is."""
    monkeypatch.setattr(os, "nice", lambda by: by)
    monkeypatch.setattr(coverage, "CASES", {"one": coverage.Case(), "two": coverage.Case(slope=0.1)})
    part = coverage.Part(lambda case, seed: {"k 95": 1.0, "width of k": case.slope}, cases=("one", "two"))
    monkeypatch.setattr(coverage, "PARTS", {"law": part})
    out = tmp_path / "coverage.json"
    monkeypatch.setattr("sys.argv", ["coverage", "--out", str(out), "--tables", "3"])
    coverage.main()
    assert capsys.readouterr().out.count("law") == 2
    found = json.loads(out.read_text())["cases"]
    assert found["two"]["law"] == {"tables": 3, "k 95": 1.0, "width of k": 0.1}
    monkeypatch.setattr(coverage, "CASES", {"one": coverage.Case(), "two": coverage.Case(slope=0.2)})
    coverage.main()
    assert re.findall(r"^(\w+): law", capsys.readouterr().out, flags=re.M) == ["two"]


def test_what_is_outside_is_told():
    row = {"tables": 9, "k 95": 0.89, "k_max 95": 1.0, "k 50": 0.66, "N0 50": 0.4, "converged": 0.1, "width of k": 0.2}
    said = coverage.outside({"cases": {"bad": {"law": row}}})
    assert said == [("bad", "k 95", 0.89, 9), ("bad", "k 50", 0.66, 9)]


def test_page_says_what_was_measured():
    """Every row of the table and every case outside; a case that the program draws is in the report, drawn as it says."""
    found = report()
    page = (ROOT / "docs" / "intervals.md").read_text()
    assert intervals.with_report(page, found) == page
    assert set(found["cases"]) == set(CASES)
    for name, case in CASES.items():
        assert found["cases"][name]["drawn from"] == case.settings, name
        assert f"| {name} | {found['cases'][name]['law']['tables']} |" in page
    assert all(case["law"]["converged and endless"] == 0 for case in found["cases"].values())
