"""Answers: what is read, what is right, what is left to be worked out, and what judging may cost."""

import json
import signal
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalefit.errors import UsageError
from scalefit.runner.config import Config, PolicyConfig, SizeConfig, TaskConfig
from scalefit.runner.config_check import check
from scalefit.runner.policies.policy import chat_turns, plain_text
from scalefit.runner.scoring import flexible_loss, score_groups
from scalefit.runner.tasks.answers import final_answer, last_number
from scalefit.runner.tasks.bounds import beyond_bounds
from scalefit.runner.tasks.dress import bare
from scalefit.runner.tasks.forms import unfinished
from scalefit.runner.tasks.grade import UNREAD, WRONG, Verdict, grade
from scalefit.runner.tasks.judge import Judge, Judges, judges
from scalefit.runner.tasks.literals import number
from scalefit.runner.tasks.problems import Problems
from scalefit.runner.tasks.shapes import shape
from scalefit.runner.tasks.task import Example, Score
from tests.runner.conftest import run
from tests.runner.grading_table import HELD_OUT, bare_math_verify, cases, count, measured, on_page, ours
from tests.runner.test_hf import make_llama

RIGHT = Verdict(True, True)


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    path = tmp_path_factory.mktemp("problems") / "problems.jsonl"
    path.write_text("".join(json.dumps({"question": f"{n}?", "answer": n}) + "\n" for n in range(50)))
    return Problems(str(path))


@pytest.fixture(scope="module")
def judge():
    one = Judge()
    yield one
    one.close()


def refuse(gold, answer):
    """A judge that must not be needed."""
    raise AssertionError(f"{answer!r} was sent to the judge for {gold!r}")


# How often it goes wrong


def test_reach_on_the_cases(problems):
    """At most 2 % of right answers are refused and no wrong one is accepted, on at least 250 cases."""
    found = count(cases(), [ours(problems)])["all"]
    right, refused, wrong, accepted = found
    assert right + wrong >= 250
    assert refused <= 0.02 * right
    assert accepted == 0


def test_reach_on_the_held_out_cases(problems):
    right, refused, _, accepted = count(cases(HELD_OUT), [ours(problems)])["all"]
    assert refused <= 0.02 * right
    assert accepted == 0


def test_the_page_says_what_is_measured(problems):
    assert on_page() == measured(problems), "python -m tests.runner.grading_table writes the table anew"


def test_math_verify_by_itself_has_the_known_faults():
    """What the guards are for: https://github.com/huggingface/Math-Verify/issues/14. Where it is mended, the guard may go."""
    assert bare_math_verify(r"\frac{1}{2^{99}}", r"$\frac{1}{2^{98}}$")
    assert bare_math_verify(r"\frac{1}{2004!}", r"$\frac{1}{2006!}$")


# Reading


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{1} or rather \boxed{2}", "2"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed {5}", "5"),
        (r"so \boxed 5.", "5"),
        ("work\n#### 72", "72"),
        ("The answer is: 5\nbecause", "5"),
        ("The answer is 3.5. I hope it is correct.", "3.5"),
        ("**Answer:** 73", "73"),
        ("### Answer\n73", "73"),
        ("The answer is\n\\[\n42\n\\]\nas asked", "42"),
        ("<answer>7</answer>", "7"),
        (r"\boxed{5}. I hope the final answer is correct.", "5"),
        (r"\boxed{5} wait, the final answer is 6.", "6"),
        (r"<think>\boxed{4}</think> \boxed{5}", "5"),
        (r"<think>\boxed{4}", ""),
        (r"\boxed{5}<|im_end|> \boxed{6}", "5"),
        (r"\boxed{}", ""),
        ("5", "5"),
        (r"\boxed{3", r"\boxed{3"),
    ],
)
def test_final_answer(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3+4 = 7 apples", "7"),
        ("1,234.50 dollars", "1,234.50"),
        ("from 5 to -2", "-2"),
        ("none", ""),
        ("5<|im_end|>6", "5"),
        ("x2", ""),
    ],
)
def test_last_number(text, found):
    assert last_number(text) == found


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_reading_never_raises(text):
    for rule in (final_answer, last_number, bare, beyond_bounds, shape, unfinished, number):
        rule(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "\\boxed{",
                "}",
                "{",
                "$",
                "#### ",
                "answer is ",
                "\n",
                "5",
                "\\frac",
                "<think>",
                "^",
                ",",
                "(",
                "=",
                "\\pm",
                "!",
            ]
        ),
        max_size=30,
    )
)
@settings(max_examples=300, deadline=None)
def test_grading_never_raises(parts):
    text = "".join(parts)
    for gold in ("5", r"\sqrt{2}", "(1,2)", r"\text{Tuesday}", "y=2x", text):
        assert isinstance(grade(gold, final_answer(text), lambda gold, answer: None), Verdict)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 45 + "^=5",
        "a b " * 200 + "^=5",
        r"\boxed{" * 20000,
        "<answer>" * 20000,
        "the answer is " * 20000,
        "answer of " + "x " * 50000,
        "1,22" * 240,
        r"5\text{ a}" * 100 + "x",
        "x_" * 300 + "=5",
        "m+" * 480 + "n=6",
        r"\frac{1}" * 120,
        "7 " + "cm" * 490,
        "answer is \\[" + "x" * 100000,
    ],
    ids=lambda text: text[:12],
)
def test_reading_of_hostile_text_ends(text):
    """Each of these took minutes with a pattern that looks back; there is no clock here, a relapse is a test that hangs."""
    answer = final_answer(text)
    last_number(text)
    for gold in ("5", r"\sqrt{2}", "A", r"\text{Tuesday}"):
        assert not grade(gold, answer, lambda gold, answer: None).right


DRESSES = (
    "{}",
    "${}$",
    r"\({}\)",
    "**{}**",
    "{}.",
    "x = {}",
    r"\text{{{}}}",
    r"{}\text{{ cm}}",
    r"\left({}\right)",
    r"{{{}}}",
    "{} apples",
    r"{}^\circ",
    r"\${}",
    "**${}$**",
    "{}.000",
)


@given(st.integers(-(10**12), 10**12), st.sampled_from(DRESSES), st.sampled_from(DRESSES[:6]), st.integers(-3, 3))
@settings(max_examples=300, deadline=None)
def test_an_integer_is_right_in_every_dress_and_no_other_one_is(value, dress, gold_dress, off):
    """Both the expected value and the answer go through one normalisation, and no judge is asked."""
    gold = gold_dress.format(value)
    assert grade(gold, dress.format(value + off), refuse).right == (off == 0)


@given(st.integers(1, 999), st.integers(2, 999), st.integers(2, 9), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_fraction_is_right_in_every_form(up, down, factor, negative):
    value = Fraction(-up if negative else up, down)
    gold = f"{'-' if negative else ''}\\frac{{{up}}}{{{down}}}"
    forms = [rf"\dfrac{{{value.numerator * factor}}}{{{value.denominator * factor}}}"]
    forms += [f"{value.numerator}/{value.denominator}", rf"x = \frac{{{-value.numerator}}}{{{-value.denominator}}}"]
    whole, rest = divmod(abs(value), 1)
    if whole and rest:
        forms.append(rf"{'-' if negative else ''}{whole}\frac{{{rest.numerator}}}{{{rest.denominator}}}")
    for form in forms:
        if value.denominator > 1:
            assert grade(gold, form, refuse) == RIGHT, form
    wrong = value + Fraction(1, 1000 * down)
    assert grade(gold, f"{wrong.numerator}/{wrong.denominator}", refuse) == WRONG


@given(st.integers(-400, 400), st.integers(-400, 400), st.integers(1, 9))
def test_size_is_compared_relatively(power, other, digit):
    gold = rf"{digit}\times10^{{{power}}}"
    assert grade(gold, rf"{digit} \cdot 10^{{{other}}}", refuse).right == (power == other)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234", 1234),
        ("-5", -5),
        ("72.00", 72),
        ("1e5", 100000),
        ("10^{-2}", Fraction(1, 100)),
        ("2 1/2", Fraction(5, 2)),
        (r"0.\overline{12}", Fraction(4, 33)),
        ("2.5 million", 2500000),
        ("7+5", None),
        ("1,23", None),
        ("", None),
        ("1/0", None),
        ("5x", None),
        ("5 and a half", None),
        ("12 dozen", None),
        (r"\frac{1}{2} hour", Fraction(1, 2)),
    ],
)
def test_number(text, value):
    assert number(text) == value


def test_a_whole_quotient_is_left_to_be_worked_out():
    assert number("24/2") == 12
    assert number("24/2", worked_out=True) is None
    assert number("2/4", worked_out=True) == Fraction(1, 2)


# Forms


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\frac{\pi}{2}", r"\pi/2"),
        (r"3\sqrt{2}", r"\sqrt{18}"),
        ("x^2-1", "(x-1)(x+1)"),
        ("x(x+1)", "x^2+x"),
        (r"2+\sqrt3", r"\sqrt{3}+2"),
        ("2^{99}", r"2^{99}"),
        (r"2^{10}\pi", r"4^5\pi"),
        (r"\frac{1+\sqrt5}{2}", r"\frac12+\frac{\sqrt5}{2}"),
        (r"\ln 9", r"2\ln 3"),
        (r"\sqrt{1/n}", r"\frac{1}{\sqrt{n}}"),
        ("-2i", r"\frac{2}{i}"),
        (r"6\cdot 10^{23}\pi", r"6 \times 10^{23}\pi"),
    ],
)
def test_forms_that_are_values(judge, gold, answer):
    assert grade(gold, answer, lambda gold, answer: judge.ask(kind="math", gold=gold, answer=answer)) == RIGHT


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"12\pi", r"7\pi+5\pi"),
        (r"6\sqrt3", r"2\cdot3\sqrt3"),
        (r"25\pi", r"5^2\pi"),
        ("5x", "2x+3x"),
        (r"\sqrt{13}", r"\sqrt{4+9}"),
        (r"6\pi", r"3!\pi"),
        (r"10\pi", r"\binom52\pi"),
        (r"3\pi", r"\log_2 8\pi"),
        (r"12\pi", r"24\div2\pi"),
        (r"4\pi", r"\sqrt{16}\pi"),
        (r"\sqrt2", r"\sqrt2+0"),
    ],
)
def test_forms_that_are_left_to_be_worked_out(judge, gold, answer):
    assert not grade(gold, answer, lambda gold, answer: judge.ask(kind="math", gold=gold, answer=answer)).right


@pytest.mark.parametrize(
    "answer", ["7+5", "2*6", r"3\cdot4", "24/2", "12!", r"\sqrt{144}", "12^1", "|12|", r"\frac{24}{2}"]
)
def test_an_expression_is_no_integer(answer):
    assert not grade("12", answer, refuse).right


# The judge


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


# Strict and flexible


def test_both_extractions_are_counted(problems):
    flexible = Problems(problems.path, extraction="flexible")
    example = Example("q", "7", 0)
    for response, strict, lax in (
        (r"so \boxed{7}", Score(1, True, 1), 1),
        ("We add and find 3+4 = 7 apples in the bowl", Score(0, False, 1), 1),
        ("We add and find 3+4 = 8 apples in the bowl", Score(0, False, 0), 0),
        (r"7, no, \boxed{8}", Score(0, True, 0), 0),
    ):
        assert problems.score(response, example) == strict
        assert flexible.score(response, example) == Score(lax, strict.parsed, strict.flexible)


def test_flexible_loss():
    assert flexible_loss([Score(0, False, 1.0), Score(1, True, 1.0), Score(0, True, 0.0), Score(0, True, 0.0)]) == 0.5
    assert flexible_loss([Score(0, False), Score(1, True)]) is None, "tasks without the rule have no column"
    assert flexible_loss([]) is None


def test_extraction_is_checked():
    sizes = (SizeConfig("tiny", model="somewhere"),)
    with pytest.raises(UsageError, match="did you mean 'flexible'"):
        check(Config(TaskConfig("problems", path="p.jsonl", extraction="flexibel"), PolicyConfig("hf", sizes=sizes)))
    with pytest.raises(UsageError, match="extraction is for the task 'problems'"):
        check(Config(TaskConfig(extraction="flexible"), PolicyConfig(sizes=(SizeConfig("tiny", 16, 1, 1),))))


def test_digests_of_other_tasks_are_as_they_were():
    """From the commit before extraction was added; what reads free text gives other rows and has another digest."""
    nano = PolicyConfig(sizes=(SizeConfig("a", 16, 1, 1),))
    assert Config(policy=nano).digest() == NANO_DIGEST
    assert Config(TaskConfig("logic"), nano).digest() == LOGIC_DIGEST
    strict, flexible = (Config(TaskConfig("problems", path="p", extraction=one)) for one in ("strict", "flexible"))
    assert strict.digest() == Config(TaskConfig("problems", path="p")).digest() != flexible.digest()


NANO_DIGEST, LOGIC_DIGEST = "cec1955ebf3105008c10586a", "3719976c67e0f4d463cb9eec"


# Files of problems


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_rows_come_through_as_they_are(tmp_path):
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
    ]
    rows = [
        {"question": "a", "answer": 3, "difficulty": "Level 3"},
        {"question": "b", "answer": ["5"], "difficulty": 2},
        {"question": "c", "answer": "1e400", "difficulty": "4.5"},
        {"question": "d", "answer": 0.10, "difficulty": 1.0},
        {"question": "e", "answer": 123456789012345678901234567890, "difficulty": "lvl 5"},
        {"question": chat, "answer": "2", "difficulty": 0},
    ]
    path = write(tmp_path / "p.jsonl", *rows)
    found = [Problems(path, path).draw("eval", at) for at in range(len(rows))]
    assert [one.answer for one in found] == ["3", "5", "1e400", "0.1", "123456789012345678901234567890", "2"]
    assert [one.difficulty for one in found] == [3, 2, 4.5, 1, 5, 0]
    assert found[0].shown == "a"
    assert found[5].shown == tuple((turn["role"], turn["content"]) for turn in chat)
    assert found[5].prompt == "Be brief.\nOne?\n1\nTwo?"


def test_parquet_integers_stay_integers_beside_a_null(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"question": ["a", "b"], "answer": [3, 4]}), path)
    assert Problems(str(path), str(path)).draw("eval", 0).answer == "3"
    pq.write_table(pa.table({"question": ["a", "b"], "answer": [3, None]}), path)
    from scalefit.runner.tasks.problem_files import load

    load.cache_clear()
    with pytest.raises(UsageError, match=r"1 of 2 rows.*\n  row 2: the answer is missing"):
        Problems(str(path))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"answer": None}, "the answer is missing"),
        ({"answer": ""}, "the answer is empty"),
        ({"answer": ["1", "2"]}, 'join values that are all asked for in one text, such as "1, 2"'),
        ({"answer": True}, "neither text nor a number"),
        ({"answer": {"ground_truth": None}}, "the answer is missing"),
        ({"question": None}, "neither text nor a list of messages"),
        ({"question": " "}, "the prompt is empty"),
        ({"question": [{"role": "tool", "content": "x"}]}, "give each a role"),
        ({"question": [{"role": "user", "content": None}]}, "give each a role"),
        (
            {"question": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
            "an answer follows the user",
        ),
        ({"difficulty": "hard"}, "the difficulty is"),
        ({"difficulty": None}, "the difficulty is null"),
    ],
)
def test_rows_that_are_no_problems_are_named(tmp_path, row, reason):
    whole = {"question": "q", "answer": "1", "difficulty": 1}
    path = write(tmp_path / "p.jsonl", whole, {**whole, **row}, whole)
    with pytest.raises(UsageError, match="row 2: ") as told:
        Problems(path)
    assert reason in str(told.value)
    assert "1 of 3 rows" in str(told.value)


CONFIG = """
[task]
name = "problems"
path = "p.jsonl"
eval_path = "p.jsonl"
order = "shuffled"
extraction = "{extraction}"
[policy]
kind = "hf"
[[policy.sizes]]
name = "tiny"
model = "llama"
[grpo]
steps = 1
prompts = 2
mini_batch = 2
max_new_tokens = 3
kl = 0.0
[eval]
every = 1
problems = 40
samples = 4
temperature = 1.0
[sweep]
group_size = [2]
reuse = [1]
"""


def test_a_faulty_file_is_told_without_a_traceback(tmp_path):
    write(tmp_path / "p.jsonl", {"question": "q", "answer": None})
    (tmp_path / "c.toml").write_text(CONFIG.format(extraction="strict"))
    found = run("c.toml", "--out", "runs.parquet", cwd=tmp_path)
    assert found.returncode == 1
    assert "row 1: the answer is missing" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("extraction", ["strict", "flexible"])
def test_the_table_counts_both_extractions(tmp_path, extraction):
    """A model of random weights writes three characters of digits and signs: now and then one rule reads what the other does not."""
    import pandas as pd

    make_llama(tmp_path / "llama", 32)
    train = write(tmp_path / "t.jsonl", *({"question": f"{n}-{n}=", "answer": 0} for n in range(8)))
    write(tmp_path / "p.jsonl", *({"question": f"{n}+1=", "answer": n % 10} for n in range(40)))
    text = CONFIG.format(extraction=extraction).replace('path = "p.jsonl"', f'path = "{train}"', 1)
    (tmp_path / "c.toml").write_text(text)
    found = run("c.toml", "--out", "runs.parquet", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    frame = pd.read_parquet(tmp_path / "runs.parquet")
    assert len(frame) == 2
    assert frame.unparsed.between(0.01, 0.99).all()
    if extraction == "flexible":
        assert (frame.flexible_loss == frame.loss).all()
    else:
        assert (frame.flexible_loss < frame.loss).all()


def test_roles_reach_the_chat_template():
    turns = (("system", "Be brief."), ("user", "Two?"))
    assert chat_turns(turns, "Box it.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Two?\nBox it."},
    ]
    assert chat_turns("Two?", "") == [{"role": "user", "content": "Two?"}]
    assert plain_text(turns) == "Be brief.\nTwo?"


def test_unread_is_not_wrong():
    assert grade("5", "I do not know the answer", refuse) == UNREAD
    assert grade("5", "", refuse) == UNREAD
    assert grade("5", "6", refuse) == WRONG
