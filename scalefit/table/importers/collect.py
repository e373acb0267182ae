"""What matters of a log, kept while its rows pass by: steps, restarts, evaluations, and what is said of rewards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from scalefit.errors import TableError
from scalefit.table.importers.dialects import (
    STEPS,
    Dialect,
    Kind,
    meaning,
)
from scalefit.table.importers.log import PAGE_BOUNDS, RECORDS, RUNS, Log, Row, number
from scalefit.table.importers.values import Extent, Rewards, Scale

_LAST_STEP = 1 << 53
_OF_TOTAL = re.compile(r"(\d{1,15})/\d+")


@dataclass(frozen=True)
class Choice:
    """What was said about the metric: its name, that it is of training, what its answers pay; whether proposals are taken, and what is assumed."""

    metric: str | None = None
    training_metric: str | None = None
    scale: Scale | None = None
    yes: bool = False
    assumed: Mapping[str, str] = field(default_factory=dict)
    """Facts for runs that nothing else says them of."""

    @property
    def name(self) -> str | None:
        """The metric that was named, if any."""
        return self.metric or self.training_metric


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
        self.last = -1
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
        if step < self.last and any(self._newest.get(name, -1) >= step for name, _, _ in wanted):
            self._restart(step)
        self.last = step
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
                self.log.leave_out(f"step {self.last}", f"is followed by another value of {name} for the same step")
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
