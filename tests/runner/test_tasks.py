"""Tasks: right answers by another evaluator, pure draws, disjoint splits, and a test for each known trap."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalefit.errors import ScalefitError, UsageError
from scalefit.runner.config import Config, EvalConfig, GrpoConfig, PolicyConfig, SizeConfig
from scalefit.runner.config_check import check
from scalefit.runner.tasks.arithmetic import Arithmetic, ArithmeticConfig, Level
from scalefit.runner.tasks.gym import GymConfig, ReasoningGym
from scalefit.runner.tasks.problems import Problems, ProblemsConfig
from scalefit.runner.tasks.task import Example, Score, distinct
from scalefit.runner.trial import _require_readable, try_tasks

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


def test_the_hint_names_the_section_of_each_key():
    for split, words in (
        ("train", r"Raise \[sweep\] reuse, lower \[grpo\] steps or prompts"),
        ("eval", r"Lower \[eval\] problems"),
    ):
        with pytest.raises(UsageError, match=words):
            distinct(Arithmetic((Level((1, 1), ("+",)),)), split, 200)


def gym(*families, **changes):
    size = SizeConfig("tiny", 16, 1, 1)
    return replace(Config(GymConfig("reasoning-gym", families=families), PolicyConfig(sizes=(size,))), **changes)


def test_a_wrong_family_is_found_with_the_other_faults():
    with pytest.raises(UsageError, match=r"2 faults(.|\n)*no family 'chain_sums'; did you mean 'chain_sum'"):
        check(gym("chain_sums", grpo=GrpoConfig(mini_batch=7)))
    with pytest.raises(UsageError, match=r"\[task\] families is missing"):
        check(gym())
    check(gym("chain_sum"))
    with pytest.raises(UsageError, match=r"'word_ladder' cannot be drawn from without end \(Dataset size too large"):
        check(gym("word_ladder"))


def test_what_nano_models_cannot_read_of_a_family_is_told_before_they_are_made():
    """Its boards have more than 512 characters, or signs that are no ASCII."""
    small = EvalConfig(problems=4)
    with pytest.raises(
        ScalefitError, match=r"reasoning-gym: a (prompt|text) of \d+ characters \(n_queens/\d+\).*leave its family out"
    ):
        try_tasks(gym("n_queens", eval=small))
    strange = Example("Zoë?", "1", 0, source="names/7")
    with pytest.raises(
        UsageError, match=r"the prompt 'Zoë\?' \(names/7\) has 'ë', .* use \[policy\] kind = 'hf', leave its family out"
    ):
        _require_readable(ReasoningGym(("chain_sum",)), strange, 8)
    try_tasks(gym("chain_sum", eval=small))


@pytest.mark.parametrize(
    ("prompt", "words"),
    [("x" * 600, "a prompt of 600 characters; nano models read 512"), ("7ë", "'ë' in the text '7ë' is not in")],
)
def test_a_nano_policy_tells_what_it_cannot_read(prompt, words):
    torch = pytest.importorskip("torch")
    from scalefit.runner.policies.nano import NanoShape
    from scalefit.runner.policies.nano_policy import NanoPolicy

    policy = NanoPolicy(NanoShape("tiny", 16, 1, 1), "x7", torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match=words):
        policy.sample([prompt], 2, max_new_tokens=4, temperature=1.0, generator=torch.Generator())


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
