"""The pages: the build runs every block of theirs and has no warning, and the reference holds every public name."""

import importlib.util
import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

import scalefit as sf
from tests.conftest import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture
def hooks():
    pytest.importorskip("mkdocs", reason="mkdocs is not installed here; make docs")
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules["hooks"] = made
    spec.loader.exec_module(made)
    return made


def test_blocks_share_a_namespace_and_show_what_they_print(hooks, tmp_path):
    page = "Text.\n\n```python\na = 6\nprint(a)\n```\n\n```python\na * 7\n```\nEnd.\n"
    found = hooks.Runner(tmp_path).run(page)
    assert re.findall(r"output }\n(.*?)\n```", found, re.S) == ["6", "42"]
    assert found.startswith("Text.")
    assert found.endswith("End.\n")


def test_a_figure_becomes_a_picture(hooks, tmp_path):
    draw = "figure, axes = pyplot.subplots()\naxes.set(title='a $1$', xlabel='x [b]', ylabel='y')\nfigure\n"
    page = f"```python\nfrom matplotlib import pyplot\n{draw}```\n"
    found = hooks.Runner(tmp_path).run(page)
    (name,) = re.findall(r"!\[Picture: a 1: y against x b\]\((.+)\)", found)
    assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert "Figure(" not in found


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("```python\n1\n```\n\n```python\n1 / 0\n```\n", r"block 2 \(```python, line 5\): ZeroDivisionError"),
        ("```console\n$ scalefit check none.csv\n```\n", r"block 1 .*ended with 1\n"),
        ("```console\n$ scalefit laws # ends with 3\n```\n", "ended with 0"),
        ("```console\n$ scalefit laws\nsaturating\n```\n", "put there by the build"),
    ],
)
def test_a_block_that_fails_is_named(hooks, tmp_path, page, told):
    with pytest.raises(hooks.BlockError, match=told):
        hooks.Runner(tmp_path).run(page)


def test_commands_see_the_repository_and_the_pages_own_files(hooks, tmp_path):
    page = '```csv title="a.csv"\nstep\n1\n```\n\n```console\n$ cat a.csv && ls data\n$ false # ends with 1\n```\n'
    found = hooks.Runner(hooks.linked(tmp_path)).run(page)
    assert re.search(r"output }\nstep\n1\n.*paper\n", found, re.S)
    assert not (ROOT / "a.csv").exists()


def test_a_page_can_go_on_in_the_folder_of_another(hooks):
    first = hooks._folder("text", "a.md")
    assert hooks._folder("<!-- after a.md -->\n", "b.md") == first
    assert hooks._folder("text", "c.md") != first
    with pytest.raises(Exception, match=r"docs/d.md: goes on from z.md, which has not been run"):
        hooks._folder("<!-- after z.md -->\n", "d.md")


def test_a_page_can_begin_with_what_its_first_command_says(hooks, tmp_path):
    page = "<!-- answer -->\n\n```console\n$ echo '1 < 2' && echo rest\n$ echo other\n```\n"
    found = hooks.Runner(tmp_path).run(page)
    assert found.startswith('!!! quote ""\n    **1 &lt; 2**\n')
    with pytest.raises(hooks.BlockError, match="print nothing"):
        hooks.Runner(tmp_path).run("<!-- answer -->\n")


def test_long_outputs_are_cut_in_their_middle(hooks, tmp_path):
    count = hooks.MOST + 10
    found = hooks.Runner(tmp_path).run(f"```python\nfor at in range({count}):\n    print(at)\n```\n")
    shown = re.search(r"output }\n(.*?)\n```", found, re.S)[1].splitlines()
    assert shown[: hooks.HEAD] == [str(at) for at in range(hooks.HEAD)]
    assert shown[hooks.HEAD] == f"… {count - hooks.HEAD - hooks.TAIL} lines left out …"
    assert shown[-hooks.TAIL :] == [str(at) for at in range(count - hooks.TAIL, count)]


@pytest.mark.parametrize(("asked", "shown"), [("first line", 1), ("first 4 lines", 4), ("the first 9 lines; odd", 9)])
def test_as_much_of_an_output_is_shown_as_the_command_says(hooks, tmp_path, asked, shown):
    found = hooks.Runner(tmp_path).run(f"```console\n$ seq 9 # {asked}\n```\n")
    lines = re.search(r"output }\n(.*?)\n```", found, re.S)[1].splitlines()
    left = [] if shown == 9 else [f"… {9 - shown} lines left out …"]
    assert lines == [*map(str, range(1, shown + 1)), *left]


def test_prose_of_an_output_breaks_where_the_page_ends_and_columns_do_not(hooks):
    text = "a &lt; sentence\n  warning: of more\n  size   loss\n  7B    0.600\n"
    made = f'<div class="language-text output highlight"><pre><span></span><code>{text}</code></pre></div>'
    found = hooks.on_page_content(made)
    assert re.findall(r'<span class="prose" style="--indent: (\d)ch">(.*?)\n</span>', found) == [
        ("0", "a &lt; sentence"),
        ("2", "warning: of more"),
    ]
    assert found.endswith("  size   loss\n  7B    0.600\n</code></pre></div>")
    assert re.sub(r"<[^>]+>", "", found) == re.sub(r"  (?=warning)|<[^>]+>", "", made)
    beside = made.replace(" output", "")
    assert hooks.on_page_content(beside) == beside


def test_an_option_is_not_broken_within(hooks):
    found = hooks.on_page_content('<p data-a="--no">--prose <code class="--no">a --min-gain 2 -v x-y</code></p>')
    assert found == (
        '<p data-a="--no">--prose <code class="--no">a <span class="whole">--min-gain</span> 2 '
        '<span class="whole">-v</span> x-y</code></p>'
    )


def test_links_elsewhere_are_well_formed():
    for page in PAGES:
        for link in re.findall(r"\]\((\w+:[^)]*)\)", page.read_text()):
            parts = urlsplit(link)
            assert parts.scheme == "https", f"{page.name}: {link}"
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), f"{page.name}: {link}"
            assert not re.search(r"[\s<>]", link), f"{page.name}: {link}"


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r"(\w[\w-]*\.md)", (ROOT / "mkdocs.yml").read_text()))
    assert named == {page.name for page in PAGES}


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
def test_pages_build_without_a_warning(hooks, tmp_path):
    """All Python and all commands of all pages run here, once."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    site = tmp_path / "site"
    assert "compute-optimal" in (site / "reference" / "index.html").read_text()
    assert not (site / "hooks.py").exists()
    assert "100k base is expected at loss" in (site / "lab" / "index.html").read_text()
    assert "loss" in (site / "training" / "index.html").read_text().partition("greedy.parquet")[2]
    for path in site.rglob("*.html"):
        text, source = path.read_text(), ROOT / "docs" / f"{path.parent.name}.md"
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=.?https?://", text), f"{path} asks the network"
        if source.exists() and "```python\n" in source.read_text():
            assert "output highlight" in text, f"{source.name} shows no output"
    for path in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?https?://", path.read_text()), f"{path} asks the network"
