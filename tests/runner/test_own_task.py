"""A task, a reward and names of a user's own: through the command line, elsewhere, after edits, and with every mistake."""

import dataclasses
import json
import math
import random
import re
import shutil
import sys

import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import ScalefitError, UsageError
from scalefit.runner import identity, trial
from scalefit.runner.config_file import find_run, read_config
from scalefit.runner.tasks.own import OwnTask, as_example
from scalefit.runner.tasks.own_section import section_in_file
from scalefit.runner.tasks.problem_files import UnfitRow
from scalefit.runner.tasks.task import Example, Score, distinct
from scalefit.runner.tasks.user_code import UserCodeError
from scalefit.runner.trial import try_tasks
from scalefit.table.importers import import_runs, kinds
from tests.conftest import ROOT, scalefit
from tests.runner.conftest import TINY, inside, make, run

PLAIN = """
import random


class Task:
    def __init__(self, terms: int = 2):
        self.terms = terms

    def draw(self, split, index):
        digits = random.Random(index).choices(range(100), k=self.terms)
        return "+".join(map(str, digits)) + "=", sum(digits)

    def score(self, response, example):
        return response == example.answer
"""
FILE = TINY.replace('levels = [{digits = [1, 1, 1], operations = ["+", "+"]}]', 'file = "my_task.py:Task"')
FILE = FILE.replace("tokens = 60_000", "tokens = 2_000").replace("steps = 8", "steps = 2")


def put(folder, *, task=PLAIN, text=FILE, **others):
    """Write an experiment with its files into a folder; return where it is."""
    folder.mkdir(exist_ok=True)
    (folder / "my_task.py").write_text(task)
    for name, content in others.items():
        (folder / f"{name}.py").write_text(content)
    (folder / "x.toml").write_text(text)
    return folder / "x.toml"


def test_a_file_that_is_no_text_is_told(tmp_path):
    put(tmp_path, text=FILE.replace('"my_task.py:Task"', "3"))
    with pytest.raises(UsageError, match=r"\[task\] \[file\]: must be of type str, not 3"):
        read_config(tmp_path / "x.toml")


def test_the_worked_example_runs_anywhere_and_refuses_to_go_on_after_an_edit(tmp_path):
    there = tmp_path / "copied" / "own_task"
    shutil.copytree(ROOT / "experiments" / "own_task", there)
    text = (there / "config.toml").read_text()
    for old, new in (("steps = 12", "steps = 2"), ("every = 3", "every = 1"), ("tokens = 100_000", "tokens = 3_000")):
        assert old in text
        text = text.replace(old, new)
    (there / "config.toml").write_text(text)
    words = ("copied/own_task/config.toml", "--out", "runs.parquet")
    made = run(*words, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    table = sf.read_runs(tmp_path / "runs.parquet")
    seen = set(
        table.frame.astype({"run_id": str, "eval": str})[["run_id", "eval", "letters"]].itertuples(
            index=False, name=None
        )
    )
    assert seen == {(f"{size}-base-letters{n}-g8-r2-s0", "my_task", n) for size in ("6k", "14k") for n in (3, 4)}
    settings = table.metadata["settings"]
    assert settings["task"]["file"] == "my_task.py:Backwards"
    assert str(tmp_path) not in json.dumps(settings)

    (tmp_path / "copied").rename(tmp_path / "moved")
    (tmp_path / "runs.parquet.parts").rename(tmp_path / "moved" / "new.parquet.parts")
    again = inside("own_task/config.toml", "--out", "new.parquet", cwd=tmp_path / "moved")
    assert "4 already there" in again.stdout, again.stderr
    task = tmp_path / "moved" / "own_task" / "my_task.py"
    before = task.read_text()
    task.write_text(before.replace("abcdefghij", "abcdefghik"))
    refused = inside("own_task/config.toml", "--out", "new.parquet", cwd=tmp_path / "moved")
    assert refused.returncode == 2
    assert refused.stderr.startswith("scalefit: my_task.py has changed since the runs in new.parquet.parts were made")
    task.write_text(before)
    assert inside("own_task/config.toml", "--out", "new.parquet", cwd=tmp_path / "moved").returncode == 0


# What a class must and may have.


def made(tmp_path, source, name="Task", **chosen):
    (tmp_path / "my_task.py").write_text(source)
    kind = section_in_file(f"my_task.py:{name}", str(tmp_path))
    return kind(**chosen).make()


def test_everything_that_a_plain_class_does_not_say_has_a_default(tmp_path):
    task = made(tmp_path, PLAIN, terms=3)
    assert isinstance(task, OwnTask)
    held_out = {example.prompt for example in distinct(task, "eval", 300)}
    seen = {task.draw(split, index).prompt for split in ("train", "pretrain") for index in range(1500)}
    assert not seen & held_out
    for index in range(50):
        example = task.draw("train", index)
        assert example == task.draw("train", index)
        assert eval(example.prompt[:-1]) == int(example.answer)
        assert task.score(example.answer, example) == Score(1.0, True)
        assert task.score(task.corrupt(example, index), example) == Score(0.0, True)
    assert task.name == "my_task"
    assert task.alphabet == "+0123456789="
    assert {len(task.draw("train", at).prompt.split("+")) for at in range(9)} == {3}


def test_a_list_of_problems_that_ignores_the_split_is_split_and_gone_through(tmp_path):
    """A hundred rows, of which about a tenth is held out: all of both parts are reached."""
    source = PLAIN.replace(
        "digits = random.Random(index).choices(range(100), k=self.terms)", "digits = [index % 100, 0]"
    )
    task = made(tmp_path, source)
    count = {split: len({task.draw(split, at).prompt for at in range(3000)}) for split in ("train", "eval")}
    assert count["train"] + count["eval"] == 100
    assert 3 <= count["eval"] <= 20


def test_a_class_may_keep_its_own_splits_alphabet_name_and_wrong_answers(tmp_path):
    more = PLAIN.replace(
        "    def __init__",
        '    own_splits, alphabet, name = True, "0123456789+=", "sums"\n\n    def corrupt(self, example, index):\n'
        '        return "0"\n\n    def __init__',
    ).replace("digits = random", "index = 7 if split == 'eval' else index\n        digits = random")
    task = made(tmp_path, more)
    assert (task.name, task.alphabet, task.corrupt(task.draw("train", 0), 0)) == ("sums", "0123456789+=", "0")
    assert len({task.draw("eval", at).prompt for at in range(20)}) == 1
    (tmp_path / "my_task.py").write_text(more)
    assert section_in_file("my_task.py:Task", str(tmp_path))(name="mine").make().name == "mine"


@pytest.mark.parametrize(
    ("head", "parameters"),
    [
        ("class Task:\n    depth: int = 3\n    kind: str = 'a'", {"depth": 3, "kind": "a"}),
        (
            "class Task:\n    sizes: list[int] = field(default_factory=lambda: [1])\n    rate: float | None = None",
            {"rate": None},
        ),
    ],
)
def test_fields_of_a_dataclass_are_keys(tmp_path, head, parameters):
    methods = PLAIN[PLAIN.index("    def draw") :].replace("self.terms", "2")
    source = f"import random\nfrom dataclasses import dataclass, field\n\n\n@dataclass\n{head}\n\n{methods}"
    (tmp_path / "my_task.py").write_text(source)
    kind = section_in_file("my_task.py:Task", str(tmp_path))
    assert {name: getattr(kind(), name) for name in parameters} == parameters
    assert kind().make().draw("train", 0)


def test_arguments_are_keys_of_their_type(tmp_path):
    source = PLAIN.replace("terms: int = 2", "terms: int, *, odd=False, words=('a',)")
    path = put(tmp_path, task=source)
    with pytest.raises(UsageError, match=r"\[task\]: missing terms"):
        read_config(path)
    put(tmp_path, task=source, text=FILE.replace("[task]", "[task]\nterms = 'x'"))
    with pytest.raises(UsageError, match=r"1 fault:\n  \[task\] \[terms\]: must be of type int, not 'x'"):
        read_config(path)
    put(tmp_path, task=source, text=FILE.replace("seeds = [0]", "task.terms = [4, 5]"))
    assert [run.task.terms for run in read_config(path).runs()] == [4, 5]
    put(tmp_path, task=source, text=FILE.replace("[task]", "[task]\nterms = 3\nodd = true\nwords = ['x', 'y']"))
    task = read_config(path).task
    assert (task.terms, task.odd, task.words) == (3, True, ("x", "y"))
    put(tmp_path, task=source, text=FILE.replace("[task]", "[task]\nterms = 3\nodd = 1"))
    with pytest.raises(UsageError, match=r"\[task\] \[odd\]: must be of type bool, not 1"):
        read_config(path)


@pytest.mark.parametrize(
    ("given", "example"),
    [
        (("p", "a"), Example("p", "a", 0.0)),
        (["p", 3], Example("p", "3", 0.0)),
        (("p", -0.5, 2), Example("p", "-0.5", 2.0)),
        (Example("p", "a", worked="w"), Example("p", "a", 0.0, worked="w")),
        (
            ([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "a"),
            Example("s\nu", "a", 0.0, messages=(("system", "s"), ("user", "u"))),
        ),
        (([{"role": "user", "content": "u"}], "a"), Example("u", "a", 0.0)),
    ],
)
def test_what_draw_may_return(given, example):
    assert as_example(given) == example


@pytest.mark.parametrize(
    "given",
    [None, "pa", ("p",), ("", "a"), (3, "a"), ("p", None), ("p", True), ("p", "a", "hard"), ("p", "a", float("nan"))],
)
def test_what_draw_may_not_return(given):
    with pytest.raises(UnfitRow):
        as_example(given)


@pytest.mark.parametrize(
    ("said", "reward"),
    [("True", 1), ("False", 0), ("0.25", 0.25), ("1", 1), ("numpy.float32(0.5)", 0.5), ("numpy.bool_(True)", 1)],
)
def test_what_score_may_return(tmp_path, said, reward):
    task = made(tmp_path, PLAIN.replace("return response == example.answer", f"import numpy\n        return {said}"))
    assert task.score("x", Example("p", "a")) == Score(reward, True)


@pytest.mark.parametrize("said", ["None", "'1'", "2.0", "-0.1", "float('nan')", "numpy.ones(2)", "1j"])
def test_what_score_may_not_return(tmp_path, said):
    task = made(tmp_path, PLAIN.replace("return response == example.answer", f"import numpy\n        return {said}"))
    with pytest.raises(UserCodeError, match=r"my_task.py, line 13: the score of 'x' is .*your own code"):
        task.score("x", Example("p", "a"))


# Mistakes, each told in one line with file and line.


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("return response ==", "return response === ", 2, "my_task.py, line 14: SyntaxError: invalid syntax"),
        ("import random", "import randon", 2, "my_task.py, line 2: ModuleNotFoundError: No module named 'randon'"),
        ("import random", "import sys\nsys.exit(3)", 2, "my_task.py, line 3: SystemExit: 3"),
        ("class Task", "class Tasks", 2, "my_task.py has no 'Task'; did you mean 'Tasks'?"),
        ("def score", "def scores", 2, "'Task' is a class without score"),
        ("self.terms = terms", "self.terms = terms / 0", 2, "my_task.py, line 7: ZeroDivisionError: division by zero"),
        (
            "self.terms = terms",
            "pass",
            2,
            "my_task.py, line 10: AttributeError: 'Task' object has no attribute 'terms'",
        ),
        ("terms: int", "order: int", 2, "Task takes 'order', which every task has"),
        ("terms", "loss", 2, "its parameter 'loss' is a column of every row"),
        ("sum(digits)", "None", 2, "my_task.py, line 9: draw('train', "),
        ("random.Random(index)", "random", 2, "draw gives another problem each time for the same index"),
        ("range(100)", "range(1)", 2, "1000 draws gave no problem for the split 'eval'"),
        ("return response == example.answer", "pass", 2, "my_task.py, line 13: the score of "),
        ("== example.answer", "== int(example.answer)", 1, "and score gives 0 for that; an answer is kept as text"),
        ("digits = random", "1 / (index % 101)\n        digits = random", 1, "my_task.py, line 10: ZeroDivisionError"),
        ('"=", sum', '"ë", sum', 1, "has 'ë', which is not in the alphabet"),
        ('"=", sum', '"=" * 600, sum', 1, "a prompt of 6"),
        ("k=self.terms)", "k=self.terms)\n        print('drawn')", 0, ""),
    ],
)
def test_mistakes_are_told_as_the_users(tmp_path, monkeypatch, old, new, code, words):
    """Before a worker starts; what their code prints is no part of the command's result."""
    assert old in PLAIN
    monkeypatch.setattr("scalefit.runner.sweep.work_locally", lambda ledger, jobs: None)
    alphabet = '    alphabet = "0123456789+="\n\n' if code == 1 else ""
    source = PLAIN.replace(old, new).replace("    def __init__", alphabet + "    def __init__")
    put(tmp_path / "in", task=source if alphabet == "" else source.replace("\n\n\nclass", "\nclass"))
    found = inside("in/x.toml", "--out", "runs.parquet", cwd=tmp_path)
    assert (found.returncode, "Traceback" in found.stderr) == (code, False), found.stderr
    assert words in found.stderr
    assert "drawn" not in found.stdout


@pytest.mark.slow
def test_a_mistake_that_shows_late_is_told_by_the_run(tmp_path):
    source = PLAIN.replace("return response", "assert len(response) < 4, response\n        return response")
    put(tmp_path, task=source, text=FILE.replace("max_new_tokens = 4", "max_new_tokens = 6"))
    found = run("x.toml", cwd=tmp_path)
    assert found.returncode == 1
    assert "my_task.py, line 14: AssertionError: " in found.stderr
    assert "(your own code; scoring '" in found.stderr
    assert "Traceback" not in found.stderr


def test_an_error_in_what_the_file_imports_is_told_by_its_line(tmp_path):
    source = PLAIN.replace("import random", "import random\nimport helper").replace(
        "sum(digits)", "helper.total(digits)"
    )
    path = put(tmp_path, task=source, helper="def total(digits):\n    return sum(digits, '')\n")
    with pytest.raises(UsageError, match=r"helper.py, line 2: TypeError"):
        read_config(path)
    (tmp_path / "helper.py").write_text("def total(digits):\n    return sum(digits)\n")
    assert read_config(path).runs()[0].make_task().draw("train", 0)


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path):
    source = PLAIN.replace("import random", "import random\nimport helper").replace("sum(digits)", "helper.ANSWER")
    for name in ("a", "b"):
        put(tmp_path / name, task=source, helper=f"ANSWER = {name!r}\n")
    tasks = [read_config(tmp_path / name / "x.toml").runs()[0].make_task() for name in ("a", "b", "a")]
    assert [task.draw("train", 0).answer for task in tasks] == ["a", "b", "a"]
    (tmp_path / "a" / "helper.py").write_text("ANSWER = 'edited'\n")
    assert read_config(tmp_path / "a" / "x.toml").runs()[0].make_task().draw("train", 0).answer == "edited"


# A reward apart from the task.

REWARD = "def score(response, example):\n    return len(response) / 10\n"


def test_a_reward_stands_in_for_the_score_of_any_task(tmp_path):
    path = put(tmp_path, text=TINY.replace("[task]", '[task]\nreward = "reward.py:score"'), reward=REWARD)
    spec = read_config(path).runs()[0]
    task, plain = spec.make_task(), spec.task.make()
    example = task.draw("train", 0)
    assert example == plain.draw("train", 0)
    assert task.score("abc", example) == Score(0.3, True)
    assert repr(task) == repr(plain), "the same base models serve"
    rows = make(spec, tmp_path / "made")
    assert rows[-1]["loss"] == pytest.approx(1 - (rows[-1]["response_length"] - 1 + rows[-1]["truncated"]) / 10)


@pytest.mark.parametrize(
    ("reference", "content", "code", "words"),
    [
        ("reward.py:scor", REWARD, 2, "reward.py has no 'scor'; did you mean 'score'?"),
        ("reward.py", REWARD, 2, "as in 'reward.py:NAME'"),
        ("rewrad.py:score", REWARD, 2, "no such file"),
        ("reward:score", REWARD, 2, "name a file and what it holds"),
        ("reward.py:score", REWARD.replace("/ 10", "/ 0"), 1, "reward.py, line 2: ZeroDivisionError: division by zero"),
        ("reward.py:score", REWARD.replace("/ 10", "* 10"), 1, "reward.py, line 1: the score of '"),
        ("my_task.py:Task", "", 2, "my_task.py 'Task' is a class; there is no function in it"),
        ("reward.py:score", "score = 3\n", 2, "reward.py 'score' is 3; there is no function in it"),
    ],
)
def test_mistakes_in_a_reward_are_told(tmp_path, reference, content, code, words):
    put(tmp_path, text=FILE.replace("[task]", f'[task]\nreward = "{reference}"'), reward=content)
    found = inside("x.toml", cwd=tmp_path)
    assert found.returncode == code
    assert words in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_processes_of_another_engine_find_both_from_another_folder(tmp_path):
    pytest.importorskip("trl")
    text = 'engine = "trl"\n' + FILE.replace("[task]", '[task]\nreward = "reward.py:score"')
    put(tmp_path / "in", text=text, reward=REWARD.replace("len(response)", "4"))
    found = run("in/x.toml", "--out", "runs.parquet", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert pd.read_parquet(tmp_path / "runs.parquet")["loss"].tolist() == pytest.approx([0.6, 0.6])


# What a run is.


def test_the_content_of_each_file_is_part_of_a_run_and_its_place_is_not(tmp_path):
    source = PLAIN.replace("import random", "import random\nimport helper").replace(
        "    def __init__", '    files = ["words.txt"]\n\n    def __init__'
    )
    text = FILE.replace("[task]", '[task]\nreward = "reward.py:score"')
    path = put(tmp_path / "a", task=source, text=text, reward=REWARD, helper="")
    (path.parent / "words.txt").write_text("one")
    config = read_config(path)
    assert set(config.files) == {"my_task.py", "helper.py", "reward.py", "words.txt"}
    shutil.copytree(path.parent, tmp_path / "b")
    assert read_config(tmp_path / "b" / "x.toml").digest() == config.digest()
    assert read_config(tmp_path / "b" / "x.toml").runs()[0].digest() == config.runs()[0].digest()
    for name in config.files:
        before = (path.parent / name).read_text()
        (path.parent / name).write_text(before + "\n")
        edited = read_config(path)
        assert identity.changed(config.files, edited.files) == [name]
        assert edited.digest() != config.digest(), name
        assert edited.runs()[0].digest() != config.runs()[0].digest(), name
        (path.parent / name).write_text(before)
    assert read_config(path).digest() == config.digest()


MODELS = """
[task]
name = "problems"
path = "p.jsonl"
[policy]
kind = "hf"
[[policy.sizes]]
name = "a"
model = "base"
instruct_model = "chat"
[sweep]
series = ["base", "instruct"]
"""


def test_a_model_is_part_of_the_runs_that_start_from_it(tmp_path):
    for name in ("base", "chat"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"w" * 100)
    (tmp_path / "p.jsonl").write_text('{"prompt": "p", "answer": 1}\n')
    (tmp_path / "x.toml").write_text(MODELS)
    before = read_config(tmp_path / "x.toml")
    (tmp_path / "chat" / "training.log").write_text("no part of a model")
    assert read_config(tmp_path / "x.toml") == before
    (tmp_path / "chat" / "model.safetensors").write_bytes(b"v" * 100)
    after = read_config(tmp_path / "x.toml")
    assert after.digest() == before.digest(), "only the grid and the sizes"
    same = [one.digest() == other.digest() for one, other in zip(before.runs(), after.runs(), strict=True)]
    assert same == [True, False]
    with pytest.raises(UsageError, match=r"^chat has changed since the runs in here were made"):
        identity.refuse_changed({"files": before.files}, after, "here", "")
    (tmp_path / "p.jsonl").write_text('{"prompt": "q", "answer": 1}\n')
    data = read_config(tmp_path / "x.toml")
    assert data.digest() != after.digest()
    assert not {run.digest() for run in data.runs()} & {run.digest() for run in after.runs()}


def test_large_weights_count_by_blocks_at_even_distances(tmp_path, monkeypatch):
    """Each block that is read decides the mark; what lies between may differ, as the docstring says."""
    monkeypatch.setattr(identity, "WHOLE", 1000)
    monkeypatch.setattr(identity, "_BLOCK", 10)
    path = tmp_path / "model.safetensors"
    content = bytearray(random.Random(0).randbytes(63 * 100 + 10))

    def mark():
        path.write_bytes(content)
        identity._hashed.cache_clear()
        return identity._content(path)

    first = mark()
    assert mark() == first
    for at, seen in ((0, True), (63 * 100 + 9, True), (30 * 100 + 5, True), (30 * 100 + 50, False)):
        content[at] ^= 1
        assert (mark() != first) == seen, at
        content[at] ^= 1
    content.append(0)
    assert mark() != first


def test_data_of_a_grid_may_be_added_to(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"prompt": "{name}", "answer": 1}}\n')
    text = MODELS.replace('path = "p.jsonl"', "").replace(
        '"instruct"]', '"instruct"]\ntask.path = ["a.jsonl", "b.jsonl"]'
    )
    (tmp_path / "x.toml").write_text(text)
    before = read_config(tmp_path / "x.toml")
    (tmp_path / "x.toml").write_text(text.replace('"b.jsonl"', '"b.jsonl", "c.jsonl"'))
    after = read_config(tmp_path / "x.toml")
    assert after.digest() == before.digest()
    assert {run.digest() for run in before.runs()} < {run.digest() for run in after.runs()}
    assert {run.task_columns["path"] for run in after.runs()} == {"a.jsonl", "b.jsonl", "c.jsonl"}
    (tmp_path / "a.jsonl").write_text('{"prompt": "x", "answer": 1}\n')
    changed = read_config(tmp_path / "x.toml")
    assert changed.digest() == before.digest()
    assert len({run.digest() for run in before.runs()} - {run.digest() for run in changed.runs()}) == 2


def test_a_run_is_not_made_of_what_was_edited_after_its_sweep_began(tmp_path):
    spec = read_config(put(tmp_path)).runs()[0]
    (tmp_path / "my_task.py").write_text(PLAIN.replace("100", "10"))
    with pytest.raises(ScalefitError, match=r"my_task.py changed after this sweep began; put it back"):
        make(spec, tmp_path / "made")


def test_what_a_sweep_keeps_finds_the_files_from_any_folder(tmp_path, monkeypatch):
    """As processes of another engine read it, from wherever they are started, and after both were moved together."""
    path = put(tmp_path / "a")
    monkeypatch.setattr("scalefit.runner.sweep.work_locally", lambda ledger, jobs: None)
    assert inside("a/x.toml", "--out", "a/runs.parquet", cwd=tmp_path).returncode == 0
    config = read_config(path)
    monkeypatch.chdir("/")
    kept = tmp_path / "a" / "runs.parquet.parts" / "configuration.json"
    assert find_run(kept, config.runs()[0].run_id) == config.runs()[0]
    (tmp_path / "a").rename(tmp_path / "b")
    moved = find_run(tmp_path / "b" / "runs.parquet.parts" / "configuration.json", config.runs()[0].run_id)
    assert moved.digest() == config.runs()[0].digest()
    assert moved.make_task().draw("train", 0)


def test_nothing_makes_a_task_past_the_run():
    """A section by itself knows neither the experiment's folder nor the reward."""
    for path in (ROOT / "scalefit").rglob("*.py"):
        assert not re.search(r"\btask\.make\(\)", path.read_text()), path


def test_what_is_found_of_an_experiment_is_no_key_of_its_file(tmp_path):
    put(tmp_path, text=f'folder = "/"\n{FILE}')
    with pytest.raises(UsageError, match="unknown key 'folder'"):
        read_config(tmp_path / "x.toml")
    put(tmp_path, text=f"zzzz = 1\n{FILE}")
    with pytest.raises(UsageError, match=r"unknown key 'zzzz'; known: .*engine") as told:
        read_config(tmp_path / "x.toml")
    assert "files" not in str(told.value)


# Names of installed packages.

PACKAGE = (
    PLAIN
    + """

from scalefit.runner.advantage import Advantage
from scalefit.table.importers.dialects import Dialect

SIGN = Advantage("+1 or -1", "a package", lambda reward, dynamics, settings: 2 * reward - 1, lambda p, *rest: (p, 1 - p))
MYLOG = Dialect(name="mylog", about="a package's", accuracies=(r"exam/(?P<eval>.+)/right",), tokens=("exam/tokens",))
"""
)
ENTRIES = """
[scalefit.tasks]
sums = strange_package:Task
arithmetic = strange_package:Task
broken = strange_package.nothing:Task
odd = strange_package:SIGN
[scalefit.advantages]
sign = strange_package:SIGN
[scalefit.importers]
mylog = strange_package:MYLOG
broken = strange_package:NOTHING
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package, as pip leaves it."""
    site = tmp_path / "site"
    info = site / "strange_package-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "strange_package.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    yield info
    sys.modules.pop("strange_package", None)


NAMED = FILE.replace('file = "my_task.py:Task"', 'name = "sums"').replace("[grpo]", '[grpo]\nadvantage = "sign"')


@pytest.mark.slow
def test_names_of_an_installed_package_work_as_ours_do(package, tmp_path):
    (tmp_path / "x.toml").write_text(NAMED.replace("seeds = [0]", "task.terms = [2]"))
    made = run("x.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    found = pd.read_parquet(tmp_path / "runs.parquet").astype({"eval": str})
    assert set(found["eval"]) == {"sums"}
    last = found.iloc[-1]
    assert last["mass_success"] + last["mass_failure"] == pytest.approx(1.0)
    before = read_config(tmp_path / "x.toml")
    assert before.files == {"package strange-package": "strange-package 1.2"}
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-package\nVersion: 1.3\n")
    sys.path_importer_cache.pop(str(package.parent), None)
    from scalefit import named

    named._installed.cache_clear()
    refused = inside("x.toml", cwd=tmp_path)
    assert refused.stderr.startswith("scalefit: package strange-package has changed since the runs")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"sums"', '"sum"', "did you mean 'sums'"),
        ('"sums"', '"zzz"', "known: arithmetic, broken, logic, odd, problems, reasoning-gym, sums."),
        (
            '"sums"',
            '"broken"',
            "the package strange-package 1.2 offers it, and importing strange_package.nothing:Task fails",
        ),
        ('"sums"', '"odd"', "the package strange-package 1.2 offers Advantage.*, which is no TaskConfig"),
        ('"sign"', '"sing"', "did you mean 'sign'"),
    ],
)
def test_what_a_package_does_not_offer_is_told(package, tmp_path, old, new, words):
    (tmp_path / "x.toml").write_text(NAMED.replace(old, new))
    with pytest.raises(UsageError, match=words):
        read_config(tmp_path / "x.toml")


def test_a_package_cannot_take_a_name_of_ours(package, tmp_path):
    (tmp_path / "x.toml").write_text(TINY)
    assert type(read_config(tmp_path / "x.toml").task).__name__ == "ArithmeticConfig"


def test_a_log_that_an_installed_package_knows_is_recognised(package, tmp_path):
    rows = [{"step": at, "exam/x/right": 0.1 * at, "exam/tokens": 100} for at in range(1, 6)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {
        "params": "1B",
        "series": "base",
        "prompts": "8",
        "group_size": "4",
        "flops": "none",
        "reuse": "1",
        "seed": "0",
    }
    assert "mylog" in kinds()
    for kind in (None, "mylog"):
        frame = import_runs(kind, tmp_path / "log.jsonl", given).runs.frame
        assert frame["loss"].tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
        assert set(frame["eval"].astype(str)) == {"x"}
    with pytest.raises(UsageError, match="offers it, and importing strange_package:NOTHING fails"):
        import_runs("broken", tmp_path / "log.jsonl", given)


def test_tasks_are_looked_at_once_for_each_value_of_a_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", math.inf)
    source = PLAIN.replace("range(100)", "range(40)")
    config = read_config(
        put(tmp_path, task=source, text=FILE.replace("seeds = [0]", "task.terms = [2, 3]\nseeds = [0, 1]"))
    )
    try_tasks(config)
    with pytest.raises(ScalefitError, match=r"gave \d+ distinct eval problems .* Lower \[eval\] problems"):
        try_tasks(dataclasses.replace(config, eval=dataclasses.replace(config.eval, problems=200)))


@pytest.mark.slow
def test_looking_at_a_run_tells_what_was_edited_since(tmp_path):
    put(tmp_path)
    assert run("x.toml", cwd=tmp_path).returncode == 0
    plain = scalefit("evaluate", "runs.parquet", cwd=tmp_path)
    assert "changed" not in plain.stderr
    put(tmp_path, task=PLAIN.replace("response == example.answer", "False"))
    for command in ("evaluate", "sample"):
        found = scalefit(command, "runs.parquet", cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        assert "my_task.py changed since the run was made" in found.stderr
