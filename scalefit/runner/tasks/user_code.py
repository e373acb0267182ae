"""Code of a user's own in a file of its own: loaded by its path, known by its content, its errors told as the user's.

What the file imports from beside it belongs to it. Modules are loaded anew where their content has changed, so that a
session that goes on for long never works with what stood there before.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from scalefit.errors import ScalefitError, UsageError, nearest

ENDING = ".py"
_LONGEST = 200
"""Characters of a user's message that are repeated."""


class UserCodeError(ScalefitError):
    """Something in a user's own code; the message says where."""


def split_reference(reference: str) -> tuple[str, str]:
    """Return the file and the name of `my_task.py:Task`; raises UsageError where it is no such thing."""
    file, _, name = reference.rpartition(":")
    if not file.endswith(ENDING) or not name.isidentifier():
        bare = os.path.basename(reference.removesuffix(":"))
        example = f"{bare}:NAME" if bare.endswith(ENDING) else "my_task.py:Task"
        raise UsageError(f"name a file and what it holds, as in {example!r}.")
    return file, name


def code_files(path: str | Path) -> dict[str, Path]:
    """Return a file of code and those that it imports from its own folder, by their names from there."""
    folder = Path(path).parent
    found: dict[str, Path] = {}
    waiting = [Path(path)]
    while waiting:
        file = waiting.pop()
        name = os.path.relpath(file, folder)
        if name not in found:
            found[name] = file
            waiting += [beside for module in _imported(file) for beside in _beside(folder, module)]
    return found


def _imported(file: Path) -> set[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # told when it is loaded
        return set()
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    return {*plain, *(node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module)}


def _beside(folder: Path, module: str) -> list[Path]:
    first = module.partition(".")[0]
    if (folder / first / "__init__.py").is_file():
        return sorted((folder / first).rglob(f"*{ENDING}"))
    return [file] if (file := folder / f"{first}{ENDING}").is_file() else []


def load_code(path: str | Path) -> ModuleType:
    """Return the module that a file of a user's makes.

    Raises
    ------
    UsageError
        If there is no such file, or it cannot be imported; the message says where in it.
    """
    place = Path(os.path.abspath(path))
    if not place.is_file():
        raise UsageError(f"{path}: {'a directory' if place.is_dir() else 'no such file'}.")
    digest = hashlib.blake2b(digest_size=8)
    for name, file in sorted(code_files(place).items()):
        digest.update(name.encode() + b"\0" + file.read_bytes())
    return _load(place, digest.hexdigest())


@lru_cache(maxsize=64)
def _load(place: Path, mark: str) -> ModuleType:
    folder = str(place.parent)
    _forget_others()
    name = f"{place.stem} {mark}"  # no name that an import could mean
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    importlib.invalidate_caches()
    sys.path.insert(0, folder)
    try:
        with told_as_theirs(place, "importing it", UsageError):
            spec.loader.exec_module(module)
        _BESIDE.update(place.parent / file for file in code_files(place))
    except ScalefitError:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)  # for what it imports later
    return module


_BESIDE: set[Path] = set()
"""Files that a user's file imported from beside it, or could: of another folder, or as they were before an edit."""


def _forget_others() -> None:
    for name, module in list(sys.modules.items()):
        if " " not in name and (file := getattr(module, "__file__", None)) and Path(file) in _BESIDE:
            del sys.modules[name]


def find_in(module: ModuleType, name: str, fits: Callable[[Any], bool], what: str) -> Any:
    """Return what a user's module holds under a name; raises UsageError, with the nearest name that fits."""
    found = getattr(module, name, None)
    if fits(found):
        return found
    own = vars(module).items()
    known = [key for key, value in own if fits(value) and getattr(value, "__module__", "") == module.__name__]
    file = Path(str(module.__file__)).name
    said = f"has no {name!r}" if found is None else f"{name!r} is {what_lacks(found)}"
    raise UsageError(f"{file} {said}; {nearest(name, known) if known else f'there is no {what} in it.'}")


def what_lacks(found: Any) -> str:
    """Say what something is that is not what was wanted."""
    if isinstance(found, type):
        missing = [name for name in ("draw", "score") if not callable(getattr(found, name, None))]
        return f"a class without {' and '.join(missing)}" if missing else "a class"
    return f"{found!r:.40}"


@contextlib.contextmanager
def told_as_theirs(place: str | Path, doing: str, kind: type[ScalefitError] = UserCodeError) -> Iterator[None]:
    """Tell whatever a user's code raises in one line: what, in which line of it, and what it was asked for.

    What it prints goes to stderr: stdout is for the result.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except UserCodeError:
        raise
    except (Exception, SystemExit) as error:
        raise kind(f"{_where(error, Path(place))}: {_what(error)} (your own code; {doing})") from error


def _what(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = text.strip().splitlines()[0] if text.strip() else ""
    return f"{type(error).__name__}{': ' if first else ''}{first[:_LONGEST]}"


def _where(error: BaseException, place: Path) -> str:
    """Return the last line of the user's that an error went through: of the file, or of one that it imports."""
    theirs = set(code_files(place).values())
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename) in theirs:
        return f"{Path(error.filename).name}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename) in theirs:
            return f"{Path(frame.filename).name}, line {frame.lineno}"
    return place.name


def quoted(text: str, most: int = 60) -> str:
    """Return a text in quotes, cut where it is longer than may stand in a message."""
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")


def line_of(function: Any) -> str:
    """Return where a function of a user's is, as in `my_task.py, line 9`."""
    code = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(code, "__code__", None)
    return f"{Path(code.co_filename).name}, line {code.co_firstlineno}" if code else f"{function!r:.60}"
