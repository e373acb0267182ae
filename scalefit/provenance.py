"""Where a result comes from: hashes, versions, and writing without leaving half a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any


def sha256_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def versions(*others: str) -> dict[str, str]:
    """Return the versions of Python, scalefit and the libraries that decide the numbers; `others` where installed."""
    found = {"python": platform.python_version()}
    for name in ("scalefit-rl", "numpy", "scipy", *others):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def replace_file(path: str | Path, write: Callable[[str], object]) -> None:
    """Write beside `path`, fsync, then rename, so that `path` is either old or whole.

    Parameters
    ----------
    path : str or Path
        The file to make.
    write : callable
        Called with the name of the temporary file, which it must fill.
    """
    path = Path(path)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        write(beside)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def as_plain(value: Any, digits: int | None = None) -> Any:
    """Make arrays lists and non-finite numbers null, so that a file is strict JSON; `digits`: significant digits kept."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [as_plain(item, digits) for item in value]
    if isinstance(value, dict):
        return {key: as_plain(item, digits) for key, item in value.items()}
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return value if digits is None else float(f"{value:.{digits}g}")
    return value


def write_json(path: str | Path, value: Any, digits: int | None = None) -> None:
    """Write strict JSON, a list of plain values to a line; `digits` as in `as_plain`."""
    text = json.dumps(as_plain(value, digits), indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: "[" + re.sub(r"\s*\n\s*", " ", found[1]) + "]", text) + "\n"
    replace_file(path, lambda part: Path(part).write_text(text, encoding="utf-8"))
