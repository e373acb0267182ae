"""What a name stands for: an entry of a registry, or a user's own as `module:NAME`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar, cast

from scalefit.errors import UsageError, nearest

T = TypeVar("T")


def import_named(reference: str, kind: type[Any], *, classes: bool = False) -> Any:
    """Return what a module holds under a name, `module:NAME`; modules of the current folder are found last.

    Parameters
    ----------
    kind : type
        What it must be, or with `classes` a class of.

    Raises
    ------
    UsageError
        If it cannot be imported or is none; the message is a hint, to follow what names it.
    """
    module, _, name = reference.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise UsageError("one of your own is named module:NAME, such as mine:NAME.")
    here = os.getcwd()
    if not {"", here} & {*sys.path}:
        sys.path.append(here)  # as for `python -m`, which is how workers are started
    try:
        holder = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise UsageError(f"importing {module} fails: {error}.") from error
        raise UsageError(
            f"the module {error.name!r} is not found; put {error.name}.py into the current folder or into one that "
            "PYTHONPATH names."
        ) from None
    except Exception as error:  # a user's module may raise anything
        raise UsageError(f"importing {module} fails: {type(error).__name__}: {error}") from error

    def able(value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, kind) if classes else isinstance(value, kind)

    found = getattr(holder, name, None)
    if not able(found):
        known = [key for key, value in vars(holder).items() if able(value) and value is not kind]
        what = "holds no such name" if found is None else f"holds {found!r:.40} there, which is no {kind.__name__}"
        raise UsageError(f"{module} {what}; {nearest(name, known) if known else f'it has no {kind.__name__}.'}")
    return found


def find_named(name: str, registry: Mapping[str, T], kind: type[Any] = object) -> T:
    """Return what a name stands for; a user's own must be a `kind`, or a class of them where the registry holds classes.

    Raises
    ------
    UsageError
        If there is none; the message is a hint, to follow the key and the name.
    """
    if name in registry:
        return registry[name]
    if ":" not in name:
        raise UsageError(nearest(name, registry))
    return cast("T", import_named(name, kind, classes=isinstance(next(iter(registry.values())), type)))
