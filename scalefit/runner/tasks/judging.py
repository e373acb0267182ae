"""What runs in a judging process and its supervisor: math-verify, the exact comparison, the rule about forms.

The supervisor loads everything once and forks the process that judges, which the kernel ends when an answer takes too
much of the processor (`ITIMER_PROF`), of the clock (`ITIMER_REAL`) or of memory (`RLIMIT_AS`). No answer is ever
evaluated as Python: LaTeX goes through math-verify's grammar alone, never through `sympify` or its plain expressions.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

DIGITS = 120
"""Decimal digits to which two values are computed."""
ALIKE = 10**-60
"""Relative difference below which values of so many digits are the same."""
POSITIVE = ((3, 7, 11, 13, 2), (17, 5, 19, 23, 29), (31, 2, 5, 10, 41))
SIGNED = ((-7, 3, -2, 5, -11), (2, -5, 3, -13, 7))
"""Numerators, over 9 and 8, of the points at which expressions with letters are compared."""
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000


def same(gold: str, answer: str) -> bool | None:
    """Judge two LaTeX expressions, None where one of them cannot be read.

    math-verify judges first. What it takes for equal may be refused, since it compares tiny values absolutely; what it
    does not is right only where all digits agree.
    """
    from math_verify import verify

    from scalefit.runner.tasks.forms import left_to_do

    wanted, given = _read(gold), _read(answer)
    if wanted is None or given is None:
        return None
    if left_to_do(given) - left_to_do(wanted):
        return False
    many_places = _has_many_places(gold) or _has_many_places(answer)
    exact_gold, exact = _rational(wanted), _rational(given)
    right = bool(verify(exact_gold, exact, timeout_seconds=None))
    alike = _alike(exact_gold, exact)
    if right or alike is None:
        return right and alike is not False
    if alike:
        return True
    return many_places and bool(verify(wanted, given, timeout_seconds=None)) and _near(exact_gold, exact)


def _read(text: str) -> Any:
    """Return what math-verify reads, without its list of units, by which `5t` would be 5."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    plain = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
    config = LatexExtractionConfig(normalization_config=plain)
    found = parse(f"${text}$", [config], fallback_mode="no_fallback", parsing_timeout=None)
    return found[0] if found else None


def _has_many_places(text: str) -> bool:
    from scalefit.runner.tasks.literals import FLOAT_PLACES, places

    return places(text) >= FLOAT_PLACES


def _rational(tree: Any) -> Any:
    """Return a tree whose decimals are the fractions that were written, and whose letter i is the imaginary unit."""
    import sympy

    if not isinstance(tree, sympy.Expr):
        return tree
    exact: dict[Any, Any] = {part: sympy.Rational(str(part)) for part in tree.atoms(sympy.Float)}
    exact |= {letter: sympy.I for letter in tree.free_symbols if letter.name == "i"}
    return tree.xreplace(exact)


def _alike(gold: Any, answer: Any) -> bool | None:
    """Compare values relatively, to many digits; None where that cannot be told.

    Different at a point where letters are positive is different; the same is what agrees at all points.
    """
    import sympy

    if not (isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr)):
        return None
    names = sorted({letter.name for letter in gold.free_symbols | answer.free_symbols})
    if not names:
        return _equal_at(gold, answer, {})
    if len(names) > len(POSITIVE[0]):
        return None
    agreed = 0
    for points, below in ((POSITIVE, 9), (SIGNED, 8)):
        for point in points:
            values = {name: sympy.Rational(up, below) for name, up in zip(names, point, strict=False)}
            equal = _equal_at(gold, answer, values)
            if equal is False:
                return False if points is POSITIVE else None
            agreed += equal is True
    return True if agreed >= 3 else None


def _equal_at(gold: Any, answer: Any, values: dict[str, Any]) -> bool | None:
    import sympy

    sides = []
    for tree in (gold, answer):
        found = tree.subs({letter: values[letter.name] for letter in tree.free_symbols}).doit()
        sides.append(found if found.is_Rational else sympy.N(found, DIGITS))
    one, other = sides
    if values and not (one.is_real or other.is_real):
        return None  # outside the domain, where branches of a root differ
    if one.is_Rational and other.is_Rational:
        return bool(one == other)
    if not (one.is_number and other.is_number and one.is_finite and other.is_finite):
        return None
    size = max(abs(one), abs(other))
    return bool(abs(one - other) <= ALIKE * size)


def _near(gold: Any, answer: Any) -> bool:
    """Say whether a decimal of many places is near relatively too."""
    import sympy

    if gold.free_symbols or answer.free_symbols:
        return False
    one, other = sympy.N(gold, 30), sympy.N(answer, 30)
    return bool(abs(one - other) <= 5e-6 * abs(one))


@lru_cache(maxsize=64)
def _family(name: str) -> Any:
    from scalefit.runner.tasks.families import dataset

    return dataset(name)


def gym(family: str, index: int, answer: str) -> bool:
    """Let a family's own scorer judge; full marks only."""
    entries = _family(family)
    return bool(entries.score_answer(answer, entries[index]) >= 1.0)


KINDS: dict[str, Callable[..., bool | None]] = {"math": same, "gym": gym}


def serve(limit: float, patience: float, memory: int) -> None:
    """Be the supervisor: a question a line from stdin, a verdict a line to stdout, until stdin ends."""
    import logging

    logging.disable(logging.CRITICAL)
    network = not _leave_network()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not look like a verdict
    questions = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        _warm()
    except ImportError as error:
        print(json.dumps({"event": "failed", "text": str(error)}), file=out, flush=True)
        return
    worker = _Worker(limit, patience, memory)
    print(json.dumps({"event": "ready", "network": network}), file=out, flush=True)
    loaded: set[str] = set()
    for line in questions:
        question = json.loads(line)
        family = question.get("family")
        if family and family not in loaded:
            with contextlib.suppress(Exception):  # told where it is asked for
                _family(family)  # before the fork, so that it is loaded once
            loaded.add(family)
            worker.end()
        print(json.dumps(worker.ask(line)), file=out, flush=True)
    worker.end()


def _warm() -> None:
    """Load what judging loads late, so that it is counted against no answer."""
    for gold, answer in (
        (r"\sqrt{2}", r"\frac{2}{\sqrt{2}}"),
        ("x^2-1", "(x-1)(x+1)"),
        ("y=2x", "2x-y=0"),
        ("x>1", "1<x"),
    ):
        same(gold, answer)


def _leave_network() -> bool:
    """Move into a network namespace that holds nothing; False where the kernel does not allow it."""
    try:
        return ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NETWORK) == 0
    except (OSError, AttributeError):
        return False


class _Worker:
    """The process that judges, forked again when it was ended."""

    def __init__(self, limit: float, patience: float, memory: int) -> None:
        self.limit, self.patience, self.memory = limit, patience, memory
        self.pid = 0
        self.start()

    def start(self) -> None:
        inner_questions, self.questions = os.pipe()
        self.verdicts, inner_verdicts = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.questions)
            os.close(self.verdicts)
            self._judge(inner_questions, inner_verdicts)
        os.close(inner_questions)
        os.close(inner_verdicts)

    def ask(self, line: str) -> dict[str, Any]:
        """Return the verdict; where the process ended or slept over it, there is none and it is replaced."""
        if not self.pid:
            self.start()
        answer = b""
        with contextlib.suppress(BrokenPipeError):  # ended while idle; reading tells
            os.write(self.questions, line.encode())
        with selectors.DefaultSelector() as selector:
            selector.register(self.verdicts, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                block = os.read(self.verdicts, 1 << 16) if selector.select(self.patience * 1.5) else b""
                if not block:
                    self.end()
                    self.start()
                    return {"right": None, "killed": True}
                answer += block
        return {"right": json.loads(answer), "killed": False}

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self.pid:
            os.close(self.questions)
            os.close(self.verdicts)
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _judge(self, questions: int, verdicts: int) -> NoReturn:
        """Judge until the pipe is closed; the kernel ends the process where a bound is passed."""
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        for number in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        _die_with_parent()
        sys.setrecursionlimit(2000)
        with os.fdopen(questions, "r", encoding="utf-8") as lines:
            for line in lines:
                question = json.loads(line)
                signal.setitimer(signal.ITIMER_PROF, self.limit)
                signal.setitimer(signal.ITIMER_REAL, self.patience)
                try:
                    right = KINDS[question.pop("kind")](**question)
                except Exception:  # a scorer may raise anything on what a model writes; that is no verdict
                    right = None
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
                os.write(verdicts, json.dumps(right).encode() + b"\n")
        os._exit(0)


def _die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
