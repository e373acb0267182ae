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
from tests.conftest import PAPER, RUNS, scalefit


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


def many(*runs, **columns):
    """Return runs of a size, each with its own columns."""
    return sf.as_runs(pd.concat([small(run_id=f"r{at}", **one) for at, one in enumerate(runs)]).reset_index(drop=True))


@pytest.mark.parametrize(
    ("other", "x", "curves"),
    [
        ({}, "samples", 1),
        ({"samples": 64.0 * np.arange(1, 7) * (1 + 1e-12)}, "samples", 1),
        ({"samples": 64.0 * np.arange(1, 7) * (1 + 1e-7)}, "samples", 2),
        ({"samples": [64.0, 128, 192, 256, 321, 384]}, "samples", 2),
        ({"step": [1, 2, 3, 4, 5, 7]}, "samples", 2),
        ({"flops": [1.0, 2, 3, 4, 5, 6.5]}, "samples", 1),
        ({"flops": [1.0, 2, 3, 4, 5, 6.5]}, "flops", 2),
        ({"params": 2e9}, "samples", 2),
        ({"group_size": 16}, "samples", 2),
        ({"reuse": 2.0}, "samples", 2),
    ],
)
def test_runs_merge_only_where_their_whole_grid_agrees(other, x, curves):
    base = {"flops": np.arange(1.0, 7), "group_size": 8, "reuse": 1.0}
    (data,) = prepare(many(base, {**base, "loss": 0.5, **other}), x)
    assert len(data.params) == curves
    assert data.runs == ((2,) if curves == 1 else (1, 1))
    mean = (np.linspace(0.9, 0.5, 6) + 0.5) / 2
    np.testing.assert_allclose(data.run_loss, [np.linspace(0.9, 0.5, 6), [0.5] * 6])
    np.testing.assert_allclose(data.loss, [mean] if curves == 1 else data.run_loss)
    assert data.run_curve.tolist() == ([0, 0] if curves == 1 else [0, 1])
    assert (data.run_loss is data.loss) == (curves == 2)


def test_a_run_cut_short_is_a_curve_of_its_own():
    frame = many({}, {"seed": 1}).frame.drop(index=[11])
    (data,) = prepare(sf.as_runs(frame))
    assert data.present.sum(1).tolist() == [6, 5]
    assert data.run_loss is data.loss


def test_final_losses_of_one_step_stay_points_of_their_own():
    """Chinchilla's table: a size was trained to several numbers of tokens, each is one row at step 1."""
    frame = pd.concat([small(run_id=f"r{at}", samples=64.0 * (1 + at))[:1] for at in range(50)], ignore_index=True)
    (data,) = prepare(sf.as_runs(frame))
    assert data.points == len(data.params) == 50
    assert sorted(data.resource[0, :, 0]) == [64.0 * (1 + at) for at in range(50)]


def test_rows_in_any_order_make_the_same_curves(runs):
    mixed = sf.as_runs(runs.frame.sample(frac=1, random_state=0).reset_index(drop=True), runs.metadata)
    names = {data.name: data for data in prepare(mixed)}
    for data in prepare(runs):
        assert names[data.name].digest() == data.digest()


def test_keeping_curves_keeps_their_runs():
    one, two = {"params": 2e9}, {"params": 4e9}
    (data,) = prepare(many(one, {}, two, {"loss": 0.1}, {**two, "loss": 0.2}, {"loss": 0.3}))
    assert data.params.tolist() == [1e9, 2e9, 4e9]
    assert data.runs == (3, 1, 2)
    line = np.linspace(0.9, 0.5, 6)
    assert data.run_curve.tolist() == [0, 0, 0, 1, 2, 2]
    np.testing.assert_allclose(data.run_loss[:, 0], [0.9, 0.1, 0.3, 0.9, 0.9, 0.2])
    # Drawn again as a bootstrap over curves does, the larger first.
    drawn = data.keep(np.array([2, 0, 2]), first=4)
    assert drawn.run_curve.tolist() == [0, 0, 1, 1, 1, 2, 2]
    np.testing.assert_allclose(drawn.run_loss[:, 0], [0.9, 0.2, 0.9, 0.1, 0.3, 0.9, 0.2])
    assert drawn.present.sum(1).tolist() == [4, 4, 4]
    alone = data.keep(data.params == 2e9)
    np.testing.assert_allclose(alone.run_loss, [line])
    assert alone.run_curve.tolist() == [0]
    # The same means of other runs are other data.
    (other,) = prepare(many(one, {}, two, {"loss": 0.2}, {**two, "loss": 0.2}, {"loss": 0.2}))
    np.testing.assert_allclose(other.loss, data.loss)
    assert other.digest() != data.digest()


def test_runs_unmerged_are_curves_in_the_order_of_their_set_up():
    (data,) = prepare(many({"params": 2e9}, {"loss": 0.1}, {"params": 2e9, "loss": 0.3}, {"loss": 0.2}), merge=False)
    assert data.params.tolist() == [1e9, 1e9, 2e9, 2e9]
    np.testing.assert_allclose(data.loss[:, 0], [0.1, 0.2, 0.9, 0.3])
    assert data.run_loss is data.loss


def test_what_has_nothing_to_fit_is_named():
    runs = many({}, {"params": 2e9, "samples": 0.0}, {"series": "t", "samples": 0.0}, {"series": "u", "step": range(6)})
    found = prepare(runs)
    assert [data.series for data in found] == ["s", "u"]
    assert found.unanswered == {"t on e": "run 'r2', all of the series, without samples > 0"}
    assert found[0].caveats == ["left out: run 'r1' without samples > 0"]
    assert found[1].caveats == []
    # Rows before the start are no run that is left out.
    (data,) = prepare(sf.as_runs(small(samples=[0.0, 64, 128, 192, 256, 320])))
    assert data.caveats == []
    few = prepare(many({}, {"series": "t", "step": range(6)}), clip=5)
    assert few.unanswered == {"t on e": "run 'r1', all of the series, without samples > 0 and step > 5"}


def test_a_series_without_a_resource_is_told_by_every_command(tmp_path):
    sizes, at = (1e9, 2e9, 4e9, 8e9), np.arange(1, 7)
    frames = [small(run_id=f"r{n}", params=n, loss=0.9 * at ** (-0.05 * n**0.1)) for n in sizes]
    runs = pd.concat([*frames, *(one.assign(series="zero", samples=0.0, run_id="z" + one["run_id"]) for one in frames)])
    sf.write_runs(sf.as_runs(runs.reset_index(drop=True)), tmp_path / "t.parquet")
    words = "zero on e: not answered: 4 runs (zr1000000000.0, zr2000000000.0, zr4000000000.0, ...), all of the series"
    for command in (["fit"], ["crossval", "--law", "saturating-linear"], ["compare", "--law", "saturating-linear"]):
        found = scalefit(command[0], "t.parquet", *command[1:], cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        assert words in found.stdout, command


def test_runs_of_unequal_length_and_spacing_make_one_law():
    """Each run has its own evaluations; without noise the law comes back as it was."""
    theta = {"k_max": 0.14, "N0": 1.3e10, "E0": -0.02, "x0": 1.2}
    grids = {
        1e9: np.arange(1, 30) * 64.0,
        3e9: np.geomspace(100, 9e3, 8),
        8e9: [50.0, 4000, 4100, 2e4],
        2e10: [300.0, 7e3],
    }
    frames = [sf.simulate("saturating-affine", theta, params=[N], samples=x).frame for N, x in grids.items()]
    runs = sf.as_runs(pd.concat(frames, ignore_index=True))
    (data,) = prepare(runs)
    assert data.present.sum(1).tolist() == [29, 8, 4, 2]
    fit = sf.fit(runs, "saturating-affine")
    assert fit.params["k_max"].value == pytest.approx(0.14, rel=1e-4)
    assert fit.params["N0"].value == pytest.approx(1.3e10, rel=1e-4)
    assert fit.k(8e9).value == pytest.approx(0.14 * 8 / 21, rel=1e-5)
