"""Numbers that are written out: integers, decimals, fractions, mixed numbers, powers of ten, each to its exact value."""

from __future__ import annotations

import re
from fractions import Fraction

from scalefit.runner.tasks.dress import is_unit

_INTEGER = r"\d{1,400}"
_DECIMAL = rf"(?:\d{{1,3}}(?:[, ]\d{{3}})+(?:\.\d*)?|{_INTEGER}(?:\.\d{{0,400}})?|\.\d{{1,400}})"
_SIGN = r"[-+]?\s*"
_FRACTION = re.compile(
    rf"(?P<sign>{_SIGN})(?:(?P<whole>{_INTEGER})(?:\s*(?=\\)|\s+(?=\d)))?"
    rf"(?:\\frac\{{\s*(?P<up>{_SIGN}{_DECIMAL})\s*\}}\{{\s*(?P<down>{_SIGN}{_DECIMAL})\s*\}}"
    rf"|(?P<above>{_DECIMAL})\s*/\s*(?P<below>{_SIGN}{_DECIMAL}))"
)
_PLAIN = re.compile(rf"(?P<sign>{_SIGN})(?P<number>{_DECIMAL})")
_REPEATING = re.compile(r"(?P<sign>[-+]?\s*)(?P<before>\d*\.\d*)\\(?:overline|bar)\{(?P<again>\d{1,30})\}")
_TIMES_TEN = re.compile(
    rf"(?P<number>{_SIGN}{_DECIMAL})\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{{?\s*(?P<power>[-+]?\d{{1,3}})\s*\}}?"
)
_TEN = re.compile(r"(?P<sign>[-+]?)\s*10\s*\^\s*\{?\s*(?P<power>[-+]?\d{1,3})\s*\}?")
_EXPONENT = re.compile(rf"(?P<number>{_SIGN}{_DECIMAL})[eE](?P<power>[-+]?\d{{1,3}})")
_SCALED = re.compile(
    rf"(?P<number>{_SIGN}{_DECIMAL})\s*(?:\\text\{{\s*)?(?P<word>hundred|thousand|million|billion|trillion)\b\s*\}}?(?P<rest>.*)"
)
_WORDS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_COUNTED = re.compile(
    rf"(?P<number>{_SIGN}(?:\\frac\{{{_INTEGER}\}}\{{{_INTEGER}\}}|{_DECIMAL}(?:\s*/\s*{_INTEGER})?))"
    r"\s*(?:\\text\{(?P<text>[^{}]*)\}|(?P<words>[A-Za-z][^\\{}=<>+*,;]*))\s*(?:\^\{?\d\}?)?"
)
FLOAT_PLACES = 6
"""Decimal places from which on a decimal is taken for what rounds to it, as math-verify does."""


def number(text: str, worked_out: bool = False) -> Fraction | None:
    """Return the exact value of a number that is written out, None for all else.

    Parameters
    ----------
    text : str
        LaTeX without dress; words that only say what is counted may follow.
    worked_out : bool
        Refuse a quotient of integers that is an integer: a division that was left to be done.
    """
    text = text.strip()
    quotient = _FRACTION.fullmatch(text)
    if quotient:
        return _quotient(quotient, worked_out)
    scaled = _SCALED.fullmatch(text)
    if scaled and is_unit(scaled["rest"]):
        return _decimal(scaled["number"]) * 10 ** _WORDS[scaled["word"]]
    for pattern in (_TIMES_TEN, _EXPONENT):
        power = pattern.fullmatch(text)
        if power:
            return _decimal(power["number"]) * Fraction(10) ** int(power["power"])
    ten = _TEN.fullmatch(text)
    if ten:
        return (-1 if "-" in ten["sign"] else 1) * Fraction(10) ** int(ten["power"])
    if _PLAIN.fullmatch(text):
        return _decimal(text)
    again = _REPEATING.fullmatch(text)
    if again:
        before, digits = _decimal(again["before"] + "0"), again["again"]
        places = len(again["before"].partition(".")[2])
        repeated = before + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places)
        return -repeated if "-" in again["sign"] else repeated
    counted = _COUNTED.fullmatch(text)
    if counted and is_unit(counted["text"] if counted["text"] is not None else counted["words"]):
        return number(counted["number"], worked_out)
    return None


def _decimal(text: str) -> Fraction:
    text = re.sub(r"[,\s+]", "", text)
    return Fraction(f"{text}0" if text.endswith(".") else text)


def _quotient(match: re.Match[str], worked_out: bool) -> Fraction | None:
    up, down = _decimal(match["up"] or match["above"]), _decimal(match["down"] or match["below"])
    if not down:
        return None
    value = up / down
    if match["whole"] is not None:
        if not 0 < value < 1:
            return None
        value += int(match["whole"])
    elif worked_out and value.denominator == 1 and up and abs(down) != 1:
        return None
    return -value if "-" in match["sign"] else value


def places(text: str) -> int:
    """Return the digits after the decimal point of a plain decimal, 0 for all else."""
    found = re.fullmatch(r"[-+]?\s*\d*\.(\d+)", text.strip())
    return len(found[1]) if found else 0


def same_number(gold: Fraction, answer: Fraction, answer_text: str) -> bool:
    """Say whether two values are equal, or the answer is a decimal of many places that the value rounds to.

    Rounding is relative too: the decimal must have as many significant digits as it needs places.
    """
    if gold == answer:
        return True
    digits = places(answer_text)
    if digits < FLOAT_PLACES or gold.denominator == 1 or abs(answer) * 10 < 1:
        return False
    return abs(gold - answer) <= Fraction(1, 2 * 10**digits)
