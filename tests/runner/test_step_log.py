"""The log of a run's steps: whole after kills and full disks, the same numbers in trackers, and never in the way."""

import contextlib
import json
import re
import time

import pandas as pd
import pytest

from scalefit.errors import UsageError
from scalefit.runner.config_file import read_config
from scalefit.runner.run_folder import parts_of
from scalefit.runner.step_log import StepLog
from tests.runner.conftest import TINY, Killed, inside, make, run

RUN = "7k-base-g8-r1-s0"
KL = TINY.replace("kl = 0.0", "kl = 1e-3\nwarmup = 2")


def spec_of(tmp_path, text=TINY):
    (tmp_path / "x.toml").write_text(text)
    return read_config(tmp_path / "x.toml").runs()[0]


def log_of(folder):
    return pd.DataFrame(map(json.loads, (folder / "log.jsonl").read_text().splitlines())).set_index("step")


def same_every_time(log):
    return log[[name for name in log if "second" not in name]]


def test_every_step_is_told(tmp_path):
    """What a row says of its last step the log says of every one, with lengths, the rate as scheduled and the time."""
    rows = pd.DataFrame(make(spec_of(tmp_path, KL), tmp_path / "run")).set_index("step")
    log = log_of(tmp_path / "run")
    assert list(log.index) == list(range(9))
    for name in ("loss", "reward", "entropy", "kl", "clipped", "uniform_groups", "gradient_norm", "tokens"):
        pd.testing.assert_series_equal(log.loc[rows.index, name], rows[name], check_exact=True)
    assert log["learning_rate"].iloc[1:].tolist() == [5e-4, *[1e-3] * 7]
    lengths = log.loc[1:, ["response_length", "response_length_max"]]
    assert lengths["response_length"].between(1, lengths["response_length_max"]).all()
    assert lengths["response_length_max"].le(4).all()
    assert log.loc[1:, "truncated"].between(0, 1).all()
    seconds = log.loc[1:, [f"seconds_{phase}" for phase in ("generate", "score", "train")]]
    assert (seconds > 0).all().all()
    assert (log["seconds_evaluate"] > 0).tolist() == [step in rows.index for step in log.index]
    made = log["tokens"].diff().loc[1:] / seconds.sum(axis=1)
    pd.testing.assert_series_equal(log.loc[1:, "tokens_per_second"], made, check_names=False, rtol=0.01)


def test_a_run_that_was_killed_tells_every_step_once(tmp_path):
    spec = spec_of(tmp_path)
    make(spec, tmp_path / "whole")
    for step in (1, 3, 4, 7):
        make(spec, tmp_path / "cut", killed_in=step)
        with open(tmp_path / "cut" / "log.jsonl", "a") as log:
            log.write('{"step": 99}\n{"step": 4, "lo')  # beyond the checkpoint, and cut short
    make(spec, tmp_path / "cut")
    whole, cut = (same_every_time(log_of(tmp_path / name)) for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(whole, cut, check_exact=True)


@pytest.mark.parametrize("last", ["append_row", "save_checkpoint"])
def test_a_kill_within_an_evaluation_loses_no_step(tmp_path, monkeypatch, last):
    """Whatever was the last thing done: the row, or the checkpoint beyond which no step is made again."""
    from scalefit.runner.engines import embedded

    spec, did = spec_of(tmp_path), getattr(embedded, last)
    make(spec, tmp_path / "whole")

    def and_die(*arguments):
        did(*arguments)
        if sum(1 for _ in open(tmp_path / "cut" / "rows.jsonl")) == 3:
            raise Killed

    monkeypatch.setattr(embedded, last, and_die)
    with pytest.raises(Killed):
        make(spec, tmp_path / "cut")
    monkeypatch.undo()
    make(spec, tmp_path / "cut")
    whole, cut = (same_every_time(log_of(tmp_path / name)) for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(whole, cut, check_exact=True)


def test_what_cannot_be_written_waits(tmp_path, small_disk):
    """A full disk is told once; when there is room again no step is missing."""
    told = []
    log = StepLog(spec_of(tmp_path), small_disk, told.append, reached=-1)
    log.write(0, {"loss": 1.0}, 0.0, {})
    with open(small_disk / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"x" * 4096)
    for step in range(1, 100):
        log.write(step, {"loss": 1.0, "none": float("nan")}, float(step), {"train": float(step)})
    assert len(told) == 1
    assert "log.jsonl is not written for now, the run goes on" in told[0]
    (small_disk / "ballast").unlink()
    log.write(100, {"loss": 1.0}, 100.0, {"train": 100.0})
    log.close()
    assert list(log_of(small_disk).index) == list(range(101))


def test_trackers_are_told_what_the_log_says(tmp_path, monkeypatch):
    """TensorBoard's and W&B's own files, read back by their own readers."""
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from scalefit.table.importers.log import Log
    from scalefit.table.importers.offline import offline_run

    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    make(spec_of(tmp_path, TINY + '[log]\nto = ["tensorboard", "wandb"]\nproject = "mine"'), folder)
    log = log_of(folder)
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(log.columns)
    seen = {event.step: event.value for event in events.Scalars("reward")}
    assert seen == pytest.approx(log["reward"].dropna().to_dict())

    (path,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    told = {}
    for _ in range(300):  # W&B's own process writes, and may do so after the run has left
        rows = [row.values for row in offline_run(path, Log(str(path), ""), lambda *done: None)]
        told = {row["_step"]: row["reward"] for row in rows if "reward" in row}
        if len(told) == len(log["reward"].dropna()):
            break
        time.sleep(0.1)
    assert told == pytest.approx(log["reward"].dropna().to_dict())


FAILING = """
class Tracker:
    name = "mine:Tracker"

    def __init__(self, spec, folder, reached):
        self.folder, self.reached = folder, reached

    def log(self, step, numbers):
        if step == 3:
            raise ConnectionError("the service is gone")
        (self.folder / "seen").open("a").write(f"{step} {sorted(numbers)[0]} ")

    def close(self):
        raise AssertionError("was left out before")
"""


@pytest.mark.slow
def test_a_tracker_that_fails_is_told_once_and_left_out(tmp_path, undisturbed_rows):
    """A tracker of one's own, through the command line; rows and log are those of a run without it."""
    (tmp_path / "mine.py").write_text(FAILING)
    (tmp_path / "x.toml").write_text(TINY + '[log]\nto = ["mine:Tracker"]')
    made = run("x.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    said = "[log] to = 'mine:Tracker' is left out, the run goes on: ConnectionError: the service is gone"
    assert made.stderr.count(said) == 1
    folder = parts_of(tmp_path / "runs.parquet") / RUN
    assert (folder / "seen").read_text() == "0 loss 1 clipped 2 clipped "
    assert (folder / "rows.jsonl").read_text() == undisturbed_rows
    assert list(log_of(folder).index) == list(range(9))


@pytest.fixture
def undisturbed_rows(tmp_path):
    make(spec_of(tmp_path), tmp_path / "undisturbed")
    return (tmp_path / "undisturbed" / "rows.jsonl").read_text()


def test_trackio_is_called_as_its_library_asks(tmp_path, monkeypatch):
    """A stand-in with the signatures of trackio 0.43: init(project, *, name, resume, config), log(metrics, step), finish()."""
    calls = []

    class Trackio:
        def init(project, *, name=None, resume="never", config=None):
            calls.append(("init", project, name.rpartition("-")[0], resume, config["size"]))

        def log(metrics, step=None):
            calls.append(("log", step, metrics.get("reward")))

        def finish():
            calls.append(("finish",))

    monkeypatch.setitem(__import__("sys").modules, "trackio", Trackio)
    make(spec_of(tmp_path, TINY + '[log]\nto = ["trackio"]'), tmp_path / "run")
    log = log_of(tmp_path / "run")
    assert calls[0] == ("init", "scalefit", RUN, "allow", "7k")
    assert [call[1] for call in calls[1:-1]] == list(range(9))
    assert [call[2] for call in calls[2:-1]] == log["reward"].iloc[1:].tolist()
    assert calls[-1] == ("finish",)


def test_where_a_log_goes_is_no_part_of_a_run(tmp_path):
    plain, logged = spec_of(tmp_path), spec_of(tmp_path, "offline = true\n" + TINY + '[log]\nto = ["wandb"]\n')
    assert plain.digest() == logged.digest()
    assert plain.config.digest() == logged.config.digest()


def test_a_tracker_that_is_not_there_is_told_before_the_start(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=re.escape("[log] to = 'wandbb': did you mean 'wandb'?")):
        spec_of(tmp_path, TINY + '[log]\nto = ["wandbb"]')
    there = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "trackio" else there(name, *rest)
    )
    (tmp_path / "x.toml").write_text(TINY + '[log]\nto = ["trackio"]')
    refused = inside("x.toml", cwd=tmp_path)
    assert refused.returncode == 1
    assert "[runner,trackio]" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]
