"""The page from an idea to a law, and on with its runs: every block is written, run or read in a folder of one's own."""

import re
import tomllib

import pytest

from scalefit.runner.config_check import check
from scalefit.runner.config_file import plain_config, read_config
from scalefit.runner.trial import try_tasks
from tests.conftest import ROOT, scalefit

PAGE, NEXT = ((ROOT / "docs" / name).read_text() for name in ("lab.md", "training.md"))
BLOCKS = re.findall(r"```(\w+)[^\n]*\n(.*?)```", PAGE, flags=re.S)
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


def test_every_command_that_the_page_names_is_there(folder):
    """Its blocks of commands, and those of the next page, are run by the build (tests/test_docs.py)."""
    for name in re.findall(r"`scalefit (\w+) ", PAGE):
        assert scalefit(name, "--help", cwd=folder).returncode == 0


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
