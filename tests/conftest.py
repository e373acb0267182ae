"""Shared fixtures: the paper's table and its published fits."""

import contextlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

import scalefit as sf

# Tests do not depend on wall time.
settings.register_profile("scalefit", deadline=None)
settings.load_profile("scalefit")

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "data" / "paper"
RUNS = PAPER / "runs.parquet"
OUTPUT = json.loads((ROOT / "scalefit" / "cli" / "output.schema.json").read_text(encoding="utf-8"))
SIZES = (0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 72e9)
NAMES = ("0.5B", "1.5B", "3B", "7B", "14B", "32B", "72B")


@pytest.fixture(scope="session")
def runs():
    return sf.read_runs(RUNS)


@pytest.fixture(scope="session")
def published():
    return pd.read_csv(PAPER / "published_fits.csv")


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 600 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def make_device(path, kind):
    """Make a device node of one's own, never to be confused with the machine's; skip where that is not allowed."""
    mode, major, minor = {"null": (stat.S_IFCHR, 1, 3), "full": (stat.S_IFCHR, 1, 7), "block": (stat.S_IFBLK, 7, 250)}[
        kind
    ]
    try:
        os.mknod(path, 0o666 | mode, os.makedev(major, minor))
    except PermissionError:
        pytest.skip("needs the right to make a device node")


class Reader(threading.Thread):
    """Reads a FIFO for as long as a block lasts, whether or not anybody writes."""

    def __init__(self, fifo):
        super().__init__(daemon=True)
        self.fifo = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.content, self.over = b"", threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()
        os.close(self.fifo)

    def run(self):
        """Read until the block has ended and nothing is left."""
        while True:
            over = self.over.is_set()
            block = b""
            with contextlib.suppress(BlockingIOError):
                block = os.read(self.fifo, 1 << 16)
            self.content += block
            if over and not block:
                return
            if not block:
                time.sleep(0.002)


def scalefit(*arguments, cwd):
    """Run the command line in a folder, within this process: what a user sees in a tenth of the time."""
    from scalefit.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    words, listener = sys.argv, signal.getsignal(signal.SIGINT)
    sys.argv = ["scalefit", *map(str, arguments)]
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main.run()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = words
        signal.signal(signal.SIGINT, listener)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def scalefit_process(*arguments, cwd, timeout=300):
    """Run the command line in a folder and a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "scalefit", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def results(process):
    """Return what a command with --json found, after holding all of its output against the schema."""
    from jsonschema import Draft202012Validator

    assert process.returncode in (0, 1), process.stderr
    content = json.loads(process.stdout)
    Draft202012Validator(OUTPUT).validate(content)
    return content["results"]


def listen_to_interrupts():
    """For `preexec_fn`: a job in the background inherits a SIGINT that is ignored, and so would the process under test."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


ENGINES = {"torch": "make test", "trl": "make test", "ray": "make test", "vllm": "make test-vllm"}
"""Engines that the runner can use, and what tests them in an environment that has them."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_configure():
    """Where an engine is what is tested, its absence is an error and not a skip."""
    for name in filter(None, os.environ.get("SCALEFIT_REQUIRE", "").split(",")):
        if find_spec(name) is None:
            raise pytest.UsageError(f"{name} is required here and is not installed")


def pytest_terminal_summary(terminalreporter):
    """Say which engines are not installed here, so that nobody takes their tests for passed."""
    missing = [f"{name} ({target})" for name, target in ENGINES.items() if find_spec(name) is None]
    if not any(map(shutil.which, BROWSERS)):
        missing.append("a browser (Debian's chromium)")
    if missing:
        terminalreporter.write_line(f"engines not installed here, their tests did not run: {', '.join(missing)}")


def whitened_jacobian(problem):
    """Derivative of the whitened residuals, (n, P), from each curve's own parameters."""

    def jac(theta):
        slopes = problem.whiten(problem.by_curve(theta), rows=True)
        out = np.zeros((*problem.present.shape, len(theta)))
        for row, at in enumerate(problem.bound.flat_index[problem.size_of_curve]):
            out[row][:, at] = -slopes[row].T
        return out[problem.present]

    return jac
