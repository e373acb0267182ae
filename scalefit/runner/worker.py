"""A process that makes runs, one after the other: reads a line of JSON for each from stdin, reports on stdout.

It stops by itself when the sweep that started it is gone. Everything it prints is a line of JSON with a key `event`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError
from scalefit.locks import locked
from scalefit.named import find_named
from scalefit.output import write_text
from scalefit.runner.config_file import plain_config, run_of
from scalefit.runner.device import threads_of
from scalefit.runner.engines.watch import Killed
from scalefit.runner.run_folder import ROWS

TRACEBACK = "error.log"
LONGEST = 300
"""Characters of an error's message that are repeated."""


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


def make_ordered(order: dict[str, Any], say: Callable[..., None]) -> None:
    """Make the run that was ordered; whatever goes wrong is said in a line, and a traceback left in the run's folder."""
    folder = Path(order["folder"])
    try:
        import torch

        from scalefit.runner.engines import ENGINES

        spec = run_of(plain_config(order["config"]), order["run"])
        if spec.config.offline:
            os.environ["HF_HUB_OFFLINE"] = "1"  # read when a hub's library is first imported
        torch.set_num_threads(threads_of(spec.config))
        # Where a worker was lost with its starter, it may still be ending its step.
        with locked(folder / ROWS):
            find_named(spec.config.engine, ENGINES)(spec, folder, say)
    except Killed as error:
        say("killed", run=order["run"], text=str(error))
    except ScalefitError as error:
        say("failed", run=order["run"], text=f"{error}{offline_hint(str(error))}")
    except Exception as error:
        # Such as a fault of the GPU, after which nothing works in this process.
        say("failed", run=order["run"], text=in_a_line(error, folder), spoilt=True)


def in_a_line(error: Exception, folder: Path) -> str:
    """Say an error that nobody foresaw: its type, message and place, and the file that has its traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split())
    said = f"{type(error).__name__}{': ' if message else ''}{message:.{LONGEST}}"
    said += f" ({last.filename}, line {last.lineno})"
    try:
        write_text(folder / TRACEBACK, "".join(traceback.format_exception(error)))
    except OSError:  # such as a full disk, which may be what is told
        return said + offline_hint(message)
    return f"{said}; all of it in {folder / TRACEBACK}{offline_hint(message)}"


def offline_hint(message: str) -> str:
    """Say that the network was left alone, where a message is about what could have come from there."""
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() not in ("1", "ON", "YES", "TRUE"):
        return ""
    if not any(word in message.lower() for word in ("offline mode", "couldn't connect", "cached files", "locally")):
        return ""
    return " (nothing was asked of the network: `offline = true` in the experiment file, or HF_HUB_OFFLINE in the environment)"


def main() -> None:
    """Serve the sweep that started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep decides when to stop
    keep_memory()
    say = speak()
    for line in sys.stdin:
        make_ordered(json.loads(line), say)


if __name__ == "__main__":
    main()
