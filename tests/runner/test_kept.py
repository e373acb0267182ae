"""Weights that a run keeps: which, for transformers, to look at, and on another task."""

import dataclasses
import json
import shutil

import pandas as pd
import pytest
import torch

import scalefit as sf
from scalefit.runner.kept import kept_of
from scalefit.runner.look import load_policy
from scalefit.runner.made import MadeRun, one_run
from scalefit.runner.run_folder import parts_of
from tests.conftest import results, scalefit
from tests.runner.conftest import TINY, inside, make, run
from tests.runner.test_longer import spec_of

ID = "7k-base-g8-r1-s0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    (folder / "tiny.toml").write_text(TINY.replace("[0]", "[0, 1]") + '[keep]\nweights = "every 3"\n')
    done = run("tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("weights", "steps", "after_more"), [("last", [5], [8]), ("every 3", [3, 5], [3, 6, 8]), ("none", [], [])]
)
def test_what_is_kept(weights, steps, after_more, tiny, tmp_path):
    """A run that became longer keeps what one made at once does."""
    tiny.write_text(TINY + f'[keep]\nweights = "{weights}"\n')
    for length, expected in ((5, steps), (8, after_more)):
        make(spec_of(tiny, length, order="drawn"), tmp_path / "run")
        assert [kept.step for kept in kept_of(tmp_path / "run")] == expected


def test_the_best_is_that_of_the_lowest_loss(tiny, tmp_path):
    tiny.write_text(TINY + '[keep]\nweights = "best"\n')
    rows = make(spec_of(tiny, 8, every=1), tmp_path / "run")
    best = min(rows, key=lambda row: row["loss"])
    assert [(kept.step, kept.loss) for kept in kept_of(tmp_path / "run")] == [(best["step"], best["loss"])]


def test_what_is_kept_decides_no_row(tiny):
    plain = spec_of(tiny, 8)
    tiny.write_text(TINY + '[keep]\nweights = "best"\ncheckpoint = false\n')
    assert spec_of(tiny, 8).digest() == plain.digest()
    assert spec_of(tiny, 8).config.digest() == plain.config.digest()


@pytest.mark.parametrize("wrong", ["lst", "every", "every 0", "every -2", "every 2 steps"])
def test_a_wrong_word_is_told(wrong, tiny, tmp_path):
    tiny.write_text(TINY + f'[keep]\nweights = "{wrong}"\n')
    found = inside("tiny.toml", cwd=tmp_path)
    assert (found.returncode, "write last, best, none, or every" in found.stderr) == (2, True)


def test_an_export_is_read_by_transformers(made, tmp_path):
    """Its logits there are the policy's own, and its tokeniser reads and writes the prompt."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = scalefit("export", made / "runs.parquet", "--run", ID, "--step", "3", "--out", "model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    policy, step = load_policy(one_run(made / "runs.parquet", ID), 3)
    tokens = torch.tensor([policy.encode("3+4+5=")])
    assert tokenizer("3+4+5=")["input_ids"] == tokens[0].tolist()
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, policy.model(tokens), atol=1e-5, rtol=1e-4)
    assert step == 3
    again = scalefit("export", made / "runs.parquet", "--run", ID, "--out", "model", cwd=tmp_path)
    assert (again.returncode, "is there already; name a new folder" in again.stderr) == (1, True)


def test_an_evaluation_of_kept_weights_is_the_runs_own(made, tmp_path):
    """Bit for bit where nothing is changed, at the start (made again) and at a step between evaluations too."""
    done = scalefit("evaluate", made / "runs.parquet", "--out", "again.parquet", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = sf.read_runs(tmp_path / "again.parquet").frame
    first = sf.read_runs(made / "runs.parquet").frame
    known = ["run_id", "loss", "loss_low", "response_length", "truncated", "samples", "tokens", "flops"]
    last = first[first["step"] == 8][known].reset_index(drop=True)
    pd.testing.assert_frame_equal(again[known], last, check_exact=True)
    assert [row["step"] for row in results(done)] == [8, 8]
    start = results(scalefit("evaluate", made / "runs.parquet", "--run", ID, "--step", "0", "--json", cwd=tmp_path))
    assert start[0]["loss"] == first[(first["run_id"] == ID) & (first["step"] == 0)]["loss"].item()


def test_another_task_and_temperature(made, tmp_path):
    (tmp_path / "easy.toml").write_text('[task]\nlevels = [{digits = [1, 1], operations = ["+"]}]\n')
    call = ["evaluate", made / "runs.parquet", "--run", ID, "--json", "--temperature", "0", "--samples", "1"]
    hard, easy = (
        results(scalefit(*call, *more, cwd=tmp_path))[0] for more in ((), ("--task", "easy.toml", "--problems", "8"))
    )
    assert (hard["eval_size"], easy["eval_size"], easy["eval_samples"]) == (32, 8, 1)
    assert hard["loss"] != easy["loss"]
    (tmp_path / "bad.toml").write_text("task = 3")
    table = str(made / "runs.parquet")
    for words, said in (
        (["--task", "arithmetik"], "did you mean 'arithmetic'"),
        (["--task", "logic"], "is not in the task's alphabet"),
        (["--set", "depth=3"], "unknown key 'depth'"),
        (["--task", "bad.toml"], "[task] must be a section, not 3"),
        (["--step", "4"], "no weights after step 4; there are those of 3, 6, 8, and step 0"),
        (["--run", "7k-base-g8-r1-s3"], "did you mean"),
        (["--out", table], "scalefit run makes that table"),
    ):
        done = scalefit("evaluate", table, *words, cwd=tmp_path)
        assert done.returncode in (1, 2)
        assert said in done.stderr, words
        assert "Traceback" not in done.stderr


def test_an_evaluation_heeds_stop_strings(tiny, tmp_path):
    from scalefit.runner.look import evaluate_run

    tiny.write_text('[policy]\nstop = ["1"]\n' + TINY)
    spec = spec_of(tiny, 2)
    rows = make(spec, tmp_path)
    again = evaluate_run(MadeRun(tmp_path, spec))
    assert (again["loss"], again["response_length"]) == (rows[-1]["loss"], rows[-1]["response_length"])


def test_a_task_that_is_gone_is_told(made, tmp_path):
    shutil.copytree(parts_of(made / "runs.parquet") / ID, tmp_path / "run")
    order = json.loads((tmp_path / "run" / "run.json").read_text())
    order["task"] = {"name": "gone", "file": "gone.py:Task"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(order))
    done = scalefit("sample", "run", cwd=tmp_path)
    assert (done.returncode, "gone.py: no such file" in done.stderr) == (2, True)
    (tmp_path / "run" / "run.json").unlink()
    done = scalefit("sample", "run", cwd=tmp_path)
    assert (done.returncode, "says what this run is" in done.stderr) == (1, True)


def test_runs_stay_apart_on_another_task(made):
    """Where the grid goes through the task's own parameters, a run's name says which it was trained on."""
    from scalefit.runner.look import evaluate_run, with_evaluation

    plain = one_run(made / "runs.parquet", ID)
    swept = dataclasses.replace(plain.spec, swept={"levels": plain.spec.task.levels})
    row = evaluate_run(dataclasses.replace(plain, spec=swept), 8, with_evaluation(swept, plain.spec.config, problems=4))
    assert (row["run_id"], row["eval_size"]) == (swept.run_id, 4)
    assert swept.run_id != plain.spec.run_id


def test_runs_without_weights_are_left_out(made, tmp_path):
    shutil.copytree(parts_of(made / "runs.parquet"), tmp_path / "some")
    shutil.rmtree(tmp_path / "some" / ID / "weights")
    done = scalefit("evaluate", "some", "--json", cwd=tmp_path)
    assert [row["seed"] for row in results(done)] == [1]
    assert f"left out: some/{ID}: no weights are kept" in done.stderr
    none = scalefit("evaluate", "some", "--step", "5", cwd=tmp_path)
    assert (none.returncode, "no weights" in none.stderr) == (1, True)


def test_where_no_table_can_be_written_is_told_first(made, tmp_path):
    for out, said in (("x.txt", "unknown ending '.txt'"), ("no/x.csv", "make it first")):
        done = scalefit("evaluate", made / "runs.parquet", "--out", out, cwd=tmp_path)
        assert (done.returncode, said in done.stderr, "loss" in done.stderr) == (1, True, False)


def test_samples_are_shown_and_those_of_problems_scored(made, tmp_path):
    folder = parts_of(made / "runs.parquet") / ID
    plain = results(scalefit("sample", folder, "3+4+5=", "1+1+1=", "--json", cwd=tmp_path))
    assert [one["prompt"] for one in plain] == ["3+4+5=", "1+1+1="]
    assert all(len(one["answers"]) == 4 for one in plain)
    scored = results(scalefit("sample", folder, "--samples", "8", "--json", cwd=tmp_path))
    for one in scored:
        for answer, reward in zip(one["answers"], one["rewards"], strict=True):
            assert reward == (answer == one["expected"])
    assert {reward for one in scored for reward in one["rewards"]} == {0.0, 1.0}
    shown = scalefit("sample", folder, "3+4+5=", "--samples", "2", cwd=tmp_path)
    assert shown.stdout.splitlines()[0] == "3+4+5="
    for words, said in (
        (["ë"], "is not in the task's alphabet"),
        (["1+", ""], "a prompt is empty"),
        (["--run", "x"], "has no run 'x'"),
    ):
        wrong = scalefit(
            "sample", made / "runs.parquet", *words, *(["--run", ID] if "--run" not in words else []), cwd=tmp_path
        )
        assert wrong.returncode in (1, 2)
        assert said in wrong.stderr
    several = scalefit("sample", made / "runs.parquet", "1+1+1=", cwd=tmp_path)
    assert (several.returncode, f"name one with --run: {ID}" in several.stderr) == (2, True)
    assert scalefit("sample", "nowhere.parquet", cwd=tmp_path).returncode == 1


def test_weights_cut_short_are_told(made, tmp_path):
    copy = tmp_path / "copy"
    folder = parts_of(made / "runs.parquet") / ID
    copy.mkdir()
    for path in folder.rglob("*"):
        target = copy / path.relative_to(folder)
        target.mkdir(parents=True) if path.is_dir() else target.write_bytes(path.read_bytes())
    weights = copy / "weights" / "step-8" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    done = scalefit("sample", copy, cwd=tmp_path)
    assert (done.returncode, "cannot be read as the weights of a run" in done.stderr) == (1, True)
    assert json.loads((copy / "done.json").read_text())["status"] == "finished"


def test_a_run_of_a_gpu_is_looked_at_without_one(made):
    one = one_run(made / "runs.parquet", ID)
    config = one.spec.config
    policy = dataclasses.replace(config.policy, device="cuda")
    there = dataclasses.replace(one.spec, config=dataclasses.replace(config, policy=policy))
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    found, _ = load_policy(dataclasses.replace(one, spec=there))
    assert found.device.type == "cpu"
