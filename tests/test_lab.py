"""The page from an idea to a law, and on with its runs: every block is written, run or read in a folder of one's own."""

import re
import shlex
import tomllib

import pytest

import scalefit as sf
from scalefit.runner.config_check import check
from scalefit.runner.config_file import plain_config, read_config
from scalefit.runner.trial import try_tasks
from tests.conftest import ROOT, scalefit, scalefit_process

PAGE, NEXT = ((ROOT / "docs" / name).read_text() for name in ("lab.md", "training.md"))
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.S)
CODE, TEXT = ([block for kind, block in BLOCKS if kind == wanted] for wanted in ("py", "toml"))
HF = '[policy]\nkind = "hf"\n[[policy.sizes]]\nname = "tiny"\nmodel = "hub/model"\n'


@pytest.fixture
def folder(tmp_path):
    """A folder with the page's files and the data that it speaks of."""
    for name, code in zip(re.findall(r"`(\w+\.py)`:\n\n```py", PAGE), CODE, strict=True):
        (tmp_path / name).write_text(code)
    (tmp_path / "lab.toml").write_text(TEXT[0])
    (tmp_path / "problems.csv").write_text("prompt,answer\n" + "".join(f"{n}+1?,{n + 1}\n" for n in range(5000)))
    return tmp_path


def test_a_task_of_ones_own_has_at_most_fifteen_lines():
    assert len([line for line in CODE[0].splitlines() if line.strip()]) <= 15


def commands(page):
    lines = [line for block in re.findall(r"```shell\n(.*?)```", page, flags=re.S) for line in block.splitlines()]
    return [shlex.split(line.removeprefix("$ scalefit ")) for line in lines]


@pytest.mark.slow
def test_every_command_of_the_pages_gives_what_it_says(folder):
    asked = commands(PAGE)
    assert [words[0] for words in asked] == ["run", "check", "fit", "predict"]
    for words in asked:
        found = scalefit_process(*words, cwd=folder)
        assert found.returncode == 0, found.stderr
    assert "100k has loss" in found.stdout
    for name in re.findall(r"`scalefit (\w+) ", PAGE):
        assert scalefit(name, "--help", cwd=folder).returncode == 0
    for words in commands(NEXT):
        found = scalefit(*words, cwd=folder)
        assert found.returncode == 0, (words, found.stderr)
    assert (folder / "model" / "model.safetensors").exists()
    assert set(sf.read_runs(folder / "greedy.parquet").frame["eval_samples"]) == {1}


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", NEXT, flags=re.S), ids=lambda block: block[:6])
def test_every_part_of_a_file_on_the_next_page_is_valid(folder, block):
    """In place of the sections of its names, with a device and a model that any machine has."""
    piece = tomllib.loads(block)
    whole = {**tomllib.loads(TEXT[0]), **piece, "folder": str(folder)}
    if "policy" in piece:
        whole["policy"] = {"sizes": [{"name": "a", "model": "hub/model"}], **piece["policy"], "device": "cpu"}
    config = plain_config(whole)
    check(config)
    assert config.runs()


@pytest.mark.parametrize("block", TEXT[1:], ids=lambda block: block.split("\n")[0])
def test_every_part_of_a_file_can_stand_in_the_pages_own(folder, block):
    """A section takes the place of the one of its name; names of a package are read as pip would."""
    if block.startswith("[project"):
        ((group, names),) = tomllib.loads(block)["project"]["entry-points"].items()
        assert (group, names) == ("scalefit.tasks", {"backwards": "words:Backwards"})
        return
    head = block.split("\n")[0]
    others = [part for part in TEXT[0].split("\n\n") if not part.startswith(head)]
    if 'name = "problems"' in block:
        others = [part for part in others if not part.startswith("[[policy")] + [HF]
    text = "\n\n".join([block, *others])
    (folder / "lab.toml").write_text(text)
    config = read_config(folder / "lab.toml")
    try_tasks(config)
    expected = tomllib.loads(block)
    for key, value in expected.get("task", {}).items():
        assert getattr(config.task, key) == value
    if "sweep" in expected:
        assert config.sweep.task == {"letters": (3, 4)}
