"""Reading an experiment file, or what a sweep keeps of it: values of the right types, and all faults at once in words."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from scalefit.errors import UsageError, nearest
from scalefit.runner.config import KEPT, Config, RunSpec
from scalefit.runner.config_check import check, check_names
from scalefit.runner.identity import marks
from scalefit.runner.run_folder import CONFIGURATION
from scalefit.runner.tasks.registry import find_task
from scalefit.runner.tasks.task import SHARED, TaskConfig

Place = tuple[str | int, ...]
_TYPES = {"int": "int", "float": "float", "string": "str", "bool": "bool"}
_BOUNDS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "greater than {gt}",
    "less_than_equal": "at most {le}",
}


def read_config(path: str | Path) -> Config:
    """Read and check an experiment file.

    Raises
    ------
    UsageError
        If it cannot be read, holds an unknown key or a value of the wrong type or range.
    """
    path = Path(path)
    raw = _toml(path)
    reading = _Reading(os.path.abspath(path.parent))
    for name in KEPT:
        if raw.pop(name, None) is not None:
            reading.tell(f"unknown key {name!r}", name)
    evaluated = raw.get("eval")
    if isinstance(evaluated, dict) and evaluated.get("per_decade") and "every" in evaluated:
        reading.tell(
            "[eval] every and per_decade both say when a run is evaluated; leave one of them out", "eval.every"
        )
    config = reading.config(raw)
    check(config, str(path), reading.faults, reading.spoilt)
    return dataclasses.replace(config, files=marks(config))


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(
            f"{path}: {'a directory' if path.is_dir() else 'no such file'}; name an experiment file (TOML)."
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML, as a configuration is, such as lab.toml ({str(error)[:200]}).") from error


def plain_config(raw: dict[str, Any], where: str = "configuration") -> Config:
    """Return a configuration from `dataclasses.asdict`, with the marks of its files as they were; raises UsageError."""
    reading = _Reading(raw.get("folder", ""))
    config = reading.config(raw)
    if reading.faults:
        raise UsageError(f"{where}: {reading.faults[0].removesuffix('.')}.")
    check_names(config, where)
    return config


def other_task(task: str, parameters: Mapping[str, str]) -> Config:
    """Return a configuration with a task by its name, `my_task.py:Task`, or the [task] of an experiment file, and nothing else.

    Parameters
    ----------
    parameters : mapping
        Values of the task's own parameters as TOML writes them, over the file's.

    Raises
    ------
    UsageError
        If there is no such task, or it has no such parameter.
    """
    own: dict[str, Any] = {"name": task}
    folder = ""
    if task.endswith(".toml"):
        own, folder = _toml(Path(task)).get("task", {}), os.path.abspath(Path(task).parent)
        if not isinstance(own, dict):
            raise UsageError(f"--task {task}: [task] must be a section, not {own!r:.60}.")
    elif ".py:" in task:
        own, folder = {"file": task}, os.getcwd()
    return plain_config({"task": {**own, **_values(parameters)}, "folder": folder}, f"--task {task}")


def task_with(spec: RunSpec, parameters: Mapping[str, str]) -> Config:
    """Return a run's configuration with other values of its task's parameters, as TOML writes them; raises UsageError."""
    task = {**dataclasses.asdict(spec.task), **_values(parameters)}
    return plain_config({"task": task, "folder": spec.config.folder}, "--set")


def _values(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Read values as TOML does; what is none is text."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


def from_beside(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return what a file of plain values says of an experiment, whose folder is seen from where the file lies."""
    if folder := raw.get("folder"):
        raw = {**raw, "folder": os.path.normpath(path.absolute().parent / folder)}
    return raw


def find_run(path: Path, run_id: str) -> RunSpec:
    """Return a run of an experiment file, or of the configuration that a sweep keeps beside its runs.

    Raises
    ------
    UsageError
        If the grid has no such run.
    """
    if path.name == CONFIGURATION:
        raw = from_beside(json.loads(path.read_text(encoding="utf-8")), path)
        config = plain_config({name: value for name, value in raw.items() if name != "digest"}, str(path))
    else:
        config = read_config(path)
    return run_of(config, run_id, str(path))


def run_of(config: Config, run_id: str, where: str = "configuration") -> RunSpec:
    """Return a run of a configuration by its name; raises UsageError."""
    found = {spec.run_id: spec for spec in config.runs()}
    if run_id not in found:
        raise UsageError(f"{where} has no run {run_id!r}; {nearest(run_id, found)}")
    return found[run_id]


class _Reading:
    """What did not fit so far, in words, and the keys that it is about; defaults stand in its place."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.spoilt: set[str] = set()

    def config(self, raw: dict[str, Any]) -> Config:
        """Read a whole configuration; the task's section is the one that its name stands for."""
        raw = copy.deepcopy(raw)
        own = raw.pop("task", {})
        kind = self._kind(own)
        sweep = raw.get("sweep")
        if isinstance(sweep, dict):
            for name in [name for name in sweep if name in kind.parameters()]:
                self.tell(f"[sweep]: unknown key {name!r}; a task's own are swept as task.{name} = [...]", "sweep")
                del sweep[name]
        if isinstance(own, dict):
            file = own.get("file")
            name = Path(file.rpartition(":")[0]).stem if file and isinstance(file, str) else "arithmetic"
            own = {"name": name, **_first_of_grid(kind, sweep), **own}
        task = self.take(kind, own, ("task",), instead=TaskConfig(kind.__name__))
        config = dataclasses.replace(self.take(Config, raw), task=task, folder=self.folder)
        swept = {name: self._swept(task, name, values) for name, values in config.sweep.task.items()}
        return dataclasses.replace(
            config, sweep=dataclasses.replace(config.sweep, task={name: some for name, some in swept.items() if some})
        )

    def _kind(self, own: Any) -> type[TaskConfig]:
        found = own if isinstance(own, dict) else {}
        name, file = found.get("name", "arithmetic"), found.get("file", "")
        file = file if isinstance(file, str) else ""
        try:
            return find_task(name if isinstance(name, str) else "arithmetic", file, self.folder)
        except UsageError as error:
            key, value = ("file", file) if file else ("name", name)
            self.tell(f"[task] {key} = {value!r}: {error}", "task")
            for other in [key for key in own if key not in SHARED]:
                del own[other]
            return TaskConfig

    def _swept(self, task: TaskConfig, name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return those values of a sweep that the task's parameter can have."""
        if name not in task.parameters():
            if type(task) is not TaskConfig:
                known = nearest(name, task.parameters())
                self.tell(f"[sweep] task: {task.name!r} has no parameter {name!r}; {known}", "sweep.task")
            return ()
        good = []
        for value in values:
            before = len(self.faults)
            built = self.take(type(task), {**dataclasses.asdict(task), name: value}, ("sweep", "task"), instead=task)
            if len(self.faults) == before:
                good.append(getattr(built, name))
        return tuple(good)

    def take(self, kind: type[Any], raw: Any, at: Place = (), instead: Any = None) -> Any:
        """Return a section of what fits of plain values, which lie at some place of the file; `instead` where none can be."""
        reader = TypeAdapter(kind)
        told = False
        while True:
            try:
                # As JSON, where a list may become a tuple, and text never a number.
                return reader.validate_json(json.dumps(raw, default=lambda value: {"a date": str(value)}))
            except ValidationError as error:
                found = error.errors(include_url=False)
            for one in found:
                hollow = one["type"] == "too_short" and one["input"]  # its values are what was wrong
                if not (told or hollow):
                    self.tell(_in_words(kind, one, at), ".".join(str(part) for part in (*at, *one["loc"])))
            if instead is not None and any(one["type"] == "missing" and len(one["loc"]) == 1 for one in found):
                return instead
            told = True  # whatever is missing by now was told as what it was
            raw = _without(raw, {one["loc"][:-1] if one["type"] == "missing" else one["loc"] for one in found})

    def tell(self, fault: str, key: str) -> None:
        self.faults.append(fault)
        self.spoilt.add(key)


def _first_of_grid(kind: type[TaskConfig], sweep: Any) -> dict[str, Any]:
    """Return the first swept value of each parameter that has no default, which a grid alone may give."""
    swept = sweep.get("task") if isinstance(sweep, dict) else None
    needed = [one.name for one in dataclasses.fields(kind) if one.default is one.default_factory is dataclasses.MISSING]
    grid = swept if isinstance(swept, dict) else {}
    return {name: grid[name][0] for name in needed if isinstance(grid.get(name), list) and grid[name]}


def _without(raw: Any, places: set[Place]) -> Any:
    """Return plain values but for those at some places."""
    for place in sorted(places, key=lambda place: [(isinstance(part, str), part) for part in place], reverse=True):
        if not place:
            return {}
        holder = raw
        for part in place[:-1]:
            holder = holder[part]
        del holder[place[-1]]
    return raw


def _in_words(kind: type[Any], error: Any, at: Place) -> str:
    """Say what pydantic found wrong, where, and the nearest name for a typo."""
    what, loc, value, context = error["type"], error["loc"], error["input"], error.get("ctx", {})
    names = [str(part) for part in (*at, *loc) if isinstance(part, str)]
    # Two ways to say a place: as the sections that lead there, or as a key and its value.
    where = " ".join(f"[{name}]" for name in names)
    head = "[[policy.sizes]]" if names[:2] == ["policy", "sizes"] else f"[{names[0]}]" if names else ""
    key = f"{head} {'.'.join(names[2 if head.startswith('[[') else 1 :])}" if len(names) > 1 else "".join(names)
    if what == "unexpected_keyword_argument":
        inside = " ".join(f"[{name}]" for name in names[:-1])
        known = [entry.name for entry in dataclasses.fields(_kind_at(kind, loc[:-1])) if entry.name not in KEPT]
        return f"{inside + ': ' if inside else ''}unknown key {loc[-1]!r}; {nearest(str(loc[-1]), known)}"
    if what == "missing":
        return f"{' '.join(f'[{name}]' for name in names[:-1])}: missing {loc[-1]}"
    if what in ("dataclass_type", "dict_type"):
        return f"{where}: must be a section, not {value!r:.60}"
    if what == "tuple_type":
        return f"{where}: must be a list, not {value!r:.60}"
    if (told := what.removesuffix("_type").removesuffix("_from_float")) in _TYPES:
        return f"{where}: must be of type {_TYPES[told]}, not {value!r:.60}"
    if what == "literal_error":
        if not isinstance(value, str):
            return f"{where}: must be of type str, not {value!r:.60}"
        return f"{key} = {value!r}: {nearest(value, typing.get_args(_kind_at(kind, loc)))}"
    if what == "too_short":
        return f"{key} is empty"
    if what == "twice":
        return f"{key} = {value!r:.60} holds a value twice"
    if what in _BOUNDS:
        bound = {name: f"{limit:g}" for name, limit in context.items()}
        shown = float(value) if isinstance(next(iter(context.values())), float) else value
        return f"{key} = {shown!r}: must be {_BOUNDS[what].format(**bound)}"
    return f"{key} = {value!r:.60}: {error['msg']}"


def _kind_at(kind: Any, loc: Place) -> Any:
    """Return the type at a place within a section."""
    for part in loc:
        kind = typing.get_type_hints(kind)[part] if isinstance(part, str) else typing.get_args(kind)[0]
    return kind
