"""A task and an advantage of a user's own: one file outside of scalefit, named in the experiment file."""

import pandas as pd
import pytest

from scalefit.errors import UsageError
from scalefit.runner.config_file import read_config
from scalefit.runner.tasks.arithmetic import ArithmeticConfig
from scalefit.runner.tasks.registry import TASKS
from tests.runner.conftest import TINY, run

OWN = '''
from dataclasses import dataclass
from typing import ClassVar

from scalefit.runner.advantage import Advantage
from scalefit.runner.fields import Count, section
from scalefit.runner.tasks.task import Example, Score, TaskConfig, belongs, random_stream


@dataclass(frozen=True)
class Successor:
    """What comes after a number of some digits."""

    digits: int
    alphabet: str = "0123456789>"

    @property
    def name(self):
        return f"successor-{self.digits}"

    def draw(self, split, index):
        stream = random_stream(self.name, split, index)
        while True:
            number = next(stream) % 10**self.digits
            if belongs(split, f"{number}>"):
                return Example(f"{number}>", str(number + 1), float(number))

    def score(self, response, example):
        return Score(float(response == example.answer), response.isdecimal())

    def corrupt(self, example, index):
        return str(int(example.answer) + 1)


@section
class SuccessorConfig(TaskConfig):
    """Its section: how many digits."""

    digits: Count = 2
    labels: ClassVar = {"digits": "d{}"}

    def make(self):
        return Successor(self.digits)

    def faults(self):
        return ["[task] digits = 1: too few for both splits"] if self.digits == 1 else []


SIGN = Advantage("+1 or -1", "a user", lambda reward, dynamics, settings: 2 * reward - 1, lambda p, *rest: (p, 1 - p))
'''
FILE = TINY.replace(
    'order = "shuffled"\nlevels = [{digits = [1, 1, 1], operations = ["+", "+"]}]', 'name = "own:SuccessorConfig"'
)
FILE = FILE.replace("seeds = [0]", "task.digits = [3, 4]").replace("[grpo]", '[grpo]\nadvantage = "own:SIGN"')
FILE = FILE.replace("prompts = 8", "prompts = 4").replace("tokens = 60_000", "tokens = 2_000")


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "x.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_task_and_an_advantage_from_outside_are_run_and_swept(own):
    made = run("x.toml", cwd=own)
    assert made.returncode == 0, made.stderr
    found = pd.read_parquet(own / "runs.parquet").astype({"eval": str, "run_id": str})
    seen = set(found[["run_id", "eval", "digits"]].itertuples(index=False, name=None))
    assert seen == {(f"7k-base-d{n}-g8-r1-s0", f"successor-{n}", n) for n in (3, 4)}
    # Every group's weights are +1 for what is right and -1 for what is wrong, in whichever shares.
    after = found[found["step"] > 0]
    assert (after["mass_success"] + after["mass_failure"]).to_numpy() == pytest.approx(1.0)
    assert after["mass_success"].to_numpy() == pytest.approx(after["reward"].to_numpy())


def test_a_line_in_the_registry_is_all_that_a_task_of_ours_needs(own, monkeypatch):
    import own as module

    monkeypatch.setitem(TASKS, "successor", module.SuccessorConfig)
    (own / "x.toml").write_text(FILE.replace("own:SuccessorConfig", "successor").replace("task.digits = [3, 4]", ""))
    assert read_config(own / "x.toml").runs()[0].task.make() == module.Successor(2)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("own:SuccessorConfig", "owm:SuccessorConfig", "the module 'owm' is not found"),
        ("own:SuccessorConfig", "own:Sucessor", "did you mean 'SuccessorConfig'"),
        ("own:SuccessorConfig", "own:SIGN", "is no TaskConfig"),
        ("own:SuccessorConfig", "successor", "known: arithmetic"),
        ("own:SIGN", "own:Successor", "is no Advantage"),
        ("[3, 4]", "[3, 0]", r"\[sweep\] task.digits = 0: must be at least 1"),
        ("[3, 4]", "[3, 1]", "too few for both splits"),
        ('Config"', 'Config"\ndigit = 3', "did you mean 'digits'"),
    ],
)
def test_what_a_users_own_cannot_be_is_told(own, old, new, words):
    assert old in FILE
    (own / "x.toml").write_text(FILE.replace(old, new))
    with pytest.raises(UsageError, match=words):
        read_config(own / "x.toml")


def test_a_parameter_that_rows_have_already_is_refused(own, monkeypatch):
    import own as module

    class Loud(ArithmeticConfig):
        @classmethod
        def parameters(cls):
            return ["loss"]

    monkeypatch.setattr(module, "SuccessorConfig", Loud)
    with pytest.raises(UsageError, match="its parameter 'loss' is a column of every row"):
        read_config(own / "x.toml")
