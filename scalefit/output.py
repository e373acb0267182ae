"""The one writer of files: whole or not at all, to where a name really leads, and never over what is no file.

What lies at the end of a name's symbolic links is replaced by a rename and keeps its permissions. What cannot be
replaced without harm, a device for instance, is refused; FIFOs and open streams take what can be streamed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from scalefit.errors import OutputError, ScalefitError
from scalefit.places import NEW, Place, beside, explain, require

READER_SECONDS = 15.0
"""How long a FIFO waits for somebody to read it."""


def write_file(path: str | Path, fill: Callable[[str], object], *, stream: bool = False) -> int:
    """Make a file beside the one that `path` leads to, sync it to disk, then rename, so that it is either old or whole.

    Parameters
    ----------
    path : str or Path
        The file to make; symbolic links are followed, and what they lead to keeps its permissions.
    fill : callable
        Called with the name of the temporary file, which it must fill.
    stream : bool
        Whether the content may go to a FIFO or an open stream instead; it is made whole before it is sent.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    OutputError
        If it cannot be written; nothing half-written is left.
    """
    place = require(path, stream=stream)
    with _explained(place), _temporary(place) as part:
        _fill(fill, part)
        size = os.stat(part).st_size
        if place.streams:
            _send(part, place)
        else:
            _take_permissions(part, place)
            os.replace(part, place.target)
    return size


def write_text(path: str | Path, text: str, *, stream: bool = False) -> int:
    """Write text as UTF-8; see `write_file`."""
    return write_file(path, lambda part: Path(part).write_text(text, encoding="utf-8"), stream=stream)


def write_json(path: str | Path, value: Any, digits: int | None = None, *, same: float | None = None) -> bool:
    """Write strict JSON, a list of plain values to a line; return whether the file was written.

    Parameters
    ----------
    digits : int, optional
        Significant digits kept.
    same : float, optional
        Leave a file alone that holds the same but for relative differences of numbers up to this: what another
        processor computes differs in its last digits.
    """
    plain = as_plain(value, digits)
    if same is not None and alike(_parsed(path), plain, same):
        return False
    text = json.dumps(plain, indent=1, ensure_ascii=False)
    # Only what was laid out begins lines: strings have their newlines escaped.
    text = (
        re.sub(r"\[\n\s*([^\[\]{}]*?)\n\s*\]", lambda found: "[" + re.sub(r"\s*\n\s*", " ", found[1]) + "]", text)
        + "\n"
    )
    write_text(path, text)
    return True


def _parsed(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def alike(one: Any, other: Any, same: float) -> bool:
    """Say whether two plain values are equal but for relative differences of numbers, in a list relative to its largest."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(alike(one[key], other[key], same) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        numbers = [abs(value) for value in (*one, *other) if isinstance(value, float)]
        return len(one) == len(other) and all(
            (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= same * max(numbers)) or alike(a, b, same)
            for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=same, abs_tol=1e-2 * same)
    return type(one) is type(other) and bool(one == other)


def as_plain(value: Any, digits: int | None = None) -> Any:
    """Make records dictionaries, arrays lists and non-finite numbers null, so that a file is strict JSON.

    Parameters
    ----------
    digits : int, optional
        Significant digits kept.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if hasattr(value, "tolist"):
        if digits is None and type(value).__name__ == "ndarray" and value.dtype.kind == "f":
            # Finite ones, of which there may be millions, need no look at each.
            if abs(value).max(initial=0) < math.inf:
                return value.tolist()
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


def make_folder(path: str | Path) -> None:
    """Make a directory for files, where a name leads, if there is none; raises OutputError."""
    try:
        Path(os.path.realpath(path)).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{path}: a file; name a directory, or move it away.") from error
    except (OSError, ValueError) as error:
        raise explain(error, path) from error


def append_text(path: str | Path, text: str) -> None:
    """Add text to the end of a log and sync it to disk; where that fails, what was added is taken back.

    Raises
    ------
    OutputError
        If it is no regular file, or cannot be written.
    """
    place = require(path)
    with _explained(place), open(place.target, "ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            rest = memoryview(text.encode())
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), before)
            raise


@contextlib.contextmanager
def _explained(place: Place) -> Iterator[None]:
    """Tell failures of the file being written by its name; those of other files pass as they are."""
    try:
        yield
    except ScalefitError:
        raise
    except OSError as error:
        ours = not isinstance(error.filename, str) or Path(error.filename).parent == place.target.parent
        if error.errno is None or not (ours or place.streams):
            raise
        raise explain(error, place.name) from error


@contextlib.contextmanager
def _temporary(place: Place) -> Iterator[str]:
    """Make a file beside the target, elsewhere for a stream, that is gone in the end unless it was renamed."""
    handle, part = tempfile.mkstemp(
        prefix=beside(place.target.name), dir=None if place.streams else place.target.parent
    )
    os.close(handle)
    try:
        yield part
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _fill(fill: Callable[[str], object], part: str) -> None:
    """Have the file filled and synced; where a library only says that it failed, ask the disk why."""
    try:
        fill(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
    except ScalefitError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EIO):
            raise
        code = _refusal(part)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), part) from error


def _refusal(part: str) -> int | None:
    """Return why no more can be written to a file, None if it can."""
    try:
        with open(part, "ab", buffering=0) as file:
            for _ in range(2):  # the first may be taken in part
                file.write(b"\0" * (4 << 20))
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno
    return None


def _take_permissions(part: str, place: Place) -> None:
    """Give the new file the mode, the owner where that is allowed, and the access list of the one that it replaces."""
    if place.kind == NEW:
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, 0o666 & ~umask)
        return
    old = os.stat(place.target)
    for owner in (old.st_uid, -1):
        with contextlib.suppress(PermissionError):
            os.chown(part, owner, old.st_gid)
            break
    listed = "system.posix_acl_access"
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.removexattr(part, listed)
    os.chmod(part, stat.S_IMODE(old.st_mode))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setxattr(part, listed, os.getxattr(place.target, listed))


def _send(part: str, place: Place) -> None:
    with open(part, "rb") as file, _opened(place) as out:
        shutil.copyfileobj(file, out, 1 << 20)


def _opened(place: Place) -> IO[bytes]:
    """Open a stream; a FIFO waits for its reader, but not for ever."""
    if place.descriptor is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        return os.fdopen(os.dup(place.descriptor), "wb")
    until = time.monotonic() + READER_SECONDS
    while True:
        try:
            descriptor = os.open(place.target, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > until:
                raise OutputError(
                    f"{place}: a FIFO that nobody reads, after {READER_SECONDS:g} s; start its reader first."
                ) from error
            time.sleep(0.02)
            continue
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "wb")
