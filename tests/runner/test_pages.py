"""The pages on the lab: their files, experiments and commands as they stand there, one page after the other."""

import re
import shlex
import tomllib

import pytest

import scalefit as sf
from scalefit.runner.config_check import check
from scalefit.runner.config_file import plain_config
from tests.conftest import ROOT, scalefit, scalefit_process

DOCS = ROOT / "docs"


def blocks(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(), flags=re.S)


def commands(page):
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [shlex.split(line.removeprefix("$ scalefit ")) for line in lines if line.startswith("$ scalefit ")]


@pytest.fixture
def desk(tmp_path):
    """A folder with the files of the page."""
    task, reward = blocks("lab.md", "py")
    (tmp_path / "words.py").write_text(task)
    (tmp_path / "reward.py").write_text(reward)
    (tmp_path / "lab.toml").write_text(blocks("lab.md", "toml")[0])
    return tmp_path


@pytest.mark.slow
def test_from_an_idea_to_a_law_and_on_with_its_runs(desk):
    asked = commands("lab.md") + commands("training.md")
    assert {words[0] for words in asked} == {"run", "check", "fit", "predict", "export", "sample", "evaluate"}
    for words in asked:
        done = (scalefit_process if words[0] == "run" else scalefit)(*words, cwd=desk)
        assert done.returncode == 0, (words, done.stderr)
    runs = sf.read_runs(desk / "runs.parquet").frame
    assert set(runs["status"]) == {"finished"}
    at = runs.groupby(["params", "step"])["loss"].mean().unstack()
    assert (at[at.columns[-1]] < at[0]).mean() > 0.5, "most sizes learn"
    assert (desk / "model" / "model.safetensors").exists()
    assert set(sf.read_runs(desk / "greedy.parquet").frame["eval_samples"]) == {1}


def test_a_task_takes_at_most_fifteen_lines(desk):
    assert len((desk / "words.py").read_text().strip().splitlines()) <= 15


def test_the_other_experiments_of_the_pages_are_valid(desk):
    """Each piece in place of the same sections of the page's experiment; models and devices as they may be here."""
    first, *others = (tomllib.loads(block) for block in blocks("lab.md", "toml"))
    pieces = [*others, *(tomllib.loads(block) for block in blocks("training.md", "toml"))]
    pieces = [piece for piece in pieces if "project" not in piece]  # of a package
    for piece in pieces:
        whole = {**first, **piece, "folder": str(desk)}
        if piece.get("policy") or whole["task"].get("name") == "problems":
            sizes = [{"name": "a", "model": "a/model"}]
            whole["policy"] = {**piece.get("policy", {}), "kind": "hf", "device": "cpu", "sizes": sizes}
        config = plain_config(whole)
        check(config)
        assert config.runs()
    assert len(pieces) >= 6
