"""The section [task] of a user's own class: its parameters are the arguments that the class is made with.

Dataclass fields and keyword arguments alike; what has a default may be left out, and all of them can be swept.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, Union, cast

from scalefit.errors import ScalefitError, UsageError
from scalefit.runner.fields import section
from scalefit.runner.tasks.own import Origin, OwnTask, is_task_class
from scalefit.runner.tasks.task import SHARED, TaskConfig
from scalefit.runner.tasks.user_code import UserCodeError, find_in, load_code, split_reference, told_as_theirs

_PLAIN = (bool, int, float, str, type(None))
_HOLDERS = (list, tuple, dict, Union, types.UnionType)


@section
class OwnConfig(TaskConfig):
    """What sections of users' classes share; each is derived from it with the class's parameters."""

    _kind: ClassVar[type]
    _origin: ClassVar[Origin]

    def chosen(self) -> dict[str, Any]:
        """Return the class's arguments."""
        return {name: getattr(self, name) for name in self.parameters()}

    def make(self) -> OwnTask:
        """Return the task."""
        place = self._origin.place
        with told_as_theirs(place, f"making {self._kind.__name__}({_shown(self.chosen())})"):
            mine = self._kind(**self.chosen())
            own = getattr(mine, "name", "") if self.name == type(self).name else ""
            return OwnTask(mine, self._origin, own if isinstance(own, str) and own else self.name, self.chosen())

    def taught(self) -> Self:
        """Return the same with the defaults of what is not taught; raises UserCodeError where that has none."""
        kept = {one.name: one for one in dataclasses.fields(self)}
        for name in self.make().not_taught:
            if kept[name].default is kept.pop(name).default_factory is dataclasses.MISSING:
                raise UserCodeError(
                    f"{self._origin.place.name}: {name!r} is in not_taught and has no default (your own code), with which [pretrain] target "
                    "measures pass@1; give it one."
                )
        return type(self)(**{name: getattr(self, name) for name in kept})

    def faults(self) -> list[str]:
        """Return what one draw of each split and its right answer's score say against the class."""
        try:
            task = self.make()
            for split in task.splits:
                first = task.draw(split, 0)
                if task.draw(split, 0) != first:
                    return [
                        f"[task] {place_of(task)}: draw gives another problem each time for the same index (your own code); "
                        "let the index decide it, as in random.Random(index)"
                    ]
                task.score(first.answer, first)
        except ScalefitError as error:
            return [f"[task] {str(error).removesuffix('.')}"]
        return []


def place_of(task: OwnTask) -> str:
    """Return a task's file, as a user knows it."""
    return task.origin.place.name


def section_in_file(reference: str, folder: str) -> type[TaskConfig]:
    """Return the section of a class in a file, `my_task.py:Task`, seen from a folder; raises UsageError."""
    file, name = split_reference(reference)
    module = load_code(Path(folder, file))
    found = find_in(module, name, lambda value: is_task_class(value) or _is_section(value), "class with draw and score")
    if _is_section(found):
        return cast("type[TaskConfig]", found)
    return section_of(found, Path(file).stem, Origin(Path(str(module.__file__)), module.__name__))


def _is_section(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, TaskConfig) and value is not TaskConfig


@lru_cache(maxsize=64)
def section_of(kind: type, name: str, origin: Origin) -> type[TaskConfig]:
    """Return the section of a class with draw and score.

    Parameters
    ----------
    name : str
        The task's name where neither the experiment file nor the class gives one.

    Raises
    ------
    UsageError
        If one of its arguments is called like a key that every task has.
    """
    content: dict[str, Any] = {"__annotations__": {"name": str}, "name": name, "__module__": __name__}
    content |= {"__doc__": f"The section [task] of {kind.__name__}.", "_kind": kind, "_origin": origin}
    for argument, hint, default in _arguments(kind, origin.place):
        if argument in SHARED or hasattr(OwnConfig, argument):
            raise UsageError(f"{kind.__name__} takes {argument!r}, which every task has or scalefit needs; rename it.")
        content["__annotations__"][argument] = hint
        content[argument] = default
    return section(type(f"{kind.__name__}Config", (OwnConfig,), content))


def _arguments(kind: type, place: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, type and default of each argument that an experiment file can set."""
    with told_as_theirs(place, f"reading the arguments of {kind.__name__}", UsageError):
        try:
            signature = inspect.signature(kind, eval_str=True)
        except NameError:  # what only a type checker imports
            signature = inspect.signature(kind)
    for one in signature.parameters.values():
        default = one.default
        if one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
            continue
        if default is one.empty:
            entry = dataclasses.field(kw_only=True)
        elif isinstance(default, list | dict):
            entry = dataclasses.field(default_factory=default.copy, kw_only=True)
        elif isinstance(default, (*_PLAIN, tuple)):
            entry = dataclasses.field(default=default, kw_only=True)
        else:
            continue
        yield one.name, _hint(one), entry


def _hint(argument: inspect.Parameter) -> Any:
    """Return the type of an argument as it was said, or else by its default; anything where TOML has no such type."""
    if argument.annotation is argument.empty:
        return Any if argument.default in (argument.empty, None) else type(argument.default)
    return argument.annotation if _is_plain(argument.annotation) else Any


def _is_plain(hint: Any) -> bool:
    if hint in (*_PLAIN, None, list, tuple, dict, Any, ...):
        return True
    origin = typing.get_origin(hint)
    return origin is Literal or (origin in _HOLDERS and all(map(_is_plain, typing.get_args(hint))))


def _shown(chosen: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r:.40}" for name, value in chosen.items())
