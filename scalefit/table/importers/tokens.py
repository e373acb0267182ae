"""Tokens so far at every step: from a counter, from sums of steps, from parts or from mean lengths."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from scalefit.table.importers.collect import Collected

_HOLES = 0.05
"""Share of steps whose tokens may be missing and are filled."""


def tokens_so_far(collected: Collected, facts: Mapping[str, Any]) -> dict[int, float] | None:
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
