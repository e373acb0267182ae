"""Clocks of several tables: known truth, in which unit they agree, and how often equal ones are told apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import FitError
from scalefit.fitting.one_clock import apart, fit_clock, pace
from scalefit.fitting.shared_clock import share_clocks
from scalefit.table.prepare import prepare
from tests.conftest import PAPER

SIZES = (3e4, 1e5)


def group(rng, name, batch, *, middle=1500.0, scatter=1.0, sizes=SIZES, ahead=0.0, steps=200):
    """Three seeds a size: half-way points part by 15 %, steepnesses by 10 %, starts and gains too; evaluations by .01."""
    frames = []
    for params in sizes:
        for seed in range(3):
            step = np.unique(np.round(np.geomspace(2, steps, 25)))
            x = step * batch
            mid = middle * (params / SIZES[0]) ** -ahead * np.exp(0.15 * scatter * rng.standard_normal())
            B = 0.9 * np.exp(0.1 * scatter * rng.standard_normal())
            start, gain = 0.75 + 0.02 * rng.standard_normal(), 0.35 + 0.03 * rng.standard_normal()
            loss = start - gain / (1 + (mid / x) ** B) + 0.01 * scatter * rng.standard_normal(len(x))
            about = {"run_id": f"{name}-{params}-{seed}", "series": "s", "params": params, "seed": seed, "batch": batch}
            spent = {"step": step.astype(int), "samples": x, "flops": 6 * params * x * 160}
            frames.append(pd.DataFrame({**about, "eval": "e", **spent, "loss": loss}))
    return pd.concat(frames, ignore_index=True)


def runs_of(frame, unit="samples"):
    return prepare(sf.as_runs(frame), unit)[0].each


def test_clocks_without_noise_are_the_closed_form():
    """Half-way at 1500 prompts with both batches: 46.9 and 23.4 steps."""
    rng = np.random.default_rng(0)
    (found,) = sf.study_clocks(*(group(rng, "r", batch, scatter=1e-3) for batch in (32, 64)))
    rows = {(row["unit"], row["group"]): row for row in found.rows}
    for unit, mids in {"prompts": (1500, 1500), "steps": (1500 / 32, 1500 / 64)}.items():
        for name, mid in zip(found.groups, mids, strict=True):
            assert rows[unit, name]["X_mid"] == pytest.approx(mid, rel=0.01)
            assert rows[unit, name]["B"] == pytest.approx(0.9, rel=0.01)
    units = {one["unit"]: one for one in found.units}
    assert units["steps"]["ratio"] == pytest.approx(2, rel=0.01)
    assert units["steps"]["differ"]
    assert not units["prompts"]["differ"]
    assert found.verdict.startswith("the clock ticks in prompts or FLOPs per parameter: half-way points are equal")


@pytest.mark.parametrize(
    ("middles", "batches", "said"),
    [
        ((1500, 3000), (32, 64), "the clock ticks in steps"),
        ((1500, 5000), (32, 32), "no unit makes them one clock"),
        ((1500, 1500), (32, 32), "in which unit it ticks the data do not say"),
    ],
)
def test_the_truth_is_said(middles, batches, said):
    rng = np.random.default_rng(1)
    tables = [group(rng, "r", batch, middle=mid) for mid, batch in zip(middles, batches, strict=True)]
    (found,) = sf.study_clocks(*tables)
    assert said in found.verdict


def test_a_column_is_compared_by_its_values():
    rng = np.random.default_rng(2)
    frame = pd.concat([group(rng, f"r{batch}", batch) for batch in (32, 64)], ignore_index=True)
    (found,) = sf.study_clocks(frame, by="batch")
    assert found.groups == ["batch=32", "batch=64"]
    (either,) = sf.study_clocks(*(rows.assign(series=str(batch)) for batch, rows in frame.groupby("batch")))
    assert either.series == "32 and 64"
    assert [one["ratio"] for one in either.units] == pytest.approx([one["ratio"] for one in found.units])
    with pytest.raises(FitError, match="'loss': it changes within runs"):
        sf.study_clocks(frame, by="loss")
    with pytest.raises(FitError, match="takes 3 runs"):
        sf.study_clocks(frame, by="batch", where={"params": 1e5, "seed": [0, 1]})


def test_each_group_s_own_clock_is_that_of_the_clock_law():
    data = [runs_of(group(np.random.default_rng(seed), "r", 32)) for seed in (3, 4)]
    found = share_clocks(data, False)
    alone = [fit_clock(replace(apart(one), resources=("spent",))) for one in data]
    np.testing.assert_allclose(np.exp(found.theta[:2]), [one["X_mid"][0] for one in alone], rtol=1e-3)
    np.testing.assert_allclose(np.exp(found.theta[2:4]), [one["B"][0] for one in alone], rtol=1e-3)


def test_a_run_left_out_is_nearly_a_run_that_was_not_there():
    """One step of least squares against the whole way: within a tenth of the largest step."""
    data = runs_of(group(np.random.default_rng(5), "r", 32, scatter=0.3))
    found = share_clocks([data], True)
    wanted = [share_clocks([data.keep(np.arange(6) != run)], True).theta[:2] - found.theta[:2] for run in range(6)]
    steps = found.without_each.steps[:, :2]
    assert np.abs(steps - wanted).max() <= 0.1 * np.abs(wanted).max()


def test_how_far_larger_models_run_ahead_is_found():
    """Half-way points that fall as N^-.5."""
    frame = group(np.random.default_rng(6), "r", 32, sizes=(3e4, 1e5, 3e5), ahead=0.5, scatter=0.2)
    (data,) = prepare(sf.as_runs(frame), "samples")
    found = pace(data)
    assert found["power"] == pytest.approx(0.5, abs=0.1)
    assert found["low"] <= 0.5 <= found["high"]
    (said,) = sf.study_clocks(frame)
    assert said.ahead[0]["power"] == found["power"]
    assert "there is nothing to compare it with" in said.verdict
    assert "larger models run ahead by N^0.5" in said.verdict


def test_the_paper_s_runs_have_a_clock():
    (found,) = sf.study_clocks(PAPER / "runs.parquet", where={"series": "base"})
    assert {row["unit"] for row in found.rows} == {"steps", "prompts", "FLOPs per parameter"}
    assert all(0 < row["X_mid low"] < row["X_mid"] < row["X_mid high"] for row in found.rows)


@pytest.mark.slow
def test_equal_clocks_are_told_apart_as_rarely_as_said():
    """100 pairs of tables of six runs, equal in prompts: at most 5 % and three of its errors; unequal in steps in nine of ten."""
    rng, wrong, right = np.random.default_rng(7), 0, 0
    for _ in range(100):
        (found,) = sf.study_clocks(group(rng, "a", 32), group(rng, "b", 64, steps=100))
        p = {one["unit"]: one["p"] for one in found.units}
        wrong, right = wrong + (p["prompts"] <= 0.05), right + (p["steps"] <= 0.05)
    assert wrong <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)
    assert right >= 90


def test_tables_without_runs_are_told():
    frame = group(np.random.default_rng(0), "r", 32)
    with pytest.raises(FitError, match="no runs"):
        sf.study_clocks(frame.iloc[:0], frame.iloc[:0])
