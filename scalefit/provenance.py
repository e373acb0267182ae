"""Where a result comes from: hashes and versions."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from importlib import metadata
from pathlib import Path


def sha256_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file, read in blocks; of a folder, that of its files' names and hashes in order."""
    digest = hashlib.sha256()
    if (folder := Path(path)).is_dir():
        for part in sorted(one for one in folder.rglob("*") if one.is_file() and not one.name.startswith((".", "_"))):
            digest.update(f"{part.relative_to(folder).as_posix()} {sha256_of_file(part)}\n".encode())
        return digest.hexdigest()
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
