"""A table that is piped in: `-` where a table is expected, whatever its format."""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalefit.errors import TableError, UsageError

NAME = "standard input"
_WORDS = ("-", "/dev/stdin")
_GZIP = b"\x1f\x8b"


def is_piped(path: Path) -> bool:
    """Say whether a path means what is piped in."""
    return str(path) in _WORDS


@contextmanager
def kept(path: Path) -> Iterator[Path]:
    """Have what is piped in as a file for as long as it is read; any other path is itself.

    Raises
    ------
    UsageError
        If nothing is piped in.
    """
    if not is_piped(path):
        yield path
        return
    if sys.stdin.isatty():
        raise UsageError(f"{path} is what is piped in, and nothing is; name a table, or pipe one in.")
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        with open(part, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        table = part.rename(Path(folder) / f"table{_ending(part)}")
        try:
            yield table
        except TableError as error:
            raise TableError(str(error).replace(str(table), NAME)) from None


def _ending(path: Path) -> str:
    """Return the ending of a table by its first bytes."""
    with open(path, "rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    with gzip.open(path) if packed else open(path, "rb") as file:
        head = file.read(1 << 16)
    if head.startswith(b"PAR1"):
        return ".parquet"
    if head.lstrip().startswith((b"{", b"[")):
        kind = ".jsonl" if head.lstrip().startswith(b"{") else ".json"
    else:
        line = next((line for line in head.splitlines() if not line.startswith(b"#")), b"")
        kind = ".tsv" if b"\t" in line and b"," not in line else ".csv"
    return kind + (".gz" if packed else "")
