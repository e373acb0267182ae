"""Tasks: right answers by another evaluator, pure draws, disjoint splits, and a test for each known trap."""

import json
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalefit.errors import UsageError
from scalefit.runner.choices import TASK_NAMES
from scalefit.runner.config import TaskConfig
from scalefit.runner.tasks import TASKS, make_task
from scalefit.runner.tasks.answers import as_integer, final_answer
from scalefit.runner.tasks.arithmetic import Arithmetic, Level
from scalefit.runner.tasks.gym import ReasoningGym
from scalefit.runner.tasks.judge import Judge
from scalefit.runner.tasks.problems import Problems
from scalefit.runner.tasks.task import Example, Score, distinct

FAMILIES = (
    "chain_sum",
    "gcd",
    "prime_factorization",
    "fraction_simplification",
    "complex_arithmetic",
    "base_conversion",
)
JUNK = (
    "",
    "junk",
    "((",
    "9" * 5000,
    "\x00",
    "The answer is",
    "\\frac{",
    "1/0",
    "\\boxed{",
    "\\boxed{\\boxed{}}",
    "é" * 50,
)


def test_names_are_the_registry():
    assert tuple(TASKS) == TASK_NAMES


@given(st.integers(0, 10**12), st.sampled_from(["train", "eval", "pretrain"]))
def test_arithmetic_agrees_with_python(index, split):
    task = Arithmetic()
    example = task.draw(split, index)
    assert task.draw(split, index) == example
    assert eval(example.prompt.rstrip("=")) == int(example.answer)
    assert set(example.prompt + example.answer) <= set(task.alphabet)
    assert task.score(example.answer, example) == Score(1.0, True)
    wrong = task.corrupt(example, index)
    assert task.score(wrong, example) == Score(0.0, True)


@pytest.mark.parametrize("text", [*JUNK, "7+5", "1e1", "12 12", "１２", "12.0", "+12", "12="])
def test_arithmetic_takes_nothing_but_an_integer(text):
    assert Arithmetic().score(text, Example("7+5=", "12", 0)) == Score(0.0, False)


def test_arithmetic_levels_are_checked():
    with pytest.raises(UsageError, match="level 0"):
        Arithmetic((Level((2,), ("+",)),))
    with pytest.raises(UsageError, match="modulus"):
        Arithmetic((Level((2, 2), ("+",), modulus=1),))


@pytest.mark.parametrize("task", [Arithmetic(), ReasoningGym(FAMILIES)], ids=lambda task: task.name)
def test_no_question_is_in_two_splits(task):
    held_out = {example.prompt for example in distinct(task, "eval", 300)}
    seen = {task.draw(split, index).prompt for split in ("train", "pretrain") for index in range(1500)}
    # Also from a stretch of indices that another seed uses.
    seen |= {task.draw("train", (1 << 32) + index).prompt for index in range(1500)}
    assert not seen & held_out


def test_reasoning_gym_seeds_share_questions():
    """The trap that splitting by seed falls into: seeds 1 and 2 give all but one of the same questions."""
    import reasoning_gym

    one, two = ({e["question"] for e in reasoning_gym.create_dataset("chain_sum", size=496, seed=s)} for s in (1, 2))
    assert len(one & two) > 480


def test_reasoning_gym_gives_no_partial_credit():
    """Its own scorer gives .1 to .5 for a sentence around the answer and raises on junk; here it is 0 or 1, always."""
    task = ReasoningGym(FAMILIES)
    for index in range(30):
        example = task.draw("train", index)
        assert task.score(example.answer, example) == Score(1.0, True)
        for junk in JUNK:
            assert task.score(junk, example).reward == 0.0
        assert task.score(f"The answer is not {example.answer} at all", example).reward == 0.0


def test_too_few_distinct_questions_are_counted():
    with pytest.raises(UsageError, match=r"gave \d+ distinct train problems"):
        distinct(ReasoningGym(("coin_flip",)), "train", 2000)


def test_unknown_family_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'chain_sum'"):
        ReasoningGym(("chain_sums",))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{1} or rather \boxed{2}", "2"),
        ("work\n#### 72", "72"),
        ("The answer is: 5\nbecause", "5"),
        ("5", "5"),
        (r"\boxed{3", r"\boxed{3"),
    ],
)
def test_final_answer(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,234", 1234), ("$-5.", -5), ("72.00", 72), ("7+5", None), ("1e5", None), ("1,23", None), ("", None)],
)
def test_as_integer(text, value):
    assert as_integer(text) == value


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"question": f"{n}?", "answer": f"steps\n#### {n}"} for n in range(50)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Problems(str(path))


def score(problems, gold, response):
    return problems.score(response, Example("q", gold, 0))


@pytest.mark.parametrize(
    ("gold", "response", "reward"),
    [
        ("12", r"\boxed{12}", 1),
        ("12", "7+5", 0),  # an expression is no answer, whatever it evaluates to
        ("1", "1e5", 0),  # read as 1 by math-verify
        (r"\frac{1}{2}", r"\boxed{\frac12}", 1),
        (r"\frac{1}{2}", "0.5", 1),
        (r"\frac{1}{2}", r"\dfrac{2}{4}", 1),
        (r"\frac{1}{2}", r"\frac{1}{3}", 0),
        (r"\frac{7}{12}", r"\frac{1}{3}+\frac{1}{4}", 0),  # the question echoed
        (r"\sqrt{2}", r"\sqrt{2}", 1),
        (r"\sqrt{2}", r"\boxed{\sqrt{3}} \boxed{\sqrt{2}}", 1),
        (r"\sqrt{2}", r"\boxed{\sqrt{2}} \boxed{\sqrt{3}}", 0),  # two boxes are no set of both
        ("0.5", "5e-1", 1),
        (r"x^2+1", "1+x^2", 1),
    ],
)
def test_problems_are_judged(problems, gold, response, reward):
    assert score(problems, gold, response).reward == reward


@pytest.mark.parametrize("junk", JUNK)
def test_junk_scores_nothing(problems, junk):
    assert score(problems, r"\frac{1}{2}", junk).reward == 0


def test_an_answer_that_takes_too_long_is_killed():
    judge = Judge(limit=1.0)
    assert judge.ask(kind="math", gold="1/2", answer="9^{9^{9^9}}") in (None, False)
    assert judge.ask(kind="math", gold="1/2", answer="0.5") is True
    # A scorer that hangs for certain: the process is stopped before it can answer.
    judge._process.send_signal(signal.SIGSTOP)
    assert judge.ask(kind="math", gold="1/2", answer="0.5") is None
    assert judge.killed >= 1
    assert judge.ask(kind="math", gold="1/2", answer="0.5") is True
    judge.close()


def test_judging_works_outside_the_main_thread_and_leaves_alarms_alone(problems):
    found = []
    signal.alarm(1000)
    try:
        thread = threading.Thread(target=lambda: found.append(score(problems, r"\frac{1}{2}", "0.5")))
        thread.start()
        thread.join()
        left = signal.alarm(0)
    finally:
        signal.alarm(0)
    assert found == [Score(1.0, True)]
    assert left > 900


def test_problem_files(tmp_path, problems):
    import pandas as pd

    assert problems.draw("train", 0).answer == as_text(problems.draw("train", 0).prompt)
    path = tmp_path / "guru.parquet"
    chat = [[{"role": "user", "content": "What is 1/2?"}]]
    pd.DataFrame({"prompt": chat, "reward_model": [{"ground_truth": r"\frac{1}{2}"}]}).to_parquet(path)
    assert Problems(str(path), str(path)).draw("eval", 3) == Example("What is 1/2?", r"\frac{1}{2}", 0.0)
    with pytest.raises(UsageError, match="no such file"):
        Problems("none.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(UsageError, match="needs prompt or question"):
        Problems(str(tmp_path / "bad.jsonl"))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="cannot be read"):
        Problems(str(tmp_path / "cut.parquet"))


def as_text(prompt):
    return prompt.rstrip("?")


def test_make_task_reads_the_configuration(problems):
    assert make_task(TaskConfig("problems", path=problems.path)) == problems
    assert make_task(TaskConfig()) == Arithmetic()
