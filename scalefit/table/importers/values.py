"""Whether a metric is pass@1, judged by all its values over the run and by what is logged of its own range beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from scalefit.errors import UsageError
from scalefit.table.importers.dialects import is_error

SLACK = 1e-6
"""How far beyond 0 and 1 a mean in single precision may lie."""
PAYS_MORE, PAYS_LESS = 1.5, 0.7
"""Bounds of what a right answer seems to pay, from mean and spread; of few rollouts the spread is an estimate."""
NATS = 12.0
"""The most that a language model's loss can be [nats]: that of a vocabulary of 160,000 tokens read at random."""
_NATS = re.compile(r".*(?:loss|perplexity|ppl|nll|cross_entropy)(?:[^a-z].*)?", re.IGNORECASE)


@dataclass
class Extent:
    """The least and the largest value seen."""

    low: float = float("inf")
    high: float = float("-inf")

    def add(self, value: float) -> None:
        """Take in a value."""
        self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def beyond(self) -> bool:
        """Whether it leaves [0, 1]."""
        return self.low < -SLACK or self.high > 1 + SLACK

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


@dataclass
class Rewards:
    """What a log says of a reward beside its means: extremes, and pairs of mean and standard deviation."""

    extent: Extent = field(default_factory=Extent)
    named: set[str] = field(default_factory=set)
    moments: list[tuple[float, float]] = field(default_factory=list)

    @property
    def pays(self) -> float | None:
        """What a right answer pays if a wrong one pays nothing: mean + variance / mean, as for any two values 0 and R."""
        found = [mean + spread**2 / mean for mean, spread in self.moments if mean > 0]
        return median(found) if found else None


@dataclass(frozen=True)
class Scale:
    """What a wrong and a right answer pay."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Return the share of right answers behind a mean."""
        return (value - self.low) / (self.high - self.low)

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


def parse_scale(text: str) -> Scale:
    """Read `LOW:HIGH`; raises UsageError where it is none."""
    low, colon, high = text.partition(":")
    try:
        scale = Scale(float(low), float(high))
    except ValueError:
        scale = None
    if not colon or scale is None or not -1e6 < scale.low < scale.high < 1e6:
        raise UsageError(
            f"--scale {text}: write what a wrong and a right answer pay as LOW:HIGH, for instance 0:3 or -1:1."
        )
    return scale


def why_no_share(name: str, values: Extent, rewards: Rewards | None, scale: Scale | None) -> str | None:
    """Return why a metric's values are no shares of right answers, with the way out; None where they are.

    Parameters
    ----------
    values : Extent
        The metric's own values over the whole run.
    rewards : Rewards, optional
        What is logged of the reward that it is the mean of; None where it is a mean of right answers.
    scale : Scale, optional
        What a wrong and a right answer pay, where that was said.
    """
    way_out = "or choose another metric with --metric"
    if scale is not None:
        for extent, whose in ((values, "it goes"), (rewards.extent if rewards else Extent(), "its rewards go")):
            if (
                extent.low <= extent.high
                and not -SLACK <= scale.share(extent.low) <= scale.share(extent.high) <= 1 + SLACK
            ):
                return f"--scale {scale}: {name}: {whose} from {extent}, beyond it; say what a wrong and a right answer pay, {way_out}"
        return None
    if _NATS.fullmatch(name):
        return f"{name} is a loss, and pass@1 is asked for (the runs table's loss is 1 - pass@1); name another metric"
    if is_error(name):
        return f'{name} is by its name a share of wrong answers, and pass@1 is asked for; name another metric, or map it with --map (loss = "`{name}`")'
    if values.beyond and rewards is None and values.low >= 0 and 3 < values.high <= 100:
        if values.high <= NATS:
            return f"{name} goes from {values}: a loss in nats is no pass@1; per cent say so with --scale 0:100, a score with --scale LOW:HIGH, {way_out}"
        return f"{name} goes from {values}: per cent? say so with --scale 0:100, {way_out}"
    what, guess = "", ""
    if values.beyond:
        what, guess = f"goes from {values} over the run", _guess(values)
    elif rewards is not None and rewards.extent.beyond:
        beside = ", ".join(sorted(rewards.named))
        what, guess = f"is the mean of rewards that go from {rewards.extent} ({beside})", _guess(rewards.extent)
    elif rewards is not None and rewards.pays is not None and rewards.pays > PAYS_MORE:
        what = f"is the mean of rewards whose spread is that of a right answer paying about {rewards.pays:.2g}"
        guess = f"0:{max(2, round(rewards.pays))}"
    if not what:
        return None
    return f"{name} {what}, so it is a score and not pass@1; say what a wrong and a right answer pay with --scale {guess}, {way_out}"


def doubts(name: str, rewards: Rewards | None) -> Iterable[str]:
    """Yield what is worth saying of a metric that is taken as pass@1 as it stands."""
    if rewards is None:
        return
    if rewards.pays is not None and rewards.pays < PAYS_LESS:
        yield f"{name} is taken as pass@1; the rewards' spread is that of partial credit or of a right answer paying about {rewards.pays:.2g} (--scale says what it pays)"
    elif rewards.extent.low > rewards.extent.high and rewards.pays is None:
        yield f"{name} is a mean of rewards, taken as pass@1: its values lie in 0 to 1, and the log says nothing of what a right answer pays (--scale does)"


def _guess(extent: Extent) -> str:
    """Return the scale that whole numbers suggest."""
    low = 0 if extent.low >= -SLACK else -1 if extent.low >= -1 - SLACK else round(extent.low - 0.5)
    high = 1 if extent.high <= 1 + SLACK else round(extent.high + 0.499)
    return f"{low}:{high}"
