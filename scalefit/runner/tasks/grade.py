r"""Whether an answer is the gold answer: choices, words, bases and numbers by themselves, all else by math-verify.

An answer is taken apart into values (`shapes`), values that are written out are compared exactly (`literals`), and the
others go to the judge, where math-verify decides first and the rule about forms and the exact comparison may refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from scalefit.runner.tasks.answers import LONGEST
from scalefit.runner.tasks.bounds import beyond_bounds
from scalefit.runner.tasks.dress import Bare, bare
from scalefit.runner.tasks.forms import unfinished
from scalefit.runner.tasks.literals import number, same_number
from scalefit.runner.tasks.shapes import Shape, is_equation, is_relation, shape, unnamed

Asked = Callable[[str, str], bool | None]
"""What judges two expressions, gold first: right, wrong, or no verdict."""
MOST_VALUES = 24
_CHOICE = re.compile(r"\(?([A-J])\)?")
_LABEL = re.compile(r"(?:(?:option|choice)\s+)?(?:\(([A-Ja-j])\)|([A-Ja-j])(?=$|[).:]))[).:]?\s*(.*)", re.DOTALL)
_ANOTHER_LABEL = re.compile(r"(?:\band\b|\bor\b|[,/&])\s*\(?[A-J]\b")
_LABELLED = re.compile(r"^\(?(?:\\text\{\s*)?\(?[A-J]\)\s*\}?\s*(?=[-+\d\\.(])")
_BASE = re.compile(r"([0-9A-Za-z]+)\s*(?:_\s*\{?\s*\(?\s*|\s+base\s+)(\d{1,2}|two|three|eight|sixteen)\s*\)?\s*\}?")
_WORD = re.compile(r"[A-Za-z]{2,}")
_SHORT_WORDS = frozenset("yes no true false odd even none all red blue".split())


@dataclass(frozen=True)
class Verdict:
    """Whether the answer is right, and whether it could be read at all."""

    right: bool
    read: bool


WRONG, UNREAD = Verdict(False, True), Verdict(False, False)


def grade(gold: str, answer: str, ask: Asked) -> Verdict:
    """Judge an answer.

    Parameters
    ----------
    gold, answer : str
        The right answer and the one given, in whatever dress.
    ask : callable
        What judges two expressions that are no numbers written out.
    """
    if not answer or len(answer) > LONGEST:
        return UNREAD
    wanted, given = bare(gold), bare(answer)
    if given is None or not given.plain:
        return UNREAD
    if wanted is None:
        wanted = Bare(gold, gold)
    choice = _CHOICE.fullmatch(wanted.plain)
    if choice:
        return _same_choice(choice[1], given.plain)
    if _is_words(wanted):
        return Verdict(_folded(wanted.plain) == _folded(given.plain), len(given.plain.split()) <= 12)
    if _is_prose(given.plain):
        return UNREAD
    if _BASE.fullmatch(wanted.plain) or _BASE.fullmatch(given.plain):
        return Verdict(_in_base(wanted.plain) == _in_base(given.plain), True)
    if _squeezed(wanted.math) == _squeezed(given.math) and wanted.percent == given.percent:
        return Verdict(True, True)
    given = Bare(_LABELLED.sub("", given.math), given.plain, given.percent)
    gold_shape = shape(wanted.math, asked=True)
    right = _same(gold_shape, shape(given.math), _Question(wanted, given, ask))
    if not right and is_equation(wanted.math) and is_equation(given.math) and number(gold_shape.text) is None:
        right = _same_equation(wanted.math, given.math, ask)
    return UNREAD if right is None else Verdict(right, True)


@dataclass(frozen=True)
class _Question:
    gold: Bare
    answer: Bare
    ask: Asked


def _same(gold: Shape, answer: Shape, question: _Question) -> bool | None:
    """Compare two shapes value by value; None where they could not be judged."""
    if gold.kind == "set" and len(gold.parts) == 1:
        gold = gold.parts[0]
    if answer.kind == "set" and len(answer.parts) == 1:
        answer = answer.parts[0]
    if (gold.kind, answer.kind) == ("value", "value"):
        if _names_apart(gold.names, answer.names):
            return False
        return _same_value(gold.text, answer.text, question)
    if gold.kind != answer.kind or gold.ends != answer.ends or len(gold.parts) != len(answer.parts):
        return False
    if len(gold.parts) > MOST_VALUES:
        return None
    if gold.kind != "set":
        return _all(_same(one, other, question) for one, other in zip(gold.parts, answer.parts, strict=True))
    left = list(answer.parts)
    for one in gold.parts:
        partner = next((other for other in left if _same(one, other, question)), None)
        if partner is None:
            return False
        left.remove(partner)
    return True


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """Say whether all are right; a wrong one decides, else one without verdict."""
    unknown = False
    for verdict in verdicts:
        if verdict is False:
            return False
        unknown = unknown or verdict is None
    return None if unknown else True


def _same_value(gold: str, answer: str, question: _Question) -> bool | None:
    """Compare two values: exactly where both are written out, else by the judge."""
    wanted = number(gold)
    if wanted is not None:
        given = number(answer, worked_out=True)
        return given is not None and _same_amount(wanted, given, answer, question)
    if _squeezed(gold) == _squeezed(answer):
        return True
    if ":" in gold or ":" in answer:
        return _same_ratio(gold, answer)
    if is_equation(gold) or is_equation(answer):
        return None if is_equation(gold) and is_equation(answer) else False
    if is_relation(answer) != is_relation(gold):
        return False
    if "infty" in gold or "infty" in answer:
        return False
    if unfinished(answer) - unfinished(gold) or _letters(answer) - _letters(gold):
        return False
    if beyond_bounds(answer) or beyond_bounds(gold):
        return None
    return question.ask(gold, answer)


def _same_amount(wanted: Fraction, given: Fraction, answer: str, question: _Question) -> bool:
    """Compare numbers; a percent sign may be left out or be added to a number above one, or mean hundredths."""
    gold_percent, percent = question.gold.percent, question.answer.percent
    if gold_percent == percent or (gold_percent and not percent) or abs(wanted) > 1:
        if same_number(wanted, given, answer):
            return True
    if gold_percent == percent:
        return False
    return wanted == given * 100 if gold_percent else wanted * 100 == given


def _same_equation(gold: str, answer: str, ask: Asked) -> bool | None:
    """Let the judge compare two equations as a whole."""
    if beyond_bounds(answer) or beyond_bounds(gold) or unfinished(answer) - unfinished(gold):
        return None
    return ask(gold, answer)


def _names_apart(gold: str, answer: str) -> bool:
    """Say whether both name a variable, and another one."""
    return len(gold) == len(answer) == 1 and gold.lower() != answer.lower()


def _same_choice(letter: str, answer: str) -> Verdict:
    label = _LABEL.fullmatch(answer)
    if not label or _ANOTHER_LABEL.match(label[3]) or _ANOTHER_LABEL.search(f",{label[3]}"):
        return Verdict(False, not _is_prose(answer))
    return Verdict((label[1] or label[2]).upper() == letter, True)


def _is_words(gold: Bare) -> bool:
    """Say whether a gold answer is text and no mathematics."""
    if (
        r"\text{" in gold.math
        and not re.search(r"\d", gold.math)
        and not re.sub(r"\\text\{[^{}]*\}", "", gold.math).strip()
    ):
        return True
    if not re.fullmatch(r"[A-Za-z][A-Za-z\s.,'&-]*", gold.math):
        return False
    words = re.findall(r"[A-Za-z]+", gold.math)
    return any(
        len(word) >= 4 or word.lower() in _SHORT_WORDS or re.fullmatch(r"[A-Z][a-z]+|[A-Z]{2,}", word) for word in words
    )


def _is_prose(plain: str) -> bool:
    """Say whether an answer is a sentence: several words that are neither commands nor what is counted after a number."""
    words = _WORD.findall(re.sub(r"\\[a-zA-Z]+(?:\{(?:[pbvBV]?matrix|array)\})?", " ", plain))
    return len([word for word in words if word.lower() not in ("and", "or")]) > (
        3 if re.match(r"[-+$]?[\d.\\]", plain) else 2
    )


def _folded(plain: str) -> str:
    """Return words without case, punctuation and article; capitals alone, as names of points, keep their case."""
    text = re.sub(r"[.!\"']", "", plain).strip()
    text = re.sub(r"\s+", " ", re.sub(r"\s*,\s*", ", ", text))
    return text if text.isupper() else re.sub(r"^(?:the|a|an)\s+", "", text.casefold())


def _in_base(plain: str) -> tuple[str, str] | None:
    plain = unnamed(plain)[0]
    match = _BASE.fullmatch(plain)
    if not match:
        return None
    base = {"two": "2", "three": "3", "eight": "8", "sixteen": "16"}.get(match[2], match[2])
    return match[1].upper().lstrip("0"), base


def _same_ratio(gold: str, answer: str) -> bool:
    """Compare ratios and times of day, part by part."""
    sides = [[number(part) for part in text.split(":")] for text in (gold, answer)]
    return None not in sides[0] and sides[0] == sides[1]


def _letters(text: str) -> set[str]:
    """Return the letters that stand for numbers; an answer with a letter that the gold answer lacks is another one."""
    return set(re.sub(r"\\text\{[^{}]*\}|\\[a-zA-Z]+", " ", text).lower()) & set("abcdfghjklmnopqrstuvwxyz")


def _squeezed(text: str) -> str:
    return re.sub(r"\s+|\\text\{\s*\}", "", text)
