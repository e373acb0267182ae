"""The lock around reading, changing and writing back: nobody's runs are lost, and nothing stale stands in the way."""

import os
import select
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import OutputError, TableError
from scalefit.locks import locked
from scalefit.table.io import add_runs_to

ADD = """
import sys
import pandas as pd
import scalefit as sf
from scalefit.table.io import add_runs_to
frame = pd.DataFrame({"run_id": sys.argv[2], "series": "base", "params": 1e9, "step": range(3),
                      "samples": [0.0, 8.0, 16.0], "eval": "held-out", "loss": [0.9, 0.8, 0.7]})
print("ready", flush=True)
sys.stdin.readline()
add_runs_to(sys.argv[1], sf.as_runs(frame), lambda said: print(said, file=sys.stderr, flush=True))
"""
HOLD = """
import sys
from scalefit.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def start(code, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline()
    return process


@pytest.mark.parametrize(
    "name", ["runs.parquet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("runs.csv", "link.parquet"))]
)
def test_four_at_once_each_add_their_runs(tmp_path, name):
    """Started together on a table that is not there yet; two rounds, the second onto what the first made."""
    (tmp_path / "link.parquet").symlink_to("far.parquet")
    table = tmp_path / name
    for turn in range(2):
        everyone = [start(ADD, table, f"run{turn}-{at}") for at in range(4)]
        for process in everyone:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in everyone:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    found = sf.read_runs(table).frame
    assert sorted(found["run_id"].unique()) == [f"run{turn}-{at}" for turn in range(2) for at in range(4)]
    assert len(found) == 24
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_one_waits_and_says_for_whom(tmp_path):
    table = tmp_path / "runs.csv"
    holder = start(HOLD, table)
    adder = start(ADD, table, "a")
    adder.stdin.write("\n")
    adder.stdin.flush()
    assert select.select([adder.stderr], [], [], 60)[0], "not told"
    said = adder.stderr.readline()
    assert f"waiting for process {holder.pid} on " in said
    assert "runs.csv" in said
    assert not table.exists()
    with pytest.raises(BlockingIOError, match=f"process {holder.pid} .*is writing"), locked(table, wait=False):
        raise AssertionError("two have it")
    holder.communicate("\n", timeout=60)
    adder.communicate(timeout=60)
    assert adder.returncode == 0
    assert os.listdir(tmp_path) == ["runs.csv"]


def test_who_waited_holds_the_lock_that_others_see(tmp_path):
    """Its holder removes the lock's file, so whoever waited on that one must not take it for the lock."""
    table = tmp_path / "runs.csv"
    waits, has, over = threading.Event(), threading.Event(), threading.Event()

    def wait():
        with locked(table, lambda said: waits.set()):
            has.set()
            over.wait(60)

    waiter = threading.Thread(target=wait)
    with locked(table):
        waiter.start()
        assert waits.wait(60)
        time.sleep(0.1)  # into the kernel's queue
    assert has.wait(60)
    try:
        with pytest.raises(BlockingIOError), locked(table, wait=False):
            pass
    finally:
        over.set()
        waiter.join()
    assert os.listdir(tmp_path) == []


def test_a_killed_holder_blocks_nobody(tmp_path):
    table = tmp_path / "runs.csv"
    holder = start(HOLD, table)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert os.listdir(tmp_path) == [".runs.csv.lock"]
    with locked(table, wait=False):
        assert str(os.getpid()) in (tmp_path / ".runs.csv.lock").read_text()
    assert os.listdir(tmp_path) == []


def test_who_inherits_the_descriptor_holds_the_lock_too(tmp_path):
    """A trainer that outlives its starter is not joined by another."""
    code = HOLD.replace("locked(sys.argv[1]):", "locked(sys.argv[1]) as lock:").replace(
        "sys.stdin.readline()",
        "import subprocess; print(subprocess.Popen(['sleep', '60'], pass_fds=(lock,), stdout=2).pid, flush=True); sys.stdin.readline()",
    )
    starter = start(code, tmp_path / "log")
    child = int(starter.stdout.readline())
    try:
        starter.kill()
        starter.wait()
        with pytest.raises(BlockingIOError), locked(tmp_path / "log", wait=False):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
    for _ in range(500):
        try:
            with locked(tmp_path / "log", wait=False):
                return
        except BlockingIOError:
            time.sleep(0.01)
    raise AssertionError("still held")


def test_a_refused_addition_leaves_the_table_and_no_lock(tmp_path):
    frame = pd.DataFrame(
        {"run_id": "a", "series": "base", "params": 1e9, "step": [0], "samples": [1.0], "eval": "x", "loss": [0.5]}
    )
    table = tmp_path / "runs.csv"
    add_runs_to(table, sf.as_runs(frame))
    before = table.read_bytes()
    with pytest.raises(TableError, match="already has a run 'a'"):
        add_runs_to(table, sf.as_runs(frame))
    assert table.read_bytes() == before
    assert os.listdir(tmp_path) == ["runs.csv"]


def test_where_no_lock_can_be_made_is_told(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(OutputError, match="a FIFO"), locked(tmp_path / "pipe.csv"):
        pass
    with pytest.raises(OutputError, match="no directory"), locked(tmp_path / "none" / "runs.csv"):
        pass
    (tmp_path / ".runs.csv.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match=r"runs.csv"), locked(tmp_path / "runs.csv"):
        pass
    assert not (tmp_path / "victim").exists()
