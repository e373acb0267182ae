"""Base models for nano policies: supervised text with wrong answers in it, cached by the hash of all that made it.

The share of wrong answers leaves room for reinforcement learning: a base model that has learnt the text well
samples right more often than never and less often than always. `instruct` goes on from base with cleaner text.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from scalefit.locks import locked
from scalefit.output import make_folder, write_file
from scalefit.runner.policies.nano import END, NanoShape
from scalefit.runner.policies.nano_policy import NanoPolicy
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


@dataclass(frozen=True)
class _Stage:
    """So many tokens of text in which a share of the answers is wrong, the highest learning rate, and what is drawn."""

    tokens: int
    noise: float
    learning_rate: float
    split: str = "pretrain"


def base_policy(
    size: SizeConfig,
    series: str,
    task: Task,
    config: PretrainConfig,
    report: Callable[[str], None] = lambda text: None,
    device: torch.device | str = "cpu",
) -> NanoPolicy:
    """Return the pre-trained policy of a size and series (skill, base or instruct), from the cache or made now."""
    rate = size.pretrain_learning_rate or config.learning_rate
    instruct = "instruct" if getattr(task, "own_instruct", False) else "pretrain"
    stages = {
        "skill": _Stage(config.tokens, 0.0, rate),
        "base": _Stage(config.base_tokens, config.base_noise, 0.3 * rate),
        "instruct": _Stage(config.instruct_tokens, config.instruct_noise, 0.3 * rate, instruct),
    }
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
                    policy.model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
                    return policy
            *before, stage = stages
            policy = self.after(before) if before else self._untrained()
            if stage.tokens:
                first = (
                    3 * self.config.seed + len(before)
                ) << 40  # no stage and no seed sees another's stretch of text
                _train(policy, self.task, stage, self.config.batch, first, self.report)
            write_file(path, lambda target: torch.save(policy.model.state_dict(), target))
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
        key = json.dumps([FORMAT, numbers, made_of, repr(self.task), *where])
        return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


def _train(
    policy: NanoPolicy, task: Task, stage: _Stage, batch: int, first: int, report: Callable[[str], None]
) -> None:
    """Train on prompts, answers and ends from index `first`, cosine schedule after a short warm-up."""
    optimiser = torch.optim.AdamW(policy.model.parameters(), betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    seen = 0
    for inputs, targets, tokens in _text(policy, task, stage, batch, first):
        done = seen / stage.tokens
        rate = stage.learning_rate * min(1.0, 20 * done + 0.02) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = rate
        logits = policy.model(inputs.to(policy.device))
        loss = F.cross_entropy(logits.flatten(0, 1), targets.to(policy.device).flatten(), ignore_index=-100)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
        optimiser.step()
        seen += tokens
        report(f"pre-training {min(seen / stage.tokens, 1):.0%}, loss {float(loss.detach()):.3f}")


_Batch = tuple[Tensor, Tensor, int]
"""Tokens of rows, what follows each of them where it is learnt (else -100), and how many tokens the rows have."""
TEXT_KEPT = 4_000_000
"""Tokens up to which a stage's text stays in memory, some 20 bytes each, for the next size, which reads the same."""
STAGES_KEPT = 3
_LAST: dict[str, list[_Batch]] = {}


def _text(policy: NanoPolicy, task: Task, stage: _Stage, batch: int, first: int) -> Iterator[_Batch]:
    """Yield a stage's text in batches."""
    key = repr((task, policy.alphabet, stage.tokens, stage.noise, stage.split, batch, first))
    if key in _LAST:
        yield from _LAST[key]
        return
    made: list[_Batch] = []
    seen, index = 0, first
    while seen < stage.tokens:
        made.append(_batch(policy, task, stage, range(index, index + batch)))
        yield made[-1]
        seen, index = seen + made[-1][2], index + batch
        if stage.tokens > TEXT_KEPT:
            made.clear()
    if made:
        while len(_LAST) >= STAGES_KEPT:
            del _LAST[next(iter(_LAST))]
        _LAST[key] = made


def _batch(policy: NanoPolicy, task: Task, stage: _Stage, indices: range) -> _Batch:
    rows, starts = [], []
    for at in indices:
        example = task.draw(stage.split, at)
        spoilt = next(random_stream("noise", at)) < (1 - (1 - stage.noise) ** example.steps) * 2**32
        answer = task.corrupt(example, at) if spoilt else example.worked or example.answer
        prompt = policy.encode(example.prompt)
        rows.append([*prompt, *policy.encode(answer), END])
        starts.append(len(prompt))
    longest = max(map(len, rows))
    padded = torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
    inputs, targets = padded[:, :-1].clamp(min=0), padded[:, 1:].clone()
    # Questions are random; only answers are learnt.
    targets[torch.arange(longest - 1) < torch.tensor(starts)[:, None] - 1] = -100
    return inputs, targets, sum(map(len, rows))
