"""The monitor within trainers' own logging: verl's Tracking, prime-rl's monitors, W&B and TensorBoard."""

import json
import time

import numpy as np
import pytest

import scalefit as sf
from scalefit.errors import UsageError
from scalefit.live import Monitor, Tracker

STEPS = range(0, 41, 4)
FACTS = {"params": "7B", "prompts": 64, "group_size": 8, "seed": 1}


def right(step):
    """A pass rate that rises."""
    return 0.7 - 0.5 * (1 + step / 5) ** -0.7


@pytest.fixture
def tracker(tmp_path):
    made = []

    def make(**options):
        told = []
        made.append(Tracker(tmp_path / "runs.parquet", run="a", tell=told.append, **{"facts": FACTS} | options))
        made[-1].lines = told
        return made[-1]

    yield make
    for one in made:
        one.close()


def table(tmp_path):
    return sf.read_runs(tmp_path / "runs.parquet").frame.set_index("step")


def verl_metrics(step):
    found = {"perf/total_num_tokens": 1000, "actor/entropy": 0.5, "training/global_step": step}
    return found | ({"val-core/gsm8k/acc/mean@1": right(step)} if step in STEPS else {})


def test_verls_tracking(tracker, tmp_path, monkeypatch):
    """Attached to verl's own class: evaluations in the table, the forecast in the backends that are in use."""
    tracking = pytest.importorskip("verl.utils.tracking")
    monkeypatch.setenv("VERL_FILE_LOGGER_ROOT", str(tmp_path))
    theirs = tracking.Tracking("project", "mine", ["file"])
    mine = tracker(kind="verl", until=64 * 80).attach(theirs)
    for step in range(41):
        theirs.log(data=verl_metrics(step), step=step)
    theirs.finish()
    mine.close()
    found = table(tmp_path)
    np.testing.assert_allclose(found["loss"], [1 - right(step) for step in STEPS])
    assert list(found["samples"]) == [64 * step for step in STEPS]
    assert list(found["tokens"].iloc[1:]) == [1000 * step for step in STEPS][1:], "those of the steps so far"
    assert set(found["eval"]) == {"gsm8k"}
    assert set(found["entropy"]) == {0.5}
    logged = [json.loads(line) for line in (tmp_path / "project" / "mine.jsonl").read_text().splitlines()]
    sent = [line for line in logged if "scalefit/end" in line["data"]]
    assert [line["step"] for line in sent] == list(STEPS)[6:]
    assert sent[-1]["data"]["scalefit/end"] == pytest.approx(mine.monitor.advice.end["loss"])
    assert len(logged) == 41 + len(sent), "its own numbers are no metrics of the training"


class MultiMonitor:
    """What prime-rl's does: hands on to every monitor, of which each may be given the step apart or among the metrics."""

    def __init__(self):
        self.monitors, self.history = [self.Kept()], []

    class Kept:
        def __init__(self):
            self.seen = []

        def log(self, metrics, step=None):
            self.seen.append((step, metrics))

    def log(self, metrics, step=None):
        for monitor in self.monitors:
            monitor.log(metrics, step)

    def log_samples(self, rollouts, step):
        for monitor in self.monitors[1:]:
            monitor.log_samples(rollouts=rollouts, step=step)


@pytest.mark.parametrize("apart", [True, False])
def test_prime_rls_monitors(tracker, tmp_path, apart):
    theirs = MultiMonitor()
    mine = tracker(kind="prime-rl").attach(theirs)
    for step in range(41):
        metrics = {"reward/all/mean": 0.3, "reward/all/min": 0.0, "reward/all/max": 1.0}
        if step in STEPS:
            metrics["eval/math500/pass@1"] = right(step)
        theirs.log(metrics if apart else metrics | {"step": step}, *([step] if apart else []))
        theirs.log_samples([], step)
    mine.save_final_summary()
    np.testing.assert_allclose(table(tmp_path)["loss"], [1 - right(step) for step in STEPS])
    assert any("scalefit/end" in metrics for _, metrics in theirs.monitors[0].seen)


def test_the_dialect_is_recognised(tracker, tmp_path):
    mine = tracker()
    for step in range(9):
        mine.log({"lr": 1e-6}, step)
        mine.log(verl_metrics(step), step)
    mine.close()
    assert list(table(tmp_path).index) == [0, 4, 8]


def test_what_is_not_known_is_asked_for_once(tracker, tmp_path):
    mine = tracker(kind="verl", facts={"prompts": 64})
    for step in range(13):
        mine.log(verl_metrics(step), step)
    assert sum("params=..." in line and "group_size=..." in line for line in mine.lines) == 1
    assert len(mine.lines) == 1
    assert not mine.should_stop
    assert not (tmp_path / "runs.parquet").exists()


def test_a_score_is_no_pass_rate(tracker):
    """From -1 to 1: refused as `import` refuses it, with the way out; the way out works."""
    rows = [{"val-core/x/reward/mean@1": 2 * right(step) - 1, "critic/score/min": -1.0} for step in STEPS]
    plain, scaled = tracker(kind="verl"), tracker(kind="verl", scale="-1:1")
    for step, row in zip(STEPS, rows, strict=True):
        plain.log(row, step)
    assert any("--scale" in line for line in plain.lines)
    plain.close()
    for step, row in zip(STEPS, rows, strict=True):
        scaled.log(row, step)
    assert scaled.monitor.advice.now["loss"] == pytest.approx(1 - right(40), abs=0.02)


def test_a_metric_that_disappears(tracker):
    """Of two evaluations one, and then the other: each is told once, and the training is not disturbed."""
    mine = tracker(kind="verl")
    for step in range(80):
        metrics = {"actor/entropy": 0.1}
        if step % 4 == 0 and step <= 40:
            metrics["val-core/a/acc/mean@1"] = right(step)
        if step % 4 == 0 and step <= 20:
            metrics["val-core/b/acc/mean@1"] = right(step)
        mine.log(metrics, step)
    assert sum("step 24: val-core/b/acc/mean@1 is not among the metrics" in line for line in mine.lines) == 1
    assert sum("has not come since step 40" in line for line in mine.lines) == 1


def test_values_of_any_kind(tracker, tmp_path):
    """What is no number is no error, and what stands where a number should, is told."""
    mine = tracker(kind="verl")
    for step in range(9):
        mine.log(verl_metrics(step) | {"text": "words", "none": None, "deep": {"a": [1]}, "image": object()}, step)
    for step in (12, 13, 14):
        mine.log({"val-core/gsm8k/acc/mean@1": float("nan")}, step)
    mine.log({"val-core/gsm8k/acc/mean@1": "broken"}, 16)
    mine.log("no mapping", 17)
    mine.close()
    assert list(table(tmp_path).index) == [0, 4, 8]
    assert sum("no finite number for val-core/gsm8k/acc/mean@1" in line for line in mine.lines) == 1
    assert any("is no number" in line for line in mine.lines)


def log_some(monitor):
    for step in range(1, 13):
        monitor.log(step, 1 - right(step), samples=64 * step)
    monitor.close()


def test_the_forecast_goes_to_the_wandb_run_that_is_open(tmp_path, monkeypatch):
    """Read back from W&B's own file, at the steps of the training, whose own numbers are there too."""
    wandb = pytest.importorskip("wandb")
    from scalefit.table.importers.log import Log
    from scalefit.table.importers.offline import offline_run

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = wandb.init(dir=str(tmp_path), settings=wandb.Settings(console="off", silent=True))
    monitor = Monitor(tmp_path / "runs.parquet", run="a", params=1e9, tell=lambda said: None)
    for step in range(1, 13):
        run.log({"reward": 0.1 * step}, step=step)
        monitor.log(step, 1 - right(step), samples=64 * step)
    monitor.close()
    assert wandb.run is run, "the training's run is not ours to end"
    run.finish()
    (path,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    for _ in range(300):  # W&B's own process writes, and may do so after the run has left
        rows = [row.values for row in offline_run(path, Log(str(path), "a"), lambda done, total: None)]
        ends = [row for row in rows if "scalefit/end" in row]
        if len(ends) == 7:
            break
        time.sleep(0.1)
    assert [row["_step"] for row in ends] == list(range(6, 13))
    assert ends[-1]["scalefit/end"] == pytest.approx(monitor.advice.end["loss"])
    assert sum("reward" in row for row in rows) == 12


def test_the_forecast_goes_to_a_tensorboard_writer(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path / "events"))
    monitor = Monitor(tmp_path / "runs.parquet", run="a", params=1e9, to=[writer], tell=lambda said: None)
    log_some(monitor)
    writer.close()
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    found = events.Scalars("scalefit/end")
    assert [one.step for one in found] == list(range(6, 13))
    assert found[-1].value == pytest.approx(monitor.advice.end["loss"])


def test_the_forecast_goes_to_trackio(tmp_path, monkeypatch):
    """Its functions, as they are called once a run has been begun with it."""
    import sys
    from types import SimpleNamespace

    sent = []
    begun = SimpleNamespace(current_run=SimpleNamespace(get=lambda: object()))
    module = SimpleNamespace(context_vars=begun, log=lambda numbers, step: sent.append((step, numbers)))
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None))
    log_some(Monitor(tmp_path / "runs.parquet", run="a", params=1e9, tell=lambda said: None))
    assert [step for step, _ in sent] == list(range(6, 13))
    assert all(0 <= numbers["scalefit/end"] <= 1 for _, numbers in sent)


@pytest.mark.parametrize("said", [True, False])
def test_processes_of_a_training_stop_together(tmp_path, monkeypatch, said):
    """What the first decides is what every other hears; where nothing may be stopped, they need not speak."""
    from types import SimpleNamespace

    from accelerate import utils

    from scalefit.live.trainer import Watcher

    heard = []

    def broadcast(values):
        heard.append(values)
        return [said]

    monkeypatch.setattr(utils, "broadcast_object_list", broadcast)
    state, two = SimpleNamespace(is_world_process_zero=False), SimpleNamespace(world_size=2)
    other = Watcher(tmp_path / "runs.parquet", "a", {"stop_when": True})
    other.begin(two, state, None)
    other.log(state, {"reward": 1.0})
    assert other.agrees_to_stop(two) is said
    assert heard == [[False]]
    assert Watcher(tmp_path / "runs.parquet", "a", {}).agrees_to_stop(two) is False
    assert len(heard) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "words"), [({"until": -5}, "until"), ({"untill": 5}, "did you mean 'until'")])
def test_a_callback_refuses_what_makes_no_sense_when_it_is_made(tmp_path, options, words):
    pytest.importorskip("transformers")
    with pytest.raises(UsageError, match=words):
        sf.live.callback(tmp_path / "runs.parquet", **options)
    assert sf.live.callback(tmp_path / "runs.parquet", stop_when=None).watcher.tracker is None
    assert list(tmp_path.iterdir()) == []
