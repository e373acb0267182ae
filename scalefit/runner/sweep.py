"""A grid of runs in local processes: skips what is finished, resumes what was cut off, writes the runs table.

Beside the table lies its folder, `NAME.parts/`, with one folder a run (see `scalefit.runner.checkpoint`). The table is
written anew from these, beside the old one and renamed, whenever a run has ended; torch is only in the workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from scalefit.errors import UsageError
from scalefit.provenance import versions
from scalefit.runner.config import Config, RunSpec
from scalefit.table.io import as_runs, write_runs

CONVENTIONS = {
    "params_convention": "non-embedding",
    "flops_convention": "6 * params * tokens, prompt and response tokens of every rollout; flops_full: passes really computed",
}
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
    """What to tell the user: runs ended of all, runs under way with their last words, seconds since the start."""

    ended: int
    total: int
    under_way: dict[str, str]
    seconds: float
    note: str = ""


def parts_of(out: Path) -> Path:
    """Return the folder beside a table in which its runs are kept."""
    return out.with_name(out.name + ".parts")


def run_sweep(
    config: Config, out: Path, jobs: int = 1, report: Callable[[Progress], None] = lambda progress: None
) -> Outcome:
    """Make every run of a configuration that is not there yet and write the table.

    Raises
    ------
    UsageError, TableError
        If the table or its folder belongs to another configuration, or another sweep is writing it.
    KeyboardInterrupt
        On Ctrl-C, after the workers have stopped; what was made is kept and resumed by the next call.
    """
    if out.suffix != ".parquet":
        raise UsageError(f"--out {out}: the table is written as Parquet; name it {out.stem}.parquet.")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: no directory {out.parent}; make it first.")
    folder = parts_of(out)
    _refuse_other(config, out, folder)
    folder.mkdir(exist_ok=True)
    with _lock(folder, out):
        (folder / "configuration.json").write_text(
            json.dumps({"digest": config.digest(), **dataclasses.asdict(config)}, indent=1), encoding="utf-8"
        )
        outcome = Outcome()
        waiting = []
        for spec in config.runs():
            done = _done(folder / spec.run_id)
            if done is None:
                waiting.append(spec)
            elif done["digest"] != spec.digest():
                raise UsageError(
                    f"{folder / spec.run_id} was made by another configuration of this run; give another --out, or delete it."
                )
            else:
                outcome.skipped.append(spec.run_id)
        try:
            _Pool(waiting, folder, jobs, report, outcome, lambda: _assemble(config, out, folder)).go()
        finally:
            outcome.rows = _assemble(config, out, folder)
    return outcome


def _refuse_other(config: Config, out: Path, folder: Path) -> None:
    mine = config.digest()
    if (folder / "configuration.json").exists():
        with contextlib.suppress(json.JSONDecodeError):
            theirs = json.loads((folder / "configuration.json").read_text(encoding="utf-8")).get("digest")
            if theirs != mine:
                raise UsageError(
                    f"{folder} holds runs of another configuration ({theirs}, this one is {mine}). Give another --out, or delete "
                    f"{out.name} and {folder.name}. Only the grid and the sizes may change between calls."
                )
    elif out.exists():
        raise UsageError(f"{out} exists and was not made by this configuration; give another --out.")


@contextlib.contextmanager
def _lock(folder: Path, out: Path) -> Iterator[None]:
    with open(folder / "lock", "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another scalefit run is writing {out}; wait for it or give another --out.") from None
        yield


def _done(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found


def _rows(folder: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a run's rows; a last line cut short is left out."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                found.append(json.loads(line))
    return found


def _assemble(config: Config, out: Path, folder: Path) -> int:
    """Write the table from the rows of all runs; return how many rows there are."""
    rows: list[dict[str, Any]] = []
    status = {}
    for spec in config.runs():
        ended = _done(folder / spec.run_id)
        mine = _rows(folder / spec.run_id)
        if mine:
            status[spec.run_id] = ended["status"] if ended else "unfinished"
            rows += [{**row, "status": status[spec.run_id]} for row in mine]
    if not rows:
        return 0
    metadata = {
        **CONVENTIONS,
        "origin": "scalefit run",
        "configuration": config.digest(),
        "runs": status,
        "settings": dataclasses.asdict(config),
        "made_with": versions("torch", "transformers"),
    }
    write_runs(as_runs(pd.DataFrame(rows), metadata, str(out)), out)
    return len(rows)


class _Pool:
    """Workers and what they are at."""

    def __init__(
        self,
        waiting: list[RunSpec],
        folder: Path,
        jobs: int,
        report: Callable[[Progress], None],
        outcome: Outcome,
        assemble: Callable[[], int],
    ) -> None:
        # Seed by seed, so that workers do not wait for one base model; large before small, so that the end is short.
        place = {spec.run_id: at for at, spec in enumerate(waiting)}
        self.waiting = sorted(waiting, key=lambda spec: (spec.seed, spec.series, -place[spec.run_id]))
        self.total = len(waiting) + len(outcome.skipped)
        self.folder, self.report, self.outcome, self.assemble = folder, report, outcome, assemble
        self.attempts: dict[str, int] = {}
        self.words: dict[str, str] = {}
        self.began = time.monotonic()
        self.selector = selectors.DefaultSelector()
        self.workers: dict[int, tuple[subprocess.Popen[bytes], RunSpec | None, bytes]] = {}
        self.jobs = min(jobs, len(waiting))

    def go(self) -> None:
        """Serve until all is done."""
        try:
            for _ in range(self.jobs):
                self._start()
            while self.workers:
                for key, _ in self.selector.select(timeout=1.0):
                    self._read(key.fd)
                self._tell()
        finally:
            for process, _, _ in self.workers.values():
                process.kill()
                process.wait()
            self.selector.close()

    def _tell(self, note: str = "") -> None:
        ended = self.total - len(self.waiting) - sum(spec is not None for _, spec, _ in self.workers.values())
        self.report(Progress(ended, self.total, dict(self.words), time.monotonic() - self.began, note))

    def _start(self) -> None:
        environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
        process = subprocess.Popen(
            [sys.executable, "-m", "scalefit.runner.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdout is not None
        fd = process.stdout.fileno()
        self.workers[fd] = (process, None, b"")
        self.selector.register(fd, selectors.EVENT_READ)
        self._give(fd)

    def _give(self, fd: int) -> None:
        """Give a worker its next run, or let it go."""
        process, _, rest = self.workers[fd]
        assert process.stdin is not None
        if not self.waiting:
            self.selector.unregister(fd)
            del self.workers[fd]
            process.stdin.close()
            process.wait()
            return
        spec = self.waiting.pop(0)
        self.workers[fd] = (process, spec, rest)
        self.attempts[spec.run_id] = self.attempts.get(spec.run_id, 0) + 1
        folder = self.folder / spec.run_id
        folder.mkdir(exist_ok=True)
        order = json.dumps({"spec": dataclasses.asdict(spec), "folder": str(folder)})
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(order.encode() + b"\n")
            process.stdin.flush()

    def _read(self, fd: int) -> None:
        process, spec, rest = self.workers[fd]
        block = os.read(fd, 1 << 16)
        if not block:
            self._died(fd)
            return
        *lines, rest = (rest + block).split(b"\n")
        self.workers[fd] = (process, spec, rest)
        for line in lines:
            self._hear(fd, json.loads(line))

    def _hear(self, fd: int, said: dict[str, Any]) -> None:
        run, event = said.get("run", ""), said["event"]
        if event == "progress":
            self.words[run] = said["text"]
        elif event == "note":
            self._tell(said["text"])
        elif event in ("done", "failed"):
            self.words.pop(run, None)
            if event == "failed":
                self.outcome.failed[run] = said["text"]
                note = f"{run}: failed; the reason follows at the end"
            else:
                (self.outcome.diverged if said["status"] == "diverged" else self.outcome.finished).append(run)
                note = f"{run}: {said['status']} at step {said['step']}, loss {said['loss']:.4f}"
                self.assemble()
            process, _, rest = self.workers[fd]
            self.workers[fd] = (process, None, rest)
            self._give(fd)
            self._tell(note)

    def _died(self, fd: int) -> None:
        """Start the run of a worker that is gone again from its last checkpoint, once."""
        process, spec, _ = self.workers.pop(fd)
        self.selector.unregister(fd)
        code = process.wait()
        if spec is not None:
            self.words.pop(spec.run_id, None)
            if self.attempts[spec.run_id] < ATTEMPTS:
                self.waiting.insert(0, spec)
                self._tell(f"{spec.run_id}: its process ended with code {code}; it goes on from its last checkpoint")
            else:
                self.outcome.failed[spec.run_id] = (
                    f"its process ended with code {code} twice (memory?); the rows so far are kept, run again to resume"
                )
        if self.waiting:
            self._start()
