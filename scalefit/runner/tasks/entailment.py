"""Formulas of the `logic` task, what follows from them in one step, and checks of proofs and countermodels.

A literal is a letter, with `-` before it if negated and a digit after it where it speaks of an object: `a`, `-a`, `a3`.
A formula says that if all literals of its body hold, one of its head does; without a body it is a fact. A universal one
holds for every object, and its letters bear none. One step derives one literal, by one of the five rules of `one_step`;
the depth of a literal is the height of its lowest proof, that of a fact is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class Formula(NamedTuple):
    """Body (all of them) implies head (one of them), for every object if universal."""

    body: tuple[str, ...]
    head: tuple[str, ...]
    universal: bool = False

    @property
    def text(self) -> str:
        """As the prompt shows it: `a`, `a>b`, `a&b>c`, `a>b|c`, `@a>b`."""
        body, head, universal = self
        said = "&".join(body) + ">" + "|".join(head) if body else head[0]
        return "@" + said if universal else said


class Step(NamedTuple):
    """A line of a proof: the rule, the formulas it uses, and what it derives."""

    rule: str
    uses: tuple[Formula, ...]
    derives: str


def negate(literal: str) -> str:
    """Return the opposite of a literal."""
    return literal[1:] if literal[0] == "-" else "-" + literal


def instances(formulas: Iterable[Formula], objects: Iterable[str]) -> Iterator[tuple[Formula, Formula]]:
    """Yield every formula without quantifier, as (itself for an object, the formula it is an instance of)."""
    objects = tuple(objects)
    for formula in formulas:
        if not formula.universal:
            yield formula, formula
            continue
        for one in objects:
            body, head = (tuple(literal + one for literal in side) for side in (formula.body, formula.head))
            yield Formula(body, head), formula


def one_step(formulas: Iterable[Formula], objects: Iterable[str], known: set[str]) -> Iterator[Step]:
    """Yield what follows in one step from known literals.

    - `implication`, `conjunction`: all of the body is known, the head is one literal
    - `cases`: all of the body is known, the head is two literals, each of which implies the same third
    - `syllogism`: all of the body is known, the head is two literals, one of which is known not to hold
    - `contraposition`: the head, one literal, is known not to hold, and the body is one literal
    """
    ground = list(instances(formulas, objects))
    implied = {(one.body[0], one.head[0]): whole for one, whole in ground if len(one.body) == len(one.head) == 1}
    for one, whole in ground:
        if len(one.head) == len(one.body) == 1 and negate(one.head[0]) in known:
            yield Step("contraposition", (whole,), negate(one.body[0]))
        if not one.body or not known.issuperset(one.body):
            continue
        if len(one.head) == 1:
            yield Step("conjunction" if len(one.body) > 1 else "implication", (whole,), one.head[0])
            continue
        left, right = one.head
        for holds, not_so in ((left, right), (right, left)):
            if negate(not_so) in known:
                yield Step("syllogism", (whole,), holds)
        for (body, head), from_left in implied.items():
            if body == left and (right, head) in implied:
                yield Step("cases", (whole, from_left, implied[right, head]), head)


def facts(formulas: Iterable[Formula]) -> set[str]:
    """Return the literals that hold without a proof."""
    return {formula.head[0] for formula in formulas if not formula.body and len(formula.head) == 1}


def depths(formulas: Iterable[Formula], objects: Iterable[str] = ("",)) -> dict[str, int]:
    """Return the depth of every literal that can be derived."""
    formulas, objects = tuple(formulas), tuple(objects)
    found = dict.fromkeys(facts(formulas), 0)
    depth = 0
    while True:
        depth += 1
        new = {step.derives for step in one_step(formulas, objects, set(found))} - set(found)
        if not new:
            return found
        found.update(dict.fromkeys(new, depth))


def check_proof(formulas: Iterable[Formula], objects: Iterable[str], proof: Iterable[Step]) -> str | None:
    """Return what is wrong with a proof: a line whose formulas are not given or that does not follow; None if it holds."""
    given, objects = set(formulas), tuple(objects)
    known = facts(given)
    for at, step in enumerate(proof, 1):
        strange = [formula.text for formula in step.uses if formula not in given]
        if strange:
            return f"line {at} uses {', '.join(strange)}, which is not given"
        allowed = one_step(step.uses, objects, known)
        if not any(one.rule == step.rule and one.derives == step.derives for one in allowed):
            return (
                f"line {at}: {step.derives} does not follow by {step.rule} from {', '.join(f.text for f in step.uses)}"
            )
        known.add(step.derives)
    return None


def check_model(formulas: Iterable[Formula], objects: Iterable[str], model: Mapping[str, bool]) -> str | None:
    """Return a formula that a model (atom to truth) breaks, or None: what it makes false is then not entailed."""

    def holds(literal: str) -> bool:
        return not model[literal[1:]] if literal[0] == "-" else model[literal]

    for one, whole in instances(formulas, objects):
        if all(map(holds, one.body)) and not any(map(holds, one.head)):
            return whole.text
    return None
