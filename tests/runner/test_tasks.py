"""Tasks: right answers by another evaluator, pure draws, disjoint splits, and a test for each known trap."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalefit.errors import UsageError
from scalefit.runner.tasks.arithmetic import Arithmetic, ArithmeticConfig, Level
from scalefit.runner.tasks.gym import ReasoningGym
from scalefit.runner.tasks.problems import Problems, ProblemsConfig
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


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"question": f"{n}?", "answer": f"steps\n#### {n}"} for n in range(50)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Problems(str(path))


@pytest.mark.parametrize("junk", JUNK)
def test_junk_scores_nothing(problems, junk):
    assert problems.score(junk, Example("q", r"\frac{1}{2}", 0)).reward == 0


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


def test_a_section_makes_its_task(problems):
    assert ProblemsConfig("problems", path=problems.path).make() == problems
    assert ArithmeticConfig().make() == Arithmetic()
