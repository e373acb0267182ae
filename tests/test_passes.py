"""Passes or distinct problems: closed forms, simulated truths, and how often either is named where neither matters."""

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import FitError
from scalefit.studies.differences import difference, scatter
from scalefit.studies.ends import end_level, single_runs
from scalefit.studies.levels import measure_levels
from scalefit.studies.passes import Passes
from tests.conftest import PAPER

TRUTHS = {
    "neither": lambda x, unique: 0 * x,
    "passes": lambda x, unique: 0.03 * np.log(np.maximum(x / unique, 1)),
    "problems": lambda x, unique: np.where(x > unique, unique**-0.5 - x**-0.5, 0),
}


def simulated(cost, rng, *, scatter=1.0, lengths=(3200, 12800), taus=(1, 5, 25, 100)):
    """Three seeds an arm: what a seed adds to every arm .02, runs that part by .015 in the end, evaluations by .01."""
    shared, frames = 0.02 * rng.standard_normal(3), []
    for length in lengths:
        for tau in taus:
            for seed in range(3):
                x = np.geomspace(64, length, 20)
                away = 0.015 * rng.standard_normal() * np.log(x / 64) / np.log(50) + 0.01 * rng.standard_normal(20)
                loss = 0.8 - 0.1 * np.log10(x / 64) + cost(x, length / tau) + shared[seed] + scatter * away
                name = f"{length}-{tau}-{seed}"
                run = {"run_id": name, "series": "s", "params": 1e5, "seed": seed, "eval": "e", "reuse": float(tau)}
                frames.append(pd.DataFrame({**run, "step": range(1, 21), "samples": x, "loss": loss}))
    return pd.concat(frames, ignore_index=True)


def test_what_changes_the_cost_is_the_closed_form():
    """Cost .03 log passes: four times the passes are .03 log 4 at any number of problems, more problems are nothing."""
    found = sf.study_reuse(simulated(TRUTHS["passes"], np.random.default_rng(0), scatter=1e-3))
    assert [type(one).__name__ for one in found] == ["Reuse", "Reuse", "Passes"]
    assert [one.samples for one in found[:2]] == [3200, 12800]
    told = {(row["what"], round(row["held"])): row for row in found[-1].rows}
    assert sorted(told) == sorted(
        [("passes", held) for held in (128, 512, 2560)] + [("problems", held) for held in (5, 25, 100)]
    )
    for (what, _), row in told.items():
        assert row["times"] == pytest.approx(4)
        assert row["difference"] == pytest.approx(0.03 * np.log(4) if what == "passes" else 0.0, abs=1e-3)
    assert found[-1].verdict.startswith(
        "how often problems are gone through matters and how many distinct problems there are does not"
    )


@pytest.mark.parametrize(
    ("truth", "said"), [("neither", "neither matters"), ("problems", "how many distinct problems there are matters")]
)
def test_the_truth_is_found_where_runs_agree(truth, said):
    found = sf.study_reuse(simulated(TRUTHS[truth], np.random.default_rng(1), scatter=0.1))[-1]
    assert found.verdict.startswith(said), found.summary()


@pytest.mark.slow
def test_neither_is_named_where_neither_matters():
    """5 % over both by Holm: of 150 tables at most 5 % and three standard deviations; a cost of either is told in most."""
    rng, named = np.random.default_rng(2), {}
    for truth, tables in (("neither", 150), ("passes", 25), ("problems", 25)):
        found = [sf.study_reuse(simulated(TRUTHS[truth], rng))[-1] for _ in range(tables)]
        named[truth] = [{what for what, mean in one.means.items() if mean["shown"]} for one in found]
    assert sum(map(bool, named["neither"])) / 150 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert sum("passes" in some for some in named["passes"]) >= 13
    assert sum("problems" in some for some in named["passes"]) <= 5
    assert sum("problems" in some for some in named["problems"]) >= 10


def test_levels_of_two_arms_differ_as_everywhere_else():
    """Three arms of the same seeds at one budget: value, error and freedom of `difference`."""
    frame = simulated(TRUTHS["neither"], np.random.default_rng(3), lengths=(3200,), taus=(1, 5, 25))
    (singles,) = single_runs(sf.as_runs(frame), "samples").values()
    arms = [[one for one in singles if one.about["reuse"] == tau] for tau in (1, 5, 25)]
    ends = [[end_level(one, 3200.0) for one in arm] for arm in arms]
    wanted = difference(ends[1], ends[0], scatter([ends]))
    found = measure_levels(arms, np.array([1600.0, 3200.0])).combine(np.array([[0, -1.0], [0, 1.0], [0, 0]]))
    assert (found.value, found.se, found.dof) == pytest.approx((wanted.value, wanted.se, wanted.dof))


def test_runs_of_one_length_do_not_tell_them_apart():
    for one in sf.study_reuse(PAPER / "reuse.parquet"):
        assert not isinstance(one, Passes)
        assert "tau and the number of distinct problems are one" in one.warnings[-1]


def test_a_run_that_broke_off_is_no_length():
    frame = simulated(TRUTHS["neither"], np.random.default_rng(4), lengths=(3200,), taus=(1, 5))
    rows = (frame["run_id"] != "3200-5-0") | (frame["step"] <= 12)
    (found,) = sf.study_reuse(frame[rows])
    assert found.samples == pytest.approx(frame["samples"][11])


def test_without_fresh_runs_nothing_is_told_apart():
    frame = simulated(TRUTHS["neither"], np.random.default_rng(5), taus=(5, 25))
    found = sf.study_reuse(frame)
    assert not any(isinstance(one, Passes) for one in found)
    (why,) = found.unanswered.values()
    assert "reuse = 1" in why
    with pytest.raises(FitError, match="does not vary"):
        sf.study_reuse(frame[frame["reuse"] == 5])
