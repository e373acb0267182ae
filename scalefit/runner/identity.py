"""The files that an experiment names, as part of what it is: what stands for their content, and which of them changed.

A file of code or data counts by its whole content, with what a file of code imports from beside it and what its class
names in `files`. A model counts by what transformers reads of its folder: files up to 64 MiB by their whole content,
larger ones by their size, their first and last MiB and 62 MiB at even distances between. Weights that were trained further
differ everywhere; a change of a few bytes within a large file can go unnoticed. Names of a hub stand for themselves.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError, UsageError
from scalefit.named import installed, owner
from scalefit.runner.advantage import ADVANTAGES
from scalefit.runner.config import Config, RunSpec
from scalefit.runner.tasks.own_section import OwnConfig
from scalefit.runner.tasks.problem_rows import data_files
from scalefit.runner.tasks.registry import TASKS
from scalefit.runner.tasks.user_code import code_files, split_reference

WHOLE = 64 << 20
"""Bytes up to which a file of a model counts by its whole content."""
_BLOCK = 1 << 20
_OF_MODELS = (".json", ".safetensors", ".bin", ".gguf", ".model", ".txt", ".jinja", ".py", ".pt")


def marks(config: Config) -> dict[str, str]:
    """Return what stands for the content of each file that a configuration names, by its name there.

    What is not there has none: it is told before runs are made (`require_files`).
    """
    found = {name: _mark(paths) for name, paths in _named_files(config) if paths}
    for model in sorted(
        {model for size in config.policy.sizes for model in (size.model, size.instruct_model) if model}
    ):
        place = Path(config.folder, model)
        if place.exists():
            found[model] = _mark(_model_files(place))
    task = "" if config.task.file else config.task.name
    for group, name, ours in (("tasks", task, TASKS), ("advantages", config.grpo.advantage, ADVANTAGES)):
        point = None if name in ours else installed(f"scalefit.{group}").get(name)
        if point is not None:
            found[f"package {owner(point).partition(' ')[0]}"] = owner(point)
    return found


def _named_files(config: Config) -> Iterator[tuple[str, list[Path]]]:
    """Yield the name of each file of the tasks, and the files that it stands for; none where it is not there."""
    folder = Path(config.folder)
    for reference in filter(None, (config.task.file, config.task.reward)):
        file, _ = split_reference(reference)
        for name, path in code_files(folder / file).items():
            yield os.path.join(os.path.dirname(file), name), [path] if path.is_file() else []
    if isinstance(config.task, OwnConfig):
        beside = os.path.dirname(config.task.file)
        for name in _said_files(config.task):
            path = folder / beside / name
            yield os.path.join(beside, name), [path] if path.is_file() else []
    for name in data_names(config):
        yield name, data_files(folder / name)


def _said_files(task: OwnConfig) -> tuple[str, ...]:
    """Return what a user's class says it reads."""
    said = getattr(task._kind, "files", ())
    return (said,) if isinstance(said, str) else tuple(map(str, said))


def data_names(config: Config) -> list[str]:
    """Return each name of data in a configuration, those of its grid included."""
    task = config.task
    each = [value for name in task.data_keys for value in (getattr(task, name), *config.sweep.task.get(name, ()))]
    return list(dict.fromkeys(filter(None, each)))


def _model_files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    each = (*place.iterdir(), *place.glob("additional_chat_templates/*"))
    return sorted(file for file in each if file.is_file() and file.suffix in _OF_MODELS and file.name[0] != ".")


def _mark(paths: list[Path]) -> str:
    """Return a hash of files' names and content."""
    if len(paths) == 1:
        return _content(paths[0])
    whole = hashlib.blake2b(digest_size=12)
    for path in paths:
        whole.update(f"{path.name}\0{_content(path)}\0".encode())
    return whole.hexdigest()


def _content(path: Path) -> str:
    state = path.stat()
    return _hashed(os.path.abspath(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hashed(path: str, size: int, changed: int) -> str:
    """Hash a file; once for each state that it was seen in."""
    found = hashlib.blake2b(digest_size=12)
    with open(path, "rb") as file:
        if size <= WHOLE or Path(path).suffix not in (".safetensors", ".bin", ".gguf", ".pt"):
            while block := file.read(_BLOCK):
                found.update(block)
        else:
            found.update(str(size).encode())
            for at in range(64):
                file.seek((size - _BLOCK) * at // 63)
                found.update(file.read(_BLOCK))
    return found.hexdigest()


def require_files(config: Config) -> None:
    """Refuse an experiment whose files are not there, before any run is begun; raises UsageError with each."""
    folder = Path(config.folder)
    missing = [
        f"[task] {name}: no such file in {folder}{_hint(name, folder)}"
        for name in data_names(config)
        if not (folder / name).exists()
    ]
    for size in config.policy.sizes:
        for model in filter(None, (size.model, size.instruct_model)):
            if not (folder / model).exists() and (hint := _hint(model, folder)):
                missing.append(f"[[policy.sizes]] model {model!r} is not in {folder}{hint}")
    if missing:
        raise UsageError("\n  ".join(dict.fromkeys(missing)) + ".")


def _hint(name: str, folder: Path) -> str:
    """Return how to name what lies in the current folder and not in the experiment's; an empty text without."""
    if not Path(name).exists():
        return ""
    return (
        f", where the experiment file is; there is one in the current folder: write {os.path.relpath(name, folder)!r}"
    )


def changed(kept: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of files whose content differs."""
    return sorted(name for name, mark in now.items() if name in kept and kept[name] != mark)


def refuse_changed(kept: Mapping[str, Any], config: Config, where: object, advice: str) -> None:
    """Refuse to go on with runs of which a file was changed since.

    Parameters
    ----------
    kept : mapping
        What was written of their configuration.
    where : object
        Where the runs are, for the message.

    Raises
    ------
    UsageError
        If a file that both name differs in content.
    """
    found = changed(kept.get("files", {}), config.files)
    if found:
        have = "have" if len(found) > 1 else "has"
        raise UsageError(
            f"{' and '.join(found)} {have} changed since the runs in {where} were made, which would mix two experiments. {advice}"
        )


def require_same(spec: RunSpec) -> None:
    """Refuse to make a run whose task was edited after its sweep began; raises ScalefitError."""
    config = dataclasses.replace(spec.config, policy=dataclasses.replace(spec.config.policy, sizes=()))
    found = changed(config.files, marks(config))
    if found:
        raise ScalefitError(
            f"{' and '.join(found)} changed after this sweep began; put it back, or start again with another --out."
        )
