r"""What an answer wears and does not mean: dollars and `\( \)`, bold, spaces, `\left`, Unicode, currencies, units, degrees.

One road for integers and for everything else. To take off another dress, add it to the table that fits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_UNICODE = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "—": "-",
        "×": r"\times ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "∗": "*",
        "÷": r"\div ",
        "π": r"\pi ",
        "∞": r"\infty ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "≈": r"\approx ",
        "±": r"\pm ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∈": r"\in ",
        "°": r"^\circ ",
        "²": "^{2}",
        "³": "^{3}",
        "½": r"\frac{1}{2}",
        "⅓": r"\frac{1}{3}",
        "⅔": r"\frac{2}{3}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
        "“": '"',
        "”": '"',
        "’": "'",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
    }
)
_FONT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|math(?:rm|bf|it|sf|tt|bb|cal|ord)|mbox|hbox|operatorname\*?|emph|boldsymbol|bm)\s*(?={)"
)
_REPLACED: tuple[tuple[re.Pattern[str], Any], ...] = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![a-zA-Z])\s*\.?", ""),
        (r"\\(?:displaystyle|textstyle|limits|bf|rm|it|phantom\{[^{}]*\}|vphantom\{[^{}]*\})(?![a-zA-Z])", ""),
        (r"\\(?:dfrac|tfrac|cfrac)(?![a-zA-Z])", r"\\frac"),
        (r"(?<=\d)(?:\{,\}|\\!\s*,?|,\\!|\\[,; ]|~)(?=\d{3}(?!\d))", ""),
        (r"\\q?quad(?![a-zA-Z])", " ; "),
        (r"(?<!\\)\\[,;:! ]|~", " "),
        (r"\\(?:lbrace|lvert|rvert)(?![a-zA-Z])", lambda m: {"lbrace": r"\{"}.get(m[0][1:], "|")),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\(?:leqslant|leqq|leq)(?![a-zA-Z])|<=", r"\\le "),
        (r"\\(?:geqslant|geqq|geq)(?![a-zA-Z])|>=", r"\\ge "),
        (r"\\varnothing(?![a-zA-Z])", r"\\emptyset"),
        (r"\\neq(?![a-zA-Z])|!=", r"\\ne "),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\(?:degree|textdegree)(?![a-zA-Z])", r"^\\circ "),
        (r"\\(?:dollar|textdollar|pounds|euro)(?![a-zA-Z])|\\\$|[€£¥₹¢]|\b(?:USD|EUR|Rs\.?)\s*(?=\d)", ""),
        (r"\*\*\*?(?=\s*-?[\d.(a-zA-Z])", "^"),
        (r"√\s*(\d+|[a-zA-Z])", r"\\sqrt{\1}"),
        (r"√\s*\(([^()]*)\)|(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)", lambda m: rf"\sqrt{{{m[1] or m[2]}}}"),
        (r"(?<![\\a-zA-Z])pi(?![a-zA-Z])", r"\\pi "),
        (r"(?<![\\a-zA-Z])(?:inf|infinity|oo)(?![a-zA-Z])", r"\\infty "),
        (
            r"(\\(?:sin|cos|tan|cot|sec|csc))\s*[({]?\s*(\d+(?:\.\d+)?)\s*\^\s*(?:\\circ|\{\s*\\circ\s*\})\s*[)}]?",
            r"\1(\\frac{\2\\pi}{180})",
        ),
        (r"\^\s*(?:\{\s*)?\\text\{\s*o\s*\}(?:\s*\})?", ""),
        (r"\^\s*\\circ\s*(?:[CF](?![a-zA-Z]))?|\^\s*\{\s*\\circ\s*\}\s*(?:[CF](?![a-zA-Z]))?", ""),
        (r"\\?%|(?<![a-zA-Z])(?:percent|per\s+cent|pct)(?![a-zA-Z])", "%"),
        (r"\^\s*(-?\d+)", r"^{\1}"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*(?={)", r"\\frac{\1}"),
        (r"(\\frac\{[^{}]*\})\s*(\d)", r"\1{\2}"),
        (r"\\sqrt\s*(\d)", r"\\sqrt{\1}"),
        (r"\{\s*(-?[\w.]+)\s*\\over\s*([\w.]+)\s*\}", r"\\frac{\1}{\2}"),
        (r"\\[pb]mod\s*\{[^{}]*\}|\(\s*(?:\\text\{)?\s*mod\s*\}?\s*\d+\s*\)", ""),
    )
)
_CONNECTED = re.compile(r"\$\s*(,\s*and|,\s*or|and|or|,|;)\s*\$")
_UNITS = frozenset(
    "cm mm km m dm in ft feet foot inch inches yd yard yards mile miles meter meters metre metres unit units square cubic sq "
    "cu degree degrees radian radians rad deg hour hours hr hrs minute minutes min second seconds sec s day days week weeks "
    "month months year years dollar dollars cent cents euro euros pound pounds kg g gram grams mg lb lbs oz ounce ounces "
    "liter liters litre litres ml mL L gallon gallons mph kmh mi km/h m/s ft/s cm/s kph people person persons per and/or "
    "students coins ways books apples".split()
)
_COUNTED = re.compile(r"[A-Za-z][A-Za-z'.-]*(?:/[A-Za-z]+)?")
_NO_UNITS = frozenset(
    "and or not no plus minus times over by divided half halves third thirds fourth fourths fifth fifths sixth eighth tenth "
    "squared cubed factorial pi dozen dozens hundred hundreds thousand thousands million millions billion billions trillion "
    "score more less fewer least most if but is are was than approximately about around to between until mod modulo base "
    "except x y z e i wrong incorrect false either neither nor then choose root sqrt log remainder power".split()
)
_LETTER_UNITS = frozenset("mgshlLNJWVK")


@dataclass(frozen=True)
class Bare:
    r"""An answer without its dress.

    Attributes
    ----------
    math : str
        LaTeX, where `\text{...}` is still marked and trailing units are gone.
    plain : str
        The same without the marks of text, spaces collapsed; for words and choices.
    percent : bool
        Whether it was followed by a percent sign.
    """

    math: str
    plain: str
    percent: bool = False


def bare(text: str) -> Bare | None:
    r"""Take an answer's dress off; None where several formulas or lines stand side by side, or a box is not closed."""
    line = _paragraph(text.translate(_UNICODE).strip())
    if line is None or re.search(r"\\(?:boxed|fbox)|[$`]", line):
        return None
    text = line
    text = _FONT.sub(r"\\text", text)
    text = re.sub(r"\\text\{\s*([-+]?[\d.,/]+)\s*\}", r"\1", text)
    text = re.sub(r"\\text\{\s*([-+]?[\d.,/]*\d)\s+([^{}]*)\}", r"\1 \\text{\2}", text)
    text = re.sub(r"\\text\{\s*([ei])\s*\}", r"\1", text)
    text = re.sub(r"\\text\{\s*(,?\s*(?:and|or))\s*\}", r" \1 ", text)
    for pattern, by in _REPLACED:
        text = pattern.sub(by, text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".,;: ")
    text = re.sub(r"(?:\s*\\\\)+$", "", text).strip()
    text = re.sub(r"^(?:\\text\{[^{}]*(?:\bis|:|=)\s*\}|[:=])\s*", "", text)
    math, percent = _without_percent(_without_units(text))
    math = _enclosed(math)
    if re.search(r"\d\s+\d", math) and not _several_digit_groups(math):
        return None
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).replace("\\ ", " ")
    return Bare(math, re.sub(r"\s+", " ", plain).strip().strip(".\"'").strip(), percent)


def _paragraph(text: str) -> str | None:
    """Take off bold and the signs of mathematics; None where formulas or lines stand side by side without a word."""
    for _ in range(3):
        text = re.sub(r"^(\*\*|__|\*|`)(.*)\1$", r"\2", text, flags=re.DOTALL).strip()
        text = re.sub(r"^\\[(\[](.*)\\[)\]]\.?$", r"\1", text, flags=re.DOTALL).strip()
        text = re.sub(r"^\$\$(.*)\$\$\.?$", r"\1", text, flags=re.DOTALL).strip()
    text = re.sub(r"\*\*(.*?)\*\*", r"\1", text).removesuffix("**").strip()
    text = re.sub(r"\\[()]", "$", text) if re.search(r"\\\(.*\\\)", text) else text
    if "\n" in text and r"\begin{" not in text:
        return None
    text = text.replace(r"\$", "")
    if text.count("$") % 2:
        text = re.sub(r"(?<![\w}])\$(?=\s*[\d.])", "", text, count=1)
        return None if text.count("$") % 2 else text.replace("$", "")
    text = _CONNECTED.sub(r" \1 ", text)
    if re.search(r"\$[^$]+\$\s*\$[^$]+\$", text) or re.search(r"[^\s$]\$\s*\$[^\s$]", text):
        return None
    return text.replace("$", "")


def _enclosed(math: str) -> str:
    """Take off parentheses or braces around a whole value."""
    while True:
        inner = re.fullmatch(r"\(([^(),;]*)\)|\{([^{},;]*)\}", math)
        if not inner:
            return math
        math = (inner[1] if inner[1] is not None else inner[2]).strip()


def _several_digit_groups(math: str) -> bool:
    """Say whether spaces between digits only group them, `1 000`, or stand before a fraction, `2 1/2`."""
    return bool(re.fullmatch(r"-?\d{1,3}(?: \d{3})+(?:\.\d+)?|-?\d+ \d+/\d+", math) or "&" in math)


def _without_percent(math: str) -> tuple[str, bool]:
    kept = math.removesuffix("%").strip()
    return kept, kept != math


def _without_units(math: str) -> str:
    r"""Cut trailing units, in `\text{}` or in words, each with a power."""
    while True:
        found = re.fullmatch(r"(.*[\w})\]%])\s*\\text\{((?:[^{}]|\{[^{}]*\})*)\}\s*(?:\^\{?\d\}?)?", math, re.DOTALL)
        if found and is_unit(found[2], marked=True):
            math = found[1].strip()
            continue
        found = re.fullmatch(r"(.*[\d})\]])\s*(?<![\\a-zA-Z])([a-zA-Z]+(?:/[a-zA-Z]+)?)\.?\s*(?:\^\{?\d\}?)?", math)
        found = found or re.fullmatch(r"(.*\S)\s+([a-zA-Z]+(?:/[a-zA-Z]+)?)\.?\s*(?:\^\{?\d\}?)?", math)
        if found and found[2] in _UNITS and len(found[2]) > 1:
            math = found[1].strip()
            continue
        return math


def is_unit(words: str, marked: bool = False) -> bool:
    """Say whether what follows a number only says what is counted: at most five words, none of which changes the number.

    Where it is `marked` as text, any one letter will do.
    """
    words = re.sub(r"\\cdot(?![a-zA-Z])", " ", re.sub(r"\^\{?-?\d\}?", "", words)).strip(" .,")
    if not words:
        return True
    found = words.replace("(", " ").replace(")", " ").split()
    if len(found) > 5 or not all(_COUNTED.fullmatch(word) for word in found):
        return False
    if any(word.lower().strip(".") in _NO_UNITS for word in found):
        return False
    return len(found[0]) > 1 or found[0] in _LETTER_UNITS or marked
