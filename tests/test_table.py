import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scalefit as sf
from scalefit.errors import TableError, UsageError
from scalefit.provenance import sha256_of_file
from scalefit.table.prepare import prepare
from tests.conftest import PAPER, RUNS


def small(**changes):
    frame = pd.DataFrame(
        {
            "run_id": "a",
            "series": "s",
            "params": 1e9,
            "seed": 0,
            "step": np.arange(1, 7),
            "samples": 64.0 * np.arange(1, 7),
            "eval": "e",
            "eval_size": 500,
            "loss": np.linspace(0.9, 0.5, 6),
        }
    )
    return frame.assign(**changes)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_round_trip(tmp_path, suffix, runs):
    path = tmp_path / f"t{suffix}"
    sf.write_runs(runs, path)
    again = sf.read_runs(path)
    for name in ("params", "step", "samples", "flops", "loss"):
        np.testing.assert_allclose(again.frame[name], runs.frame[name], rtol=1e-12)
    assert list(again.frame["run_id"].astype(str)) == list(runs.frame["run_id"].astype(str))
    assert list(tmp_path.iterdir()) == [path]
    if suffix != ".jsonl":
        assert again.metadata["params_convention"] == runs.metadata["params_convention"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_any_legal_loss_survives_parquet(tmp_path_factory, losses):
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    sf.write_runs(sf.as_runs(small(loss=losses)), path)
    assert sf.read_runs(path).frame["loss"].tolist() == losses


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": [0.9, np.nan, 0.7, 0.6, 0.5, 0.5]}, ["'loss'", "row 1", "finite"]),
        ({"loss": [0.9, 1.2, 0.7, 0.6, 0.5, 0.5]}, ["'loss'", "row 1", "1.2"]),
        ({"loss": ["x", "0.8", "0.7", "0.6", "0.5", "0.5"]}, ["'loss'", "row 0", "'x'", "number"]),
        ({"params": -1.0}, ["'params'", "6 rows", "greater than 0"]),
        ({"step": [1, 2, 2, 3, 4, 5]}, ["'step'", "row 2", "repeats"]),
        ({"samples": [64.0, 128, 100, 256, 320, 384]}, ["'samples'", "row 2", "backwards"]),
        ({"params": [1e9, 1e9, 1e9, 2e9, 2e9, 2e9]}, ["'params'", "changes within a run"]),
        ({"step": [1.5, 2, 3, 4, 5, 6]}, ["'step'", "1.5", "whole"]),
    ],
)
def test_each_fault_is_named(changes, words):
    with pytest.raises(TableError) as caught:
        sf.as_runs(small(**changes))
    for word in words:
        assert word in str(caught.value)


def test_all_faults_at_once_and_missing_columns():
    frame = small(loss=2.0, params=-1.0).drop(columns=["series"])
    with pytest.raises(TableError) as caught:
        sf.as_runs(frame)
    assert "3 faults" in str(caught.value)
    assert "'series': is missing" in str(caught.value)


def test_falling_flops_are_a_warning_that_names_the_rows(runs):
    (warning,) = runs.warnings
    assert warning.column == "flops"
    assert len(warning.rows) == 3


def test_mixed_conventions_are_refused():
    with pytest.raises(TableError, match="mixes conventions"):
        sf.as_runs(small(), {"params_convention": ["embedding included", "not included"]})


def test_losses_of_0_and_1_are_legal_and_stay_moderate():
    frame = pd.concat([small(run_id=f"r{n}", params=n * 1e9, loss=[1.0, 0.8, 0.5, 0.2, 0.1, 0.0]) for n in (1, 2, 4)])
    fit = sf.fit(sf.as_runs(frame.reset_index(drop=True)), "power", objective="log10-loss", noise="independent")
    # Floor: half a problem of 500, so log10 L is at least -3 and a slope over .78 decades at most 4.
    assert all(abs(estimate.value) < 5 for name, estimate in fit.params.items() if name.startswith("k"))


def test_seeds_are_merged_to_their_mean():
    both = pd.concat([small(run_id="a", loss=0.6), small(run_id="b", seed=1, loss=0.8)], ignore_index=True)
    (data,) = prepare(sf.as_runs(both))
    assert data.runs == (2,)
    np.testing.assert_allclose(data.loss, 0.7)
    assert data.eval_size.tolist() == [1000]


def test_prepare_order_drops_zero_resource_and_clips_by_step():
    (data,) = prepare(sf.as_runs(small(samples=[0.0, 64, 128, 192, 256, 320])), clip=2)
    assert data.points == 4


def test_weights_give_sizes_equal_totals(runs):
    data = prepare(runs, weights="size")[0]
    totals = data.weight.sum(1)
    np.testing.assert_allclose(totals, totals[0], rtol=1e-12)
    assert data.weight.sum() == pytest.approx(data.points)


def test_where_with_a_typo_names_the_nearest(runs):
    with pytest.raises(UsageError, match="did you mean 'base'"):
        prepare(runs, where={"series": "bsae"})


def test_manifest_matches_the_committed_tables():
    manifest = json.loads((PAPER / "manifest.json").read_text())
    for name, entry in manifest.items():
        assert sha256_of_file(PAPER / name) == entry["sha256"], name
    assert manifest["runs.parquet"]["rows"] == len(sf.read_runs(RUNS).frame) == 732 + 712


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.parquet"
    sf.write_runs(sf.as_runs(small()), path)
    before = path.read_bytes()
    with pytest.raises(TableError):
        sf.write_runs(small(loss=3.0), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_polars_frames_come_and_go(runs):
    """A table in polars validates and fits as the same in pandas does."""
    import polars as pl

    there = pl.DataFrame(runs)
    assert there.shape == runs.frame.shape
    assert there["loss"].to_list() == runs.frame["loss"].tolist()
    assert there["series"].to_list() == runs.frame["series"].astype(str).tolist()
    back = sf.as_runs(there.filter(pl.col("series") == "base"), runs.metadata)
    fit, same = sf.fit(back), sf.fit(runs, where={"series": "base"})
    assert fit.params["k_max"].value == same.params["k_max"].value
    with pytest.raises(TableError, match="loss"):
        sf.as_runs(there.drop("loss"))
