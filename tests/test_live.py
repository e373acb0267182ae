"""A run watched from within: nothing that was logged is lost, nothing of ours reaches the training."""

import itertools
import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import UsageError
from scalefit.live import Monitor, Rule
from scalefit.live import monitor as module
from tests.conftest import ROOT, scalefit


def curve(step, floor=0.3):
    """A power law that is still falling."""
    return floor + 0.5 * (1 + step / 5) ** -0.7


@pytest.fixture
def watched(tmp_path):
    """Make a monitor of a table in a folder of its own, with what it tells."""
    made = []

    def make(**options):
        told = []
        made.append(
            Monitor(
                options.pop("out", tmp_path / "runs.parquet"),
                **{"run": "a", "params": "7B", "tell": told.append} | options,
            )
        )
        made[-1].lines = told
        return made[-1]

    yield make
    for one in made:
        one.journal.close()


def table(tmp_path, run="a"):
    frame = sf.read_runs(tmp_path / "runs.parquet").frame
    return frame[frame["run_id"] == run].set_index("step")


def test_every_evaluation_is_in_the_table_and_the_end_is_forecast(watched, tmp_path):
    """The table is legal, has what was given and no more; the line has its four parts."""
    monitor = watched(until=64 * 80, facts={"seed": 3, "group_size": 8})
    for step in range(1, 41):
        advice = monitor.log(step, curve(step), samples=64 * step, reward=step / 100)
        assert (advice is None) == (step < 6)
    monitor.close()
    found = table(tmp_path)
    assert list(found.index) == list(range(1, 41))
    np.testing.assert_allclose(found["loss"], [curve(step) for step in range(1, 41)])
    assert set(found["seed"]) == {3}
    assert list(found["samples"]) == [64 * step for step in range(1, 41)]
    assert found["hours"].is_monotonic_increasing
    assert advice.end["samples"] == 64 * 80
    assert advice.end["low95"] <= curve(80) <= advice.end["high95"]
    assert advice.gain == pytest.approx(advice.now["loss"] - advice.end["loss"])
    line = next(text for text in monitor.lines if "step 40" in text)
    end = f"{advice.end['loss']:.3f}".lstrip("0")
    assert f"end {end} [" in line
    assert f"{100 * advice.share:.0f} % of the gain is in" in line
    assert "another 2.56k prompts buy" in line
    assert line.endswith(advice.verdict)


def test_the_end_is_twice_what_is_spent_where_nothing_is_said(watched):
    monitor = watched()
    for step in range(1, 9):
        advice = monitor.log(step, curve(step), samples=10 * step)
    assert advice.end["samples"] == 160


def test_the_cost_is_told_in_gpu_hours(watched):
    """Two GPU-hours a step, so forty for twenty steps."""
    monitor = watched(until=40, x="step")
    for step in range(1, 21):
        advice = monitor.log(step, curve(step), hours=0.25 * step, gpu_hours=2.0 * step)
    assert advice.cost == {"unit": "gpu_hours", "amount": pytest.approx(40.0)}
    assert "another 40 GPU-hours buy" in advice.headline


CHILD = """
import os, sys
from scalefit.live import Monitor
monitor = Monitor("runs.parquet", run="a", params=1e6, tell=lambda said: None)
for step in range(int(sys.argv[1]), 1000):
    monitor.log(step, 0.5 + 0.001 * (step % 7), samples=step)
    print(step, flush=True)
"""


def run_until(tmp_path, first, last):
    """Log from a step on in a process of its own, and kill it once it says that it is past another."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(first)], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    for line in process.stdout:
        if int(line) >= last:
            process.send_signal(signal.SIGKILL)
            break
    rest = process.stdout.read().split()
    process.wait()
    return int(rest[-1]) if rest else last


def test_a_kill_loses_nothing_and_the_run_goes_on(watched, tmp_path):
    """All that was said to be logged is there after kill -9; a process from step 8 on replaces what came after."""
    last = run_until(tmp_path, 1, 12)
    monitor = watched(params=1e6)
    monitor.journal.open()
    steps = sorted(step for _, step in monitor.journal.rows)
    assert steps[:last] == list(range(1, last + 1))
    assert len(steps) <= last + 1, "the one that was being written may be there"
    monitor.journal.close()
    monitor = watched(params=1e6)
    monitor.log(8, 0.25, samples=8)
    monitor.log(9, 0.25, samples=9)
    monitor.close()
    found = table(tmp_path)
    assert list(found.index) == list(range(1, 10))
    assert list(found["loss"] == 0.25) == [False] * 7 + [True] * 2


def test_a_line_cut_short_costs_itself_alone(watched, tmp_path):
    first = watched()
    for step in (1, 2, 3):
        first.log(step, 0.5, samples=step)
    first.journal.close()
    path = first.journal.folder / "rows.jsonl"
    os.truncate(path, path.stat().st_size - 9)
    monitor = watched()
    monitor.log(4, 0.25, samples=4)
    monitor.close()
    assert list(table(tmp_path).index) == [1, 2, 4]
    again = watched()
    again.journal.open()
    assert sorted(step for _, step in again.journal.rows) == [1, 2, 4], "nothing was added to the line that was cut"
    assert sum("1 lines cannot be read" in line for line in monitor.lines) == 1


def test_other_runs_of_the_table_are_left_alone(watched, tmp_path):
    one, other = watched(), watched(run="b/c", params="1B")
    for step in (1, 2):
        one.log(step, 0.5, samples=step)
        other.log(step, 0.25, samples=step)
    one.close()
    other.close()
    assert list(table(tmp_path)["loss"]) == [0.5, 0.5]
    assert list(table(tmp_path, "b/c")["loss"]) == [0.25, 0.25]


def test_a_damaged_table_is_not_destroyed(watched, tmp_path):
    (tmp_path / "runs.parquet").write_text("mine, and no table")
    monitor = watched()
    for step in (1, 2, 3):
        monitor.log(step, 0.5, samples=step)
    monitor.close()
    assert (tmp_path / "runs.parquet").read_text() == "mine, and no table"
    assert any("runs.parquet is not written for now" in line for line in monitor.lines)
    assert len((monitor.journal.folder / "rows.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), None, "high", -0.1, 1.5])
def test_a_loss_that_is_none_is_left_out(watched, tmp_path, loss):
    """Told once, with the step; the others are kept, and the count is told in the end."""
    monitor = watched()
    for step in range(1, 9):
        monitor.log(step, loss if step in (3, 5) else 0.5, samples=step)
    monitor.close()
    assert list(table(tmp_path).index) == [1, 2, 4, 6, 7, 8]
    assert sum("step 3: the loss of eval is" in line for line in monitor.lines) == 1
    assert not any("step 5" in line and "loss of" in line for line in monitor.lines)
    assert any("2 evaluations of a without a usable step or loss" in line for line in monitor.lines)


def test_evaluations_out_of_order(watched, tmp_path):
    """A late one takes its place; what comes again with others after it is a restart."""
    monitor = watched()
    for step in (1, 2, 4, 3, 5):
        monitor.log(step, step / 10, samples=64 * step)
    assert sum("came after step 4" in line for line in monitor.lines) == 1
    monitor.log(3, 0.9, samples=64 * 3)
    monitor.close()
    assert dict(table(tmp_path)["loss"]) == {1: 0.1, 2: 0.2, 3: 0.9}
    assert any("step 3 of eval came again" in line for line in monitor.lines)


def test_a_late_one_lies_between_its_neighbours(watched, tmp_path):
    monitor = watched()
    for step, samples in ((1, 10), (3, 30), (2, 99)):
        monitor.log(step, 0.5, samples=samples)
    monitor.close()
    assert list(table(tmp_path)["samples"]) == [10, 30, 30]


def test_a_metric_that_disappears(watched, tmp_path):
    """A column of one's own has a gap; a resource goes on at its pace. Each is told once."""
    monitor = watched()
    for step in range(1, 9):
        more = {"samples": 64 * step, "reward": 0.5} if step < 5 else {}
        monitor.log(step, 0.5, **more)
    monitor.close()
    found = table(tmp_path)
    assert list(found["samples"]) == [64 * step for step in range(1, 9)]
    assert list(found["reward"].isna()) == [False] * 4 + [True] * 4
    assert sum("reward is missing" in line for line in monitor.lines) == 1
    assert sum("samples is missing" in line for line in monitor.lines) == 1


def test_a_clock_that_goes_back(watched, tmp_path):
    """A little back: it waits. Far back: a counter that begins anew is carried on."""
    monitor = watched()
    for step, hours in enumerate((1.0, 2.0, 1.9, 3.0, 0.5, 1.0), 1):
        monitor.log(step, 0.5, hours=hours, samples=step)
    monitor.close()
    assert list(table(tmp_path)["hours"]) == [1.0, 2.0, 2.0, 3.0, 3.5, 4.0]
    assert sum("hours goes back from 2 to 1.9" in line for line in monitor.lines) == 1
    assert sum("hours falls from 3 to 0.5" in line for line in monitor.lines) == 1


def test_two_writers_of_one_run(watched, tmp_path):
    """The second says who writes it, keeps its own in memory, and writes them when the first has ended."""
    first, second = watched(), watched()
    first.log(1, 0.5, samples=1)
    second.log(2, 0.25, samples=2)
    second.log(3, 0.25, samples=3)
    assert [f"process {os.getpid()}" in line for line in second.lines if "two writers" in line] == [True]
    first.close()
    assert list(table(tmp_path).index) == [1]
    second.log(4, 0.25, samples=4)
    second.close()
    assert any("is written again" in line for line in second.lines)
    assert list(table(tmp_path).index) == [1, 2, 3, 4]


def test_a_second_writer_that_began_earlier_counts_from_there(watched, tmp_path):
    """What the first had beyond the second's first step is of an attempt that was given up."""
    first, second = watched(), watched()
    for step in (1, 2, 3, 5):
        first.log(step, 0.5, samples=step)
    second.log(3, 0.25, samples=3)
    first.close()
    second.log(4, 0.25, samples=4)
    second.close()
    assert dict(table(tmp_path)["loss"]) == {1: 0.5, 2: 0.5, 3: 0.25, 4: 0.25}
    again = watched()
    again.journal.open()
    assert sorted(step for _, step in again.journal.rows) == [1, 2, 3, 4]


def test_what_two_writers_could_not_write_is_told(watched):
    first, second = watched(), watched()
    first.log(1, 0.5, samples=1)
    second.log(2, 0.25, samples=2)
    second.close()
    assert any("1 evaluations of a were not written" in line for line in second.lines)


def test_a_full_disk(watched, small_disk):
    """A real one: told once, kept in memory, forecast all the same; when there is room all of it is there."""
    monitor = watched(out=small_disk / "runs.parquet")
    monitor.log(1, curve(1), samples=1)
    with open(small_disk / "ballast", "wb", buffering=0) as ballast:
        while os.statvfs(small_disk).f_bavail:
            ballast.write(b"x" * 4096)
    for step in range(2, 120):
        monitor.log(step, curve(step), samples=step)
    assert sum("rows.jsonl is not written for now" in line for line in monitor.lines) == 1
    assert monitor.advice.points == 119
    (small_disk / "ballast").unlink()
    monitor.log(120, curve(120), samples=120)
    monitor.close()
    assert len(sf.read_runs(small_disk / "runs.parquet").frame) == 120


def test_a_file_that_may_not_grow(watched, tmp_path):
    """RLIMIT_FSIZE stands for a quota: the training goes on, and what is in no file is told in the end."""
    limits, listener = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monitor = watched()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
        for step in range(1, 9):
            monitor.log(step, 0.5, samples=step)
        monitor.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, listener)
    kept = (monitor.journal.folder / "rows.jsonl").read_text().splitlines()
    assert all(json.loads(line) for line in kept)
    assert any(f"{8 - len(kept)} evaluations of a were not written" in line for line in monitor.lines)


def test_no_error_of_ours_reaches_the_training(watched, monkeypatch, tmp_path):
    """Whatever breaks, and even where telling it breaks too."""

    def broken(*arguments, **options):
        raise RuntimeError("ours")

    monkeypatch.setattr(module, "ask", broken)
    monitor = watched()
    for step in range(1, 5):
        assert monitor.log(step, 0.5, samples=step) is None
    assert sum("training goes on. RuntimeError: ours" in line for line in monitor.lines) == 1
    monitor.close()
    assert list(table(tmp_path).index) == [1, 2, 3, 4]
    silent = watched(run="b", tell=broken)
    assert silent.log("no step", 0.5) is None
    silent.close()


def test_a_tracker_that_fails_is_told_once_and_left_out(watched):
    class Broken:
        name = "mine"
        asked = 0

        def log(self, step, numbers):
            self.asked += 1
            raise ConnectionError("gone")

    broken = Broken()
    monitor = watched(to=[broken])
    for step in range(1, 12):
        monitor.log(step, curve(step), samples=step)
    assert broken.asked == 1
    assert sum("not sent to mine" in line for line in monitor.lines) == 1


def test_words_that_make_no_sense_are_refused_before_the_training(tmp_path):
    for wrong in ({"params": "large"}, {"until": 0}, {"gpus": -1}):
        with pytest.raises(UsageError):
            Monitor(tmp_path / "runs.parquet", **{"run": "a", "params": 1e9} | wrong)
    with pytest.raises(UsageError):
        Monitor(tmp_path / "runs.txt", run="a", params=1e9)


def test_a_table_of_scalefit_run_is_not_touched(watched, tmp_path):
    folder = tmp_path / "runs.parquet.parts"
    folder.mkdir()
    (folder / "configuration.json").write_text("{}")
    monitor = watched()
    monitor.log(1, 0.5, samples=1)
    monitor.close()
    assert [path.name for path in folder.iterdir()] == ["configuration.json"]
    assert any("is a table of scalefit run" in line for line in monitor.lines)


@pytest.mark.parametrize(("when", "stops"), [(False, None), (True, True), (lambda advice: advice.points >= 9, 9)])
def test_a_run_is_stopped_where_that_is_asked_for(watched, when, stops):
    """A flat run has nothing to gain; off unless asked, and not before the rule has said so twice."""
    monitor = watched(until=60, x="step", stop_when=when, rule=Rule(tolerance=0.05))
    advised, stopped = [], None
    for step in range(1, 31):
        advice = monitor.log(step, 0.4 + 0.002 * (-1) ** step, samples=step)
        if advice is not None and advice.stop:
            advised.append(step)
        if monitor.should_stop and stopped is None:
            stopped = step
    assert advised
    pairs = [later for earlier, later in itertools.pairwise(advised) if later == earlier + 1]
    assert stopped == (None if stops is None else pairs[0] if stops is True else stops)


def test_siblings_tell_of_a_run(watched, tmp_path):
    """The forecast is that of the table of both, and another than that of the run alone; a table that is none is told."""
    study = sf.read_runs(ROOT / "data" / "study" / "e05_grpo.parquet").frame
    mine = study[study["run_id"] == study["run_id"].iloc[0]].sort_values("step")
    seen, until = mine.head(13), float(mine["samples"].iloc[-1])
    advice = {}
    for name, siblings in {"with": study, "alone": None, "none": tmp_path / "absent.parquet"}.items():
        monitor = watched(
            run=str(mine["run_id"].iloc[0]), out=tmp_path / f"{name}.parquet", until=until, siblings=siblings
        )
        for row in seen.itertuples():
            advice[name] = monitor.log(row.step, row.loss, evaluation=row.eval, samples=row.samples)
    both = pd.concat([study[study["run_id"] != mine["run_id"].iloc[0]], seen])
    table = sf.forecast(both, str(mine["run_id"].iloc[0]), x="samples", until=until)
    assert advice["with"].end == pytest.approx(table.end)
    assert advice["with"].end["loss"] != pytest.approx(advice["alone"].end["loss"], abs=1e-6)
    assert advice["none"].end == pytest.approx(advice["alone"].end)
    assert sum("the siblings cannot be read" in line for line in monitor.lines) == 1


def test_the_table_is_one_of_the_products(watched, tmp_path):
    monitor = watched()
    for step in range(1, 9):
        monitor.log(step, curve(step), samples=step)
    monitor.close()
    found = scalefit("check", "runs.parquet", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert isinstance(sf.read_runs(tmp_path / "runs.parquet").frame, pd.DataFrame)
