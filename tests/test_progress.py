"""How far a long command is: told step by step, drawn on a terminal only, and nothing of it in what is piped."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import scalefit as sf
from scalefit.progress import advance, listening, steps
from tests.conftest import PAPER, RUNS, listen_to_interrupts, scalefit_process

AT_ONCE = "from scalefit.cli import progress; progress.MOMENT = 0; from scalefit.cli.main import run; run()"


def test_steps_fill_the_whole_and_each_other():
    """Two steps of two: by quarters; what is told within the first half ends with it."""
    told = []
    with listening(lambda done, what: told.append((done, what))):
        for outer in steps("ab", str.upper):
            for inner in steps([1, 2], lambda one, outer=outer: f"{outer}{one}"):
                advance(inner - 1, 2)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert {0.0, 0.25, 0.375, 0.5, 0.75, 0.875, 1.0} == set(shares)
    assert [what for _, what in told if what] == ["A", "a1", "a2", "B", "b1", "b2"]


def test_nobody_listens_and_nothing_is_gathered():
    """Items are not drawn before their turn where nobody asks how many there are."""
    drawn = []
    for one in steps(drawn.append(at) or at for at in range(3)):
        assert drawn[-1] == one
    advance(1, 2)


def test_a_loop_left_in_the_middle_leaves_the_whole_as_it_was():
    told = []
    with listening(lambda done, what: told.append(done)):
        for outer in steps([1, 2]):
            for _ in steps([1, 2, 3, 4]):
                break
            if outer == 2:
                advance(1, 2)
    assert told[-2:] == [0.75, 1.0]


@pytest.fixture
def small(tmp_path):
    runs = sf.read_runs(RUNS)
    frame = runs.frame[(runs.frame["series"] == "base") & (runs.frame["step"] % 10 == 0)]
    sf.write_runs(frame, tmp_path / "small.csv", runs.metadata)
    return tmp_path


def on_a_terminal(*words, cwd, **environment):
    """Run with stderr a terminal and stdout a pipe, the bar shown at once; return both."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            more = os.read(ours, 1 << 16)
        except OSError:  # the terminal's last user is gone
            break
        if not more:
            break
        said += more
    out, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0, said
    return out.decode(), said.decode()


def test_a_bar_with_the_time_left_and_the_same_output(small):
    words = ["crossval", "small.csv", "--law", "saturating-linear"]
    out, said = on_a_terminal(*words, cwd=small)
    assert out == scalefit_process(*words, cwd=small).stdout
    assert "72B of base held out" in said
    assert re.search(r"\d+%", said)
    assert re.search(r"about \d+ s left", said)
    assert "\x1b[3" in said or "\x1b[9" in said, "colours"
    assert said.rstrip("\r\n").endswith(("\x1b[?25h", "\x1b[2K")), "taken away at the end, with the cursor back"


def test_no_color_is_heeded(small):
    _, said = on_a_terminal("crossval", "small.csv", "--law", "saturating-linear", cwd=small, NO_COLOR="1")
    assert "held out" in said
    assert not re.search(r"\x1b\[(3|4|9)\d", said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["figures", "small.csv"], "drawing: law of base"),
        (["compare", "small.csv", "--law", "saturating-linear"], "held out"),
        (["compare-recipes", PAPER / "runs.parquet", PAPER / "runs.parquet"], "base"),
        (["plan", "small.csv", "--flops", "2e19"], "base"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_takes_long_says_how_far_it_is(words, named, small):
    _, said = on_a_terminal(*words, cwd=small)
    assert named in said
    assert re.search(r"\d+%", said)


def test_import_of_a_log_says_how_far_it_is(tmp_path):
    log = Path(tmp_path / "log.jsonl")
    rows = (f'{{"step": {at}, "val-core/math/acc/mean@1": {0.1 + at / 1e5}}}\n' for at in range(20_000))
    log.write_text("".join(rows))
    facts = ["params=7B", "series=base", "prompts=64", "group_size=8", "flops=none", "eval_size=100"]
    given = [word for fact in facts for word in ("--set", fact)]
    out, said = on_a_terminal("import", "log.jsonl", *given, cwd=tmp_path)
    assert "20000 evaluations" in out
    assert re.search(r"reading.*\d+%", said)


def test_ctrl_c_takes_the_bar_away_and_shows_no_traceback(small):
    """The cursor, which the bar hides, is back, and the code is that of every interrupt."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, "compare", "small.csv"],
        cwd=small,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
        preexec_fn=listen_to_interrupts,
    )
    os.close(theirs)
    said = b""
    while b"held out" not in said:
        said += os.read(ours, 1 << 16)
    while (
        process.poll() is None
    ):  # Python loses a signal in a callback of its import system: who sees nothing presses again
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    while True:
        try:
            said += os.read(ours, 1 << 16)
        except OSError:
            break
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert (process.returncode, out) == (130, b"")
    assert b"stopped; nothing was left half-written" in said
    assert b"Traceback" not in said
    assert said.rindex(b"\x1b[?25h") > said.rindex(b"\x1b[?25l")
