"""How a process that makes runs learns that whoever ordered them is gone, and reports now and then."""

from __future__ import annotations

import os
import sys
import time
from typing import Protocol

from scalefit.runner.config import RunSpec

REPORT_EVERY = 0.5
"""Seconds between progress lines."""


class Killed(Exception):
    """A process that a run needs was killed; the message says how. The run goes on from its last checkpoint, once."""


class Say(Protocol):
    """Tells the sweep of an event: progress, note, done."""

    def __call__(self, event: str, **content: object) -> None:
        """Tell it."""
        ...


class Watch:
    """Called often; speaks rarely; ends the process when its parent is gone."""

    def __init__(self, spec: RunSpec, say: Say) -> None:
        self.spec, self.say = spec, say
        self.parent, self.spoken = os.getppid(), 0.0

    def __call__(self, text: str = "", share: float = 0.0) -> None:
        """Look, and report in words and as the share of the run that is made."""
        if os.getppid() != self.parent:
            sys.exit(1)
        if time.monotonic() - self.spoken > REPORT_EVERY:
            self.spoken = time.monotonic()
            self.say("progress", run=self.spec.run_id, text=text, share=share)
