"""The ledger of a sweep: which runs wait, are under way, have ended, and how; whoever works asks it and tells it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalefit.output import make_folder, write_text
from scalefit.runner.config import RunSpec
from scalefit.runner.run_folder import ORDER

ATTEMPTS = 2
"""How often a run whose process died is started."""


@dataclass
class Outcome:
    """What came of a sweep: how each run ended, and what went wrong."""

    finished: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    rows: int = 0


@dataclass(frozen=True)
class Progress:
    """What to tell the user: runs ended of all, runs under way with their last words, seconds since the start.

    `left` is the time that the rest takes at the pace so far [s]; None before there is a pace.
    """

    ended: int
    total: int
    under_way: dict[str, str]
    seconds: float
    left: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Cluster:
    """Where a sweep runs if not in processes of its own.

    Attributes
    ----------
    address : str or None
        host:port of a Ray cluster; None starts one on this machine.
    cpus, gpus, memory : float
        What each run needs; memory in bytes, 0 for no claim.
    slots : int
        CPUs of the Ray that is started here.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    memory: float = 0.0
    slots: int = 1


def how_it_ended(code: int) -> str:
    """Say how a process ended: by a signal, or with a code."""
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


class Ledger:
    """Runs that wait, that are under way and that have ended."""

    def __init__(
        self,
        waiting: list[RunSpec],
        folder: Path,
        outcome: Outcome,
        report: Callable[[Progress], None],
        assemble: Callable[[], int],
    ) -> None:
        # Seed by seed, so that workers do not wait for one base model; large before small, so that the end is short.
        place = {spec.run_id: at for at, spec in enumerate(waiting)}
        self.waiting = sorted(waiting, key=lambda spec: (spec.seed, spec.series, -place[spec.run_id]))
        self.total = len(waiting) + len(outcome.skipped)
        self.folder, self.report, self.outcome, self.assemble = folder, report, outcome, assemble
        self.attempts: dict[str, int] = {}
        self.specs: dict[str, RunSpec] = {}
        self.under_way: dict[str, str] = {}
        self.shares: dict[str, tuple[float, float]] = {}  # of a run under way: made when first heard of, and made now
        self.told: set[str] = set()
        self.began = time.monotonic()

    def take(self) -> tuple[RunSpec, str] | None:
        """Return the next run and the order that a worker is given for it, or None."""
        if not self.waiting:
            return None
        spec = self.waiting.pop(0)
        self.attempts[spec.run_id] = self.attempts.get(spec.run_id, 0) + 1
        self.specs[spec.run_id] = spec
        self.under_way[spec.run_id] = ""
        folder = self.folder / spec.run_id
        make_folder(folder)
        kept = {**spec.config.settings(), **spec.config.seen_from(folder)}
        write_text(folder / ORDER, json.dumps({"run": spec.run_id, **kept}, indent=1))
        order = {"config": dataclasses.asdict(spec.config), "run": spec.run_id, "folder": str(folder.resolve())}
        return spec, json.dumps(order)

    def hear(self, said: dict[str, Any]) -> bool:
        """Take in what a worker says; return whether its run has ended."""
        run, event = said.get("run", ""), said["event"]
        if event == "progress":
            self.under_way[run] = said["text"]
            if said.get("share"):
                first, _ = self.shares.get(run, (said["share"], 0.0))
                self.shares[run] = (first, said["share"])
        elif event == "note":
            if said["text"] not in self.told:
                self.told.add(said["text"])
                self.tell(said["text"])
        elif event == "killed":
            self.died(self.specs[run], said["text"])
            return True
        elif event in ("done", "failed"):
            self._leave(run)
            if event == "failed":
                self.outcome.failed[run] = said["text"]
                self.tell(f"{run}: failed; the reason follows at the end")
            else:
                (self.outcome.diverged if said["status"] == "diverged" else self.outcome.finished).append(run)
                self.assemble()
                self.tell(f"{run}: {said['status']} at step {said['step']}, loss {said['loss']:.4f}")
            return True
        return False

    def died(self, spec: RunSpec, how: str) -> None:
        """Let the run of a process that is gone wait again, from its last checkpoint, once."""
        self._leave(spec.run_id)
        if self.attempts[spec.run_id] < ATTEMPTS:
            self.waiting.insert(0, spec)
            self.tell(f"{spec.run_id}: its process {how}; it goes on from its last checkpoint")
        else:
            self.outcome.failed[spec.run_id] = (
                f"its process {how}, for the second time (memory?); the rows so far are kept, run again to resume"
            )

    def _leave(self, run: str) -> None:
        self.under_way.pop(run, None)
        self.shares.pop(run, None)

    def tell(self, note: str = "") -> None:
        """Report where the sweep is."""
        ended = self.total - len(self.waiting) - len(self.under_way)
        words = {run: text for run, text in self.under_way.items() if text}
        seconds = time.monotonic() - self.began
        made = ended - len(self.outcome.skipped) + sum(now - first for first, now in self.shares.values())
        rest = self.total - ended - sum(now for _, now in self.shares.values())
        left = seconds * rest / made if made > 0 else None
        self.report(Progress(ended, self.total, words, seconds, left, note))
