"""How far a long computation is, told to whoever listens: `for size in steps(sizes)`; by default nobody does.

What takes steps within a step fills that step, so that a library function need not know what it is part of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Told = Callable[[float, str], None]
"""Called with the share that is done, from 0 to 1, and with what is being done, where that is said."""
Item = TypeVar("Item")
_LISTENER: ContextVar[Told | None] = ContextVar("listener", default=None)
_SPAN: ContextVar[tuple[float, float]] = ContextVar("span", default=(0.0, 1.0))
"""Where the step that is being taken begins, and how wide it is, as shares of the whole."""


@contextmanager
def listening(told: Told | None) -> Iterator[None]:
    """Have every step within told."""
    listener, span = _LISTENER.set(told), _SPAN.set((0.0, 1.0))
    try:
        yield
    finally:
        _LISTENER.reset(listener)
        _SPAN.reset(span)


def steps(items: Iterable[Item], name: Callable[[Item], str] = lambda item: "") -> Iterator[Item]:
    """Yield the items, each a step of the same length.

    Parameters
    ----------
    name : callable, optional
        What is being done, of an item, for whoever watches.
    """
    told = _LISTENER.get()
    if told is None:
        yield from items
        return
    every = list(items)
    start, whole = _SPAN.get()
    width = whole / max(len(every), 1)
    for at, item in enumerate(every):
        told(start + at * width, name(item))
        span = _SPAN.set((start + at * width, width))
        try:
            yield item
        finally:
            _SPAN.reset(span)
    told(start + whole, "")


def advance(done: float, total: float) -> None:
    """Tell how much is done of something that is not counted in steps, such as bytes."""
    told = _LISTENER.get()
    if told is not None:
        start, whole = _SPAN.get()
        told(start + whole * min(done / max(total, 1), 1.0), "")
