"""What a law can be in: any column that grows along a run."""

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import FitError, TableError, UsageError
from scalefit.prediction.predictor import _asked
from scalefit.table.prepare import prepare
from scalefit.table.resources import choose_resource, find_growing, unit_of
from tests.conftest import results, scalefit

THETA = {"k_max": 0.14, "N0": 1.3e10, "E0": -0.02, "x0": 1.2}
SPENT = 8.0 * np.arange(1, 41)


@pytest.fixture(scope="module")
def simulated():
    """Six sizes whose law is in samples, SPENT of them."""
    sizes = [5e8, 1.5e9, 3e9, 7e9, 1.4e10, 3.2e10]
    return sf.simulate("saturating-affine", THETA, params=sizes, samples=SPENT, sigma=0.006, seed=1)


def renamed(runs, name, **units):
    return sf.as_runs(runs.frame.rename(columns={"samples": name}), {"units": units})


def table(**columns):
    """Two runs of three evaluations, each column given as its values along both."""
    frame = pd.DataFrame({"run_id": list("aaabbb"), "step": [1, 2, 3] * 2, "loss": [0.9, 0.8, 0.7] * 2})
    return sf.as_runs(frame.assign(series="s", params=1e9, eval="e", **columns))


UP, FLAT, DOWN = [1.0, 2, 3, 1, 2, 3], [2.0] * 6, [1.0, 3, 2, 1, 2, 3]


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"samples": UP, "flops": UP, "tokens": UP}, "samples"),
        ({"samples": FLAT, "flops": UP, "tokens": UP}, "flops"),
        ({"samples": FLAT, "tokens": UP, "gpu_hours": UP}, "tokens"),
        ({"hours": UP, "gpu_hours": UP, "energy": UP}, "gpu_hours"),
        ({"hours": UP, "energy": UP}, "hours"),
        ({"hours": DOWN, "energy": UP, "lr": [3.0, 2, 1] * 2, "size": ["1B"] * 6}, "energy"),
        ({"energy": [0, 0, 0, 0, 0, 1]}, "energy"),
    ],
)
def test_the_law_is_in_the_first_that_grows(columns, chosen):
    runs = table(**columns)
    assert choose_resource(runs) == chosen
    assert prepare(runs)[0].resources == (chosen,)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"energy": UP, "cost": UP}, "energy, cost grow along its runs; say with --x"),
        ({"energy": DOWN, "lr": FLAT}, "no column grows along its runs"),
        ({"samples": FLAT}, "no column grows along its runs"),
    ],
)
def test_where_no_resource_is_clear_it_is_asked_for(columns, words):
    with pytest.raises(FitError, match=words):
        prepare(table(**columns))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ("gpu_hour", "has no column 'gpu_hour'; did you mean 'gpu_hours'? along its runs grow: gpu_hours, energy."),
        ("flops", "has no flops, which is asked for; along its runs grow"),
        ("lr", "column 'lr' of table falls within a run ('a', from 3 to 2); "),
        ("fixed", "column 'fixed' of table does not grow"),
        ("debt", "column 'debt' of table holds negative numbers"),
        ("gaps", "column 'gaps' of table has no number in 2 of 6 rows"),
        ("name", "column 'name' of table holds no numbers"),
        ("loss", "column 'loss' is 1 - pass@1, nothing that is spent"),
    ],
)
def test_what_does_not_grow_is_refused_with_what_does(x, words):
    others = {"lr": [3.0, 2, 1] * 2, "fixed": FLAT, "gaps": [1, None, 3] * 2, "name": list("xyzxyz")}
    runs = table(gpu_hours=UP, energy=UP, debt=[-1.0, 0, 1] * 2, **others)
    with pytest.raises(UsageError) as caught:
        prepare(runs, x)
    assert words in str(caught.value)
    assert "gpu_hours" in str(caught.value)
    assert prepare(runs, "step")[0].resources == ("step",)


def test_a_table_needs_something_that_may_grow():
    with pytest.raises(TableError, match="gpu_hours, hours"):
        table()


def test_units_are_known_or_the_table_s_own(tmp_path, simulated):
    sf.write_runs(renamed(simulated, "energy", energy="MWh"), tmp_path / "t.parquet")
    runs = sf.read_runs(tmp_path / "t.parquet")
    assert unit_of("energy", runs.metadata) == "MWh"
    assert unit_of("gpu_hours", {"units": {"gpu_hours": "days"}}) == "GPU-hours"
    assert unit_of("energy", {"units": "MWh"}) is None
    assert find_growing(runs.frame) == ["energy"]
    assert prepare(runs)[0].record["units"] == {"energy": "MWh"}
    assert "energy [MWh]" in scalefit("check", "t.parquet", cwd=tmp_path).stdout


@pytest.mark.parametrize("name", ["gpu_hours", "tokens", "energy"])
def test_a_law_is_the_same_whatever_its_resource_is_called(name, simulated):
    """Only flops mean something to a closed offset; any other resource is a number."""
    expected = sf.fit(simulated)
    fit = sf.fit(renamed(simulated, name))
    assert fit.data.resources == (name,)
    np.testing.assert_array_equal(fit.theta, expected.theta)
    found, same = fit.predict("70B", at=[100, 300]), expected.predict("70B", samples=[100, 300])
    np.testing.assert_array_equal(found["loss"], same["loss"])
    np.testing.assert_array_equal(found[name], [100, 300])
    np.testing.assert_array_equal(expected.predict("70B", at=[100, 300])["high"], same["high"])


def test_at_is_of_the_fit_s_one_resource(simulated):
    fit = sf.fit(renamed(simulated, "gpu_hours"))
    with pytest.raises(UsageError, match="this fit is in gpu_hours; give --at"):
        fit.predict("7B", samples=[100])
    with pytest.raises(UsageError, match="one of the two"):
        sf.fit(simulated).predict("7B", samples=[100], at=[100])
    with pytest.raises(UsageError, match="give both"):
        _asked(("flops", "samples"), {}, [1])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_every_command_works_in_gpu_hours(suffix, simulated, tmp_path):
    sf.write_runs(renamed(simulated, "gpu_hours"), tmp_path / f"t.{suffix}")
    for words in (
        ["check", f"t.{suffix}"],
        ["fit", f"t.{suffix}"],
        ["predict", "--params", "70B", "--at", "200"],
        ["crossval", f"t.{suffix}"],
        ["forecast", f"t.{suffix}", "--run", "simulated-7e+09", "--x", "gpu_hours"],
    ):
        found = scalefit(*words, "--json", cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        assert "gpu_hours" in found.stdout or words[0] == "crossval"
        assert results(found)
    assert results(scalefit("check", f"t.{suffix}", "--json", cwd=tmp_path))[0]["resources"] == {
        "gpu_hours": "GPU-hours"
    }
    assert scalefit("plan", f"t.{suffix}", "--flops", "1e20", cwd=tmp_path).stderr.count("has no flops") == 1
    said = scalefit("fit", f"t.{suffix}", "--x", "gpu_minutes", cwd=tmp_path).stderr
    assert "did you mean 'gpu_hours'?" in said


def test_a_fit_reads_all_columns_where_the_usual_ones_say_nothing(simulated, tmp_path):
    frame = simulated.frame.assign(samples=64.0, energy=simulated.frame["samples"])
    sf.write_runs(sf.as_runs(frame), tmp_path / "t.parquet")
    found = scalefit("fit", "t.parquet", cwd=tmp_path)
    assert "saturating in energy" in found.stdout, found.stderr
    assert "saturating in energy" in scalefit("fit", "t.parquet", "--x", "energy", "--force", cwd=tmp_path).stdout


@pytest.fixture(scope="module")
def experts(simulated):
    """Mixtures of experts of eight times the parameters that a token passes, which are those of the law."""
    active = simulated.frame["params"]
    return sf.as_runs(simulated.frame.assign(params=8 * active, active_params=active))


def test_the_model_size_is_the_column_asked_for(experts, simulated, tmp_path):
    expected = sf.fit(simulated)
    fit = sf.fit(experts, size="active_params")
    np.testing.assert_array_equal(fit.theta, expected.theta)
    assert fit.data.sizes.max() == 3.2e10
    assert "6 sizes of active_params" in fit.headline
    assert "model sizes are active_params" in fit.predict_size("7B").warnings
    assert sf.fit(experts).data.sizes.max() == 8 * 3.2e10
    assert "params" not in sf.fit(experts).headline
    assert len(sf.fit(experts, size="active_params", where={"params": "7B"}, law="power").data.sizes) == 1
    found = sf.cross_validate(experts, "saturating-linear", size="active_params")
    pd.testing.assert_frame_equal(found, sf.cross_validate(simulated, "saturating-linear"))
    sf.write_runs(experts, tmp_path / "t.parquet")
    assert "sizes of active_params" in scalefit("fit", "t.parquet", "--size", "active_params", cwd=tmp_path).stdout
    # What predict is given as the start of a run is sized as the fit is.
    short = experts.frame[(experts.frame["params"] == 8 * 3.2e10) & (experts.frame["step"] <= 8)]
    sf.write_runs(sf.as_runs(short), tmp_path / "short.parquet")
    asked = scalefit("predict", "--params", "32B", "--anchor", "short.parquet", cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize(
    ("size", "words"),
    [("active", "did you mean 'active_params'"), ("active_params", "has no column 'active_params'")],
)
def test_a_size_that_is_not_there(size, words, simulated):
    with pytest.raises(UsageError, match=words):
        sf.fit(simulated, size=size)


def test_active_parameters_are_at_most_all_and_known(experts):
    with pytest.raises(TableError, match=r"'active_params', 240 rows .* is more than params"):
        sf.as_runs(experts.frame.assign(active_params=1e13))
    gaps = experts.frame["active_params"].where(experts.frame["params"] > 8e9)
    with pytest.raises(UsageError, match="40 rows of table have none; of a dense model write its params"):
        sf.fit(sf.as_runs(experts.frame.assign(active_params=gaps)), size="active_params")


def test_set_ups_that_share_a_law_are_told(simulated):
    both = pd.concat([simulated.frame.assign(group_size=8), simulated.frame.assign(group_size=16, run_id="b")])
    both["run_id"] = both["run_id"].astype(str) + both["params"].astype(str)
    fit = sf.fit(sf.as_runs(both.reset_index(drop=True)))
    assert (
        "runs of one size that differ in group_size share one law here; choose among them with --where" in fit.warnings
    )
    assert "differ in group_size" in fit.summary()
    # Where each size has its own there is nothing to choose.
    own = simulated.frame.assign(group_size=simulated.frame["params"].rank(method="dense").astype(int), reuse=2.0)
    assert sf.fit(sf.as_runs(own)).warnings == []


def test_a_slip_in_a_name_is_told_with_columns_that_a_fit_does_not_read(simulated, tmp_path):
    sf.write_runs(sf.as_runs(simulated.frame.assign(energy=simulated.frame["samples"])), tmp_path / "t.parquet")
    said = scalefit("fit", "t.parquet", "--x", "enrgy", cwd=tmp_path).stderr
    assert "did you mean 'energy'? along its runs grow: energy, samples." in said
