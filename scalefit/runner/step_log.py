"""The log of a run: a line for every step in `log.jsonl`, and the same numbers to the trackers of [log].

It decides no row and never stops a run: a line that cannot be written waits for the next, a tracker that fails is told
once and left out. Nothing is synced to disk, which would cost more than a small step.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from scalefit.errors import OutputError
from scalefit.named import find_named
from scalefit.output import write_text
from scalefit.places import require
from scalefit.runner.config import RunSpec
from scalefit.runner.run_folder import STEP_LOG
from scalefit.runner.trackers import TRACKERS, Tracker


class StepLog:
    """Writes a run's log from where its last checkpoint left it; to be closed."""

    def __init__(self, spec: RunSpec, folder: Path, tell: Callable[[str], None], *, reached: int) -> None:
        """Begin after step `reached`; what an earlier process wrote beyond it is dropped (-1: all of it)."""
        self.tell, self.step, self.path = tell, reached, folder / STEP_LOG
        self.file: IO[bytes] | None = None
        self.waiting, self.told = b"", False
        self.tokens, self.seconds = 0.0, dict[str, float]()
        self.trackers: list[Tracker] = []
        with self._or_told():
            _cut(self.path, reached)
        for name in dict.fromkeys(spec.config.log.to):
            with self._or_told(name):
                self.trackers.append(find_named(name, TRACKERS)(spec, folder, reached))

    def begin(self, tokens: float, seconds: Mapping[str, float]) -> None:
        """Take what a run has spent before its next step."""
        self.tokens, self.seconds = tokens, dict(seconds)

    def write(self, step: int, numbers: Mapping[str, Any], tokens: float, seconds: Mapping[str, float]) -> None:
        """Add a step, unless it is there already.

        Parameters
        ----------
        numbers : mapping
            What is to be said of the step.
        tokens : float
            Tokens that the run has processed so far.
        seconds : mapping
            What each phase has taken so far [s].
        """
        if step <= self.step:
            return
        took = {name: total - self.seconds.get(name, 0.0) for name, total in seconds.items()}
        made, busy = tokens - self.tokens, sum(took.values()) - took.get("evaluate", 0.0)
        self.step = step
        self.begin(tokens, seconds)
        content = {
            "step": step,
            **numbers,
            "tokens": tokens,
            **{f"seconds_{name}": round(spent, 6) for name, spent in took.items()},
            **({"tokens_per_second": round(made / busy, 1)} if made and busy else {}),
        }
        known = {name: value for name, value in content.items() if math.isfinite(value)}
        self.waiting += json.dumps(known).encode() + b"\n"
        with self._or_told():
            self._send()
        for tracker in list(self.trackers):
            with self._or_told(tracker.name, tracker):
                tracker.log(step, {name: value for name, value in known.items() if name != "step"})

    def close(self) -> None:
        """End the log and its trackers."""
        for tracker in self.trackers:
            with self._or_told(tracker.name):
                tracker.close()
        self.trackers = []
        if self.file is not None:
            self.file.close()

    def _send(self) -> None:
        if self.file is None:
            self.file = open(require(self.path).target, "ab", buffering=0)  # kept open: a step may be short
        while self.waiting:
            self.waiting = self.waiting[self.file.write(self.waiting) :]

    @contextlib.contextmanager
    def _or_told(self, name: str = "", tracker: Tracker | None = None) -> Iterator[None]:
        """Let a failure of the log itself be told once, and one of a tracker with the tracker's name."""
        try:
            yield
        except Exception as error:  # a tracker may raise anything
            if tracker in self.trackers:
                self.trackers.remove(tracker)
            why = str(error).strip().split("\n")[0][:200]
            if name:
                self.tell(f"[log] to = {name!r} is left out, the run goes on: {type(error).__name__}: {why}")
            elif not self.told:
                self.told = True
                self.tell(f"{self.path} is not written for now, the run goes on: {why}")


def _cut(path: Path, reached: int) -> None:
    """Drop steps beyond one, and a last line that was cut short."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error})") from error
    kept = [line for line in lines if line.endswith("\n") and _step_of(line) <= reached]
    if len(kept) < len(lines):
        write_text(path, "".join(kept))


def _step_of(line: str) -> float:
    """Return the step of a line, infinite where it has none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf
