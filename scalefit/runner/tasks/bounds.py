r"""What computer algebra is not asked: expressions that it cannot evaluate within bounds, told by their text alone.

A tower such as `10^{10^{10}}`, the factorial of a large number or a deep nest would cost the whole time of an answer.
"""

from __future__ import annotations

import math
import re

DEPTH = 20
"""Brackets within brackets."""
BITS = 60_000
"""Binary digits that a power or a factorial may have."""
POLYNOMIAL_POWER = 60
"""Power of a bracket that holds letters, which may have to be multiplied out."""
PARTS = 120
"""Numbers, letters and commands in an expression."""
_BIG_COMMANDS = re.compile(
    r"\\(?:sum|prod|int|iint|oint|lim|limsup|liminf|det|zeta|Gamma|bigcup|bigcap|uparrow|partial|nabla|begin)(?![a-zA-Z])"
)
_PART = re.compile(r"\\[a-zA-Z]+|\d+(?:\.\d+)?|[a-zA-Z]")
_FACTORIAL = re.compile(r"(\d+|[)\]}])\s*!")
_BINOMIAL = re.compile(r"\\[dt]?binom(?![a-zA-Z])")


def beyond_bounds(text: str) -> str:
    """Return why an expression is not evaluated, or nothing."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > DEPTH:
        return f"{deepest} brackets within brackets"
    if len(_PART.findall(text)) > PARTS:
        return "too many parts"
    if _BIG_COMMANDS.search(text):
        return "a sum, product, integral or limit"
    for factorial in _FACTORIAL.finditer(text):
        if not factorial[1].isdigit() or len(factorial[1]) > 6 or _factorial_bits(int(factorial[1])) > BITS:
            if not (factorial[1] == ")" and re.search(r"[a-zA-Z]", text)):
                return "a factorial"
    if "!!" in text.replace(" ", ""):
        return "a factorial"
    for binomial in _BINOMIAL.finditer(text):
        upper = _group_after(text, binomial.end())
        if "^" in upper or any(len(digits) > 3 for digits in re.findall(r"\d+", upper)):
            return "a binomial"
    return _power_beyond_bounds(text)


def _factorial_bits(n: int) -> float:
    return math.lgamma(n + 1) / math.log(2)


def _power_beyond_bounds(text: str) -> str:
    for at in (match.start() for match in re.finditer(r"\^", text)):
        exponent = _group_after(text, at + 1)
        base = _group_before(text, at)
        if exponent.count("^") > 1:
            return "a tower of powers"
        numbers = [int(digits) for digits in re.findall(r"\d+", exponent)] or [1]
        if re.search(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", exponent)):
            if max(numbers) > 10_000:
                return "a power"
            continue
        if "^" in exponent or "!" in exponent:
            return "a tower of powers"
        size = math.prod(number or 1 for number in numbers if number < 1 << 64) if len(numbers) < 8 else 1 << 64
        size = max(size, *numbers)
        if re.search(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", base)) and len(base) > 3:
            inner = max((int(digits) for digits in re.findall(r"\^\{?(\d{1,9})", base)), default=1)
            if size * inner > POLYNOMIAL_POWER:
                return "a power of a sum"
            continue
        longest = max((len(digits) for digits in re.findall(r"\d+", base)), default=1)
        if size * longest * math.log2(10) > BITS:
            return "a power"
    return ""


def _group_after(text: str, at: int) -> str:
    """Return the group that an exponent is."""
    rest = text[at:].lstrip()
    if not rest.startswith(("{", "(")):
        found = re.match(r"[-+]?(?:\d+|\\[a-zA-Z]+(?:\{[^{}]*\})*|\S)", rest)
        tail = rest[found.end() :].lstrip() if found else ""
        return (found[0] if found else "") + ("^" if tail.startswith("^") else "")
    depth = 0
    for end, character in enumerate(rest):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            tail = rest[end + 1 :].lstrip()
            return rest[1:end] + ("^" if tail.startswith("^") else "")
    return rest


def _group_before(text: str, at: int) -> str:
    """Return the group that is raised to a power."""
    head = text[:at].rstrip()
    if not head.endswith((")", "}", "]")):
        found = re.search(r"(?:\d+(?:\.\d+)?|\\[a-zA-Z]+|[a-zA-Z])$", head)
        return found[0] if found else ""
    depth = 0
    for start in range(len(head) - 1, -1, -1):
        depth += (head[start] in ")]}") - (head[start] in "([{")
        if depth == 0:
            return head[start:]
    return head
