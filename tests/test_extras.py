"""The command that adds an extra is one that works here: from where scalefit came, by PEP 610's record of it."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from scalefit import extras
from tests.conftest import ROOT

CAME_FROM = {
    "a checkout": (
        {"url": "file:///home/a%20b/scalefit", "dir_info": {"editable": True}},
        "pip install --editable '/home/a b/scalefit[plot,report]'",
    ),
    "a folder": ({"url": "file:///tmp/scalefit", "dir_info": {}}, "pip install '/tmp/scalefit[plot,report]'"),
    "a repository": (
        {"url": "https://example.org/scalefit.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
        "pip install 'scalefit-rl[plot,report] @ git+https://example.org/scalefit.git'",
    ),
    "an index": (None, "pip install 'scalefit-rl[plot,report]'"),
}


@pytest.mark.parametrize("kind", CAME_FROM)
def test_the_hint_is_by_where_it_came_from(kind, monkeypatch):
    told, wanted = CAME_FROM[kind]

    class Found:
        def read_text(self, name):
            assert name == "direct_url.json"
            return None if told is None else json.dumps(told)

    monkeypatch.setattr(extras, "distribution", lambda name: Found())
    assert extras.install_hint("plot", "report") == wanted


def test_without_an_installation_it_names_the_distribution(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    assert extras.install_hint("plot") == "pip install 'scalefit-rl[plot]'"


@pytest.mark.slow
def test_it_is_a_tool_of_its_own(tmp_path):
    """`uv tool install` makes the command, which works where no checkout is."""
    uv = os.path.join(os.path.dirname(sys.executable), "uv")
    if not os.path.exists(uv):
        pytest.skip("uv is not installed here; make test installs it")
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    made = subprocess.run(
        [uv, "tool", "install", "--python", sys.executable, str(ROOT)],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    said = subprocess.run(
        [tmp_path / "bin" / "scalefit", "laws"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "saturating" in said.stdout
