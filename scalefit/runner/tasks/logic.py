"""`logic`: what follows from the premises by the longest proof, in nested fragments of logic, at an exact proof depth.

After ScaleLogic (Wang et al. 2026, arXiv:2605.06638), of which only the published description was used. A chain of
`depth` steps leads from a fact to the answer, the one literal that takes so many; decoy chains of the same length start
from nothing. Wherever a step has something to check (is the other conjunct a fact? do both cases lead there?), a trap
that fails the check leads into a decoy. Every problem carries its proof, and a model of the premises in which no decoy
holds. There are no candidates to choose from: small models then learn to guess among them and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from scalefit.errors import UsageError, nearest
from scalefit.runner.fields import Count, Whole, one_of, section
from scalefit.runner.tasks.answers import final_answer
from scalefit.runner.tasks.entailment import Formula, Step, negate
from scalefit.runner.tasks.task import Example, Score, TaskConfig, belongs, random_stream

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
OBJECTS = "0123456789"
RULES = {
    "implication": ("implication",),
    "conjunction": ("implication", "conjunction"),
    "disjunction": ("implication", "conjunction", "cases"),
    "negation": ("implication", "conjunction", "cases", "syllogism", "contraposition"),
    "quantifiers": ("implication", "conjunction", "cases", "syllogism", "contraposition"),
}
"""The fragments, each containing those before it, and the rules that a step is drawn from."""
LETTERS_A_STEP = {"implication": 0, "conjunction": 2, "cases": 4, "syllogism": 2, "contraposition": 0}
"""Letters that a step needs beside those of the chains."""
_LITERAL = re.compile(r"-?[A-Za-z][0-9]?")


def deepest(fragment: str, decoys: int = 1, letters: int = len(LETTERS)) -> int:
    """Return the depth that so many letters suffice for, whichever rules are drawn."""
    chains, more = 1 + decoys, max(LETTERS_A_STEP[rule] for rule in RULES[fragment])
    return max(letters - chains, 0) // (chains + more)


def longest_proof(fragment: str, depth: int) -> int:
    """Return the most characters that a worked solution takes; a step by cases writes both of them down."""
    literals = 3 if "cases" in RULES[fragment] else 1
    return depth * literals * (1 + (fragment in ("negation", "quantifiers")) + (fragment == "quantifiers"))


def _beyond_reach(fragment: str, decoys: int, letters: int, **depths: int) -> list[str]:
    reach = deepest(fragment, decoys, letters)
    return [
        f"[task] {name} = {depth}: fragment {fragment!r} with {decoys} decoy{'s' if decoys > 1 else ''} reaches depths "
        f"from 1 to {reach}, for which {letters} letters suffice; lower it, or raise letters (to at most {len(LETTERS)})"
        for name, depth in depths.items()
        if not 1 <= depth <= reach
    ]


@section
class LogicConfig(TaskConfig):
    """The section [task] of `logic`; `pretrain_depth` is how deep pre-training goes (0: `depth`)."""

    fragment: Annotated[str, one_of(RULES)] = "implication"
    depth: int = 4
    decoys: Count = 1
    letters: Annotated[int, Field(ge=1, le=len(LETTERS))] = 26
    pretrain_depth: Whole = 0
    labels: ClassVar = {"fragment": "{}", "depth": "h{}"}

    def make(self) -> Logic:
        """Return the task."""
        return Logic(self.fragment, self.depth, self.decoys, self.letters, self.pretrain_depth or self.depth)

    def faults(self) -> list[str]:
        """Return which depths cannot be reached."""
        pretraining = {"pretrain_depth": self.pretrain_depth} if self.pretrain_depth else {}
        return _beyond_reach(self.fragment, self.decoys, self.letters, depth=self.depth, **pretraining)

    def longest_answer(self) -> int:
        """Return the most characters of a worked solution."""
        return longest_proof(self.fragment, self.depth)


class Problem(NamedTuple):
    """A problem with its certificates.

    `premises` in the order shown, rules, facts, and last the fact that the proof starts from; `chain`, from a fact to the answer, and the `decoys`; `proof` derives the chain,
    and `lines` are what a worked solution writes for each of its steps; `true` and `false` literals make a model in which no decoy holds; `objects` are those spoken of.
    """

    premises: tuple[Formula, ...]
    chain: tuple[str, ...]
    decoys: tuple[tuple[str, ...], ...]
    proof: tuple[Step, ...]
    lines: tuple[str, ...]
    true: tuple[str, ...]
    false: tuple[str, ...]
    objects: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """The text shown."""
        return ";".join([formula.text for formula in self.premises]) + "="

    @property
    def model(self) -> dict[str, bool]:
        """Truth of every atom in the countermodel."""
        values = {literal.lstrip("-"): (literal[0] != "-") for literal in self.true}
        return values | {literal.lstrip("-"): (literal[0] == "-") for literal in self.false}


@dataclass(frozen=True)
class Logic:
    """The task. The evaluation and training are at `depth`; pre-training goes through all depths to `pretrain_depth`.

    Pre-training draws from all fragments up to this one: small models learn to look up an implication first, and do not
    learn cases without it.
    `depth` is no part of what the task is shown as, so that base models, which do not depend on it, are shared.
    """

    fragment: str = "implication"
    depth: int = field(default=4, repr=False)
    decoys: int = 1
    letters: int = 26
    pretrain_depth: int = 4
    alphabet: str = LETTERS + OBJECTS + ">&|-@;="

    def __post_init__(self) -> None:
        if self.fragment not in RULES:
            raise UsageError(f"[task] fragment = {self.fragment!r}: {nearest(self.fragment, RULES)}")
        if self.decoys < 1:
            raise UsageError(f"[task] decoys = {self.decoys}: must be at least 1, or whatever is written follows.")
        if not 1 <= self.letters <= len(LETTERS):
            raise UsageError(f"[task] letters = {self.letters}: there are {len(LETTERS)}.")
        depths = {"depth": self.depth, "pretrain_depth": self.pretrain_depth}
        for fault in _beyond_reach(self.fragment, self.decoys, self.letters, **depths):
            raise UsageError(f"{fault}.")

    @property
    def name(self) -> str:
        """Name of the task and of its evaluation."""
        return f"logic-{self.fragment}-{self.depth}"

    def draw(self, split: str, index: int) -> Example:
        """Return example `index` of a split."""
        return self._draw(split, index)[0]

    def problem(self, split: str, index: int) -> Problem:
        """Return the problem of example `index` of a split, with its certificates."""
        return self._draw(split, index)[1]

    def _draw(self, split: str, index: int) -> tuple[Example, Problem]:
        # Problems of pre-training are the same whatever the depth that is asked for later.
        where = ("logic", self.fragment, split) if split == "pretrain" else (self.name, split)
        stream = random_stream(*where, index)
        fragment, depth = self.fragment, self.depth
        if split == "pretrain":
            depth = 1 + next(stream) % self.pretrain_depth
            within = list(RULES)[: list(RULES).index(fragment) + 1]
            fragment = within[next(stream) % len(within)] if len(within) > 1 else fragment
        while True:
            problem = make_problem(fragment, depth, self.decoys, LETTERS[: self.letters], stream)
            prompt = problem.prompt
            if belongs(split, prompt):
                answer, worked = problem.chain[-1], "".join(problem.lines)
                return Example(prompt, answer, float(depth), f"{split}/{index}", worked, depth), problem

    def score(self, response: str, example: Example) -> Score:
        """Compare the last literal of the response (in free text, of the final answer) with the one that takes `depth` steps."""
        text = response.strip()
        if not set(text) <= set(self.alphabet):
            text = final_answer(text).strip().removesuffix(".")
        found = _LITERAL.findall(text)
        if not found or not text.endswith(found[-1]):
            return Score(0.0, False)
        return Score(float(found[-1] == example.answer), True)

    def corrupt(self, example: Example, index: int) -> str:
        """Return a worked solution that goes astray into a decoy at one of its steps."""
        split, _, place = example.source.partition("/")
        problem = self.problem(split, int(place))
        stream = random_stream("logic", "corrupt", index, example.prompt)
        decoy = problem.decoys[next(stream) % len(problem.decoys)]
        until = 1 + next(stream) % (len(decoy) - 1)
        return "".join((*problem.lines[: until - 1], *decoy[until:]))


def make_problem(fragment: str, depth: int, decoys: int, letters: str, stream: Iterator[int]) -> Problem:
    """Make a problem in which one literal takes a proof of exactly `depth` steps, and none takes more."""
    maker = _Maker(fragment, letters, stream)
    chain = [maker.literal() for _ in range(depth + 1)]
    astray = [[maker.literal() for _ in range(depth + 1)] for _ in range(decoys)]
    start = Formula((), (chain[0] + maker.here,))
    maker.true += chain
    for decoy in astray:
        maker.false += decoy
    rules = RULES[fragment]
    for at in range(depth):
        rule = rules[next(stream) % len(rules)]
        trap = astray[next(stream) % decoys][at + 1]
        maker.universal = fragment == "quantifiers" and bool(next(stream) & 1)
        _STEPS[rule](maker, chain[at], chain[at + 1], trap)
        for decoy in astray:
            maker.rule((decoy[at],), (decoy[at + 1],))
    here = maker.here
    return Problem(
        (*maker.shuffled(maker.rules), *maker.shuffled(maker.facts), start),
        maker.about(chain),
        tuple(map(maker.about, astray)),
        tuple(maker.proof),
        maker.lines(),
        maker.about(maker.true) + tuple(maker.true_there),
        maker.about(maker.false) + maker.false_there(),
        (here, maker.there) if here else ("",),
    )


class _Maker:
    """Rules and facts as they are written, with the proof and the countermodel that they allow."""

    def __init__(self, fragment: str, letters: str, stream: Iterator[int]) -> None:
        self.stream, self.signed = stream, fragment in ("negation", "quantifiers")
        self.letters = list(letters)
        self.here = self.there = ""
        if fragment == "quantifiers":
            objects = list(OBJECTS)
            self.here, self.there = self.pick(objects), self.pick(objects)
        self.universal = False
        self.rules: list[Formula] = []
        self.facts: list[Formula] = []
        self.proof: list[Step] = []
        self.by_cases: dict[str, str] = {}
        self.true: list[str] = []
        self.false: list[str] = []
        self.true_there: list[str] = []

    def shuffled(self, items: list[Formula]) -> list[Formula]:
        """Put the items in another order (Fisher and Yates)."""
        stream = self.stream
        for at in range(len(items) - 1, 0, -1):
            other = next(stream) % (at + 1)
            items[at], items[other] = items[other], items[at]
        return items

    def pick(self, items: list[str]) -> str:
        """Take one of the items out of the list."""
        at = next(self.stream) % len(items)
        items[at], items[-1] = items[-1], items[at]
        return items.pop()

    def literal(self) -> str:
        """Return a fresh letter, in half of all cases negated where the fragment has negation."""
        letter = self.pick(self.letters)
        return "-" + letter if self.signed and next(self.stream) & 1 else letter

    def about(self, literals: Sequence[str]) -> tuple[str, ...]:
        """Return the literals said of the question's object."""
        here = self.here
        return tuple([literal + here for literal in literals] if here else literals)

    def rule(self, body: tuple[str, ...], head: tuple[str, ...]) -> Formula:
        """Add a formula, for every object or for the one that the question is about."""
        if len(body) > 1 and next(self.stream) & 1:
            body = body[::-1]
        if len(head) > 1 and next(self.stream) & 1:
            head = head[::-1]
        if self.here and not self.universal:
            body, head = self.about(body), self.about(head)
        formula = Formula(body, head, self.universal)
        self.rules.append(formula)
        return formula

    def fact(self, literal: str, there: bool = False) -> None:
        """Add a fact about the object of the question, or about the other one."""
        self.facts.append(Formula((), (literal + (self.there if there else self.here),)))
        if there:
            self.true_there.append(literal + self.there)

    def derive(self, rule: str, literal: str, *uses: Formula) -> None:
        """Add a line to the proof."""
        self.proof.append(Step(rule, uses, literal + self.here))

    def lines(self) -> tuple[str, ...]:
        """Return each step as a worked solution writes it: what is derived, after both cases where there are two."""
        return tuple([self.by_cases.get(step.derives, "") + step.derives for step in self.proof])

    def false_there(self) -> tuple[str, ...]:
        """Return the literals that do not hold of the other object: all that were not said of it."""
        if not self.there:
            return ()
        said = set(self.true_there)
        return tuple(one + self.there for one in (*self.true, *self.false) if one + self.there not in said)


def _implication(maker: _Maker, now: str, then: str, trap: str) -> None:
    maker.derive("implication", then, maker.rule((now,), (then,)))
    if maker.universal:
        # What holds of the other object says nothing about this one.
        maker.rules.append(Formula((now + maker.there,), (trap + maker.there,)))


def _conjunction(maker: _Maker, now: str, then: str, trap: str) -> None:
    known, unknown = maker.literal(), maker.literal()
    maker.fact(known)
    maker.true.append(known)
    maker.false.append(unknown)
    maker.derive("conjunction", then, maker.rule((now, known), (then,)))
    maker.rule((now, unknown), (trap,))
    if maker.universal:
        maker.fact(unknown, there=True)


def _cases(maker: _Maker, now: str, then: str, trap: str) -> None:
    one, other, lost, leading = maker.literal(), maker.literal(), maker.literal(), maker.literal()
    maker.true += [one, lost]
    maker.false += [other, leading]
    split = maker.rule((now,), (one, other))
    maker.by_cases[then + maker.here] = "".join(maker.about([one, other]))
    maker.derive("cases", then, split, maker.rule((one,), (then,)), maker.rule((other,), (then,)))
    maker.rule((now,), (leading, lost))
    maker.rule((leading,), (trap,))


def _syllogism(maker: _Maker, now: str, then: str, trap: str) -> None:
    excluded, possible = maker.literal(), maker.literal()
    maker.false.append(excluded)
    maker.true.append(possible)
    maker.fact(negate(excluded))
    maker.derive("syllogism", then, maker.rule((now,), (then, excluded)))
    maker.rule((now,), (trap, possible))


def _contraposition(maker: _Maker, now: str, then: str, trap: str) -> None:
    maker.derive("contraposition", then, maker.rule((negate(then),), (negate(now),)))
    maker.rule((trap,), (now,))


_STEPS: dict[str, Callable[[_Maker, str, str, str], None]] = {
    "implication": _implication,
    "conjunction": _conjunction,
    "cases": _cases,
    "syllogism": _syllogism,
    "contraposition": _contraposition,
}
