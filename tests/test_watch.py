"""A log watched while it grows, is cut, replaced and begun anew; what the command says and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

import scalefit as sf
from scalefit.errors import TableError, UsageError
from scalefit.live.watching import Asked, sparkline, watch
from scalefit.studies.stopping import Rule
from tests.conftest import OUTPUT, ROOT, RUNS, listen_to_interrupts, scalefit

METRIC = "val-core/math/acc/mean@1"


def right(step):
    return 0.7 - 0.5 * (1 + step / 5) ** -0.7


def line(step, share=None):
    return json.dumps({"step": step, "actor/entropy": 0.5, METRIC: right(step) if share is None else share}) + "\n"


class Training:
    """Writes a log while it is watched: one deed a look, in place of the time that passes."""

    def __init__(self, *deeds):
        self.deeds, self.time, self.told = list(deeds), 0.0, []

    def sleep(self, seconds):
        self.time += seconds
        if self.deeds:
            self.deeds.pop(0)()

    def views(self, path, **asked):
        until_stop = asked.pop("until_stop", False)
        return list(
            watch(
                Asked(str(path), **{"idle": 60.0} | asked),
                until_stop=until_stop,
                tell=self.told.append,
                sleep=self.sleep,
                clock=lambda: self.time,
            )
        )


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(line(step) for step in range(0, 12)))
    return path


def adding(path, *steps, mode="a", share=None):
    def deed():
        with open(path, mode) as file:
            file.write("".join(line(step, share) for step in steps))

    return deed


def steps(view):
    return [int(one["step"]) for one in view.recent]


def test_a_log_that_grows(log):
    """A view at every change and none without; at the last step it has ended."""
    training = Training(adding(log, 12, 13), lambda: None, adding(log, 14), adding(log, 15, 16))
    views = training.views(log, until=16)
    assert [view.step for view in views] == [11, 13, 14, 16]
    assert [view.state for view in views] == ["runs"] * 3 + ["has ended"]
    assert views[0].advice.end["step"] == 16
    assert views[-1].advice is None
    assert views[-1].loss == pytest.approx(1 - right(16))


def test_a_line_that_is_half_written_waits(log):
    whole = line(12)

    def half():
        log.write_text(log.read_text() + whole[:20])

    def rest():
        log.write_text(log.read_text() + whole[20:])

    views = Training(half, rest).views(log, until=12)
    assert [view.step for view in views] == [11, 12]


def test_a_log_that_is_rotated_takes_nothing_away(log):
    """Moved away, gone for a while, and begun anew with the steps that follow."""

    def move():
        log.rename(log.with_suffix(".1"))

    training = Training(move, lambda: None, adding(log, 12, 13), adding(log, 14))
    views = training.views(log, until=14)
    assert [view.step for view in views] == [11, 13, 14]
    assert steps(views[-1]) == list(range(15))
    assert sum("waiting" in said for said in training.told) == 1


def test_a_log_that_is_cut_takes_nothing_away(log):
    """As logrotate's copytruncate does: the same file, empty, then written on."""
    views = Training(lambda: os.truncate(log, 0), adding(log, 12), adding(log, 13)).views(log, until=13)
    assert steps(views[-1]) == list(range(14))


def test_a_run_that_is_begun_anew_counts_anew_from_there(log):
    """From step 6 on in a file of its own: what came after step 5 before counts no more."""
    views = Training(adding(log, 6, 7, mode="w", share=0.25)).views(log, until=100, idle=5.0)
    last = views[-1]
    assert steps(last) == list(range(8))
    assert [one["loss"] == 0.75 for one in last.recent] == [False] * 6 + [True] * 2


def test_a_restart_within_the_log(log):
    """As `import` has it: the later attempt counts, and that is told."""
    training = Training(adding(log, 6, 7, share=0.25))
    views = training.views(log, until=100, idle=5.0)
    assert steps(views[-1]) == list(range(8))
    assert any("came again after a restart" in said for said in training.told)


def test_a_log_without_an_evaluation_yet(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("")
    training = Training(
        lambda: path.write_text(json.dumps({"step": 1, "actor/entropy": 0.5}) + "\n"),
        adding(path, 2, 3),
        adding(path, 4),
    )
    views = training.views(path, until=4)
    assert [view.step for view in views] == [3, 4]
    assert all(said.startswith("waiting: ") for said in training.told)


def test_a_log_that_grows_no_more_has_ended(log):
    views = Training().views(log, until=100, idle=20.0)
    assert [view.state for view in views] == ["runs", "has ended"]
    assert "has not grown for 20 s" in views[-1].headline


def test_garbage_is_waited_out(log):
    training = Training(lambda: log.write_bytes(b"\x00\xff" * 500), adding(log, *range(14), mode="w"))
    views = training.views(log, until=13)
    assert [view.step for view in views] == [11, 13]
    assert training.told


def test_a_runs_table_is_watched_too(tmp_path):
    """One that is written as a whole again and again, as `scalefit run` and the monitor do."""
    frame = sf.read_runs(RUNS).frame
    mine = frame[frame["run_id"] == "base-7B"]
    path = tmp_path / "runs.parquet"
    sf.write_runs(mine[mine["step"] <= 50], path)
    views = Training(lambda: sf.write_runs(mine[mine["step"] <= 60], path)).views(path, until=60)
    assert [view.step for view in views] == [50, 60]


def test_until_stop_ends_where_the_rest_is_worth_nothing(tmp_path):
    """A flat run: by the rule, and only where it is asked for."""
    path = tmp_path / "train.jsonl"
    noise = 0.002 * np.random.default_rng(0).standard_normal(40)
    path.write_text("".join(line(step, 0.5 + noise[step]) for step in range(40)))
    rule = Rule(tolerance=0.05)
    (view,) = Training().views(path, until=50, rule=rule, until_stop=True)
    assert view.state == "should stop"
    assert view.advice.stop
    assert Training().views(path, until=50, rule=rule, idle=5.0)[-1].state == "has ended"


def test_a_price_needs_time_to_be_known(log):
    """By the clock of the watcher: 10 s for two steps on 8 GPUs, so 40 GPU-seconds a step."""
    training = Training(adding(log, 12, 13))
    views = training.views(log, until=40, rule=Rule(price=2.0, worth=100.0), gpus=8.0, every=10.0, idle=15.0)
    assert any("not known yet" in said for said in views[0].advice.warnings)
    assert views[1].advice.cost["unit"] == "gpu_hours"
    assert views[1].advice.cost["amount"] == pytest.approx((40 - 13) * 40 / 3600)


def test_what_makes_no_sense_is_refused_at_once(tmp_path, log):
    with pytest.raises(TableError, match="no such file"):
        Training().views(tmp_path / "none.jsonl")
    with pytest.raises(UsageError):
        Training().views(log, reading={"given": {"parms": "7B"}})
    shown = sf.read_runs(RUNS).frame["run_id"].unique()[0]
    with pytest.raises(UsageError, match=f"choose one with --where run_id=...: {shown}"):
        Training().views(RUNS)


def test_bars():
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert len(sparkline(list(range(1000)))) <= 60
    assert sparkline([0.3, 0.3]) == "▁▁"


def test_the_command_on_a_log_that_has_ended(log):
    """Code 0, one screen; as JSON one line, in the form of all commands."""
    found = scalefit("watch", "train.jsonl", "--until", "11", cwd=log.parent)
    assert (found.returncode, found.stderr) == (0, "")
    assert "has ended at step 11, loss 0.521 on math" in found.stdout
    found = scalefit("watch", "train.jsonl", "--until", "11", "--json", cwd=log.parent)
    assert len(found.stdout.splitlines()) == 1
    content = json.loads(found.stdout)
    Draft202012Validator(OUTPUT).validate(content)
    assert content["results"][0]["step"] == 11
    assert content["results"][0]["headline"] == content["verdict"]


def process(log, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "scalefit", "watch", log.name, "--every", "0.05", *words],
        cwd=log.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=listen_to_interrupts,
    )


def test_the_command_tells_every_change_and_stops_with_ten(tmp_path):
    """Lines of JSON while the log grows; the run falls no more, and the command says so with its code."""
    path = tmp_path / "train.jsonl"
    path.write_text("".join(line(step) for step in range(12)))
    words = ("--until", "60", "--until-stop", "--tolerance", "0.05", "--json")
    watching = process(path, *words)
    first = json.loads(watching.stdout.readline())
    assert first["results"][0]["step"] == 11
    assert first["results"][0]["advice"]["verdict"] == "go on"
    noise = 0.002 * np.random.default_rng(0).standard_normal(50)
    adding(path, *range(12, 20))()
    with open(path, "a") as file:
        file.write("".join(line(step, right(20) + noise[step]) for step in range(20, 50)))
    out, err = watching.communicate(timeout=120)
    assert watching.returncode == 10, err
    last = json.loads(out.splitlines()[-1])
    assert last["results"][0]["state"] == "should stop"
    Draft202012Validator(OUTPUT).validate(last)


def test_ctrl_c_leaves_cleanly(log):
    watching = process(log, "--until", "100", "--json")
    watching.stdout.readline()
    time.sleep(0.1)
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert "Traceback" not in err
    assert [json.loads(one)["command"] for one in out.splitlines()] == []


def test_a_csv_by_a_map(tmp_path):
    pd.DataFrame({"it": range(10), "acc": [right(step) for step in range(10)]}).to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "map.toml").write_text(
        '[columns]\nstep = "it"\nsamples = "it * 64"\nloss = "1 - acc"\n'
        '[constants]\nrun_id = "mine"\nseries = "s"\nparams = 1e9\neval = "e"\n'
    )
    found = scalefit("watch", "x.csv", "--map", "map.toml", "--until", "9", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "mine has ended at step 9" in found.stdout


def test_times_that_are_none_are_refused(log):
    for option in ("every", "idle"):
        for value in (float("nan"), float("inf"), -1.0, 0.0):
            with pytest.raises(UsageError, match=f"--{option} .*: seconds, finite and greater than 0"):
                Asked(str(log), **{option: value})
    found = scalefit("watch", str(log), "--every=nan", cwd=log.parent)
    assert (found.returncode, found.stdout) == (2, "")
    assert "Traceback" not in found.stderr


def test_an_end_that_is_too_far_away_is_told(log):
    """Once, with where forecasts begin."""
    training = Training(lambda: log.write_text("".join(line(step) for step in range(0, 14))))
    training.views(log, until=10_000)
    assert [said for said in training.told if "forecasts begin" in said] == [
        "no forecast at step 11: its end at step 10k is too far away; forecasts begin at step 333"
    ]


def test_a_fault_that_goes_on_is_told_once(log):
    """However many evaluations are no numbers; one of another kind is told besides."""
    nan = [lambda step=step: log.write_text(log.read_text() + line(step, float("nan"))) for step in range(12, 20)]
    cut = [lambda: log.write_text(log.read_text() + "{\n")] * 3
    training = Training(*nan, *cut)
    training.views(log)
    assert [("no finite number" in said, "no JSON object" in said) for said in training.told] == [
        (True, False),
        (False, True),
    ]
