"""Base models for nano policies: supervised text with wrong answers in it, cached by the hash of all that made it.

The share of wrong answers leaves room for reinforcement learning: a base model that has learnt the text well
samples right more often than never and less often than always. `instruct` goes on from base with cleaner text.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from scalefit.locks import locked
from scalefit.output import make_folder, write_file
from scalefit.runner.policies.nano import NanoShape
from scalefit.runner.policies.nano_policy import NanoPolicy
from scalefit.runner.pretrain_target import PRETRAINED, Goal, read_to
from scalefit.runner.sections import PretrainConfig, SizeConfig
from scalefit.runner.tasks.task import Task, random_stream

FORMAT = 2
"""Raised when the same settings would make another model."""


def cache_folder() -> Path:
    """Return where base models are kept: SCALEFIT_CACHE, else the user's cache."""
    root = (
        os.environ.get("SCALEFIT_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scalefit"
    )
    return Path(root) / "nano"


_SAID = "pretrained"
"""Beside the weights, what rows say of them."""


@dataclass(frozen=True)
class _Stage:
    """So many tokens of text in which a share of the answers is wrong, the highest learning rate, and what is drawn.

    With a goal it is at most so many.
    """

    tokens: int
    noise: float
    learning_rate: float
    split: str = "pretrain"
    goal: Goal | None = None


def base_policy(
    size: SizeConfig,
    series: str,
    task: Task,
    config: PretrainConfig,
    report: Callable[[str], None] = lambda text: None,
    *,
    device: torch.device | str = "cpu",
    goal: Goal | None = None,
) -> NanoPolicy:
    """Return the pre-trained policy of a size and series (skill, base or instruct), from the cache or made now.

    Raises
    ------
    ScalefitError
        If a stage does not come to its goal.
    """
    rate = size.pretrain_learning_rate or config.learning_rate
    instruct = "instruct" if getattr(task, "own_instruct", False) else "pretrain"
    stages = {
        "skill": _Stage(config.tokens, 0.0, rate),
        "base": _Stage(config.base_tokens, config.base_noise, 0.3 * rate),
        "instruct": _Stage(config.instruct_tokens, config.instruct_noise, 0.3 * rate, instruct),
    }
    if goal:
        stages[goal.stage] = dataclasses.replace(stages[goal.stage], goal=goal)
    shape = NanoShape(size.name, size.d_model, size.layers, size.heads)
    making = _Making(shape, task, config, report, torch.device(device))
    return making.after(list(stages.values())[: list(stages).index(series) + 1])


@dataclass(frozen=True)
class _Making:
    """The making of a base model."""

    shape: NanoShape
    task: Task
    config: PretrainConfig
    report: Callable[[str], None]
    device: torch.device

    def after(self, stages: list[_Stage]) -> NanoPolicy:
        """Return the policy after some stages; only what decides its weights is in its name in the cache."""
        path = cache_folder() / f"{self._key(stages)}.pt"
        make_folder(path.parent)
        with locked(path):
            if path.exists():
                with contextlib.suppress(Exception):  # a damaged cache entry is made again
                    policy = self._untrained()
                    content = torch.load(path, weights_only=True, map_location="cpu")
                    policy.pretrained = content.pop(_SAID, {})
                    policy.model.load_state_dict(content)
                    return policy
            *before, stage = stages
            policy = self.after(before) if before else self._untrained()
            if stage.tokens:
                first = (
                    3 * self.config.seed + len(before)
                ) << 40  # no stage and no seed sees another's stretch of text
                _train(policy, self.task, stage, self.config.batch, first, self.report)
                if stage.goal:  # what came before is as long for every size
                    policy.pretrained[PRETRAINED[0]] += sum(one.tokens for one in before)
            content = policy.model.state_dict()
            if policy.pretrained:
                content[_SAID] = policy.pretrained
            write_file(path, lambda target: torch.save(content, target))
        return policy

    def _untrained(self) -> NanoPolicy:
        assert self.task.alphabet is not None
        generator = torch.Generator().manual_seed(self.config.seed)
        return NanoPolicy(self.shape, self.task.alphabet, generator, self.device)

    def _key(self, stages: list[_Stage]) -> str:
        shape, config = self.shape, self.config
        numbers = (shape.d_model, shape.layers, shape.heads, config.seed, config.batch)
        made_of = [(stage.tokens, stage.noise, stage.learning_rate) for stage in stages]
        where = [torch.__version__, torch.get_num_threads(), self.device.type]
        goals = [stage.goal.key() for stage in stages if stage.goal]
        key = json.dumps([FORMAT, numbers, made_of, repr(self.task), *where, *goals])
        return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


def _train(
    policy: NanoPolicy, task: Task, stage: _Stage, batch: int, first: int, report: Callable[[str], None]
) -> None:
    """Train on prompts, answers and ends from index `first`: to the goal, or on a cosine schedule after a short warm-up."""
    reader = _Reader(policy, task, stage, batch, first)
    if stage.goal:
        found = read_to(stage.goal, reader, stage.tokens, stage.learning_rate, report)
        policy.pretrained = dict(zip(PRETRAINED, (float(reader.seen), found), strict=True))
        return
    while reader.seen < stage.tokens:
        done = reader.seen / stage.tokens
        rate = stage.learning_rate * min(1.0, 20 * done + 0.02) * 0.5 * (1 + math.cos(math.pi * done))
        loss = reader.read(rate)
        report(f"pre-training {min(reader.seen / stage.tokens, 1):.0%}, loss {loss:.3f}")


_Batch = tuple[Tensor, Tensor, int]
"""Tokens of rows, what follows each of them where it is learnt (else -100), and how many tokens the rows have."""
TEXT_KEPT = 4_000_000
"""Tokens up to which a stage's text stays in memory, some 20 bytes each, for the next size, which reads the same."""
STAGES_KEPT = 3
_LAST: dict[str, list[_Batch]] = {}


class _Reader:
    """A policy that reads a stage's text, an update a batch: `at` batches and `seen` tokens so far."""

    def __init__(self, policy: NanoPolicy, task: Task, stage: _Stage, batch: int, first: int) -> None:
        self.policy, self.task, self.stage, self.batch, self.first = policy, task, stage, batch, first
        self.at = self.seen = 0
        self.optimiser = torch.optim.AdamW(policy.model.parameters(), betas=(0.9, 0.95), weight_decay=0.01, fused=True)
        key = repr((task, policy.alphabet, stage.noise, stage.split, batch, first))
        while key not in _LAST and len(_LAST) >= STAGES_KEPT:
            del _LAST[next(iter(_LAST))]
        self.text = _LAST.setdefault(key, [])

    def read(self, rate: float) -> float:
        """Read the next batch at a learning rate; return the loss."""
        model, device = self.policy.model, self.policy.device
        inputs, targets, tokens = self._next()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        logits = model(inputs.to(device))
        loss = F.cross_entropy(logits.flatten(0, 1), targets.to(device).flatten(), ignore_index=-100)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimiser.step()
        self.at, self.seen = self.at + 1, self.seen + tokens
        return float(loss.detach())

    def _next(self) -> _Batch:
        if self.at < len(self.text):
            return self.text[self.at]
        first = self.first + self.at * self.batch
        made = _batch(self.policy, self.task, self.stage, range(first, first + self.batch))
        if self.at == len(self.text) and self.seen < TEXT_KEPT:
            self.text.append(made)
        return made

    def kept(self) -> tuple[int, int, Any, Any]:
        """Return all that is needed to go back here."""
        return copy.deepcopy((self.at, self.seen, self.policy.model.state_dict(), self.optimiser.state_dict()))

    def go_back(self, kept: tuple[int, int, Any, Any]) -> None:
        """Be again where that was kept."""
        self.at, self.seen, weights, moments = copy.deepcopy(kept)
        self.policy.model.load_state_dict(weights)
        self.optimiser.load_state_dict(moments)


def _batch(policy: NanoPolicy, task: Task, stage: _Stage, indices: range) -> _Batch:
    rows, starts = [], []
    for at in indices:
        example = task.draw(stage.split, at)
        spoilt = next(random_stream("noise", at)) < (1 - (1 - stage.noise) ** example.steps) * 2**32
        answer = task.corrupt(example, at) if spoilt else example.worked or example.answer
        prompt = policy.encode(example.prompt)
        rows.append([*prompt, *policy.response_of(answer)])
        starts.append(len(prompt))
    longest = max(map(len, rows))
    padded = torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
    inputs, targets = padded[:, :-1].clamp(min=0), padded[:, 1:].clone()
    # Questions are random; only answers are learnt.
    targets[torch.arange(longest - 1) < torch.tensor(starts)[:, None] - 1] = -100
    return inputs, targets, sum(map(len, rows))
