"""Pre-training that stops where pass@1 reaches a target: each size reads as much of the same text as that takes.

The learning rate is constant after its warm-up, since nobody knows where the end will be. What is looked at is drawn as
problems for training are, from a stretch of the index that no run has; once pass@1 is near, more of them and fresh ones
decide, so that it is not chance that stops. Where a stride went beyond, it is made again from before, in smaller ones and
at last at a lower rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from scalefit.errors import ScalefitError
from scalefit.runner.config import RunSpec, make_task
from scalefit.runner.evaluate import evaluate
from scalefit.runner.policies.nano_policy import NanoPolicy
from scalefit.runner.tasks.task import Task

LOOKED_AT, DECIDING = 1024, 4096
"""Problems that are looked at each time, and fresh ones where pass@1 is near the target."""
AT_ONCE = 256
APART = 1 << 60
"""Where the problems begin: no seed's stretch of the index reaches there."""
NEAR = 4.0
"""Standard errors of a look within which pass@1 is near the target."""
PRETRAINED = ("pretrain_tokens", "pretrain_pass_at_1")
"""What rows say: tokens read up to there, of every stage, and the pass@1 that was found."""
WARM_UP = 20
"""Updates until the rate is reached, and until the first look."""
STRIDE = 0.05
"""From one look to the next, as a share of what was read."""
TURNS = 40
"""Strides that may go beyond the target until it is given up."""


@dataclass(frozen=True)
class Goal:
    """A pass@1 to be reached within a tolerance by a stage (skill or base), and how it is measured, on which task."""

    stage: str
    pass_at_1: float
    within: float
    temperature: float
    max_new_tokens: int
    stop: tuple[str, ...]
    task: Task

    def key(self) -> list[Any]:
        """Return what decides where pre-training stops."""
        measured = (self.temperature, self.max_new_tokens, self.stop, self.task.name, repr(self.task))
        return [self.pass_at_1, self.within, *measured, getattr(self.task, "scored_by", "")]


def goal_of(spec: RunSpec) -> Goal | None:
    """Return where the pre-training of a run's model stops; None where it reads all its tokens."""
    config = spec.config
    if not config.pretrain.target:
        return None
    return Goal(
        "base" if config.pretrain.base_tokens else "skill",
        config.pretrain.target,
        config.pretrain.target_within,
        config.eval.temperature,
        config.grpo.max_new_tokens,
        config.policy.stop,
        make_task(spec.task.taught(), config.folder),
    )


class Reader(Protocol):
    """A policy that reads text, an update a batch, and can go back to where it was."""

    policy: NanoPolicy
    at: int
    """Batches so far."""
    seen: int
    """Tokens so far."""

    def read(self, rate: float) -> float:
        """Read a batch at a learning rate; return the loss."""
        ...

    def kept(self) -> Any:
        """Return all that is needed to go back here."""
        ...

    def go_back(self, kept: Any) -> None:
        """Be again where that was kept."""
        ...


def read_to(goal: Goal, reader: Reader, most: int, rate: float, report: Callable[[str], None]) -> float:
    """Read until pass@1 is the goal's, from whichever side; return what it is.

    Raises
    ------
    ScalefitError
        If `most` tokens do not lead there.
    """
    measure = _Measure(goal, reader.policy)
    found, kept = measure(), reader.kept()
    rising = found < goal.pass_at_1
    batches, slower, turns = WARM_UP, 1.0, 0
    while abs(found - goal.pass_at_1) > goal.within / 2:
        if (found < goal.pass_at_1) == rising:
            kept = reader.kept()
            batches = min(2 * batches, max(WARM_UP, round(STRIDE * reader.at)))
        else:
            reader.go_back(kept)
            slower, batches, turns = slower / 2 if batches == 1 else slower, max(1, batches // 4), turns + 1
        for _ in range(batches):
            if reader.seen >= most or turns > TURNS:
                tokens = "base_tokens" if goal.stage == "base" else "tokens"
                more = (
                    f"raise {tokens} or the learning rate, or lower target" if rising else f"raise {tokens} or target"
                )
                more = (
                    more
                    if turns <= TURNS
                    else "it goes past each time: lower the learning rate, or raise target_within"
                )
                raise ScalefitError(
                    f"pre-training came to pass@1 {found:.3f} after {reader.seen:,} tokens ([pretrain] {tokens} = {most:,}), and not "
                    f"to target = {goal.pass_at_1:g}: {more}."
                )
            loss = reader.read(rate * slower * min(1.0, (reader.at + 1) / WARM_UP))
            report(f"pre-training, {reader.seen:,} tokens, loss {loss:.3f}, pass@1 {found:.3f}")
        found = measure()
    return found


class _Measure:
    """What pass@1 of a policy is."""

    def __init__(self, goal: Goal, policy: NanoPolicy) -> None:
        self.goal, self.policy = goal, policy
        self.policy.halt_at(goal.stop)
        self.usual = self._drawn(0, LOOKED_AT)
        self.looks, self.drawn = 0, LOOKED_AT
        chance = math.sqrt(goal.pass_at_1 * (1 - goal.pass_at_1) / LOOKED_AT)
        self.near = max(goal.within, NEAR * chance)

    def __call__(self) -> float:
        found = self._of(self.usual)
        if abs(found - self.goal.pass_at_1) > self.near:
            return found
        fresh = self._drawn(self.drawn, DECIDING)
        self.drawn += DECIDING
        return self._of(fresh)

    def _drawn(self, first: int, count: int) -> list[Any]:
        return [self.goal.task.draw("train", APART + first + at) for at in range(count)]

    def _of(self, examples: list[Any]) -> float:
        self.looks += 1
        found = evaluate(
            self.policy,
            self.policy,
            self.goal.task,
            examples,
            samples=1,
            max_new_tokens=self.goal.max_new_tokens,
            temperature=self.goal.temperature,
            generator=torch.Generator().manual_seed(self.looks),
            at_once=AT_ONCE,
        )
        return 1 - found.loss
