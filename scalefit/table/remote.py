"""Tables that lie elsewhere: `hf://datasets/owner/name/runs.parquet`, `s3://...`, any address that fsspec knows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalefit.errors import TableError
from scalefit.extras import install_hint
from scalefit.provenance import sha256_of_file

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,3}(?=[^/])")


def address_of(path: str | Path) -> str | None:
    """Return the address that a path is, if it is one; `pathlib` has taken one of its slashes away."""
    text = str(path)
    found = _ADDRESS.match(text)
    if found is None or Path(text).exists():
        return None
    root = "/" if found[1] == "file" else ""
    return f"{found[1]}://{root}{text[found.end() :]}"


@contextmanager
def fetched(address: str) -> Iterator[Path]:
    """Have a copy of a remote file for as long as it is read.

    Raises
    ------
    TableError
        If fsspec or what it needs for this kind of address is not installed, or the file cannot be had.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise TableError(
            f"{address}: reading from elsewhere needs fsspec; install it with: {install_hint('remote')}."
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / address.rpartition("/")[2]
        try:
            places, path = url_to_fs(address)
            places.get_file(path, str(copy))
        except ImportError as error:
            raise TableError(f"{address}: {error}.") from None
        except FileNotFoundError:
            raise TableError(f"{address}: there is no such file.") from None
        except Exception as error:  # each kind of place has errors of its own
            raise TableError(
                f"{address}: it could not be fetched ({type(error).__name__}: {str(error)[:200]}). Is the address right, and the network there?"
            ) from None
        yield copy


def sha256_of_table(path: str | Path) -> str:
    """Return the SHA-256 of a file, wherever it lies."""
    if (address := address_of(path)) is None:
        return sha256_of_file(path)
    with fetched(address) as copy:
        return sha256_of_file(copy)
