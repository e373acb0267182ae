"""Where a result comes from: hashes and versions."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from importlib import metadata
from pathlib import Path


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
