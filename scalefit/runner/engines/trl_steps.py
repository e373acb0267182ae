"""What a TRL run tells of its steps: TRL's own numbers of each update, made into those of a step, and where its time went."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from scalefit.runner.config import RunSpec
from scalefit.runner.engines.trl_launch import reward_factor, whole_steps
from scalefit.runner.step_log import StepLog

DIAGNOSTICS = ("entropy", "kl", "gradient_norm", "clipped", "uniform_groups")
"""What a row of the table has of its last step."""
LOGGED = {
    "entropy": "entropy",
    "kl": "kl",
    "grad_norm": "gradient_norm",
    "clip_ratio/region_mean": "clipped",
    "frac_reward_zero_std": "uniform_groups",
    "reward": "reward",
    "completions/mean_length": "response_length",
    "completions/max_length": "response_length_max",
    "completions/clipped_ratio": "truncated",
    "learning_rate": "learning_rate",
}
"""What TRL logs of an update, and what we call it."""


class Steps:
    """Numbers of the updates since the last step, of that step, and the time spent so far; `log` on one process only."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.log: StepLog | None = None
        self.seconds = dict.fromkeys(("generate", "score", "train", "evaluate"), 0.0)
        self._updates: list[dict[str, float]] = []
        self._last: dict[str, float] = {}
        self._begun = 0.0

    def begin(self, tokens: float) -> None:
        """Start the clock."""
        self._begun = time.perf_counter()
        if self.log is not None:
            self.log.begin(tokens, self.seconds)

    def hear(self, logs: Mapping[str, Any], updates: int, tokens: float) -> None:
        """Take in what TRL says of an update; the last one of a step makes it whole."""
        found = {ours: float(logs[theirs]) for theirs, ours in LOGGED.items() if logs.get(theirs) is not None}
        self._updates.append(found)
        step = whole_steps(updates, self.spec)
        if step is None:
            return
        told = {name: [one[name] for one in self._updates if name in one] for name in LOGGED.values()}
        self._last = {name: sum(values) / len(values) for name, values in told.items() if values}
        if "reward" in self._last:
            self._last["reward"] /= reward_factor(self.spec)
        self._updates.clear()
        if not self.spec.due(step):  # else its evaluation follows
            self.write(step, tokens)

    def write(self, step: int, tokens: float, **more: float) -> None:
        """Write the last step into the run's log."""
        if self.log is None:
            return
        others = sum(spent for name, spent in self.seconds.items() if name != "train")
        self.seconds["train"] = time.perf_counter() - self._begun - others
        self.log.write(step, {**self._last, **more}, tokens, self.seconds)

    @property
    def diagnostics(self) -> dict[str, float]:
        """What a row has of the last step."""
        return {name: self._last[name] for name in DIAGNOSTICS if name in self._last}
