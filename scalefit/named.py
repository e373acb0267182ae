"""What a name stands for: an entry of a registry, of an installed package, or a user's own as `module:NAME`.

A package offers names by entry points, in groups that are called `scalefit.` and the kind of thing, as in its pyproject:
`[project.entry-points."scalefit.tasks"]`, `maze = "my_package.tasks:Maze"`. Names of ours cannot be taken.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
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
    found = getattr(holder, name, None)
    if not _able(found, kind, classes):
        known = [key for key, value in vars(holder).items() if _able(value, kind, classes) and value is not kind]
        what = "holds no such name" if found is None else f"holds {found!r:.40} there, which is no {kind.__name__}"
        raise UsageError(f"{module} {what}; {nearest(name, known) if known else f'it has no {kind.__name__}.'}")
    return found


def find_named(name: str, registry: Mapping[str, T], kind: type[Any] = object, group: str = "") -> T:
    """Return what a name stands for; a user's own must be a `kind`, or a class of them where the registry holds classes.

    Parameters
    ----------
    group : str
        Entry points by which installed packages add names.

    Raises
    ------
    UsageError
        If there is none; the message is a hint, to follow the key and the name.
    """
    if name in registry:
        return registry[name]
    others = installed(group) if group else {}
    classes = isinstance(next(iter(registry.values())), type)
    if name in others:
        found = load_installed(others[name])
        if not _able(found, kind, classes):
            raise UsageError(f"the package {owner(others[name])} offers {found!r:.40}, which is no {kind.__name__}.")
        return cast("T", found)
    if ":" not in name:
        raise UsageError(nearest(name, {**registry, **others}))
    return cast("T", import_named(name, kind, classes=classes))


def installed(group: str) -> Mapping[str, EntryPoint]:
    """Return what installed packages offer in a group of entry points, by name."""
    return _installed(group, tuple(sys.path))


@lru_cache(maxsize=32)
def _installed(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for one in entry_points(group=group):
        found.setdefault(one.name, one)
    return found


def owner(point: EntryPoint) -> str:
    """Return the name and version of the package that an entry point is from."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.module


def load_installed(point: EntryPoint) -> Any:
    """Return what a package offers; raises UsageError, a hint, where it cannot be imported."""
    try:
        return point.load()
    except Exception as error:  # a package may raise anything
        raise UsageError(
            f"the package {owner(point)} offers it, and importing {point.value} fails: {type(error).__name__}: {error}"
        ) from error


def _able(value: Any, kind: type[Any], classes: bool) -> bool:
    return isinstance(value, type) and issubclass(value, kind) if classes else isinstance(value, kind)
