"""The page from an idea to a law: every block of it is written, run or read in a folder of one's own."""

import re
import tomllib

import pytest

from scalefit.runner.config_file import read_config
from scalefit.runner.trial import try_tasks
from tests.conftest import ROOT, scalefit, scalefit_process

PAGE = (ROOT / "docs" / "lab.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.S)
CODE, TEXT, SHELL = ([block for kind, block in BLOCKS if kind == wanted] for wanted in ("py", "toml", "console"))
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


@pytest.mark.slow
def test_every_command_of_the_page_gives_what_it_says(folder):
    commands = [line.removeprefix("$ scalefit ").split() for line in SHELL[0].splitlines()]
    assert [words[0] for words in commands] == ["run", "check", "fit", "predict"]
    for words in commands:
        found = scalefit_process(*words, cwd=folder)
        assert found.returncode == 0, found.stderr
    assert "100k has loss" in found.stdout
    for name in re.findall(r"`scalefit (\w+) ", PAGE):
        assert scalefit(name, "--help", cwd=folder).returncode == 0


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
