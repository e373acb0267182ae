"""From one run's rows to rows of the runs table: steps, restarts, tokens, and which metric is pass@1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from statistics import median
from typing import Any

import pandas as pd

from scalefit.errors import TableError, UsageError, nearest
from scalefit.table.importers.dialects import (
    DIALECTS,
    OTHER,
    STEPS,
    Dialect,
    Kind,
    configured_by,
    is_error,
    is_evaluation,
    is_no_mean,
    is_training,
    meaning,
    recognise,
)
from scalefit.table.importers.facts import resolve
from scalefit.table.importers.log import PAGE_BOUNDS, RECORDS, RUNS, Log, Row, number
from scalefit.table.importers.values import Extent, Rewards, Scale, doubts, why_no_share

PEEK = 1000
"""Rows that are looked at before missing facts are asked for; configurations come first in every format."""
_LAST_STEP = 1 << 53
_HOLES = 0.05
"""Share of steps whose tokens may be missing and are filled."""
_OF_TOTAL = re.compile(r"(\d{1,15})/\d+")
_SHOWN = 20


class NoEvaluation(TableError):
    """A log without an evaluation; of several logs it is left out."""


class NoMetric(UsageError):
    """A log without the metric that was named; of several logs it is left out."""


@dataclass(frozen=True)
class Choice:
    """What was said about the metric: its name, that it is of training, what its answers pay; and whether proposals are taken."""

    metric: str | None = None
    training_metric: str | None = None
    scale: Scale | None = None
    yes: bool = False

    @property
    def name(self) -> str | None:
        """The metric that was named, if any."""
        return self.metric or self.training_metric


@dataclass(frozen=True)
class Run:
    """One run's rows, the facts they rest on, what its loss is where it is no evaluation's 1 - pass@1, and notes."""

    frame: pd.DataFrame
    facts: Mapping[str, Any]
    dialect: str
    path: str
    loss: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Role:
    """What a metric's name means for the table."""

    columns: tuple[tuple[str, int], ...] = ()
    tokens: int | None = None
    part: bool = False
    length: bool = False
    evaluation: tuple[str, str, Kind] | None = None
    reward: str = ""
    bounds: tuple[str, str] | None = None
    extent_of: str | None = None
    mean_of: str | None = None

    @cached_property
    def idle(self) -> bool:
        """Whether the metric is of no use."""
        return self == _Role()


@dataclass
class _Step:
    """What is kept of one step."""

    tokens: tuple[int, float] | None = None
    parts: dict[str, float] = field(default_factory=dict)
    lengths: dict[str, float] = field(default_factory=dict)
    columns: dict[str, tuple[int, float]] = field(default_factory=dict)
    passed: dict[tuple[str, str], float] = field(default_factory=dict)


class Collected:
    """Everything that matters of a log, kept while its rows pass by."""

    def __init__(self, log: Log, dialect: Dialect, choice: Choice, records_step: float | None = None) -> None:
        self.log, self.dialect, self.choice, self.records_step = log, dialect, choice, records_step
        self.steps: dict[int, _Step] = {}
        self.roles: dict[str, _Role] = {}
        self.kinds: dict[tuple[str, str], Kind] = {}
        self.reward_of: dict[tuple[str, str], str] = {}
        self.extents: dict[tuple[str, str], Extent] = {}
        self.rewards: dict[str, Rewards] = {}
        self._newest: dict[str, int] = {}
        self._run: dict[str, str] = {}
        self._last = -1
        self._ranges = [re.compile(pattern) for pattern in dialect.ranges]
        self._spreads = [re.compile(pattern) for pattern in dialect.spreads]

    @property
    def names(self) -> set[str]:
        """Every metric seen."""
        return set(self.roles)

    def add(self, row: Row) -> None:
        """Take in a row; what has no place in the run is left out and told, and what is of another run refused."""
        for column in RUNS:
            run = row.values.get(column)
            if isinstance(run, str) and self._run.setdefault(column, run) != run:
                raise TableError(
                    f"{self.log.path}: {row.where}: column {column!r} names another run, {run[:40]!r} after {self._run[column][:40]!r}; give each run a file."
                )
        wanted = []
        for name, raw in row.values.items():
            role = self.roles.get(name)
            if role is None:
                role = self.roles[name] = self._role(name)
            if role.idle or raw is None:
                continue
            if (value := number(raw)) is not None:
                wanted.append((name, role, value))
            elif role.evaluation:
                self.log.leave_out(row.where, f"holds {raw!r:.30} for {name}, which is no number")
        if not wanted:
            return
        step = self._step(row, any(role.evaluation for _, role, _ in wanted))
        if step is None:
            return
        if step < self._last and any(self._newest.get(name, -1) >= step for name, _, _ in wanted):
            self._restart(step)
        self._last = step
        kept = self.steps.setdefault(step, _Step())
        for name, role, value in wanted:
            self._newest[name] = step
            if value != value:
                if role.evaluation:
                    self.log.leave_out(f"step {step} ({row.where})", f"has no finite number for {name}")
                continue
            self._keep(kept, name, role, value, row)

    def _keep(self, kept: _Step, name: str, role: _Role, value: float, row: Row) -> None:
        if role.tokens is not None and (kept.tokens is None or role.tokens <= kept.tokens[0]):
            kept.tokens = role.tokens, value
        if role.part:
            kept.parts[name] = value
        if role.length:
            kept.lengths[name] = value
        for column, rank in role.columns:
            if column not in kept.columns or rank <= kept.columns[column][0]:
                kept.columns[column] = rank, value
        if role.bounds is not None:
            self.extents.setdefault(role.bounds, Extent()).add(value)
        if role.extent_of is not None:
            rewards = self.rewards.setdefault(role.extent_of, Rewards())
            rewards.extent.add(value)
            rewards.named.add(name)
        if role.mean_of is not None:
            stem = name.removesuffix("/std")
            mean = next((number(row.values[one]) for one in (f"{stem}/mean", stem) if one in row.values), None)
            if mean is not None and mean == mean:
                self.rewards.setdefault(role.mean_of, Rewards()).moments.append((mean, value))
        if role.evaluation:
            evaluation, _, kind = role.evaluation
            key = evaluation, name
            if kept.passed.get(key, value) != value:
                self.log.leave_out(f"step {self._last}", f"is followed by another value of {name} for the same step")
            kept.passed[key] = value
            self.kinds[key], self.reward_of[key] = kind, role.reward
            self.extents.setdefault(key, Extent()).add(value)

    def _role(self, name: str) -> _Role:
        dialect = self.dialect
        evaluation: tuple[str, str, Kind] | None = None
        found = meaning(dialect, name)
        reward = ""
        if found is not None:
            groups = found[1].groupdict()
            reward = groups.get("reward") or ""
            if found[0] != "training" or name == self.choice.training_metric:
                evaluation = ("training" if found[0] == "training" else groups.get("eval") or "eval", name, found[0])
        elif name == self.choice.name:
            evaluation = ("training" if self.choice.training_metric else name, name, "further")
        extent_of = mean_of = bounds = None
        if name.endswith(PAGE_BOUNDS) and (base := self._role(name[: -len(PAGE_BOUNDS[0])])).evaluation:
            bounds = base.evaluation[:2]
        for pattern in self._ranges:
            if match := pattern.fullmatch(name):
                extent_of = match.groupdict().get("reward") or ""
        for pattern in self._spreads:
            if match := pattern.fullmatch(name):
                mean_of = match.groupdict().get("reward") or ""
        return _Role(
            tuple((column, every.index(name)) for column, every in dialect.columns.items() if name in every),
            dialect.tokens.index(name) if name in dialect.tokens else None,
            name in dialect.token_parts,
            name in dialect.lengths,
            evaluation,
            reward,
            bounds,
            extent_of,
            mean_of,
        )

    def _step(self, row: Row, evaluation: bool) -> int | None:
        """Return a row's step; leave a row with an evaluation out where it has none."""
        values = row.values
        name = next((one for one in (*self.dialect.steps, *STEPS) if values.get(one) is not None), None)
        if name is None and RECORDS in values and self.records_step:
            return int(values[RECORDS] * self.records_step)
        raw = values.get(name) if name is not None else None
        if isinstance(raw, str) and (match := _OF_TOTAL.fullmatch(raw.strip())):
            raw = match[1]
        step = number(raw)
        if step is not None and step == step and step == round(step) and 0 <= step < _LAST_STEP:
            return int(step)
        if evaluation:
            what = f"has step {raw!r:.20}, which is no count of updates"
            if raw is None or (step is not None and step != step):
                what = "has no step" if raw is None else "has no finite step"
            self.log.leave_out(row.where, what)
        return None

    def _restart(self, step: int) -> None:
        again = [old for old in self.steps if old >= step]
        for old in again:
            del self.steps[old]
        self._newest = {name: newest for name, newest in self._newest.items() if newest < step}
        if again:
            self.log.notes.append(
                f"steps {min(again)}-{max(again)} came again after a restart at step {step}; the later attempt is kept"
            )


def assemble(log: Log, kind: Dialect | None, given: Mapping[str, str], choice: Choice) -> Run:
    """Make rows of a log, one for every evaluation.

    Parameters
    ----------
    kind : Dialect, optional
        What the metrics mean, where that was said; else it is recognised.
    given : mapping
        Facts over the log's configuration.

    Raises
    ------
    UsageError
        With every fact that is missing, or where the metric cannot be chosen.
    TableError
        If there is no evaluation in the log.
    """
    if not log.configured:
        # What nothing that is still to come will say is asked for before the log is read.
        said = list(log.notes)
        resolve(log, kind or configured_by(log.config) or OTHER, given, yes=choice.yes)
        log.notes = said
    first = _peek(log.rows)
    dialect = kind or recognise(name for row in first for name in row.values) or OTHER
    facts = resolve(log, dialect, given, yes=choice.yes)
    if choice.name is None and dialect is OTHER and log.sole is not None:
        if is_training(OTHER, log.sole) or is_no_mean(log.sole):
            raise UsageError(
                f"{log.path}: its only metric is {log.sole}, no mean of an evaluation; where it is right all the same, say --training-metric {log.sole} with --scale."
            )
        choice = Choice(log.sole, None, choice.scale, choice.yes)
        log.notes.append(
            f"{log.path}: its only metric, {log.sole}, is taken as pass@1; name it with --metric to say so"
        )
    collected = Collected(log, dialect, choice, facts.get("logging_steps"))
    for row in chain(first, log.rows):
        collected.add(row)
    found = _choose(collected)
    frame = pd.DataFrame(_rows(collected, found, facts))
    if frame.empty:
        raise NoEvaluation("\n  ".join([f"{log.path}: no evaluation is left in it.", *log.all_notes()]))
    for name in ("params", "series", "group_size", "eval_size", "seed", "reuse"):
        if name in facts:
            frame[name] = facts[name]
    if "tokens" in frame and facts["flops"] == "6N":
        frame["flops"] = 6.0 * facts["params"] * frame["tokens"]
    if "flops" not in frame:
        facts["flops"] = "none"
    return Run(frame, facts, dialect.name, log.path, _what_loss_is(found, choice), tuple(log.all_notes()))


def _peek(rows: Iterator[Row]) -> list[Row]:
    first: list[Row] = []
    for row in rows:
        first.append(row)
        if len(first) == PEEK:
            break
    return first


def _rows(
    collected: Collected, found: Mapping[tuple[str, str], Scale | None], facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a row for each evaluation, with the columns last seen before it."""
    tokens = _tokens(collected, facts)
    rows: list[dict[str, Any]] = []
    last: dict[str, float] = {}
    for step in sorted(collected.steps):
        kept = collected.steps[step]
        last |= {column: value for column, (_, value) in kept.columns.items()}
        for (evaluation, name), value in kept.passed.items():
            if (evaluation, name) not in found:
                continue
            scale = found[evaluation, name]
            share = value if scale is None else scale.share(value)
            row = {"run_id": facts["run_id"], "step": step, "eval": facts.get("eval", evaluation)}
            rows.append(row | {"loss": 1.0 - min(max(share, 0.0), 1.0), "samples": facts["prompts"] * step, **last})
            if tokens is not None:
                rows[-1]["tokens"] = tokens[step]
    return rows


def _tokens(collected: Collected, facts: Mapping[str, Any]) -> dict[int, float] | None:
    """Return tokens so far by step; None, and a note where FLOPs were asked for, where the log does not count them."""
    dialect, steps = collected.dialect, collected.steps
    so_far = {step: kept.tokens[1] for step, kept in steps.items() if kept.tokens is not None}
    found: dict[int, float] | None
    if not dialect.tokens_add_up and so_far:
        found = _carried_on(so_far, collected)
    else:
        found = _summed(_per_step(collected, facts["prompts"] * facts["group_size"]), collected)
    if found is None and facts["flops"] != "none":
        counted = dialect.tokens[0] if dialect.tokens else "a count of tokens"
        collected.log.notes.append(f"{counted} is not there for every step from the first: no tokens and no FLOPs")
    return found


def _carried_on(so_far: Mapping[int, float], collected: Collected) -> dict[int, float]:
    """Return a counter at every step; where it begins anew it goes on from what was there."""
    found, total, before = {}, 0.0, 0.0
    for step in sorted(collected.steps):
        if step in so_far:
            if before + so_far[step] < total:
                collected.log.notes.append(
                    f"{collected.log.path}: the count of tokens begins anew at step {step}; it is carried on from what was there before"
                )
                before = total
            total = before + so_far[step]
        found[step] = total
    return found


def _per_step(collected: Collected, rollouts: float) -> dict[int, float]:
    """Return the tokens of each step that tells them, by itself, by parts, or by lengths and rollouts."""
    dialect, found = collected.dialect, {}
    for step, kept in collected.steps.items():
        if kept.tokens is not None:
            found[step] = kept.tokens[1]
        elif dialect.token_parts and len(kept.parts) == len(dialect.token_parts):
            found[step] = sum(kept.parts.values())
        elif dialect.lengths and len(kept.lengths) == len(dialect.lengths):
            found[step] = sum(kept.lengths.values()) * rollouts
    return found


def _summed(of_step: dict[int, float], collected: Collected) -> dict[int, float] | None:
    """Return the sum of tokens before each evaluation; None where too many steps do not tell theirs.

    A log that counts its steps from 0 evaluates before it trains, so that what a step costs comes after its evaluation.
    A few steps that are missing or broken are taken to cost what the middle one does, which is told.
    """
    last = max(collected.steps)
    from_zero = 0 in of_step
    needed = range(0, last) if from_zero else range(1, last + 1)
    holes = [step for step in needed if step not in of_step]
    if not any(of_step.get(step) for step in needed) or len(holes) > _HOLES * len(needed):
        return None
    if holes:
        middle = median(of_step.values())
        of_step = {**of_step, **dict.fromkeys(holes, middle)}
        shown = ", ".join(map(str, holes[:3])) + (", ..." if len(holes) > 3 else "")
        collected.log.notes.append(
            f"{collected.log.path}: {len(holes)} of {len(needed)} steps tell no tokens ({shown}); they are taken to cost what the middle step does, {middle:.4g}"
        )
    found, total = {}, 0.0
    for step in range(0, last + 1):
        if not from_zero:
            total += of_step.get(step, 0.0) if step else 0.0
        if step in collected.steps:
            found[step] = total
        if from_zero:
            total += of_step.get(step, 0.0)
    return found


def _choose(collected: Collected) -> dict[tuple[str, str], Scale | None]:
    """Return the one metric of each evaluation that is pass@1, with the scale it is on.

    Raises
    ------
    UsageError, TableError
        Where there is none, more than one, or one that is no share of right answers.
    """
    log, choice = collected.log, collected.choice
    if not collected.steps and not collected.kinds and not collected.names:
        raise TableError(f"{log.path}: no record of a step in it; is it a training log, and is it whole?")
    candidates = _named(collected) if choice.name is not None else _unnamed(collected)
    found, refused = {}, []
    for key in sorted(candidates):
        kind = collected.kinds[key]
        scaled = kind != "accuracy" or choice.name is not None or collected.extents[key].beyond
        scale = choice.scale if scaled else None
        rewards = None if kind == "accuracy" else collected.rewards.get(collected.reward_of[key], Rewards())
        if kind == "further":
            rewards = None
        if why := why_no_share(key[1], collected.extents[key], rewards, scale):
            refused.append(why)
            continue
        found[key] = scale
        if scale is None:
            log.notes.extend(f"{log.path}: {doubt}" for doubt in doubts(key[1], rewards))
    if not found:
        raise UsageError(f"{log.path}: " + "\n  ".join(refused) + ".")
    log.notes.extend(f"{log.path}: {why}; left out" for why in refused)
    if choice.scale is not None and not any(found.values()):
        raise UsageError(
            f"--scale {choice.scale}: {log.path} has no score among {', '.join(sorted(name for _, name in found))}; name the metric with --metric."
        )
    _one_each(log, found)
    return found


def _one_each(log: Log, found: Mapping[tuple[str, str], object]) -> None:
    for evaluation in {key[0] for key in found}:
        names = sorted(name for other, name in found if other == evaluation)
        if len(names) > 1:
            raise UsageError(
                f"{log.path} has {len(names)} metrics of {evaluation!r}: {', '.join(names)}; choose with --metric."
            )


def _unnamed(collected: Collected) -> set[tuple[str, str]]:
    """Return what the dialect takes for evaluations by itself: accuracies, and scores where an evaluation has none."""
    log = collected.log
    right = {key for key, kind in collected.kinds.items() if kind == "accuracy"}
    measured = {evaluation for evaluation, _ in right}
    right |= {key for key, kind in collected.kinds.items() if kind == "score" and key[0] not in measured}
    if right:
        return right
    stepless = sorted(
        name
        for name in collected.names
        if (one := meaning(collected.dialect, name)) and one[0] in ("accuracy", "score")
    )
    if stepless:
        raise NoEvaluation(
            "\n  ".join(
                [
                    f"{log.path}: {', '.join(stepless[:_SHOWN])} is there, but no value of it is a number at a step.",
                    *log.all_notes(),
                ]
            )
        )
    further = sorted(name for (_, name), kind in collected.kinds.items() if kind == "further")
    others = sorted(name for name in collected.names if not is_no_mean(name) and name not in further)
    shown = ", ".join([*further, *others][:_SHOWN])
    if {"run_id", "series", "loss"} <= collected.names:
        raise NoEvaluation(
            f"{log.path}: a runs table, it seems, and no log; use it as it is (scalefit check {log.path})."
        )
    if collected.dialect is OTHER:
        raise NoEvaluation(
            f"{log.path}: its metrics ({shown or 'none'}) are none that {', '.join(DIALECTS)} write; name the one that is pass@1 with "
            "--metric, or map its columns with --map."
        )
    raise NoEvaluation(
        f"{log.path}: no evaluation in it. Its metrics: {shown}; name the one that is pass@1 with --metric, or a training reward with --training-metric."
    )


def _named(collected: Collected) -> set[tuple[str, str]]:
    """Return the metric that was named, where it is of the kind that was said."""
    log, choice, dialect = collected.log, collected.choice, collected.dialect
    name = choice.name
    assert name is not None
    chosen = {key for key in collected.kinds if key[1] == name}
    if is_no_mean(name):
        raise UsageError(
            f"--metric {name}: a spread, an extreme or the best of several answers, no mean of right ones; {_offer(collected, name)}"
        )
    training = is_training(dialect, name)
    if choice.training_metric is not None:
        if not training and chosen and any(collected.kinds[key] in ("accuracy", "score") for key in chosen):
            raise UsageError(f"--training-metric {name}: an evaluation; name it with --metric.")
    elif training and name in collected.names:
        raise UsageError(
            f"--metric {name}: a reward over training rollouts, no evaluation: it moves with the problems drawn and with what a right answer pays. "
            f"{_offer(collected, name)} Where nothing else is there, say --training-metric {name}, with --scale where a right answer does not pay 1."
        )
    option = "--metric" if choice.metric else "--training-metric"
    if not chosen and name in collected.names:
        raise NoEvaluation(
            "\n  ".join(
                [f"{option} {name}: {log.path} has it, but no value of it is a number at a step.", *log.all_notes()]
            )
        )
    if not chosen:
        raise NoMetric(f"{option} {name}: {log.path} has no such evaluation; {_offer(collected, name)}")
    return chosen


def _offer(collected: Collected, name: str) -> str:
    """Return the evaluation means of a log as a hint."""
    if collected.choice.training_metric is not None:
        offered: Iterable[str] = [
            one for one in collected.names if is_training(collected.dialect, one) and not is_no_mean(one)
        ]
    else:
        offered = [one for one in collected.names if one != name and _may_be_offered(collected.dialect, one)]
    every = sorted(offered)
    if not every:
        return "it has none at all."
    hint = nearest(name, every)
    return (
        hint if hint.startswith("did") or len(every) <= _SHOWN else f"its evaluations: {', '.join(every[:_SHOWN])}, ..."
    )


def _may_be_offered(dialect: Dialect, name: str) -> bool:
    return is_evaluation(name) or not (is_no_mean(name) or is_training(dialect, name) or is_error(name))


def _what_loss_is(found: Mapping[tuple[str, str], Scale | None], choice: Choice) -> str | None:
    """Return what the loss is, where it is not 1 - pass@1 of an evaluation as logged."""
    names = ", ".join(sorted(name for (_, name), scale in found.items() if scale is not None or choice.training_metric))
    if choice.training_metric is not None:
        pays = f", where an answer pays {choice.scale}" if choice.scale else ", taken to pay 1 for a right answer"
        return f"1 - training reward {names}{pays}; no evaluation"
    return f"1 - {names}, where an answer pays {choice.scale}" if names else None
