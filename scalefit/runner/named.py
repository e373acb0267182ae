"""What a name in an experiment file stands for: an entry of a registry, or a user's own as `module:NAME`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from scalefit.errors import UsageError, nearest

T = TypeVar("T")


def find_named(name: str, registry: Mapping[str, T], kind: type[Any] = object) -> T:
    """Return what a name stands for; a user's own must be a `kind`, or a class of them where the registry holds classes.

    Raises
    ------
    UsageError
        If there is none; the message is a hint, to follow the key and the name.
    """
    if name in registry:
        return registry[name]
    place, colon, word = name.partition(":")
    if not colon:
        raise UsageError(nearest(name, registry))
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())  # as for `python -m`, which is how workers are started
    try:
        found: Any = getattr(importlib.import_module(place), word)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UsageError(
            f"{error}; it is looked for as module:NAME in this folder and on Python's path (PYTHONPATH)"
        ) from error
    classes = isinstance(next(iter(registry.values())), type)
    if not (isinstance(found, type) and issubclass(found, kind) if classes else isinstance(found, kind)):
        raise UsageError(f"{found!r:.60} is no {kind.__name__}")
    return cast("T", found)
