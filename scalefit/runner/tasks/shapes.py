r"""The shape of an answer: one value, a list or set, a tuple or interval, a union, a matrix; its values stay text.

Values are compared one by one elsewhere, so that each is held to the same rules wherever it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = (
    r"(?:\\text\{[^{}]*\}|\\(?:overline|vec|hat|bar)\{\w+\}|\\frac\{d\w?\}\{d\w\}"
    r"|\\(?:angle|measuredangle|triangle|alpha|beta|gamma|delta|theta|phi|varphi|lambda|mu|rho|sigma|omega|Delta|sin|cos|tan|ln|log)(?![a-zA-Z])"
    r"|[a-zA-Z]+|_\{[\w+-]+\}|_\w|'|\s|\([\w\s,]*\)|\[[A-Z]+\]|\|[A-Z]{2}\|)++"
)
_NAMED = re.compile(rf"(?=.*[a-zA-Z])(?!\s*\\?text\{{\s*\}}$){_NAME}")
_SUM_OF_NAMES = re.compile(r"\s*\d*\s*[a-zA-Z]\s*(?:[+-]\s*\d*\s*[a-zA-Z]\s*)+")
_NUMERIC = re.compile(r"(?:[\d\s.+\-*/()^{}]|\\(?:times|cdot|div|frac|sqrt)(?![a-zA-Z]))+")
_EQUALS = re.compile(r"(?<![<>!:\\])=")
_RELATION = re.compile(r"\\(?:le|ge|ne|approx|equiv|sim)(?![a-zA-Z])|[<>]")
_ORDER = re.compile(r"(\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])|<|>)")
_SEPARATOR = re.compile(r"\s+(?:and|or)\s+|\\text\{\s*(?:and|or)\s*\}|[;]|,\s*(?:(?:and|or)\s+)?")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?:\s*[%a-zA-Z\\].*)?")
_MATRIX = re.compile(r"\\begin\{([pbvBV]?matrix|array)\}(?:\{[lcr|]*\})?(.*?)\\end\{\1\}", re.DOTALL)
_BUILT = re.compile(r"^\\\{\s*[a-zA-Z]\s*(?:\\in\s*\S+\s*)?(?:\\mid|\||:)(.*)\\\}$")


@dataclass(frozen=True)
class Shape:
    """What an answer is made of.

    Attributes
    ----------
    kind : str
        `value`, `set` (order does not matter), `row` (it does) or `matrix`.
    parts : tuple
        Shapes within; none in a value.
    text : str
        The value.
    ends : str
        Brackets of a row, such as `(]`; the rows' length of a matrix.
    names : str
        What stood before `=`, where it is only a name.
    """

    kind: str
    parts: tuple[Shape, ...] = ()
    text: str = ""
    ends: str = ""
    names: str = ""


def shape(text: str, asked: bool = False) -> Shape:
    """Take an answer apart; what is `asked`, the gold answer, keeps `2x + y =`, which is an equation there."""
    text, names = unnamed(text.strip(), not asked)
    found = _shape(text)
    return Shape(found.kind, found.parts, found.text, found.ends, names)


def _shape(text: str) -> Shape:
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        rows = [row.split("&") for row in re.split(r"\\\\(?:\[\d+\w+\])?", matrix[2].strip().removesuffix(r"\\"))]
        width = "x".join(str(len(row)) for row in rows)
        return Shape("matrix", tuple(_value(cell.strip()) for row in rows for cell in row), ends=width)
    unions = _split(text, re.compile(r"\\cup(?![a-zA-Z])"))
    if len(unions) > 1:
        return Shape("set", tuple(_shape(part.strip()) for part in unions))
    if not _GROUPED.fullmatch(text):
        listed = [part.strip() for part in _split(text, _SEPARATOR)]
        if len(listed) > 1:
            return _listed([part for part in listed if part])
    ordered = _as_interval(_BUILT.sub(r"\1", text))
    if ordered:
        return ordered
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inner = [part.strip() for part in _split(text[2:-2], _SEPARATOR)]
        return _flat([_shape(part) for part in inner if part]) if any(inner) else Shape("set")
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and _partner(text) == len(text) - 1:
        inner = [part.strip() for part in _split(text[1:-1], _SEPARATOR)]
        if len(inner) > 1 and all(inner):
            return Shape("row", tuple(_shape(part) for part in inner), ends=text[0] + text[-1])
    return _value(text)


def _value(text: str) -> Shape:
    r"""Return one value, or the two that `\pm` stands for."""
    if not re.search(r"\\(?:pm|mp)(?![a-zA-Z])", text):
        return Shape("value", text=re.sub(r"^\+\s*", "", text))
    both = []
    for plus, minus in (("+", "-"), ("-", "+")):
        signed = re.sub(r"\\pm(?![a-zA-Z])", plus, text)
        signed = re.sub(r"\\mp(?![a-zA-Z])", minus, signed)
        both.append(Shape("value", text=re.sub(r"^\s*\+\s*", "", signed)))
    return Shape("set", tuple(both))


def _listed(parts: list[str]) -> Shape:
    """Return a list; `x = 1, y = 2` with different names is a row, `x = 1, x = 2` a set."""
    found = [unnamed(part) for part in parts]
    names = [name for _, name in found if name]
    values = [_shape(text) for text, _ in found]
    if len(names) == len(values) and len(set(names)) == len(names) and len(names) > 1:
        return Shape("row", tuple(values), ends="()")
    return _flat(values)


def _flat(parts: list[Shape]) -> Shape:
    """Return a set, sets within it taken apart."""
    found: list[Shape] = []
    for part in parts:
        found += part.parts if part.kind == "set" else (part,)
    return Shape("set", tuple(found))


def unnamed(text: str, sums: bool = True) -> tuple[str, str]:
    r"""Return the value after `x =`, `f(3) =`, `x \in` or a sum that is worked out, and the name before it.

    With `sums` also after `m + n =`, as the answers to contests have it.
    """
    member = re.fullmatch(rf"({_NAME})\\in(?![a-zA-Z])(.*)", text)
    if member:
        return member[2].strip(), member[1].strip()
    parts = [part.strip() for part in _split(text, _EQUALS)]
    if len(parts) < 2 or not parts[-1]:
        return text, ""
    kinds = (_NAMED, _NUMERIC, _SUM_OF_NAMES) if sums else (_NAMED, _NUMERIC)
    if all(any(kind.fullmatch(part) for kind in kinds) for part in parts[:-1]):
        name = re.sub(r"\s", "", parts[0])
        return parts[-1], "" if _NUMERIC.fullmatch(name) else name
    return text, ""


def is_equation(text: str) -> bool:
    """Say whether a value still holds an equals sign."""
    return len(_split(text, _EQUALS)) > 1


def is_relation(text: str) -> bool:
    """Say whether a value holds any other relation."""
    return bool(_RELATION.search(text))


def _as_interval(text: str) -> Shape | None:
    r"""Read `1 \le x < 2` and `x > 3` as the interval they mean."""
    pieces = _ORDER.split(text)
    if len(pieces) not in (3, 5) or not all(piece.strip() for piece in pieces):
        return None
    pieces = [piece.strip() for piece in pieces]
    less = {"<": ("(", False), r"\le": ("[", False), ">": ("(", True), r"\ge": ("[", True)}
    name = pieces[2] if len(pieces) == 5 else next((one for one in (pieces[0], pieces[2]) if one.isalpha()), "")
    if not re.fullmatch(r"[a-zA-Z]|\\theta", name) or sum(piece == name for piece in pieces) != 1:
        return None
    low, high, left, right = r"-\infty", r"\infty", "(", ")"
    for at in range(1, len(pieces), 2):
        bracket, swapped = less[pieces[at]]
        small, large = (pieces[at + 1], pieces[at - 1]) if swapped else (pieces[at - 1], pieces[at + 1])
        if large == name:
            low, left = small, bracket
        else:
            high, right = large, {"(": ")", "[": "]"}[bracket]
    return Shape("row", (_value(low), _value(high)), ends=left + right)


def _partner(text: str) -> int:
    """Return where the bracket that opens a text is closed, whichever of `)` and `]` closes it."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return at
    return -1


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Split at separators outside all brackets."""
    depth, start, found = 0, 0, []
    depths = []
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        depths.append(depth)
    for match in separator.finditer(text):
        at = match.start()
        if match.end() > at and depths[at] == 0 and at >= start and (at == 0 or depths[at - 1] == 0):
            found.append(text[start:at])
            start = match.end()
    return [*found, text[start:]]
