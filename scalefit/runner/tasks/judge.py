"""Scorers that may hang, raise or burn memory, in a process that can be killed.

math-verify's time-outs are signals: they work in the main thread only and cancel an alarm set outside, so it runs
here in a process of its own, without its time-outs, and is killed when it takes too long. The same process serves
reasoning-gym's scorers, some of which raise on junk.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError

LIMIT = 2.0
"""Processor seconds that one answer may take; those of the clock depend on what else the machine does."""
PATIENCE = 10.0
"""Seconds of the clock for each that the processor may take: a process that sleeps is stuck too."""
START = 60.0
"""Seconds that the process may take to start."""
MEMORY = 4 << 30
"""Address space of the process [bytes]."""


class Judge:
    """The process, started when first asked and again after it was killed."""

    def __init__(self, limit: float = LIMIT) -> None:
        self.limit = limit
        self.killed = 0
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def ask(self, **question: Any) -> bool | None:
        """Return the verdict, None where there was none in time or the scorer failed."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.close()
            return None
        line = self._line(PATIENCE * self.limit, self.limit)
        if line is None:
            self.killed += 1
            self.close()
            return None
        verdict: bool | None = json.loads(line)["right"]
        return verdict

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scalefit.runner.tasks.judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if self._line(START) is None:
            self.close()
            raise ScalefitError(
                "the scoring process did not start; are math-verify and reasoning-gym whole? "
                "pip install 'scalefit-rl[runner,tasks]'."
            )

    def _line(self, seconds: float, processor_seconds: float = float("inf")) -> bytes | None:
        """Wait for a line; None when the process took too long, by the clock or of the processor."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        begin, used = time.monotonic(), _processor_seconds(process.pid)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(0.1):
                late = time.monotonic() - begin > seconds
                if late or _processor_seconds(process.pid) - used > processor_seconds:
                    return None
        return process.stdout.readline() or None

    def close(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self._process = None


def _processor_seconds(pid: int) -> float:
    """Return what a process has used of the processor; of the clock where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@lru_cache(maxsize=1)
def judge() -> Judge:
    """Return this process's judge."""
    return Judge()


def _math(gold: str, answer: str) -> bool:
    from math_verify import parse, verify

    def read(text: str) -> Any:
        return parse(f"${text}$", parsing_timeout=None) or parse(text, parsing_timeout=None)

    return bool(verify(read(gold), read(answer), timeout_seconds=None))


@lru_cache(maxsize=64)
def _family(name: str) -> Any:
    from scalefit.runner.tasks.families import dataset

    return dataset(name)


def _gym(family: str, index: int, answer: str) -> bool:
    entries = _family(family)
    return bool(entries.score_answer(answer, entries[index]) >= 1.0)


def _serve() -> None:
    import logging
    import resource

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not look like a verdict
    with contextlib.suppress(ImportError):
        _math("1", "1")  # so that loading is not counted against the first answer
    out.write('{"event": "ready"}\n')
    out.flush()
    for line in sys.stdin:
        question = json.loads(line)
        right: bool | None
        try:
            right = _math(**question) if question.pop("kind") == "math" else _gym(**question)
        except Exception:  # a scorer may raise anything on what a model writes; that is no verdict
            right = None
        out.write(json.dumps({"right": right}) + "\n")
        out.flush()


if __name__ == "__main__":
    _serve()
