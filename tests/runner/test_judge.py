"""The judge: what is not sent to it, what its processes may do, and what a kill costs."""

import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from scalefit.errors import ScalefitError
from scalefit.runner.scoring import score_groups
from scalefit.runner.tasks.bounds import beyond_bounds
from scalefit.runner.tasks.grade import WRONG, grade
from scalefit.runner.tasks.judge import Judge, Judges, judges
from scalefit.runner.tasks.task import Example, Score
from tests.runner.test_grading import refuse


@pytest.mark.parametrize(
    "text",
    [
        "10^{10^{10}}",
        "9^{9^{9^9}}",
        "99999999!",
        "(5!)!",
        "x^{x^{x^{x}}}",
        "(x+1)^{9999}",
        "2^{10^9}",
        "(2^{9999})^{9999}",
        r"\binom{10^9}{10^8}",
        r"\sum_{i=1}^{10^9} i",
        "(" * 30 + "x" + ")" * 30,
        "x+" * 200 + "x",
        r"\sqrt{" * 30 + "2" + "}" * 30,
        r"\int_0^1 x^x dx",
    ],
)
def test_what_cannot_be_evaluated_is_not_sent(text):
    assert beyond_bounds(text)
    for gold in (r"\sqrt{2}", "x^2+1"):
        assert not grade(gold, text, refuse).right


def test_an_answer_with_a_letter_of_its_own_is_not_sent():
    assert grade(r"\sqrt{2}", "(a+b+c+d+e+f)^{40}", refuse) == WRONG
    assert grade("5t", "5s", refuse) == WRONG


@pytest.mark.parametrize(
    "text",
    [
        r"\frac{2^{2005}+1}{3 \cdot 2^{2006}}",
        r"\frac{1}{2004!}",
        "x^{2023}",
        "e^{x^2}",
        "(x+1)^{10}",
        r"10^{100}",
        r"2^{\frac{1}{3}}",
        r"\sqrt{2+\sqrt{3}}",
    ],
)
def test_what_can_be_evaluated_is_sent(text):
    assert not beyond_bounds(text)


def test_an_answer_that_takes_too_long_is_killed_and_the_next_is_judged_at_once():
    judge = Judge(limit=0.3)
    assert judge.ask(kind="math", gold=r"\sqrt{2}", answer=r"\sqrt{3}") is False
    before = judge._process.pid
    # Past the bounds on purpose: this one multiplies out for minutes.
    assert judge.ask(kind="math", gold=r"\sqrt{2}", answer="(a+b+c+d+e+f)^{40}") is None
    assert judge.killed == 1
    assert judge.ask(kind="math", gold=r"\sqrt{2}", answer=r"\frac{2}{\sqrt{2}}") is True
    assert judge._process.pid == before, "the warm supervisor was not replaced"
    judge.close()


@pytest.mark.slow
def test_a_supervisor_that_sleeps_is_replaced():
    judge = Judge(limit=0.2)
    assert judge.ask(kind="math", gold=r"\sqrt{2}", answer=r"\sqrt{2}") is True
    judge._process.send_signal(signal.SIGSTOP)
    assert judge.ask(kind="math", gold=r"\sqrt{2}", answer=r"\sqrt{2}") is None
    assert judge.killed == 1
    assert judge.ask(kind="math", gold=r"\sqrt{2}", answer=r"\sqrt{2}") is True
    judge.close()


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_a_judge_has_no_environment_and_bounded_memory(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    judge = Judge()
    judge.ask(kind="math", gold="x", answer="y")
    (worker,) = children(judge._process.pid)
    for pid in (judge._process.pid, worker):
        named = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"SECRET" not in named
        assert {pair.split(b"=")[0] for pair in named.split(b"\0") if pair} <= {b"PATH", b"LANG", b"LD_LIBRARY_PATH"}
    limits = Path(f"/proc/{worker}/limits").read_text()
    assert f"Max address space         {2 << 30}" in limits
    assert "Max file size             0 " in limits
    interfaces = Path(f"/proc/{worker}/net/dev").read_text().splitlines()[2:]
    reachable = any(not line.strip().startswith("lo:") for line in interfaces)
    assert judge.network or not reachable
    judge.close()
    while Path(f"/proc/{worker}/cmdline").exists() and Path(f"/proc/{worker}/cmdline").read_bytes():
        time.sleep(0.05)  # it ends with the supervisor; a relapse is a test that hangs


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {})",
        "\\text{{__import__('os').system('touch {}')}}",
        "exec(open('{}','w'))",
        "lambda: open('{}','w')",
        "\\operatorname{{open('{}','w')}}",
        "sympify(\"open('{}','w')\")",
        "x.__class__",
    ],
)
def test_no_answer_is_run(judge, tmp_path, text):
    mark = tmp_path / "mark"
    hostile = text.replace("{}", str(mark)).replace("{{", "{").replace("}}", "}")
    for gold in (r"\sqrt{2}", hostile, "5"):
        grade(gold, hostile, lambda gold, answer: judge.ask(kind="math", gold=gold, answer=answer))
        judge.ask(kind="math", gold=gold, answer=hostile)
    assert not mark.exists()
    assert judge.ask(kind="math", gold="x+1", answer="1+x") is True


def test_judging_works_outside_the_main_thread_and_leaves_alarms_alone(problems):
    found = []
    signal.alarm(1000)
    try:
        example = Example("q", r"\sqrt{2}", 0)
        thread = threading.Thread(target=lambda: found.append(problems.score(r"\frac{2}{\sqrt2}", example)))
        thread.start()
        thread.join()
        left = signal.alarm(0)
    finally:
        signal.alarm(0)
    assert found == [Score(1.0, True, 1.0)]
    assert left > 900


def test_a_pool_judges_several_at_once_and_keeps_the_order(problems):
    alone = [[problems.score(text, Example("q", r"3\sqrt{2}", 0)) for text in group] for group in ANSWERS]
    judges().widen(2)
    examples = [Example("q", r"3\sqrt{2}", 0)] * len(ANSWERS)
    assert score_groups(problems, examples, ANSWERS) == alone
    assert [score.reward for group in alone for score in group] == [1, 0, 1, 0, 0, 1]
    assert sum(judge._process is not None for judge in judges().pool) == 2


ANSWERS = [[r"\sqrt{18}", r"\sqrt{17}"], [r"\frac{6}{\sqrt{2}}", "4.24"], [r"2\sqrt{3}", r"\sqrt{2}\cdot 3"]]


def test_pools_only_grow():
    pool = Judges(2)
    pool.widen(1)
    assert pool.width == 2
    pool.close()


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path])
    with pytest.raises(ScalefitError, match=r"needs math-verify .* pip install .*\[runner\]'"):
        Judge().ask(kind="math", gold="x", answer="x")
