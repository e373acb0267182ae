"""Worker processes on this machine, each making one run after another."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys

from scalefit.runner.config import RunSpec
from scalefit.runner.device import cores, share_of_cores
from scalefit.runner.gpus import gpus_a_run, share_of_gpus, visible_gpus
from scalefit.runner.ledger import Ledger, how_it_ended

WORKER = (sys.executable, "-m", "scalefit.runner.worker")


def work_locally(ledger: Ledger, jobs: int) -> None:
    """Make the ledger's runs, some at a time."""
    jobs = min(jobs, len(ledger.waiting))
    if jobs:
        if crowded := too_many(jobs, ledger.waiting[0].config.threads or 1):
            ledger.tell(crowded)
        _Pool(ledger, jobs).go()


def too_many(jobs: int, threads: int) -> str:
    """Say that so many processes at a time are more than this machine has cores for; an empty text where they are not."""
    count = cores()
    sensible = max(count // threads, 1)
    if jobs <= sensible:
        return ""
    of_threads = f" of {threads} threads" if threads > 1 else ""
    return f"{jobs} runs{of_threads} at a time share {count} core{'s' * (count > 1)}: none is done sooner; --jobs {sensible} needs less memory"


class _Pool:
    """Workers and what they are at."""

    def __init__(self, ledger: Ledger, jobs: int) -> None:
        self.ledger, self.jobs = ledger, jobs
        self.gpus, self.each = visible_gpus(), gpus_a_run(ledger.waiting[0].config)
        self.slots: dict[int, int] = {}  # of each worker
        self.selector = selectors.DefaultSelector()
        self.workers: dict[int, tuple[subprocess.Popen[bytes], RunSpec | None, bytes]] = {}

    def go(self) -> None:
        """Serve until all is done."""
        try:
            for _ in range(self.jobs):
                self._start()
            while self.workers:
                for key, _ in self.selector.select(timeout=1.0):
                    self._read(key.fd)
                self.ledger.tell()
        finally:
            for process, _, _ in self.workers.values():
                process.kill()
                process.wait()
            self.selector.close()

    def _start(self) -> None:
        slot = min(set(range(self.jobs)) - set(self.slots.values()))
        environment = {"OMP_WAIT_POLICY": "passive", **share_of_cores(self.jobs), **os.environ}
        environment |= share_of_gpus(self.gpus, slot, self.jobs, self.each)
        process = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        fd = process.stdout.fileno()
        self.workers[fd], self.slots[fd] = (process, None, b""), slot
        self.selector.register(fd, selectors.EVENT_READ)
        self._give(fd)

    def _give(self, fd: int) -> None:
        """Give a worker its next run, or let it go."""
        process, _, rest = self.workers[fd]
        assert process.stdin is not None
        taken = self.ledger.take()
        if taken is None:
            process.stdin.close()
            self._end(fd)
            return
        spec, order = taken
        self.workers[fd] = (process, spec, rest)
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
            said = json.loads(line)
            if self.ledger.hear(said):
                if said.get("spoilt"):
                    process.kill()
                    self._end(fd)
                    self._start_another()
                    return
                process, _, rest = self.workers[fd]
                self.workers[fd] = (process, None, rest)
                self._give(fd)

    def _died(self, fd: int) -> None:
        _, spec, _ = self.workers[fd]
        code = self._end(fd)
        if spec is not None:
            self.ledger.died(spec, how_it_ended(code))
        self._start_another()

    def _end(self, fd: int) -> int:
        """Take leave of a worker; return its code."""
        process, _, _ = self.workers.pop(fd)
        del self.slots[fd]
        self.selector.unregister(fd)
        return process.wait()

    def _start_another(self) -> None:
        if self.ledger.waiting:
            self._start()
