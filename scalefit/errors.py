"""The error family: each message says what was found, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ScalefitError(ValueError):
    """A known error; the command line prints its message and no traceback.

    Attributes
    ----------
    exit_code : int
        1 for a fault in the input or the result, 2 for wrong usage.
    """

    exit_code = 1


class TableError(ScalefitError):
    """A runs table that cannot be read or breaks the schema."""


class LawError(ScalefitError):
    """The name of a law that does not exist."""

    exit_code = 2


class FitError(ScalefitError):
    """A fit that cannot be made, read or used."""


class OutputError(ScalefitError, OSError):
    """A file that cannot be written; the message names it."""


class UsageError(ScalefitError):
    """An option whose value makes no sense."""

    exit_code = 2


class Interrupted(BaseException):
    """Ctrl-C on the command line, as something that no library on the way takes for its own."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to `name`, or lists them all."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known) + "."
