"""Work that is done once: within a block, results are kept by the numbers that they rest on, and nothing is kept after it.

A page asks many questions of one table, and most of them begin with the same fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from scalefit.fitting.run_lines import RunLines
from scalefit.numerics.ar1 import Noise
from scalefit.table.fit_data import FitData

Given = ParamSpec("Given")
Found = TypeVar("Found")
_KEPT: ContextVar[dict[Any, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def kept() -> Iterator[None]:
    """Keep the results of `once` functions for as long as the block lasts; one within another keeps with the outer."""
    outer = _KEPT.get()
    token = _KEPT.set({} if outer is None else outer)
    try:
        yield
    finally:
        _KEPT.reset(token)


def once(work: Callable[Given, Found]) -> Callable[Given, Found]:
    """Return a function that within `kept` does the same work once; outside of it the function itself."""

    @wraps(work)
    def remembered(*args: Given.args, **named: Given.kwargs) -> Found:
        memory = _KEPT.get()
        if memory is None:
            return work(*args, **named)
        key = (work.__qualname__, *map(_key, args), *((name, _key(value)) for name, value in sorted(named.items())))
        if key not in memory:
            # What was asked for is kept too, so that no other object has its identity.
            memory[key] = work(*args, **named), args, named
        return memory[key][0]

    return remembered


def _key(value: Any) -> Any:
    if isinstance(value, FitData):
        # How the rows were chosen is in the numbers; that the record says it otherwise makes no other fit.
        record = {name: one for name, one in value.record.items() if name != "where"}
        return value.digest(), value.series, value.resources, repr(record), value.flops_per_sample
    if isinstance(value, RunLines | Noise):
        return tuple(_key(one) for one in vars(value).values())
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, tuple | list):
        return tuple(map(_key, value))
    return id(value)
