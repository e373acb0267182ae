"""Base models of nano policies: what they are kept by, what their stages read, and where they end."""

import dataclasses
import json
import math
from collections.abc import Callable

import pytest
import torch

from scalefit.errors import ScalefitError, UsageError
from scalefit.output import write_text
from scalefit.runner import pretrain_target
from scalefit.runner.config import Config
from scalefit.runner.config_file import read_config
from scalefit.runner.look import evaluate_run
from scalefit.runner.made import one_run
from scalefit.runner.policies import make_policy
from scalefit.runner.sections import PolicyConfig, PretrainConfig, SizeConfig, SweepConfig
from scalefit.runner.train import Run
from tests.runner.conftest import TINY, make

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


# A pass@1 to start from.

TARGET = (
    TINY.replace("digits = [1, 1, 1]", "digits = [1, 1, 1, 1]")
    .replace('["+", "+"]', '["+-", "+-", "+-"]')
    .replace("tokens = 60_000", "tokens = 300_000\ntarget = 0.12")
    .replace("base_tokens = 5_000", "base_tokens = 0")
    .replace("problems = 32", "problems = 4096")
    .replace("samples = 2", "samples = 4")
)
WIDER = (
    '[[policy.sizes]]\nname = "14k"\nd_model = 24\nlayers = 2\nheads = 2\npretrain_learning_rate = 0.008\n[pretrain]'
)


@pytest.mark.slow
def test_sizes_start_equal_where_a_target_is_set(experiment):
    """By the evaluation of step 0, which asks other problems: 4,096 of them, .004 its standard error."""
    read, _, _ = experiment
    tokens = set()
    for spec in read(TARGET.replace("[pretrain]", WIDER)):
        run = Run(spec, spec.make_task(), make_policy(spec, spec.make_task()))
        run.evaluate()
        row = run.state.rows[0]
        assert row["loss"] == pytest.approx(1 - 0.12, abs=0.02)
        assert row["pretrain_pass_at_1"] == pytest.approx(0.12, abs=0.01)
        tokens.add(row["pretrain_tokens"])
    assert len(tokens) == 2
    assert max(tokens) < 300_000


@dataclasses.dataclass
class Learner:
    """Reads batches of a hundred tokens; `right` is its pass@1 after so many updates at the full rate."""

    right: Callable[[float], float]
    at: int = 0
    seen: int = 0
    learnt: float = 0.0
    read_in_all: int = 0

    def read(self, rate):
        self.at, self.seen, self.learnt = self.at + 1, self.seen + 100, self.learnt + rate
        self.read_in_all += 1
        return 0.0

    def kept(self):
        return self.at, self.seen, self.learnt

    def go_back(self, kept):
        self.at, self.seen, self.learnt = kept


def read_on(monkeypatch, right, target=0.15, most=1_000_000):
    """Return a learner after it was to come to a target, and what was found there; measured without error."""
    learner = Learner(right)
    learner.policy = learner
    monkeypatch.setattr(pretrain_target, "_Measure", lambda goal, policy: lambda: right(policy.learnt))
    goal = pretrain_target.Goal("skill", target, 0.02, 0.7, 4, (), None)
    return learner, pretrain_target.read_to(goal, learner, most, 1.0, lambda text: None)


@pytest.mark.parametrize(
    "right",
    [
        lambda t: t / 4000,
        lambda t: (1 + math.tanh((t - 300) / 4)) / 2,
        lambda t: (1 + math.tanh((t - 300) / 0.2)) / 2,
        lambda t: 0.1 + 0.8 * math.exp(-t / 5),
        lambda t: 0.15 if t < 1 else 1.0,
    ],
    ids=["slowly", "over a cliff", "within one update", "from above", "there already"],
)
def test_a_target_is_met_from_either_side_however_steep_the_way(monkeypatch, right):
    learner, found = read_on(monkeypatch, right)
    assert found == right(learner.learnt) == pytest.approx(0.15, abs=0.01)
    assert learner.seen == 100 * learner.at
    assert learner.read_in_all <= 1.5 * learner.at + 200


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (
            lambda t: 0.14 - 0.14 / (1 + t),
            r"pass@1 0.140 after 50,000 tokens .* target = 0.2: raise tokens or the learn",
        ),
        (lambda t: 0.3 + 0.1 / (1 + t), r"pass@1 0.300 after 50,000 tokens .* target = 0.2: raise tokens or target"),
        (lambda t: float(t > 300), "it goes past each time: lower the learning rate, or raise target_within"),
    ],
)
def test_a_target_that_is_not_met_says_how_far_it_was_and_what_to_raise(monkeypatch, right, words):
    with pytest.raises(ScalefitError, match=words):
        read_on(monkeypatch, right, target=0.2, most=50_000)


REACHED = FILE.replace("tokens = 2_000", "tokens = 100_000\ntarget = 0.2\ntarget_within = 0.1").replace(
    "base_tokens = 1_000", "base_tokens = 0"
)


@pytest.fixture
def few(monkeypatch):
    """Fewer problems to measure by."""
    monkeypatch.setattr(pretrain_target, "LOOKED_AT", 64)
    monkeypatch.setattr(pretrain_target, "DECIDING", 128)


def test_a_model_that_came_to_its_target_is_kept_with_what_it_took(experiment, few, monkeypatch, tmp_path):
    """Anew and from the cache, for both series, whatever is not taught; another reward or temperature is another model."""
    read, start, kept = experiment
    text = REACHED.replace("seeds = [0]", 'seeds = [0]\nseries = ["base", "instruct"]\ntask.way = ["free", "worked"]')
    base, instruct, worked, _ = read(text)
    weights, said = start(base), make_policy(base, base.make_task()).pretrained
    assert said["pretrain_pass_at_1"] == pytest.approx(0.2, abs=0.05)
    assert 0 < said["pretrain_tokens"] < 100_000
    for other in (base, worked):
        assert torch.equal(start(other), weights)
    for _ in range(2):
        assert make_policy(instruct, instruct.make_task()).pretrained == said
    assert not torch.equal(start(instruct), weights)

    files = kept()
    (tmp_path / "reward.py").write_text(
        "def score(response, example):\n    return response[:1] == example.answer[:1]\n"
    )
    for old, more in (("[task]", 'reward = "reward.py:score"'), ("[eval]", "temperature = 1.0")):
        (spec,) = read(REACHED.replace(old, f"{old}\n{more}"))
        assert make_policy(spec, spec.make_task()).pretrained != said
        assert not set(kept()) <= set(files)
        files = kept()

    monkeypatch.setenv("SCALEFIT_CACHE", str(tmp_path / "elsewhere"))
    assert torch.equal(start(worked), weights)


def test_rows_say_what_was_read_up_to_the_target(experiment, few, tmp_path):
    read, _, _ = experiment
    (spec,) = read(REACHED.replace("steps = 8", "steps = 2").replace("problems = 32", "problems = 8"))
    rows = make(spec, tmp_path / "made")
    said = make_policy(spec, spec.make_task()).pretrained
    assert [{name: row[name] for name in said} for row in rows] == [said, said]
    write_text(
        tmp_path / "made" / "run.json", json.dumps({**spec.config.settings(), "folder": "..", "run": spec.run_id})
    )
    row = evaluate_run(one_run(tmp_path / "made", None))
    assert {name: row[name] for name in said} == said
    assert row["loss"] == rows[-1]["loss"]


def test_the_target_is_that_of_the_last_stage_of_base_models(experiment, few):
    """What comes before it is the model that it is without a target."""
    read, _, kept = experiment
    noisy = FILE.replace("tokens = 2_000", "tokens = 20_000").replace("base_tokens = 1_000", "base_tokens = 60_000")
    (plain,) = read(noisy.replace("base_tokens = 60_000", "base_tokens = 64"))
    make_policy(plain, plain.make_task())
    files = kept()
    (spec,) = read(noisy.replace("[pretrain]", "[pretrain]\ntarget = 0.1\ntarget_within = 0.1"))
    said = make_policy(spec, spec.make_task()).pretrained
    assert said["pretrain_tokens"] >= 20_000
    assert len(kept()) == len(files) + 1


def test_a_target_needs_a_default_of_what_is_not_taught(experiment):
    source = WAYS.replace('way: str = "free"', "way: str")
    named = REACHED.replace("[task]", '[task]\nway = "free"')
    with pytest.raises(UsageError, match=r"my_task.py: 'way' is in not_taught and has no default .your own code"):
        experiment[0](named, source)
    assert experiment[0](named.replace("target = 0.2", "target = 0.0"), source)


def test_without_a_target_its_keys_change_no_run(tiny):
    plain = read_config(tiny).runs()[0]
    tiny.write_text(TINY.replace("[pretrain]", "[pretrain]\ntarget = 0.0\ntarget_within = 0.02"))
    assert read_config(tiny).runs()[0].digest() == plain.digest()
    tiny.write_text(TINY.replace("[pretrain]", "[pretrain]\ntarget = 0.5"))
    assert read_config(tiny).runs()[0].digest() != plain.digest()
