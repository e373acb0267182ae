"""What the log of a trainer says of its end: the last error, and whether a process was killed.

Progress bars, which write over themselves, are no errors, and neither is the table that torchrun prints of processes
that failed: it names files and codes, and no cause.
"""

from __future__ import annotations

import re

NOTE = "scalefit-note: "
"""Begins a line that is meant for the user."""
_HEAD = "Traceback (most recent call last):"
_PREFIX = re.compile(r"^\[(?:rank\d+|default\d+)\]:\s?")
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?::.*)?$")
_LAUNCHER = ("ChildFailedError", "torch.distributed.elastic", "CalledProcessError")
_FOLLOWED = ("Connection closed by peer", "Connection reset by peer", "DistBackendError", "DistNetworkError")
"""Errors of a process whose neighbour has gone."""
_PROGRESS = re.compile(r"\d+%\|")
_ERROR = re.compile(r"\b(?:[A-Za-z]*Error|error|fatal|Killed|terminate called|what\(\))\b")
_KILLED = re.compile(r"exitcode\s*:\s*-(\d+)")


def last_error(text: str) -> str:
    """Return the line of a log that says why it ends: that of the last exception, else the last that names an error."""
    lines = [_PREFIX.sub("", line) for line in re.split(r"[\r\n]+", text)]
    raised = [line for line in _exceptions(lines) if not any(word in line for word in _LAUNCHER)]
    causes = [line for line in raised if not any(word in line for word in _FOLLOWED)]
    if found := causes or raised:
        return found[-1].strip()
    plain = [
        line
        for line in lines
        if line.strip() and not _PROGRESS.search(line) and not any(word in line for word in _LAUNCHER)
    ]
    named = [line for line in plain if _ERROR.search(line)]
    return (named or plain or ["it said nothing"])[-1].strip()


def _exceptions(lines: list[str]) -> list[str]:
    """Return the last line of every traceback."""
    found, inside = [], False
    for line in lines:
        if _HEAD in line:
            inside = True
        elif inside and line and not line[0].isspace():
            if _EXCEPTION.match(line):
                found.append(line)
            inside = False
    return found


def killing_signal(code: int, text: str) -> int | None:
    """Return the signal that ended the trainer, or a process of it by what torchrun says; None where none did."""
    if code < 0:
        return -code
    named = [int(signal) for signal in _KILLED.findall(text)]
    return 9 if 9 in named else None


def notes(text: str) -> list[str]:
    """Return what a log has for the user."""
    return [line.removeprefix(NOTE) for line in text.splitlines() if line.startswith(NOTE)]
