"""What every importer shares: records of a training log, what must be known beside them, and rows made of both.

A reader turns a file into records, one a step or part of one; a dialect says what a tool's metrics mean; `assemble`
makes the runs table. Nothing of a log is kept but the metrics that a dialect asks for, so a log may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from scalefit.errors import TableError, UsageError, nearest
from scalefit.table.io import RunTable, as_runs
from scalefit.units import parse_quantity

Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""
FLOPS = {"6N": "6 N x all tokens (prompt and response of every rollout), computed on import", "none": "not counted"}
FACTS = {
    "params": "model size [parameters], as in 7B",
    "prompts": "prompts of one step, the training batch size",
    "group_size": "rollouts per prompt",
    "series": "name of the runs that share one law, as in base",
    "flops": "how FLOPs are counted: 6N (from the log's tokens) or none",
}
"""What must be known of a run; asked for by name where the log's configuration does not hold it."""
OPTIONAL = {
    "run_id": "name of the run, by default the log's",
    "eval": "name of the evaluation, by default the log's",
    "eval_size": "problems in the evaluation set",
    "seed": "the run's seed",
    "reuse": "times each distinct prompt is seen",
}


@dataclass(frozen=True)
class Record:
    """Metrics that a log holds for one step, or some of them."""

    step: int
    metrics: Mapping[str, float]


@dataclass
class Log:
    """A log being read.

    Attributes
    ----------
    config : dict
        The run's configuration with dotted names, as far as the log holds it; filled while records are read.
    notes : list of str
        What the reader skipped or mended.
    """

    path: str
    run_id: str
    records: Iterator[Record]
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dialect:
    """What a tool's metrics mean.

    Attributes
    ----------
    tokens : tuple of str
        Metrics of tokens, prompt and response of every rollout; the first that is there counts.
    tokens_add_up : bool
        Whether that metric is of one step, to be summed, rather than so far.
    columns : mapping
        Column of the runs table to metrics, the first that is there.
    config : mapping
        Fact to the configuration's name of it.
    evaluations : callable
        Metrics to (evaluation, metric, pass@1), every one that can be read as such.
    """

    name: str
    tokens: tuple[str, ...]
    tokens_add_up: bool
    columns: Mapping[str, tuple[str, ...]]
    config: Mapping[str, str]
    evaluations: Callable[[Mapping[str, float]], list[tuple[str, str, float]]]


@dataclass(frozen=True)
class Imported:
    """A runs table and what was noticed on the way."""

    runs: RunTable
    notes: tuple[str, ...]


@dataclass
class _Step:
    """What is kept of one step."""

    tokens: float | None = None
    columns: dict[str, float] = field(default_factory=dict)
    passed: dict[tuple[str, str], float] = field(default_factory=dict)


def assemble(log: Log, dialect: Dialect, given: Mapping[str, str], metric: str | None = None) -> Imported:
    """Make rows of a log's records.

    Steps that go backwards are a restart: the later attempt is kept. A row is made for every evaluation.

    Parameters
    ----------
    given : mapping
        Facts of `FACTS` and `OPTIONAL`, over the log's configuration.
    metric : str, optional
        The metric that is pass@1, where a log holds several of one evaluation.

    Raises
    ------
    UsageError
        With every fact that is missing, or where the metric cannot be chosen.
    TableError
        If there is no evaluation in the log.
    """
    steps, seen = _collect(log, dialect, metric)
    facts = _facts(log, dialect, given)
    found = _choose(log, steps, metric, seen)
    tokens, total, whole = {}, 0.0, not dialect.tokens_add_up or _from_the_first_step(steps)
    for step in sorted(steps):
        value = steps[step].tokens
        if dialect.tokens_add_up:
            whole = whole and (step == 0 or value is not None)
            total += value or 0.0
            tokens[step] = total
        else:
            total = value if value is not None else total
            tokens[step] = total
    known = whole and total > 0
    if not known:
        log.notes.append(f"{dialect.tokens[0]} is not there for every step from the first: no tokens and no FLOPs")
    rows: list[dict[str, Any]] = []
    last: dict[str, float] = {}
    for step in sorted(steps):
        last |= steps[step].columns
        for (evaluation, name), value in steps[step].passed.items():
            if (evaluation, name) in found:
                row = {"run_id": facts["run_id"], "step": step, "eval": facts.get("eval", evaluation)}
                rows.append(row | {"loss": 1.0 - value, "samples": facts["prompts"] * step, **last})
                if known:
                    rows[-1]["tokens"] = tokens[step]
    frame = pd.DataFrame(rows)
    for name in ("params", "series", "group_size", "eval_size", "seed", "reuse"):
        if name in facts:
            frame[name] = facts[name]
    if known and facts["flops"] == "6N":
        frame["flops"] = 6.0 * facts["params"] * frame["tokens"]
    metadata = {
        "params_convention": "as given on import",
        "flops_convention": FLOPS[facts["flops"]],
        "origin": f"{dialect.name} log {log.path}",
    }
    return Imported(as_runs(frame, metadata, log.path), tuple(log.notes))


def _collect(log: Log, dialect: Dialect, metric: str | None) -> tuple[dict[int, _Step], set[str]]:
    """Keep what matters of every step, the later attempt where a run was restarted, and the names of metrics seen."""
    steps: dict[int, _Step] = {}
    seen: set[str] = set()
    last = -1
    for record in log.records:
        if record.step < last:
            again = [step for step in steps if step >= record.step]
            for step in again:
                del steps[step]
            if again:
                log.notes.append(
                    f"steps {min(again)}-{max(again)} came again after a restart at step {record.step}; the later attempt is kept"
                )
        last = record.step
        kept = steps.setdefault(record.step, _Step())
        seen.update(record.metrics)
        if (tokens := _first(record.metrics, dialect.tokens)) is not None:
            kept.tokens = tokens
        for column, names in dialect.columns.items():
            if (value := _first(record.metrics, names)) is not None:
                kept.columns[column] = value
        for evaluation, name, passed in dialect.evaluations(record.metrics):
            kept.passed[evaluation, name] = passed
        if metric is not None and metric in record.metrics and metric not in {name for _, name in kept.passed}:
            kept.passed[metric, metric] = record.metrics[metric]
    if not steps:
        raise TableError(f"{log.path}: no record of a step in it; is it a {dialect.name} log, and is it whole?")
    return steps, seen


def _first(metrics: Mapping[str, float], names: Iterable[str]) -> float | None:
    return next((metrics[name] for name in names if name in metrics), None)


def _from_the_first_step(steps: Mapping[int, _Step]) -> bool:
    trained = [step for step in sorted(steps) if step > 0]
    return trained == list(range(1, len(trained) + 1))


def _facts(log: Log, dialect: Dialect, given: Mapping[str, str]) -> dict[str, Any]:
    """Return facts from options and configuration, checked; ask for all that are missing at once."""
    known = {**FACTS, **OPTIONAL}
    for name in given:
        if name not in known:
            raise UsageError(f"--set {name}: {nearest(name, known)}")
    raw: dict[str, Any] = {"run_id": log.run_id}
    raw |= {fact: log.config[name] for fact, name in dialect.config.items() if log.config.get(name) is not None}
    raw |= given
    missing = [name for name in FACTS if name not in raw]
    if missing:
        asked = "\n".join(f"  --set {name}=...   {FACTS[name]}" for name in missing)
        raise UsageError(f"{log.path} does not say, and it is not guessed:\n{asked}")
    facts: dict[str, Any] = {name: str(raw[name]) for name in ("run_id", "series", "flops", "eval") if name in raw}
    if facts["flops"] not in FLOPS:
        raise UsageError(f"--set flops={facts['flops']}: {nearest(facts['flops'], FLOPS)}")
    for name in ("params", "prompts", "group_size", "eval_size", "reuse"):
        if name in raw:
            facts[name] = parse_quantity(raw[name], name)
    if "seed" in raw:
        try:
            facts["seed"] = int(raw["seed"])
        except ValueError:
            raise UsageError(f"--set seed={raw['seed']}: a seed is a whole number.") from None
    return facts


def _choose(log: Log, steps: Mapping[int, _Step], metric: str | None, seen: Iterable[str]) -> set[tuple[str, str]]:
    """Return the one metric of each evaluation that is pass@1."""
    every = {key for kept in steps.values() for key in kept.passed}
    if metric is not None:
        chosen = {key for key in every if key[1] == metric}
        if not chosen:
            raise UsageError(f"--metric {metric}: {log.path} has no such evaluation; {nearest(metric, seen)}")
        return chosen
    if not every:
        raise TableError(
            f"{log.path}: no evaluation in it. Its metrics: {', '.join(sorted(seen)[:20])}; name the one that is pass@1 with --metric."
        )
    for evaluation in {key[0] for key in every}:
        names = sorted(name for other, name in every if other == evaluation)
        if len(names) > 1:
            raise UsageError(
                f"{log.path} has {len(names)} metrics of {evaluation!r}: {', '.join(names)}; choose with --metric."
            )
    return every
