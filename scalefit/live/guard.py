"""Nothing of ours stops a training: what goes wrong is told once, in a line, and the training goes on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

_WORDS = 600
"""Characters of a reason."""


def to_stderr(text: str) -> None:
    """Print a line."""
    print(f"scalefit: {text}", file=sys.stderr, flush=True)


class Guard:
    """Catches every error of a block and tells it once; also tells what is missing, each thing once.

    Attributes
    ----------
    told : dict
        What was told, by its kind.
    """

    def __init__(self, tell: Callable[[str], None] = to_stderr) -> None:
        self._tell, self.told = tell, dict[str, str]()

    def __call__(self, text: str) -> None:
        """Tell the user; where that fails too, there is nobody to tell."""
        with contextlib.suppress(Exception):
            self._tell(text)

    def once(self, kind: str, text: str) -> None:
        """Tell something unless something of its kind was told."""
        if kind not in self.told:
            self.told[kind] = text
            self(text)

    def again(self, kind: str) -> bool:
        """Let a kind be told again; return whether it had been told."""
        return self.told.pop(kind, None) is not None

    @contextlib.contextmanager
    def watch(self, what: str, kind: str = "") -> Iterator[None]:
        """Let no error out of a block; `what` says what is missing because of it."""
        try:
            yield
        except Exception as error:  # whatever it is, it is ours and not the training's
            why = " ".join((getattr(error, "strerror", None) or str(error)).split())
            self.once(kind or what, f"{what}; training goes on. {type(error).__name__}: {why[:_WORDS]}")
