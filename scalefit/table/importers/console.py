"""Console logs: verl's `step:10 - name:value - ...` lines and the dictionaries that TRL's and ms-swift's trainers print."""

from __future__ import annotations

import ast
import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalefit.table.importers.dialects import is_evaluation
from scalefit.table.importers.log import RECORDS, STEP, Log, Progress, Row, number
from scalefit.table.importers.text import PACKING, head_of, lines, open_bytes, parse_json, unwrapped

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_STEP = re.compile(r"\bstep:(\d{1,15}(?:\.0*)?)(?= - |\s*$)(?: - (.*))?")
_REPEATED = re.compile(r"\s*\[repeated \d+x across cluster\].*$")
_BAR = re.compile(r"\b(\d{1,12})/(\d{1,12}) \[")
_CUT = re.compile(r"(?:\.|e[-+]?\d?)$", re.IGNORECASE)
"""How a number ends that was cut: Python writes exponents with two digits, and one after a point."""
_DICT = re.compile(r"\{'.*\}")
_JSON = re.compile(r'\{".*\}')
_DICT_CUT = re.compile(r"\{'(?:eval_|loss|reward|train)")
_MARKS = frozenset(("epoch", "loss", "eval_loss", "global_step/max_steps", "step", "_step", "global_step"))
"""Names of which a printed dictionary holds one where it is a record."""
_RECORD = re.compile(rb"\bstep:\d|\{['\"]")
_CONFIG = "{'actor_rollout_ref'"
_MAYBE_EVALUATION = re.compile(r"eval|val|test")
_BLOCK, _OVERLAP = 1 << 20, 64
LONG = 512
"""Characters from which on a line may have been cut to a limit of whatever carried it; terminals and shippers cap at 1000 and more."""
_LONGEST_DICT = 100_000


@dataclass
class _Survey:
    """What a first pass tells: lines that were cut to one length, and which progress bar is that of training."""

    orders: set[tuple[str, ...]] = field(default_factory=set)
    lengths: Counter[int] = field(default_factory=Counter)
    bars: Counter[str] = field(default_factory=Counter)
    longest: dict[str, int] = field(default_factory=dict)
    fractions: set[str] = field(default_factory=set)

    @property
    def total(self) -> str | None:
        """The number of steps that the progress bar of training counts to: that of most bars, evaluations' are fewer."""
        return self.bars.most_common(1)[0][0] if self.bars else None

    def cut(self, pairs: list[tuple[str, str]], length: int) -> str | None:
        """Return why the last value of a line cannot be trusted; None where it can.

        A long line was cut if other lines go on after the same names with a further evaluation, or if it and others
        have exactly the greatest length of all.
        """
        if length < LONG:
            return None
        names = tuple(name for name, _ in pairs) if is_evaluation(pairs[-1][0]) else ()
        for other in self.orders if names else ():
            if len(other) > len(names) and other[: len(names)] == names and is_evaluation(other[len(names)]):
                return f"its line ends after {length} characters, where others go on with {other[len(names)]}"
        if self.lengths[length] > 1 and length == max(self.lengths) and length >= 2 * LONG:
            return f"its line and {self.lengths[length] - 1} more end after exactly {length} characters"
        return None

    def cut_value(self, name: str, value: str, *, complete: bool) -> str | None:
        """Return why a line's last value cannot be trusted by its own look; None where it can."""
        if number(value) is None or _CUT.search(value):
            return f"{value[:30]!r} is no number (cut?)"
        if name in self.fractions and re.fullmatch(r"[-+]?\d+", value):
            return f"{value[:30]!r} is a whole number, where others of it have a point"
        if not complete and len(value) < self.longest.get(name, 0):
            return f"the file ends with {value[:30]!r}, shorter than others of it"
        return None


def has_records(path: Path) -> bool:
    """Say whether anything in a text looks like a record of a step."""
    rest = b""
    with open_bytes(path) as file:
        while True:
            try:
                block = file.read(_BLOCK)
            except PACKING:
                return False
            if _RECORD.search(rest + block):
                return True
            if not block:
                return False
            rest = block[-_OVERLAP:]


def printed_config(path: Path) -> Any:
    """Return the configuration that verl's trainer prints at the start of a run, None where there is none."""
    text, start = _plain(head_of(path, _BLOCK)), -1
    if (start := text.find(_CONFIG)) < 0:
        return None
    body = re.sub(r"\n\([^()\n]*\) ?", "\n", text[start : start + _LONGEST_DICT])
    depth = 0
    for at, mark in enumerate(body):
        depth += (mark == "{") - (mark == "}")
        if not depth:
            return _literal(body[: at + 1])
    return None


def console(path: Path, log: Log, progress: Progress) -> Iterator[Row]:
    """Yield the records of a console log; what a cut line has lost is told, with its step."""
    survey = _first_pass(path)
    step_of_bar: int | None = None
    waiting: list[tuple[int, dict[str, Any]]] = []
    for at, raw in lines(path, progress, log):
        if b"step:" in raw and (match := _STEP.search(text := _plain(raw))):
            yield from _record(at, text, match, log, survey, complete=raw.endswith(b"\n"))
            continue
        if b"{" not in raw and b" [" not in raw:
            continue
        text = _plain(raw)
        found = _dictionary(text)
        if found is not None:
            waiting.append((at, found))
            if any(name in found for name in (STEP, "global_step/max_steps", "_step", "global_step")):
                yield Row(f"line {at}", unwrapped(waiting.pop()[1]))
        elif _DICT_CUT.search(text) and not raw.endswith(b"\n"):
            log.leave_out(f"line {at}", "is a record that is cut")
        bars = [int(done) for done, total in _BAR.findall(text) if total == survey.total]
        if bars:
            step_of_bar = bars[-1]
        if step_of_bar is not None:
            for place, values in waiting:
                yield Row(f"line {place}", {**values, STEP: step_of_bar})
            waiting.clear()
    if waiting:
        yield from _counted(waiting, log)


def _first_pass(path: Path) -> _Survey:
    """Look at every line's length and last value, and at the order of names where an evaluation ends or is in the line."""
    found = _Survey()
    for _, raw in lines(path, lambda done, total: None):
        if b" [" in raw:
            found.bars.update(total for _, total in _BAR.findall(_plain(raw)))
        if b"step:" not in raw or not (match := _STEP.search(text := _plain(raw))):
            continue
        said = match[2] or ""
        for name, value in _pairs(said.rpartition(" - ")[2]):
            found.longest[name] = max(len(value), found.longest.get(name, 0))
        if _MAYBE_EVALUATION.search(said):
            pairs = _pairs(said)
            for name, value in pairs:
                if is_evaluation(name):
                    found.longest[name] = max(len(value), found.longest.get(name, 0))
                    if "." in value:
                        found.fractions.add(name)
            if len(text) >= LONG:
                found.orders.add(tuple(name for name, _ in pairs))
        if len(text) >= LONG:
            found.lengths[len(text)] += 1
    return found


def _plain(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").rstrip("\r\n")
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return _REPEATED.sub("", text) if "[repeated" in text else text


def _pairs(text: str) -> list[tuple[str, str]]:
    """Return names and values as they stand; the last colon of a piece divides them, as names may hold colons."""
    found = []
    for piece in text.strip().split(" - "):
        name, colon, value = piece.rpartition(":")
        if value.endswith(")") and "(" not in value:
            # tensor(0.41, device='cuda:0') holds a colon of its own.
            head, _, tail = name.rpartition(":")
            name, value = head, f"{tail}:{value}"
        found.append((name, value) if colon else (piece, ""))
    return found


def _record(at: int, text: str, match: re.Match[str], log: Log, survey: _Survey, *, complete: bool) -> Iterator[Row]:
    pairs = _pairs(match[2] or "")
    where = f"line {at} (step {match[1]})"
    why = None
    if pairs:
        why = survey.cut(pairs, len(text)) or survey.cut_value(*pairs[-1], complete=complete)
    values = dict(pairs if why is None else pairs[:-1])
    if why is not None:
        log.leave_out(where, f"has lost {pairs[-1][0][:80] or 'what follows'} and all after it: {why}")
    for name in [name for name in values if is_evaluation(name)]:
        if number(values[name]) is None or _CUT.search(values[name]):
            log.leave_out(where, f"holds {values.pop(name)[:30]!r} for {name}, which is no number (cut?)")
    if values or not pairs:
        yield Row(f"line {at}", {STEP: match[1], **values})
    if not complete and why is None and pairs and is_evaluation(pairs[-1][0]):
        log.notes.append(
            f"{log.path}: ends without the end of its line {at}; its last value, {pairs[-1][1]}, is taken as whole"
        )


def _dictionary(text: str) -> dict[str, Any] | None:
    """Return the dictionary of metrics, Python's or JSON's, that is printed in a line."""
    if len(text) > _LONGEST_DICT:
        return None
    found: Any = None
    if match := _DICT.search(text):
        found = _literal(re.sub(r"(?<=: )(?:nan|-?inf)\b", "None", match[0]))
    elif match := _JSON.search(text):
        with contextlib.suppress(ValueError):
            found = parse_json(match[0].encode())
    if isinstance(found, dict) and all(isinstance(name, str) for name in found) and not _MARKS.isdisjoint(found):
        return found
    return None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _counted(waiting: list[tuple[int, dict[str, Any]]], log: Log) -> Iterator[Row]:
    """Give each record the count of training records so far; `logging_steps`, which must be said, makes steps of it.

    Where the epoch goes back, a run was resumed, and the count goes on from the last record before that epoch.
    """
    log.asks.append("logging_steps")
    counted: list[float] = []
    for at, values in waiting:
        epoch = number(values.get("epoch"))
        evaluation = any(name.startswith("eval_") for name in values)
        if not evaluation and "train_runtime" not in values:
            while counted and epoch is not None and counted[-1] >= epoch:
                counted.pop()
            counted.append(epoch if epoch is not None else (counted[-1] if counted else 0.0))
        yield Row(f"line {at}", {**values, RECORDS: len(counted)})
