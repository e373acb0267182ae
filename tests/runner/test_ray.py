"""Sweeps on a real Ray, started here with two workers: the same rows, also when one of them is killed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from scalefit.errors import ScalefitError
from scalefit.runner.ledger import Cluster, Ledger, Outcome
from scalefit.runner.on_ray import work_on_ray
from scalefit.runner.run_folder import parts_of
from tests.conftest import results
from tests.runner.conftest import TINY, command, inside, run
from tests.runner.test_sweep import rows, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
TWO = TINY.replace("steps = 8", "steps = 60").replace("seeds = [0]", "seeds = [0, 1]")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.toml").write_text(TWO)
    made = run("tiny.toml", "--jobs", "2", cwd=folder)
    assert made.returncode == 0, made.stderr
    return rows(folder / "runs.parquet")


def worker_of(folder):
    """The process that holds a run's lock, and the Ray worker that started it."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(link) == str(folder / ".rows.jsonl.lock") for link in (entry / "fd").iterdir()):
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                return {"its process": int(entry.name), "its Ray worker": parent}
    raise AssertionError(f"nobody holds {folder}'s lock")


@pytest.mark.parametrize("victim", ["its process", "its Ray worker"])
def test_killed_on_ray_loses_nothing(tiny, tmp_path, undisturbed, victim):
    tiny.write_text(TWO)
    process = subprocess.Popen(
        command("tiny.toml", "--on", "ray", "--jobs", "2"), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    folders = [parts_of(tmp_path / "runs.parquet") / f"7k-base-g8-r1-s{seed}" for seed in (0, 1)]
    for folder in folders:
        wait_for(folder / "rows.jsonl", 3)
    os.kill(worker_of(folders[1])[victim], signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "goes on from its last checkpoint" in said
    assert "Traceback" not in said
    pd.testing.assert_frame_equal(rows(tmp_path / "runs.parquet"), undisturbed, check_exact=True)


def test_finished_runs_are_skipped_on_ray(tiny, tmp_path):
    assert run("tiny.toml", cwd=tmp_path).returncode == 0
    again = run("tiny.toml", "--on", "ray", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert results(again)[0]["skipped"] == ["7k-base-g8-r1-s0"]


def test_address_that_does_not_answer(tiny, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else answers there either
        port = taken.getsockname()[1]
        began = time.monotonic()
        made = run("tiny.toml", "--on", f"ray:127.0.0.1:{port}", cwd=tmp_path)
    assert made.returncode == 1
    assert "does not answer" in made.stderr
    assert "Traceback" not in made.stderr
    assert time.monotonic() - began < 60


def test_what_no_machine_has_is_told_at_once(tiny, tmp_path):
    made = run("tiny.toml", "--on", "ray", "--gpus", "64", cwd=tmp_path)
    assert made.returncode == 2
    assert "64 GPU" in made.stderr
    assert "Traceback" not in made.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--on", "rai"], "write here, ray or ray:HOST:PORT"),
        (["--gpus", "1"], "give --on ray"),
        (["--on", "ray", "--memory", "much"], "not a quantity"),
    ],
)
def test_wrong_words(tiny, tmp_path, words, said):
    made = inside("tiny.toml", *words, cwd=tmp_path)
    assert made.returncode == 2
    assert said in made.stderr


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    ledger = Ledger([], tmp_path, Outcome(), lambda progress: None, lambda: 0)
    work_on_ray(ledger, Cluster())  # nothing to do, so nothing is asked for
    ledger.waiting = ["a run"]
    with pytest.raises(ScalefitError, match=r"\[ray\]"):
        work_on_ray(ledger, Cluster())
