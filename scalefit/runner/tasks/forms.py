r"""The rule about forms: what an answer leaves to be worked out, so that the question itself is no answer to it.

A value is an integer, a decimal, a fraction, a root, a multiple of pi, a power of ten, a product with a root, a
polynomial, factored or not. Left to be worked out are: a sum or product of plain numbers, like terms, a power, a root or
a function of plain numbers that has a plain value, a division sign, a factorial, a binomial. An answer may leave what the
gold answer leaves too. `unfinished` reads text, for what parsing would already work out; `left_to_do` reads the tree.
"""

from __future__ import annotations

import re
from typing import Any

_COMMANDS = {
    "division": re.compile(r"\\div(?![a-zA-Z])|÷"),
    "binomial": re.compile(r"\\[dt]?binom(?![a-zA-Z])|\\choose(?![a-zA-Z])"),
    "factorial": re.compile(r"!"),
    "divisor": re.compile(r"\\(?:gcd|lcm|max|min|bmod|mod|pmod)(?![a-zA-Z])|\\text\{\s*(?:gcd|lcm|max|min|mod)"),
    "rounding": re.compile(r"\\(?:lfloor|lceil|lvert|rvert)(?![a-zA-Z])|\|"),
    "sum": re.compile(r"\\(?:sum|prod|int|lim|det)(?![a-zA-Z])"),
}
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|arc\w+|sinh|cosh|tanh|log|ln|lg|exp)(?![a-zA-Z])")
_LETTER = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])")


def unfinished(text: str) -> set[str]:
    """Return the operations in a text that are never part of a value; a function of plain numbers is one."""
    found = {name for name, pattern in _COMMANDS.items() if pattern.search(text)}
    without_commands = re.sub(r"\\[a-zA-Z]+", " ", text)
    if _FUNCTION.search(text) and not _LETTER.search(re.sub(r"(?<![a-zA-Z])[e](?![a-zA-Z])", " ", without_commands)):
        found.add("function")
    return found


def left_to_do(tree: Any) -> set[str]:
    """Return the kinds of operation that a parsed, unevaluated expression leaves to be worked out."""
    import sympy

    if not isinstance(tree, sympy.Basic) or isinstance(tree, sympy.Symbol | sympy.Number):
        return set()
    if isinstance(tree, sympy.Add):
        found = _like_terms(_flat(tree, sympy.Add))
    elif isinstance(tree, sympy.Mul):
        found = _plain_factors(_flat(tree, sympy.Mul))
    elif isinstance(tree, sympy.Pow):
        found = _plain_power(tree)
    else:
        found = set()
    return found.union(*(left_to_do(part) for part in tree.args))


def _flat(tree: Any, kind: type) -> list[Any]:
    """Return terms of terms, or factors of factors, in one list."""
    return [leaf for part in tree.args for leaf in (_flat(part, kind) if isinstance(part, kind) else [part])]


def _like_terms(terms: list[Any]) -> set[str]:
    """Find two terms that differ by a rational factor only, or one that is nothing: they could have been added up."""
    kinds = [term.doit().as_coeff_Mul()[1] for term in terms if term.doit() != 0]
    return {"sum"} if len(set(kinds)) < len(terms) else set()


def _plain_factors(factors: list[Any]) -> set[str]:
    """Find two rational factors, or two divisors, which could have been multiplied; a sign and a power of ten are none."""
    import sympy

    above = below = 0
    for factor in factors:
        if factor in (1, -1) or (isinstance(factor, sympy.Pow) and factor.base == 10):
            continue
        if isinstance(factor, sympy.Pow) and factor.exp == -1:
            inner = _flat(factor.base, sympy.Mul) if isinstance(factor.base, sympy.Mul) else [factor.base]
            below += sum(part.is_Rational is True for part in inner)
            if isinstance(factor.base, sympy.Mul):
                below -= sum(part in (1, -1) for part in inner)
        elif factor.is_Rational or factor.is_Float:
            above += 1
    return {"product"} if above > 1 or below > 1 else set()


def _plain_power(power: Any) -> set[str]:
    """Find a power of plain numbers with a rational value; a reciprocal and a power of ten are values themselves."""
    if power.base == 10 or power.exp == -1 or not (power.base.is_number and power.exp.is_number):
        return set()
    return {"power"} if power.doit().is_rational else set()
