"""A process that makes runs, one after the other: reads a line of JSON for each from stdin, reports on stdout.

It stops by itself when the sweep that started it is gone. Everything it prints is a line of JSON with a key `event`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError
from scalefit.locks import locked
from scalefit.named import find_named
from scalefit.runner.config_file import plain_config, run_of
from scalefit.runner.device import threads_of
from scalefit.runner.run_folder import ROWS


def speak() -> Callable[..., None]:
    """Keep stdout for lines to the sweep, which this returns the way to write; whatever a library prints goes to stderr."""
    line = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(event: str, **content: Any) -> None:
        print(json.dumps({"event": event, **content}), file=line, flush=True)

    return say


def keep_memory() -> None:
    """Ask glibc to keep freed memory: returning it after every product and taking it back costs page faults."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        for option, value in ((mmap_threshold, 1 << 30), (trim_threshold, 1 << 30), (top_pad, 1 << 26)):
            libc.mallopt(option, value)
    except (OSError, AttributeError):
        pass


def main() -> None:
    """Serve the sweep that started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep decides when to stop
    keep_memory()
    say = speak()
    import torch

    from scalefit.runner.engines import ENGINES

    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        folder = Path(order["folder"])
        try:
            spec = run_of(plain_config(order["config"]), order["run"])
            torch.set_num_threads(threads_of(spec.config))
            # Where a worker was lost with its starter, it may still be ending its step.
            with locked(folder / ROWS):
                find_named(spec.config.engine, ENGINES)(spec, folder, say)
        except (ScalefitError, OSError, MemoryError) as error:
            say("failed", run=order["run"], text=f"{type(error).__name__ if not str(error) else error}")


if __name__ == "__main__":
    main()
