"""Small configurations, one thread, and a cache of base models shared by the whole session."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from tests.conftest import scalefit

torch = pytest.importorskip("torch")


@pytest.fixture(scope="session", autouse=True)
def _one_thread(tmp_path_factory):
    torch.set_num_threads(1)
    os.environ.setdefault("SCALEFIT_CACHE", str(tmp_path_factory.getbasetemp().parent / "scalefit-cache"))


TINY = """
[task]
order = "shuffled"
levels = [{digits = [1, 1, 1], operations = ["+", "+"]}]
[[policy.sizes]]
name = "7k"
d_model = 16
layers = 2
heads = 2
pretrain_learning_rate = 0.01
[pretrain]
tokens = 60_000
base_tokens = 5_000
instruct_tokens = 5_000
[grpo]
steps = 8
prompts = 8
mini_batch = 4
micro_batch = 2
max_new_tokens = 4
kl = 0.0
learning_rate = 1e-3
[eval]
every = 2
problems = 32
samples = 2
[sweep]
seeds = [0]
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def command(*arguments):
    return [sys.executable, "-m", "scalefit", "run", *map(str, arguments)]


def run(*arguments, cwd, **kwargs):
    return subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **kwargs
    )


def inside(*arguments, cwd):
    """Do the same within this process, for what starts no worker: it takes a tenth of the time."""
    return scalefit("run", *arguments, cwd=cwd)


class Killed(BaseException):
    """What ends a run in the middle of a step."""


def make(spec, folder, *, killed_in=None):
    """Make a run in this process, as its engine does, from its last checkpoint; return its rows."""
    from scalefit.runner.engines.embedded import make_run
    from scalefit.runner.run_folder import read_rows
    from scalefit.runner.train import Run

    folder.mkdir(parents=True, exist_ok=True)
    advance = Run.advance

    def or_die(run):
        if run.state.step == killed_in:
            raise Killed
        advance(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "advance", or_die)
        with pytest.raises(Killed) if killed_in else contextlib.nullcontext():
            make_run(spec, folder, lambda event, **content: None)
    return read_rows(folder)


@pytest.fixture(scope="session")
def problems(tmp_path_factory):
    """The task on a small file; its score is that of any example."""
    from scalefit.runner.tasks.problems import Problems

    path = tmp_path_factory.mktemp("problems") / "problems.jsonl"
    path.write_text("".join(json.dumps({"question": f"{n}?", "answer": n}) + "\n" for n in range(50)))
    return Problems(str(path))


@pytest.fixture(scope="session")
def judge():
    from scalefit.runner.tasks.judge import Judge

    one = Judge()
    yield one
    one.close()
