"""The replication's study: its task against walks done by hand, its arms against the plan, and all of it in small."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from scipy.stats import binomtest

import scalefit as sf
from scalefit.errors import ScalefitError
from scalefit.runner.config_file import read_config
from tests.conftest import ROOT, listen_to_interrupts

HERE = ROOT / "experiments" / "e07_replication"


def module(name):
    """Return a script of the study; its task is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"replication_{name}", HERE / f"{name}.py")
    found = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


make, walk = module("make"), module("walk")
ALL = ["30k", "100k", "300k", "1M"]
PLAN = {
    "start": (ALL, 5, 1),
    "tokens": (ALL, 5, 1),
    "start_3M": (["3M"], 2, 1),
    "tokens_3M": (["3M"], 2, 1),
    "instruct": (ALL[1:], 3, 1),
    "reuse_long": (["100k"], 3, 3),
    "reuse_short": (["100k"], 3, 4),
    "rollouts_prompts": (["100k"], 3, 3),
    **{f"rollouts_equal_{group}": (["100k"], 3, 1) for group in (4, 16, 32)},
    **dict.fromkeys(("batch", "slow", "curriculum", "alike"), (ALL[:3], 2, 1)),
    "one_rate": (["30k", "100k", "1M"], 2, 1),
    "ceiling": (ALL, 1, 2),
    **{f"rates_{which}": (ALL, 1, 1) for which in ("low", "mid", "high")},
}
"""Sizes, seeds, and runs of each: the values of what else an arm goes through."""


def test_every_arm_has_its_file_and_no_other():
    files = {path.stem: path.read_text() for path in (HERE / "arms").glob("*.toml")}
    assert files == {arm: make.text_of(arm) for arm in make.ARMS}
    assert set(files) == set(PLAN)


@pytest.mark.parametrize("arm", PLAN)
def test_arms_are_the_plan(arm):
    config = read_config(HERE / "arms" / f"{arm}.toml")
    names, seeds, each = PLAN[arm]
    assert [size.name for size in config.policy.sizes] == names
    assert config.sweep.seeds == tuple(range(seeds))
    assert len(config.runs()) == len(names) * seeds * each
    assert config.pretrain.each_seed
    if arm == "one_rate":
        assert len({size.learning_rate for size in config.policy.sizes}) == 1
    else:
        factor = {"rates_low": 0.5, "rates_high": 2.0, "slow": 0.5}.get(arm, 1.0)
        each_width = [size.learning_rate * size.d_model for size in config.policy.sizes]
        assert each_width == pytest.approx([factor * make.RATE] * len(names), rel=5e-3)
    equal_tokens = arm.startswith("tokens") or arm == "instruct"
    assert (config.pretrain.target, config.pretrain.tokens) == ((0.0, 530_000) if equal_tokens else (0.15, 4_000_000))


@pytest.fixture
def shifts(monkeypatch):
    """Tables by which the first move goes one place on, the second two, and so on."""
    places = walk.PLACES
    tables = {
        move: {place: places[(at + by) % len(places)] for at, place in enumerate(places)}
        for by, move in enumerate(walk.MOVES, 1)
    }
    monkeypatch.setattr(walk, "TABLES", tables)


@pytest.mark.parametrize(
    ("moves", "way", "answer"),
    [
        ("0123", ".", "k"),
        ("0123", ":", "dk"),
        ("0123", ";", "bdgk"),
        ("0123", "!", "0b1d2g3k"),
        ("01230", ":", "dkl"),
        ("33", ";", "ei"),
    ],
)
def test_answers_are_walks_done_by_hand(shifts, moves, way, answer):
    """From a: one place on is b, two more d, then g, k, and l."""
    places = walk.places_of("a", list(moves))
    assert walk.written(list(moves), places, way) == answer
    task, example = walk.Walk(), walk.Example(f"a{moves}=", places[-1])
    assert task.score(way + answer, example)
    assert walk.Walk(way=way).score(answer, example)
    wrong = answer[:-1] + "c"
    assert not task.score(way + wrong, example)
    assert not walk.Walk(way=way).score(wrong, example)
    assert not task.score(answer, example)  # without the sign of a way
    assert not task.score(way, example)
    assert not task.score("", example)
    assert not walk.Walk(way=way).score("", example)


def test_the_tables_take_every_place_to_another_one():
    assert list(walk.TABLES) == list(walk.MOVES)
    assert all(sorted(table.values()) == sorted(walk.PLACES) for table in walk.TABLES.values())
    assert len({tuple(table.values()) for table in walk.TABLES.values()}) == len(walk.MOVES)


@pytest.mark.parametrize("split", ["pretrain", "instruct"])
def test_text_is_answered_in_the_ways_that_the_class_says(split):
    """All of it right; shares by eight exact tests, which together fail in 1 of 1,000 cases for no reason."""
    task, count = walk.Walk(), 3000
    rest = (1 - walk.CAREFUL) / 2
    base = (task.end, task.second, task.every, 1 - task.end - task.second - task.every)
    shares = base if split == "pretrain" else (rest, rest, walk.CAREFUL / 2, walk.CAREFUL / 2)
    drawn = [task.draw(split, index) for index in range(count)]
    for way, share in zip(".:;!", shares, strict=True):
        seen = sum(example.worked[0] == way for example in drawn)
        assert binomtest(seen, count, share).pvalue > 1e-3 / 8, way
    for example in drawn:
        start, moves = example.prompt[0], example.prompt[1:-1]
        place = start
        for move in moves:
            place = walk.TABLES[move][place]
        assert example.answer == place
        assert example.worked[1:] == walk.written(list(moves), walk.places_of(start, list(moves)), example.worked[0])
        assert task.least <= len(moves) <= task.most


@pytest.mark.parametrize("arm", ["start", "ceiling"])
def test_what_is_evaluated_is_never_trained_on(arm):
    from scalefit.runner.data import evaluation_examples, training_examples

    for spec in read_config(HERE / "arms" / f"{arm}.toml").runs()[-2:]:
        task = spec.make_task()
        held_out = {example.prompt for example in evaluation_examples(task, spec.config.eval.problems)}
        assert len(held_out) == 1024
        assert not held_out & {example.prompt for example in training_examples(task, spec)}
        if arm == "start":  # with a way in its prompt a walk is another problem than the walk that is taught
            text = [task.draw(split, at).prompt for split in ("pretrain", "instruct") for at in range(5000)]
            assert not held_out & set(text)


def test_verdicts_stand_on_their_results_and_fall_with_them():
    """On the page as written; refused where slopes no longer rise, or one run of a size ends as another does."""
    verdicts = module("verdicts")
    page = (ROOT / "paper_repro.md").read_text()
    for one in verdicts.verdicts(verdicts.read_results()):
        assert one.finding in page
        assert all(sentence in page for sentence in one.sentences), one.finding
    results = verdicts.read_results()
    rise = results["1. Do larger models learn more efficiently"]["samples"]["rises"][0]
    rise["low"] = -0.01
    with pytest.raises(ScalefitError, match="no longer support"):
        verdicts.efficiency(results)
    results = verdicts.read_results()
    for row in results["Where runs start and end"]["equal start"]:
        row["sd end"] = 0.01
    with pytest.raises(ScalefitError, match="no longer support"):
        verdicts.efficiency(results)


def small(folder, *arms, **kwargs):
    """Return what starts small versions of arms, or of all."""
    environment = {**os.environ, "SCALEFIT_CACHE": str(folder / "cache")}
    asked = [sys.executable, str(HERE / "run.py"), "--small", str(folder), "--jobs", "2", *arms]
    return subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **kwargs)


@pytest.fixture(scope="module")
def untouched():
    """Nothing of the study itself is changed by trying it out."""

    def state():
        files = [*(ROOT / "data" / "study").glob("e07_*.parquet"), *HERE.glob("*.json")]
        return {path: path.read_bytes() for path in files}

    before = state()
    yield
    assert state() == before


@pytest.mark.slow
def test_all_of_it_in_small(tmp_path, untouched):
    """A table an arm, which can be read, with every run to its end, and starts at the target where there is one."""
    pytest.importorskip("torch")
    with small(tmp_path) as process:
        said = process.communicate(timeout=1200)[1]
    assert process.returncode == 0, said
    kinds = [arm for arm in PLAN if arm not in make.BY_NUMBER]
    assert {path.name for path in tmp_path.glob("*.parquet")} == {f"e07_{arm}.parquet" for arm in kinds}
    for arm in kinds:
        names, _, each = PLAN[arm]
        frame = sf.read_runs(tmp_path / f"e07_{arm}.parquet").frame
        assert frame["run_id"].nunique() == max(1, len(names) - 1) * each, arm
        assert set(frame["status"]) == {"finished"}, arm
        assert frame["step"].max() == 5, arm
        assert {"pass_rates", "answer_loss"} <= set(frame.columns), arm
        assert ("pass_at_8" in frame) == (arm in make.WHOLE), arm
        assert frame["params"].max() < 10_000, arm
    start = sf.read_runs(tmp_path / "e07_start.parquet").frame
    assert start["pretrain_pass_at_1"].between(0.03, 0.07).all()


@pytest.mark.slow
def test_stopped_it_goes_on(tmp_path, untouched):
    """Ctrl-C in the first arms: what there is stays, nothing else begins, and the same command makes the rest."""
    pytest.importorskip("torch")
    arms = ("tokens", "reuse_long", "batch")
    rows = tmp_path / "e07_tokens.parquet.parts" / "6k-base-g8-r1-s0" / "rows.jsonl"
    with small(tmp_path, *arms, start_new_session=True, preexec_fn=listen_to_interrupts) as process:
        while not (rows.exists() and "\n" in rows.read_text()) and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not (tmp_path / "e07_batch.parquet.parts").exists()
    first = json.loads(rows.read_text().splitlines()[0])
    with small(tmp_path, *arms) as process:
        said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    for arm in arms:
        frame = sf.read_runs(tmp_path / f"e07_{arm}.parquet").frame
        assert set(frame["status"]) == {"finished"}
    assert json.loads(rows.read_text().splitlines()[0]) == first


def test_a_forced_way_leaves_the_walks_as_they_are():
    free, forced = walk.Walk(), walk.Walk(way="!")
    for split in ("train", "eval"):
        for index in range(200):
            assert forced.draw(split, index).prompt == free.draw(split, index).prompt + "!"
