"""Reading an experiment file, or what a sweep keeps of it: values of the right types, every misfit told."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from scalefit.errors import UsageError, nearest
from scalefit.runner.config import Config, RunSpec
from scalefit.runner.config_check import check, check_names


def read_config(path: str | Path) -> Config:
    """Read and check an experiment file.

    Raises
    ------
    UsageError
        If it cannot be read, holds an unknown key or a value of the wrong type or range.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"{path}: {'a directory' if path.is_dir() else 'no such file'}; name an experiment file (TOML)."
        )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML ({str(error)[:200]}).") from error
    misfits: list[str] = []
    config: Config = _build(Config, raw, "", misfits)
    check(config, str(path), misfits)
    return config


def find_run(path: Path, run_id: str) -> RunSpec:
    """Return a run of an experiment file, or of the `configuration.json` that a sweep keeps beside its runs.

    Raises
    ------
    UsageError
        If the grid has no such run.
    """
    if path.suffix == ".json":
        raw = json.loads(path.read_text(encoding="utf-8"))
        config: Config = _build(Config, {name: value for name, value in raw.items() if name != "digest"}, str(path))
        check_names(config, str(path))
    else:
        config = read_config(path)
    found = {spec.run_id: spec for spec in config.runs()}
    if run_id not in found:
        raise UsageError(f"{path} has no run {run_id!r}; {nearest(run_id, found)}")
    return found[run_id]


def from_plain(raw: dict[str, Any]) -> RunSpec:
    """Rebuild a run from `dataclasses.asdict`."""
    spec: RunSpec = _build(RunSpec, raw, "run")
    return spec


def _build(kind: Any, raw: Any, where: str, misfits: list[str] | None = None) -> Any:
    """Turn plain TOML values into the annotated type.

    What does not fit raises UsageError; with `misfits` it is told there, and what can be built is, defaults in its place.
    """
    if misfits is None:
        misfits = []
        built = _build(kind, raw, where, misfits)
        if misfits:
            raise UsageError(f"{misfits[0]}.")
        return built
    if dataclasses.is_dataclass(kind):
        return _build_section(kind, raw, where, misfits)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(raw, list | tuple):
            misfits.append(f"{where}: must be a list, not {raw!r:.60}")
            return _MISFIT
        built = [_build(inner[0], value, where, misfits) for value in raw]
        return tuple(value for value in built if value is not _MISFIT)
    if origin is types.UnionType:
        return None if raw is None else _build(inner[0], raw, where, misfits)
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, kind) or (kind is int and isinstance(raw, bool)):
        misfits.append(f"{where}: must be of type {kind.__name__}, not {raw!r:.60}")
        return _MISFIT
    return raw


def _build_section(kind: Any, raw: Any, where: str, misfits: list[str]) -> Any:
    """Build a section of what fits; `_MISFIT` where a value that it needs is missing or does not fit."""
    if not isinstance(raw, dict):
        misfits.append(f"{where}: must be a section, not {raw!r:.60}")
        return _MISFIT
    types_of = typing.get_type_hints(kind)
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    values = {}
    for name, value in raw.items():
        inside = f"{where} [{name}]".strip()
        if name not in fields:
            misfits.append(f"{where + ': ' if where else ''}unknown key {name!r}; {nearest(name, fields)}")
        elif (built := _build(types_of[name], value, inside, misfits)) is not _MISFIT:
            values[name] = built
    needed = [name for name, entry in fields.items() if entry.default is entry.default_factory is dataclasses.MISSING]
    if missing := [name for name in needed if name not in raw]:
        misfits.append(f"{where}: missing {', '.join(missing)}")
    return _MISFIT if any(name not in values for name in needed) else kind(**values)


_MISFIT: Any = object()
"""In place of what could not be built."""
