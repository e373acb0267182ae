"""What a training hands over that is not as it should be: one value is left out, and neither the evaluation nor the table."""

import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import scalefit as sf
from scalefit.errors import UsageError
from scalefit.live import Monitor, Tracker
from scalefit.live import monitor as module
from tests.conftest import RUNS


def curve(step):
    return 0.3 + 0.4 * step**-0.5


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Log a run of so many evaluations, some columns of it by step; return its table, what was told, and the monitor."""

    def run(logged=lambda step: {}, steps=range(1, 13), out="runs.parquet", forecast=False, **options):
        told = []
        if not forecast:
            monkeypatch.setattr(module, "ask", lambda *given, **options: None)
        with Monitor(tmp_path / out, **{"run": "a", "params": "7B", "tell": told.append} | options) as monitor:
            for step in steps:
                monitor.log(step, curve(step), **{"samples": 64 * step} | logged(step))
        return sf.read_runs(tmp_path / out).frame.set_index("step"), told, monitor

    return run


def rows_of(monitor):
    return [json.loads(line) for line in (monitor.journal.folder / "rows.jsonl").read_text().splitlines()]


def test_numbers_of_numpy_are_on_disk_at_once(watch):
    """Also those that hold for the whole run; integers stay such."""
    facts = {"seed": np.int64(3), "group_size": np.float32(8)}
    frame, told, monitor = watch(lambda step: {"reward": np.float32(0.5), "done": np.bool_(True)}, facts=facts)
    assert [row["step"] for row in rows_of(monitor)] == list(range(1, 13))
    assert set(frame["seed"]) == {3}
    assert rows_of(monitor)[0]["group_size"] == 8
    assert set(frame["reward"]) == {0.5}
    assert not any("not written" in line for line in told)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("group_size", -3, "below what it can be"),
        ("eval_size", 2.5, "no whole number"),
        ("reuse", 0, "below what it can be"),
        ("truncated", 7, "above what it can be"),
        ("response_length", "long", "no number"),
    ],
)
def test_a_value_that_its_column_cannot_hold_is_left_out(watch, name, value, words):
    """Told once; the table is there, with what was right in that column."""
    frame, told, _ = watch(lambda step: {name: value if step > 3 else 1})
    assert len(frame) == 12
    assert list(frame[name].dropna()) == [1, 1, 1]
    assert sum(f"step 4: {name} is {value!r}" in line and words in line for line in told) == 1


def test_a_column_keeps_to_text_or_numbers(watch, tmp_path):
    frame, told, _ = watch(lambda step: {"note": "warm" if step < 5 else 3})
    assert list(frame["note"].dropna()) == ["warm"] * 4
    assert sum("of another kind than the column began with" in line for line in told) == 1
    frame, told, _ = watch(lambda step: {"note": 3}, run="b", params="1B")
    assert not any("not written" in line for line in told)
    mine = frame[frame["run_id"].astype(str) == "b"]
    assert set(mine["note as logged"]) == {3}, "the other run's column is left as it is"
    frame, told, _ = watch(lambda step: {"note": 4}, steps=range(13, 15))
    assert not any("not written" in line for line in told)
    mine = frame[frame["run_id"].astype(str) == "a"]
    assert list(mine.loc[[4, 13], "note"]) == ["warm", "4.0"]


def test_numbers_in_text_are_numbers(watch):
    frame, told, _ = watch(lambda step: {"samples": str(64 * step)}, forecast=True)
    assert list(frame["samples"]) == [64 * step for step in range(1, 13)]
    assert any("step 12: end" in line for line in told)


def test_one_low_value_is_no_new_beginning(watch):
    """A counter that is back where it was had not begun anew; one that stays low had."""
    frame, told, _ = watch(lambda step: {"samples": 10 if step == 7 else 64 * step})
    assert list(frame["samples"][7:]) == [64 * step for step in range(8, 13)]
    assert frame["samples"].is_monotonic_increasing
    assert any("samples goes on from 384, so it had not begun anew" in line for line in told)
    frame, _, _ = watch(lambda step: {"samples": 64 * (step if step < 7 else step - 6)}, run="b", out="other.parquet")
    assert list(frame["samples"]) == [64 * step for step in range(1, 13)]


@pytest.mark.parametrize("name", ["hours", "gpu_hours"])
def test_hours_that_are_not_told_every_time_go_on_at_their_pace(watch, name):
    """The monitor's own clock is of another scale than what the training says."""
    frame, _, monitor = watch(lambda step: {name: 10.0 * step} if step % 3 else {}, forecast=True)
    np.testing.assert_allclose(frame[name], 10.0 * np.arange(1, 13), rtol=1e-6)
    assert monitor.advice.cost["amount"] == pytest.approx(120, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "logged", "words"),
    [
        ({"x": "smaples"}, {}, "smaples is not logged; logged are step, samples"),
        ({}, {"samples": 64}, "samples does not grow along the run"),
        ({"until": 320}, {}, "beyond the end that was given for it, 320 samples"),
        ({"until": "1M"}, {}, "forecasts begin at 33.3k samples"),
    ],
)
def test_no_forecast_says_why(watch, options, logged, words):
    frame, told, monitor = watch(lambda step: logged, **options)
    assert len(frame) == 12
    assert monitor.advice is None
    assert [words in line for line in told] == [True]


def test_siblings_on_no_such_evaluation_are_told(watch):
    _, told, _ = watch(siblings=RUNS, forecast=True)
    assert sum("no other run in them has evaluations of eval" in line for line in told) == 1
    assert any("step 12: end" in line for line in told)


@pytest.mark.parametrize("run", ["..", ".", "../up", "x" * 300, "ü" * 100, 7])
def test_any_name_of_a_run_has_a_folder_of_its_own(watch, tmp_path, run):
    """Beneath that of the table, and nowhere else; a later process finds it again."""
    frame, _, monitor = watch(run=run, steps=range(1, 4))
    assert set(frame["run_id"]) == {str(run)}
    assert monitor.journal.folder.resolve().parent == (tmp_path / "runs.parquet.parts").resolve()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["runs.parquet", "runs.parquet.parts"]
    frame, _, _ = watch(run=run, steps=range(4, 6))
    assert list(frame.index) == [1, 2, 3, 4, 5]


def test_a_column_called_as_the_journal_marks_restarts(watch):
    watch(lambda step: {"restarted_at": 2}, steps=range(1, 9))
    frame, _, _ = watch(steps=[9])
    assert list(frame.index) == list(range(1, 10))


@pytest.mark.parametrize(
    "options",
    [
        {"run": ""},
        {"run": "a\x00b"},
        {"series": None},
        {"stop_when": "yes"},
        {"stop_when": 1},
        {"facts": {"step": 3}},
    ],
)
def test_what_makes_no_sense_is_refused_at_once(tmp_path, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        Monitor(tmp_path / "runs.parquet", **{"run": "a", "params": "7B"} | options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "words"), [({"until": -5}, "until"), ({"untill": 5}, "did you mean 'until'")])
def test_a_tracker_refuses_as_a_monitor_does(tmp_path, options, words):
    """Before the training, and not at its first evaluation."""
    with pytest.raises(UsageError, match=words):
        Tracker(tmp_path / "runs.parquet", run="a", **options)


def test_never_asked_for_is_never_stopped(watch):
    _, _, monitor = watch(
        lambda step: {"hours": 1e3 * step}, stop_when=None, until=64 * 13, rule=sf.live.Rule(0.2), forecast=True
    )
    assert monitor.advice.stop
    assert not monitor.should_stop


def test_a_stop_when_that_fails_is_named(watch):
    """The evaluation is taken, the forecast is sent."""
    sent = []

    class Kept:
        def log(self, step, numbers):
            sent.append(step)

    def broken(advice):
        raise RuntimeError("mine")

    frame, told, monitor = watch(stop_when=broken, to=Kept(), forecast=True)
    assert len(frame) == 12
    assert sent == list(range(6, 13))
    assert [line for line in told if "mine" in line] == [
        "stop_when could not be asked, and does not stop the run; training goes on. RuntimeError: mine"
    ]
    assert not monitor.should_stop


def test_several_threads_log_one_run(tmp_path):
    """Each evaluation is a line of the journal, once."""
    monitor = Monitor(tmp_path / "runs.parquet", run="a", params="7B", tell=lambda text: None)

    def work(name):
        for step in range(1, 12):
            monitor.log(step, curve(step), evaluation=name, samples=64 * step)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    monitor.close()
    said = [(row["eval"], row["step"]) for row in rows_of(monitor)]
    assert sorted(said) == [(name, step) for name in "abcd" for step in range(1, 12)]
    assert len(sf.read_runs(tmp_path / "runs.parquet").frame) == 44


@pytest.mark.parametrize("falls", [True, False])
def test_a_run_is_not_stopped_while_one_of_its_evaluations_gains(tmp_path, monkeypatch, falls):
    """Two that are flat advise to stop at every step; a third that falls keeps the run going, and not one that is flat."""

    def ask(rows, *given, **options):
        flat = rows[-1]["eval"] != "third" or not falls
        return SimpleNamespace(stop=flat, headline="", resource="step", now={"step": rows[-1]["step"]})

    monkeypatch.setattr(module, "ask", ask)
    monitor = Monitor(tmp_path / "runs.parquet", run="a", params="7B", stop_when=True, to=[], tell=lambda text: None)
    for step in range(1, 4):
        for name in ("flat", "flat too", "third"):
            monitor.log(step, 0.5, evaluation=name)
    monitor.close()
    assert monitor.should_stop != falls


@pytest.mark.parametrize("step", [-1, 2.5, float("nan"), None, "third"])
def test_a_step_that_is_none_is_left_out(tmp_path, step):
    """Told once, counted in the end; the table is there."""
    told = []
    with Monitor(tmp_path / "runs.parquet", run="a", params="7B", tell=told.append) as monitor:
        for at in (1, step, 2, step, np.int64(3), 4.0):
            monitor.log(at, 0.5, samples=64)
    assert list(sf.read_runs(tmp_path / "runs.parquet").frame["step"]) == [1, 2, 3, 4]
    assert [line for line in told if "no whole number" in line or "left out" in line] == [
        f"step {step!r} is no whole number from 0 on; such evaluations are left out",
        "2 evaluations of a without a usable step or loss were left out",
    ]
