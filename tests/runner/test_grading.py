"""Answers: what is read, what is right, what is left to be worked out, and what judging may cost."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalefit.runner.tasks.answers import final_answer, last_number
from scalefit.runner.tasks.bounds import beyond_bounds
from scalefit.runner.tasks.dress import bare
from scalefit.runner.tasks.forms import unfinished
from scalefit.runner.tasks.grade import UNREAD, WRONG, Verdict, grade
from scalefit.runner.tasks.literals import number
from scalefit.runner.tasks.shapes import shape
from tests.runner.grading_table import HELD_OUT, bare_math_verify, cases, count, measured, on_page, ours

RIGHT = Verdict(True, True)


def refuse(gold, answer):
    """A judge that must not be needed."""
    raise AssertionError(f"{answer!r} was sent to the judge for {gold!r}")


# How often it goes wrong


@pytest.mark.slow
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


@pytest.mark.slow
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
@pytest.mark.slow
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


def test_unread_is_not_wrong():
    assert grade("5", "I do not know the answer", refuse) == UNREAD
    assert grade("5", "", refuse) == UNREAD
    assert grade("5", "6", refuse) == WRONG
