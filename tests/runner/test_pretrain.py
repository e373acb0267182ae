"""Base models of nano policies: what they are kept by, and what their stages read."""

import pytest
import torch

from scalefit.errors import ScalefitError, UsageError
from scalefit.runner.config import Config
from scalefit.runner.config_file import read_config
from scalefit.runner.policies import make_policy
from scalefit.runner.sections import PolicyConfig, PretrainConfig, SizeConfig, SweepConfig
from tests.runner.conftest import TINY

WAYS = """
import random


class Task:
    not_taught = ("way",)
    own_instruct = False

    def __init__(self, way: str = "free", terms: int = 2):
        self.way, self.terms = way, terms

    def draw(self, split, index):
        digits = random.Random(index).choices(range(10), k=self.terms)
        mark = "#" if split == "instruct" else "="
        return "+".join(map(str, digits)) + mark, sum(digits)

    def score(self, response, example):
        return response == (example.answer if self.way == "free" else example.answer + "!")
"""
FILE = (
    TINY.replace('levels = [{digits = [1, 1, 1], operations = ["+", "+"]}]', 'file = "my_task.py:Task"')
    .replace("tokens = 60_000", "tokens = 2_000")
    .replace("base_tokens = 5_000", "base_tokens = 1_000")
)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Return what reads an experiment on the task above, edited, and what base models are kept."""
    monkeypatch.setenv("SCALEFIT_CACHE", str(tmp_path / "cache"))

    def read(text=FILE, task=WAYS):
        (tmp_path / "my_task.py").write_text(task)
        (tmp_path / "x.toml").write_text(text)
        return read_config(tmp_path / "x.toml").runs()

    def start(spec):
        model = make_policy(spec, spec.make_task()).model
        return torch.cat([weight.flatten() for weight in model.parameters()]).detach()

    return read, start, lambda: sorted(path.name for path in (tmp_path / "cache").rglob("*.pt"))


def test_runs_that_differ_in_what_is_not_taught_start_from_one_model(experiment):
    read, start, kept = experiment
    free, worked = read(FILE.replace("seeds = [0]", 'task.way = ["free", "worked"]'))
    before = start(free)
    files = kept()
    assert torch.equal(start(worked), before)
    assert kept() == files
    (taught,) = read(FILE.replace("[task]", "[task]\nterms = 3"))
    assert not torch.equal(start(taught), before)
    assert not set(kept()) <= set(files)
    assert free.digest() != worked.digest()


def test_letters_that_what_is_not_taught_brings_in_are_another_model(experiment):
    read, start, _ = experiment
    source = WAYS.replace(' if split == "instruct"', ' if split == "train" and self.way == "worked"')
    free, worked = read(FILE.replace("seeds = [0]", 'task.way = ["free", "worked"]'), source)
    assert len(start(worked)) > len(start(free))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('("wey",)', "my_task.py: not_taught names 'wey', which is no parameter of Task .*did you mean 'way'"),
        ("3", "TypeError: 'int' object is not iterable .your own code"),
    ],
)
def test_what_is_not_taught_must_be_a_parameter(experiment, said, words):
    with pytest.raises(UsageError, match=words):
        experiment[0](task=WAYS.replace('("way",)', said))


def test_a_single_name_needs_no_tuple(experiment):
    (spec,) = experiment[0](task=WAYS.replace('("way",)', '"way"'))
    assert spec.make_task().not_taught == ("way",)


def test_the_instruct_stage_asks_for_its_own_text_where_the_class_says_so(experiment, monkeypatch):
    read, start, _ = experiment
    from scalefit.runner.tasks.own import OwnTask

    def texts(source, series):
        """Return each split that is drawn from in making a model, by the last character of its prompts."""
        (spec,) = read(FILE.replace("[sweep]", f'[sweep]\nseries = ["{series}"]'), source)
        found = []
        with monkeypatch.context() as patch:
            draw = OwnTask.draw
            patch.setattr(OwnTask, "draw", lambda self, split, at: found.append((split, at)) or draw(self, split, at))
            start(spec)
        return {split for split, at in found if at >= 1 << 40}, spec.make_task()

    own = WAYS.replace("own_instruct = False", "own_instruct = True")
    assert texts(WAYS, "instruct")[0] == {"pretrain"}
    splits, task = texts(own, "instruct")
    assert splits == {"pretrain", "instruct"}
    assert "#" in task.alphabet
    assert texts(own + "\n", "base")[0] == {"pretrain"}


def test_prompts_of_the_evaluation_are_held_out_of_the_instruct_stage(experiment):
    read, _, _ = experiment
    (spec,) = read(task=WAYS.replace("own_instruct = False", "own_instruct = True").replace('"#" if', '"=" if'))
    task = spec.make_task()
    held_out = {task.draw("eval", at).prompt for at in range(300)}
    shown = {task.draw("instruct", at).prompt for at in range(2_000)}
    assert (len(held_out), len(held_out & shown)) == (len(held_out), 0)
    assert len(held_out) + len(shown) == 100


def test_a_mistake_in_the_text_for_instruct_is_told_before_a_run(experiment):
    source = WAYS.replace("own_instruct = False", "own_instruct = True").replace('mark = "#" if', "mark = 1 / 0 if")
    with pytest.raises(ScalefitError, match=r"ZeroDivisionError: division by zero .your own code; draw.'instruct'"):
        experiment[0](task=source)


def test_base_models_of_other_tasks_keep_their_names(experiment, monkeypatch):
    """From the commit before a task could say what is not taught: the models in a user's cache serve on."""
    monkeypatch.setattr(torch, "__version__", "x")
    _, start, kept = experiment
    nano = SizeConfig("t", d_model=16, layers=2, heads=2)
    text = PretrainConfig(tokens=2000, base_tokens=1000, instruct_tokens=1000)
    config = Config(
        policy=PolicyConfig(sizes=(nano,), device="cpu"), pretrain=text, sweep=SweepConfig(series=("instruct",))
    )
    start(config.runs()[0])
    assert kept() == ["631d2a22c1a15786deb3148e.pt", "8441d7c7ff4d28932e9b8814.pt", "bd254c68be46a41cf3ce44f6.pt"]
