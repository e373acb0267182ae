"""The one progress bar: for what takes longer than a moment, on a terminal, with the time that is left.

A command says `with progress("drawing"):` around its work; what it calls takes `scalefit.progress.steps`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scalefit.progress import listening

if TYPE_CHECKING:
    from rich.progress import Progress

MOMENT = 1.0
"""Seconds after which it is shown."""


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show how far the work within is, once it has taken a moment; only where stderr is a terminal.

    Parameters
    ----------
    what : str
        What is done, as in "drawing"; said before the bar until a step says more.
    """
    if not sys.stderr.isatty():
        yield
        return
    bar = _Bar(what)
    waiting = threading.Timer(MOMENT, bar.show)
    waiting.daemon = True
    waiting.start()
    try:
        with listening(bar):
            yield
    finally:
        waiting.cancel()
        bar.close()


class _Bar:
    """A bar of rich that leaves nothing behind; processes that are forked meanwhile do not draw it."""

    def __init__(self, what: str) -> None:
        self.what, self.done, self.told = what, 0.0, 0.0
        self.process, self.began, self.lock = os.getpid(), time.monotonic(), threading.Lock()
        self.closed = False
        self.task: Any = None
        self.shown: Progress | None = None

    def __call__(self, done: float, what: str) -> None:
        """Take note of how far the work is."""
        if os.getpid() != self.process:
            return
        self.done, self.told = done, time.monotonic() - self.began
        self.what = what or self.what
        self.put()

    def put(self) -> None:
        """Move what is drawn; before anything is done it only says that work goes on."""
        if self.shown is not None:
            total = 1.0 if self.done else None
            self.shown.update(self.task, completed=self.done, total=total, description=self.what)

    def left(self) -> float | None:
        """Return the time left [s], by the pace so far; None before anything is done."""
        if not self.done:
            return None
        return max(self.told / self.done - (time.monotonic() - self.began), 0.0)

    def show(self) -> None:
        """Draw it from now on."""
        with self.lock:
            if not self.closed:
                _draw(self)

    def close(self) -> None:
        """Take it away."""
        with self.lock:
            self.closed = True
            if self.shown is not None:
                self.shown.stop()


def _draw(bar: _Bar) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Left(ProgressColumn):
        """The share that is done and the time left, which falls between steps too; nothing before anything is done."""

        def render(self, task: Task) -> Text:
            left = bar.left()
            return Text("" if left is None else f"{bar.done:.0%}, {duration(left)} left", style="progress.remaining")

    columns = (TextColumn("{task.description}", markup=False), BarColumn(30), Left())
    shown = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    bar.task = shown.add_task(bar.what, total=None)
    bar.shown = shown
    bar.put()
    shown.start()


def duration(seconds: float) -> str:
    """Return a time to wait as one says it."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
