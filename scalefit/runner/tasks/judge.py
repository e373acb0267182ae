"""Scorers that may hang, raise or burn memory, in processes that can be killed.

math-verify's time-outs are signals: they work in the main thread only and cancel an alarm set outside, so it runs in
processes of its own, without its time-outs. Each is a warm supervisor that forks the process which judges: where an
answer costs a judging process its life, the next one is there in milliseconds. They get no environment, bounded memory
and processor time, and no network where the kernel allows that (`judging`). reasoning-gym's scorers, some of which raise
on junk, run there too.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import selectors
import subprocess
import sys
from functools import lru_cache
from typing import Any

from scalefit.errors import ScalefitError
from scalefit.extras import install_hint

LIMIT = 2.0
"""Processor seconds that one answer may take."""
PATIENCE = 10.0
"""Seconds of the clock for each that the processor may take: a process that sleeps is stuck too."""
START = 120.0
"""Seconds of the clock that a supervisor may take to start; several may start at once on a busy machine."""
MEMORY = 2 << 30
"""Address space of a judging process [bytes]."""
_MAIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from scalefit.runner.tasks.judging import serve; serve(*json.loads(sys.argv[2]))"
)
_KEPT = ("LD_LIBRARY_PATH", "SYSTEMROOT")
"""What an interpreter may need to find its own libraries."""


class Judge:
    """One supervisor, started when first asked and again after it was lost."""

    def __init__(self, limit: float = LIMIT) -> None:
        self.limit = limit
        self.killed = 0
        self.network: bool | None = None
        """Whether the judging process could reach a network; None before it was started."""
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        atexit.register(self.close)

    def start(self) -> None:
        """Start the supervisor where there is none; `ask` waits until it is ready."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        where = [path or os.getcwd() for path in sys.path]
        settings = [self.limit, PATIENCE * self.limit, MEMORY]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _MAIN, json.dumps(where), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"}
            | {name: os.environ[name] for name in _KEPT if name in os.environ},
        )

    def ask(self, **question: Any) -> bool | None:
        """Return the verdict, None where there was none in time or the scorer failed."""
        self._wait_until_ready()
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a supervisor that is gone gives no line either
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        line = self._line(2 * PATIENCE * self.limit)
        if line is None:
            self.killed += 1
            self.close()
            return None
        found = json.loads(line)
        self.killed += bool(found["killed"])
        verdict: bool | None = found["right"]
        return verdict

    def _wait_until_ready(self) -> None:
        self.start()
        if self._ready:
            return
        line = self._line(START)
        if line is None:
            self.close()
            raise ScalefitError(
                "the scoring process did not start; are math-verify and reasoning-gym whole? "
                f"{install_hint('runner', 'tasks')}."
            )
        found = json.loads(line)
        if found["event"] == "failed":
            self.close()
            raise ScalefitError(
                f"judging answers needs math-verify ({found['text']}); install it with: {install_hint('runner')}."
            )
        self.network = found["network"]
        self._ready = True

    def _line(self, seconds: float) -> bytes | None:
        """Wait for a line; None when the process took too long or is gone."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return None
        return process.stdout.readline() or None

    def close(self) -> None:
        """Kill the supervisor; the process that judges ends with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self._process, self._ready = None, False


class Judges:
    """A pool of judges for the threads of one process; each answer takes one that is idle, the last used first.

    Parameters
    ----------
    width : int
        How many judge at once.
    """

    def __init__(self, width: int = 1) -> None:
        self.pool: list[Judge] = []
        self._idle: queue.LifoQueue[Judge] = queue.LifoQueue()
        self.widen(width)

    @property
    def width(self) -> int:
        """How many judge at once."""
        return len(self.pool)

    def widen(self, width: int) -> None:
        """Make the pool at least so wide."""
        for _ in range(width - len(self.pool)):
            self.pool.append(Judge())
            self._idle.put(self.pool[-1])

    def ask(self, **question: Any) -> bool | None:
        """Return the verdict on one question, waiting for a judge where all are at work."""
        judge = self._idle.get()
        try:
            return judge.ask(**question)
        finally:
            self._idle.put(judge)

    @property
    def killed(self) -> int:
        """Answers that cost a judging process its life."""
        return sum(judge.killed for judge in self.pool)

    @property
    def network(self) -> bool:
        """Whether one of the judges that were started could reach a network."""
        return any(judge.network for judge in self.pool)

    def close(self) -> None:
        """Let all judges go."""
        for judge in self.pool:
            judge.close()


@lru_cache(maxsize=1)
def judges() -> Judges:
    """Return this process's pool."""
    return Judges()
