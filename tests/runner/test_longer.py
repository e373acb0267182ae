"""Runs that are made longer, from wherever they were stopped, and rows of runs that the grid no longer names."""

import dataclasses
import random

import pandas as pd
import pytest

from scalefit.errors import UsageError
from scalefit.runner.config_file import read_config
from scalefit.runner.run_folder import parts_of, read_done, read_rows
from tests.runner.conftest import TINY, Killed, inside, make, run

LONG, SHORT = 11, 5
"""Lengths of which neither is a multiple of the steps between evaluations."""
WAYS = {
    "as drawn": {"order": "drawn"},
    "a horizon of its first length, problems seen five times": {"horizon": SHORT, "reuse": (5,)},
    "a horizon beyond, with a schedule": {"horizon": 20, "schedule": "cosine", "order": "curriculum"},
    "evaluations at even distances of log steps": {"order": "drawn", "per_decade": 2},
    "other samples at the end": {"order": "drawn", "end_samples": 6, "every": 1},
    "the loss on right answers at the end": {"order": "drawn", "answer_loss": True, "every": 1},
}


def spec_of(path, steps, **settings):
    """Return the run of a file with some settings, wherever they belong."""
    config = read_config(path)

    def having(section, **more):
        known = {entry.name for entry in dataclasses.fields(section)}
        return dataclasses.replace(section, **{name: settings[name] for name in known & {*settings}}, **more)

    config = dataclasses.replace(
        config,
        task=having(config.task),
        grpo=having(config.grpo, steps=steps),
        eval=having(config.eval),
        sweep=having(config.sweep),
    )
    return config.runs()[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_longer_run_is_the_undisturbed_one(way, tiny, tmp_path):
    """Made short and then long, each killed at two steps, it ends with the rows of one that was made at once."""
    short, long = (spec_of(tiny, steps, **WAYS[way]) for steps in (SHORT, LONG))
    undisturbed = make(long, tmp_path / "undisturbed")
    moments = random.Random(way)
    folder = tmp_path / "disturbed"
    for spec, first in ((short, 1), (long, SHORT)):
        for killed_in in sorted(moments.sample(range(first, spec.config.grpo.steps), 2)):
            make(spec, folder, killed_in=killed_in)
        rows = make(spec, folder)
    assert (read_done(folder)["steps"], rows[-1]["step"]) == (LONG, LONG)
    assert rows == undisturbed


@pytest.mark.parametrize("each", [1, 2, 4, 7, 60])
def test_evaluations_lie_evenly_in_log_steps(each, tiny):
    """Whatever the length, at 10^(i/N), each rounded; a file that names both ways is told."""
    spec, longer = (spec_of(tiny, steps, per_decade=each) for steps in (700, 1000))
    wanted = {round(10 ** (at / each)) for at in range(3 * each + 1)}
    assert {step for step in range(1, 1001) if longer.due(step)} == wanted
    assert [step for step in range(701) if spec.due(step)] == sorted({0, 700, *(one for one in wanted if one < 700)})
    tiny.write_text(TINY.replace("every = 2", f"every = 2\nper_decade = {each}"))
    with pytest.raises(UsageError, match=r"1 fault:\n  \[eval\] every and per_decade both say when"):
        read_config(tiny)


def test_a_horizon_of_the_first_length_is_none(tiny):
    """Stated from the beginning, it is no other experiment when steps are raised."""
    stated, left_out = (spec_of(tiny, SHORT, horizon=horizon).config for horizon in (SHORT, 0))
    assert (
        stated.digest() == left_out.digest() == spec_of(tiny, LONG, horizon=SHORT).config.lasting(SHORT, SHORT).digest()
    )


def test_a_run_that_loses_its_last_row_has_not_ended(tiny, tmp_path, monkeypatch):
    short, long = (spec_of(tiny, steps, order="drawn") for steps in (SHORT, LONG))
    rows = make(short, tmp_path)

    def die(*_):
        raise Killed

    monkeypatch.setattr("scalefit.runner.engines.embedded.reopen", die)
    with pytest.raises(Killed):
        make(long, tmp_path)
    assert (read_done(tmp_path)["steps"], read_rows(tmp_path)) == (SHORT, rows)


def test_without_its_checkpoint_a_longer_run_is_made_again(tiny, tmp_path):
    short, long = (spec_of(tiny, steps, order="drawn") for steps in (SHORT, LONG))
    short = dataclasses.replace(
        short, config=dataclasses.replace(short.config, keep=type(short.config.keep)("none", False))
    )
    make(short, tmp_path / "some")
    assert not (tmp_path / "some" / "checkpoint.pt").exists()
    assert make(long, tmp_path / "some") == make(long, tmp_path / "other")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a table of two seeds."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "tiny.toml").write_text(TINY.replace("steps = 8", "steps = 4").replace("[0]", "[0, 1]"))
    done = run("tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps = 8", "steps = 12", "its shuffled order goes over all 4 steps"),
        ("steps = 8", "steps = 12", "Write horizon = 4 into [grpo] to go on"),
        ("steps = 8", "steps = 12\nhorizon = 6", "its shuffled order goes over all 4 steps"),
        ("steps = 8", "steps = 2", "has 4 steps already, and [grpo] steps = 2; steps can only be raised"),
        ("steps = 8", "steps = 12\nlearning_rate = 2e-3", "holds runs of another configuration"),
    ],
)
def test_what_cannot_be_made_longer_says_why(old, new, words, made):
    text = TINY.replace(old, new)
    (made / "other.toml").write_text(text if "2e-3" not in new else text.replace("learning_rate = 1e-3\n", ""))
    before = (made / "runs.parquet").read_bytes()
    found = inside("other.toml", cwd=made)
    assert found.returncode == 2
    assert words in found.stderr
    assert (made / "runs.parquet").read_bytes() == before


@pytest.mark.slow
def test_a_schedule_that_has_ended_says_so(tiny, tmp_path):
    scheduled = TINY.replace("steps = 8", 'steps = 2\nschedule = "linear"')
    tiny.write_text(scheduled)
    assert run("tiny.toml", cwd=tmp_path).returncode == 0
    tiny.write_text(scheduled.replace("steps = 2", "steps = 4"))
    assert "the linear learning rate came to its end at step 2" in inside("tiny.toml", cwd=tmp_path).stderr
    tiny.write_text(scheduled.replace("steps = 2", "steps = 4\nhorizon = 2"))
    assert (
        "go beyond horizon = 2, where the linear learning rate has come to its end"
        in inside("tiny.toml", cwd=tmp_path).stderr
    )


@pytest.mark.slow
def test_runs_become_longer_through_the_command_and_rows_of_a_smaller_grid_stay(made, tmp_path):
    """One seed of two is made longer, as the grid names only that; the other keeps its rows."""
    longer = TINY.replace("steps = 8", "steps = 6\nhorizon = 4")
    (made / "longer.toml").write_text(longer)
    done = run("longer.toml", cwd=made)
    assert done.returncode == 0, done.stderr
    found = pd.read_parquet(made / "runs.parquet")
    assert found.groupby("seed")["step"].agg(list).to_dict() == {0: [0, 2, 4, 6], 1: [0, 2, 4]}
    assert set(found["status"]) == {"finished"}
    (tmp_path / "longer.toml").write_text(longer)
    assert run("longer.toml", cwd=tmp_path).returncode == 0
    pd.testing.assert_frame_equal(
        found[found["seed"] == 0], pd.read_parquet(tmp_path / "runs.parquet"), check_exact=True
    )
    assert parts_of(made / "runs.parquet").is_dir()
