"""What the user hears of workers: why one failed, that one was killed, how long it takes, and what of the machine is used."""

import io
import os
import signal

import pytest
import torch

from scalefit.cli.run import Bar
from scalefit.runner import pool
from scalefit.runner.config_file import read_config
from scalefit.runner.gpus import share_of_gpus, show_one_gpu
from scalefit.runner.ledger import Ledger, Outcome, Progress, how_it_ended
from scalefit.runner.run_folder import parts_of
from tests.conftest import results
from tests.runner.conftest import TINY, inside, run

RUN = "7k-base-g8-r1-s0"


def break_engine(tmp_path, monkeypatch, body):
    """Let workers find another `embedded` engine than ours, by a module that Python loads before all others."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        "module = types.ModuleType('scalefit.runner.engines.embedded')\n"
        f"exec({body!r}, module.__dict__)\n"
        "sys.modules['scalefit.runner.engines.embedded'] = module\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_an_exception_is_one_line_with_its_place_and_is_not_tried_again(tmp_path, tiny, monkeypatch):
    """Whatever a worker raises: type, message and place, and a file with all of it."""
    body = (
        "def make_run(spec, folder, say):\n"
        "    (folder / 'tries').open('a').write('x')\n"
        "    raise SystemError('two\\nlines')\n"
    )
    break_engine(tmp_path, monkeypatch, body)
    made = run("tiny.toml", cwd=tmp_path)
    folder = parts_of(tmp_path / "runs.parquet") / RUN
    assert made.returncode == 1
    assert "Traceback" not in made.stderr
    said = f"{RUN}: SystemError: two lines (<string>, line 3); all of it in {folder / 'error.log'}"
    assert made.stderr.count(said) == 1
    assert "Traceback (most recent call last)" in (folder / "error.log").read_text()
    assert (folder / "tries").read_text() == "x"


def test_what_an_exception_leaves_behind_is_nothing_to_the_next_run(tmp_path, tiny, monkeypatch):
    """As of a GPU that is in fault for as long as its process lives."""
    body = (
        "import sys\n"
        "def make_run(spec, folder, say):\n"
        "    fault, sys.fault = hasattr(sys, 'fault'), True\n"
        "    if fault or spec.seed == 0:\n"
        "        raise RuntimeError('CUDA error')\n"
        "    say('done', run=spec.run_id, status='finished', step=8, loss=0.5)\n"
    )
    break_engine(tmp_path, monkeypatch, body)
    tiny.write_text(TINY.replace("seeds = [0]", "seeds = [0, 1]"))
    made = run("tiny.toml", "--json", cwd=tmp_path)
    (outcome,) = results(made)
    assert outcome["finished"] == ["7k-base-g8-r1-s1"]
    assert list(outcome["failed"]) == [RUN]


@pytest.mark.parametrize(
    ("death", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "its process was killed by SIGKILL"),
        ("os._exit(7)", "its process ended with code 7"),
    ],
)
def test_a_process_that_is_gone_is_tried_once_more(tmp_path, tiny, monkeypatch, death, said):
    body = f"import os, signal\ndef make_run(spec, folder, say):\n    (folder / 'tries').open('a').write('x')\n    {death}\n"
    break_engine(tmp_path, monkeypatch, body)
    made = run("tiny.toml", cwd=tmp_path)
    assert made.returncode == 1
    assert f"{said}; it goes on from its last checkpoint" in made.stderr
    assert f"{said}, for the second time (memory?); the rows so far are kept, run again to resume" in made.stderr
    assert (parts_of(tmp_path / "runs.parquet") / RUN / "tries").read_text() == "xx"


def test_an_end_is_named():
    assert how_it_ended(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert how_it_ended(3) == "ended with code 3"


def ledger_of(tmp_path, text, said):
    (tmp_path / "x.toml").write_text(text)
    return Ledger(read_config(tmp_path / "x.toml").runs(), tmp_path, Outcome(), said.append, lambda: 0)


def test_time_that_is_left(tmp_path):
    """Three runs; one half made since the start in 10 s, from a fifth on: 2.5 runs are left at .3 of a run in 10 s."""
    said = []
    ledger = ledger_of(tmp_path, TINY.replace("seeds = [0]", "seeds = [0, 1, 2]"), said)
    spec, _ = ledger.take()
    ledger.tell()
    assert said[-1].left is None
    for share in (0.2, 0.5):
        ledger.hear({"event": "progress", "run": spec.run_id, "text": "step", "share": share})
    ledger.began -= 10
    ledger.tell()
    assert said[-1].left == pytest.approx(10 / 0.3 * 2.5, rel=0.01)


def test_a_note_is_told_once(tmp_path):
    said = []
    ledger = ledger_of(tmp_path, TINY, said)
    for _ in range(3):
        ledger.hear({"event": "note", "run": RUN, "text": "by the way"})
    assert [progress.note for progress in said] == ["by the way"]


def test_progress_without_a_terminal(monkeypatch):
    """A plain line every half minute, and every note at once."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    now = [0.0]
    bar = Bar(False, lambda: now[0])
    for second in range(0, 95, 5):
        now[0] = float(second)
        bar(Progress(1, 4, {"7B": f"step {second}/100, loss 0.5"}, now[0], left=7200.0))
    bar(Progress(2, 4, {}, 95.0, note="7B: finished"))
    import sys

    assert sys.stderr.getvalue().splitlines() == [
        f"1/4 runs ended, about 2.0 h left; 7B: step {second}/100, loss 0.5" for second in (30, 60, 90)
    ] + ["7B: finished"]


def test_more_processes_than_cores_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert pool.too_many(2, 1) == ""
    assert pool.too_many(64, 1) == ("64 runs at a time share 2 cores: none is done sooner; --jobs 2 needs less memory")
    assert "--jobs 1" in pool.too_many(2, 2)
    began = []
    monkeypatch.setattr(pool._Pool, "go", lambda self: began.append(self.jobs))
    said = []
    pool.work_locally(ledger_of(tmp_path, TINY.replace("seeds = [0]", "seeds = [0, 1, 2]"), said), 64)
    assert began == [3]
    assert said[0].note.startswith("3 runs at a time share 2 cores")


HF = TINY.replace("[task]", '[policy]\nkind = "hf"\n[task]', 1).replace(
    "d_model = 16\nlayers = 2\nheads = 2\npretrain_learning_rate = 0.01", 'model = "org/model"'
)
TRL = "engine = 'trl'\n" + HF


@pytest.mark.parametrize(
    ("text", "jobs", "said"),
    [
        (
            TRL,
            1,
            "4 GPUs are visible, 1 of them will be used: a run uses 1 of them ([trl] processes = 1); the sweep has one run; [trl] processes = 4 shares a run between more",
        ),
        (
            TRL.replace("[0]", "[0, 1, 2, 3]"),
            2,
            "2 of them will be used: a run uses 1 of them ([trl] processes = 1); --jobs 4 makes 4 runs at a time, each on GPUs of its own; [trl] processes = 2",
        ),
        (HF.replace("[0]", "[0, 1]"), 1, "4 GPUs are visible, 1 of them will be used: a run uses 1 of them; --jobs 4"),
        (TRL + "[trl]\nprocesses = 4\n", 1, ""),
        (TRL.replace("[0]", "[0, 1, 2, 3]"), 4, ""),
        (TINY, 1, "1 of them will be used: a run uses 1 of them; the sweep has one run"),
        ('[policy]\ndevice = "cpu"\n' + TINY, 1, ""),
    ],
)
def test_idle_gpus_are_told_before_the_start(tmp_path, monkeypatch, text, jobs, said):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "x.toml").write_text(text)
    found = inside("x.toml", "--dry-run", "--jobs", str(jobs), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert said in found.stderr
    assert ("GPUs" in found.stderr) == bool(said)


def test_each_worker_is_shown_its_own_gpus(tmp_path, monkeypatch):
    """By the names that the user's own choice of GPUs has; a trainer by itself sees one, or it would fill all of them."""
    gpus = ["2", "3", "5", "7"]
    shown = [share_of_gpus(gpus, slot, 4, 1)["CUDA_VISIBLE_DEVICES"] for slot in range(4)]
    assert shown == gpus
    assert share_of_gpus(gpus, 5, 6, 1) == {"CUDA_VISIBLE_DEVICES": "3"}
    assert share_of_gpus(gpus, 1, 2, 2) == {"CUDA_VISIBLE_DEVICES": "5,7"}
    assert share_of_gpus(gpus, 0, 3, 2) == share_of_gpus(["0"], 0, 1, 1) == share_of_gpus([], 0, 1, 1) == {}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    (tmp_path / "x.toml").write_text(TRL)
    show_one_gpu(read_config(tmp_path / "x.toml"))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
