"""The pages: their examples run, the reference holds every public name, and the build has no warning."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

import scalefit as sf
from tests.conftest import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.slow
def test_examples_run(page, tmp_path):
    """All of a page's Python in one process, from the repository's root."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S))
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert bool(found.stdout) == bool(code)


def test_reference_holds_every_public_name():
    text = (ROOT / "docs" / "reference.md").read_text()
    named = {line.rpartition(".")[2] for line in text.splitlines() if line.startswith(":::")}
    assert set(sf.__all__) - {"LAWS", "RELATIONS"} <= named


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_page_names_are_there(page):
    """Links to files, and paths in backticks that begin with a folder of the repository."""
    path = ROOT / page
    text = path.read_text()
    links = [path.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    quoted = re.findall(r"`((?:scalefit|tests|docs|data|experiments|benchmarks)/[\w./]+)`", text)
    assert links
    assert not [place for place in (*links, *(ROOT / one for one in quoted)) if not place.exists()]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed here; make docs")
def test_pages_build_without_a_warning(tmp_path):
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    found = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    page = (tmp_path / "site" / "reference" / "index.html").read_text()
    assert "compute-optimal" in page
    assert not re.search(r"<(?:script|link)[^>]+(?:src|href)=.https?://", page), "a page asks the network"
