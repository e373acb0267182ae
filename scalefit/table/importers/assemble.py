"""From one run's rows to rows of the runs table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import pandas as pd

from scalefit.errors import UsageError
from scalefit.table.importers.choose import NoEvaluation, choose_metrics
from scalefit.table.importers.collect import Choice, Collected
from scalefit.table.importers.dialects import (
    OTHER,
    Dialect,
    configured_by,
    is_no_mean,
    is_training,
    recognise,
)
from scalefit.table.importers.facts import resolve
from scalefit.table.importers.log import Log, Row
from scalefit.table.importers.tokens import tokens_so_far
from scalefit.table.importers.values import Scale

PEEK = 1000
"""Rows that are looked at before missing facts are asked for; configurations come first in every format."""


@dataclass(frozen=True)
class Run:
    """One run's rows, the facts they rest on, what its loss is where it is no evaluation's 1 - pass@1, and notes."""

    frame: pd.DataFrame
    facts: Mapping[str, Any]
    dialect: str
    path: str
    loss: str | None
    notes: tuple[str, ...]


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
        resolve(log, kind or configured_by(log.config) or OTHER, given, yes=choice.yes, assumed=choice.assumed)
        log.notes = said
    first = _peek(log.rows)
    dialect = kind or recognise(name for row in first for name in row.values) or OTHER
    facts = resolve(log, dialect, given, yes=choice.yes, assumed=choice.assumed)
    if choice.name is None and dialect is OTHER and log.sole is not None:
        if is_training(OTHER, log.sole) or is_no_mean(log.sole):
            raise UsageError(
                f"{log.path}: its only metric is {log.sole}, no mean of an evaluation; where it is right all the same, say --training-metric {log.sole} with --scale."
            )
        choice = replace(choice, metric=log.sole)
        log.notes.append(
            f"{log.path}: its only metric, {log.sole}, is taken as pass@1; name it with --metric to say so"
        )
    collected = Collected(log, dialect, choice, facts.get("logging_steps"))
    for row in chain(first, log.rows):
        collected.add(row)
    found = choose_metrics(collected)
    frame = pd.DataFrame(rows_of(collected, found, facts))
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


def rows_of(
    collected: Collected, found: Mapping[tuple[str, str], Scale | None], facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a row for each evaluation, with the columns last seen before it."""
    tokens = tokens_so_far(collected, facts)
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


def _what_loss_is(found: Mapping[tuple[str, str], Scale | None], choice: Choice) -> str | None:
    """Return what the loss is, where it is not 1 - pass@1 of an evaluation as logged."""
    names = ", ".join(sorted(name for (_, name), scale in found.items() if scale is not None or choice.training_metric))
    if choice.training_metric is not None:
        pays = f", where an answer pays {choice.scale}" if choice.scale else ", taken to pay 1 for a right answer"
        return f"1 - training reward {names}{pays}; no evaluation"
    return f"1 - {names}, where an answer pays {choice.scale}" if names else None
