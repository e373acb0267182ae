"""What a terminal shows: lines broken between words only, tables within its width, colours unless they are declined."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalefit.cli.screen import fit_columns, tell
from scalefit.said import Said, Table
from tests.conftest import PAPER, RUNS, scalefit, scalefit_process

words = st.text("abcdefgh.,-", min_size=1, max_size=9)
cells = st.lists(words, min_size=1, max_size=4).map(" ".join)
tables = st.integers(1, 14).flatmap(
    lambda columns: st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=2, max_size=5)
)


class Screen(io.StringIO):
    """A terminal of 80 columns, as far as what writes to it can tell."""

    def isatty(self):
        return True


@given(tables)
def test_a_table_fits_whatever_is_in_it(rows):
    """No column is narrower than its longest word, none is lost, and the first is beside all the others."""
    parts = fit_columns(rows, 80)
    for part in parts:
        assert sum(part.widths) + part.gap * (len(part.widths) - 1) <= 80
        for at, width in enumerate(part.widths):
            assert all(len(word) <= width for row in part.rows for word in row[at].split())
        assert [row[0] for row in part.rows] == [row[0] for row in rows]
    shown = [[cell for part in parts for cell in part.rows[at][1:]] for at in range(len(rows))]
    assert shown == [list(row[1:]) for row in rows]


@given(st.lists(words, min_size=1, max_size=60).map(" ".join), tables)
def test_words_are_never_broken(text, rows):
    screen = Screen()
    tell(Said([f"  {text}", Table(rows)]), screen)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    shown = " ".join(lines).split()
    assert shown[: len(text.split())] == text.split()
    assert {word for row in rows for cell in row for word in cell.split()} <= set(shown)


def test_what_is_no_terminal_gets_the_plain_text():
    said = Said(["a headline", Table([["size", "loss"], ["7B", "0.5"]]), "  warning: " + "long " * 40])
    out = io.StringIO()
    tell(said, out)
    assert out.getvalue() == f"{said}\n"
    assert said.splitlines()[1:3] == ["  size  loss", "  7B     0.5"]
    assert Said([Said(["a", "b"]), "c"]).parts == ("a", "b", "c")


def on_a_terminal(*asked, cwd, **environment):
    """Run the command line with all it prints on a terminal of 80 columns; return the lines."""
    ours, theirs = pty.openpty()
    quiet = "from scalefit.cli import progress; progress.MOMENT = 1e6; from scalefit.cli.main import run; run()"
    process = subprocess.Popen(
        [sys.executable, "-c", quiet, *map(str, asked)],
        cwd=cwd,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 1 << 16)
        except OSError:
            break
    process.wait(60)
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "asked",
    [
        ["plan", RUNS, "--flops", "2e19", "--where", "series=base"],
        ["check", RUNS],
        ["reuse", PAPER / "reuse.parquet"],
        ["laws"],
        ["fit", "none.parquet"],
        ["fit", RUNS, "--where", "series=bas"],
    ],
    ids=lambda asked: asked[0],
)
def test_every_line_fits_a_terminal_and_every_word_is_that_of_the_pipe(asked, tmp_path):
    shown = on_a_terminal(*asked, cwd=tmp_path, NO_COLOR="1")
    assert not re.search(r"\x1b\[(3|4|9)\d", shown), "a colour"
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()
    plain = scalefit_process(*asked, cwd=tmp_path)
    longest = max((len(word) for word in f"{plain.stdout} {plain.stderr}".split()), default=0)
    assert max(map(len, lines)) <= max(80, longest)
    assert sorted(" ".join(lines).split()) == sorted(f"{plain.stdout} {plain.stderr}".split())


def test_colours_are_for_terminals(tmp_path):
    asked = ["check", RUNS]
    assert "\x1b[33m" in on_a_terminal(*asked, cwd=tmp_path)
    assert "\x1b" not in scalefit(*asked, cwd=tmp_path).stdout
