"""Where the name of an output leads, what lies there, and why nothing can be written there.

Symbolic links are followed to their end. `/dev/stdout`, `/dev/fd/N` and the like are open streams of this process: they
are written to as they are, never by their name, so that what lies behind them is not replaced.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scalefit.errors import OutputError, UsageError

MOST_LINKS = 40
"""Symbolic links in a row, as Linux has it."""
FILE, NEW, FOLDER, FIFO, STREAM = "a file", "nothing yet", "a directory", "a FIFO", "an open stream"
_KINDS = (
    (stat.S_ISREG, FILE),
    (stat.S_ISFIFO, FIFO),
    (stat.S_ISDIR, FOLDER),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
)
_DESCRIPTOR = re.compile(r"/(?:proc/(\d+)(?:/task/\d+)?|dev)/fd/(\d+)")
_REFUSED = "you may not write there; change the permissions, or name another place"
_ADVICE = {
    errno.ENOSPC: "free some space, or name a place on another disk",
    errno.EDQUOT: "free some of your quota, or name a place on another disk",
    errno.EFBIG: "it is larger than this process may write; raise the limit (ulimit -f)",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: _REFUSED,
    errno.EPERM: _REFUSED,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of the path is a file; name an existing directory",
    errno.ENOENT: "make its directory first",
    errno.ELOOP: "its symbolic links lead in a circle; name the file itself",
    errno.EBUSY: "something is mounted there; name another file",
    errno.EBADF: "that stream is not open for writing; name another",
    errno.EPIPE: "its reader left before all was written; start both again",
}


@dataclass(frozen=True)
class Place:
    """Where a name leads.

    Attributes
    ----------
    name : Path
        As it was given; its ending picks a format.
    target : Path
        At the end of all symbolic links.
    kind : str
        `FILE`, `NEW`, `FOLDER`, `FIFO`, `STREAM`, or what else lies there, in words.
    descriptor : int or None
        The open stream of this process that the name stands for.
    """

    name: Path
    target: Path
    kind: str
    descriptor: int | None = None

    @property
    def streams(self) -> bool:
        """Whether bytes sent there go on to somebody."""
        return self.kind in (FIFO, STREAM)

    def __str__(self) -> str:
        return str(self.name) if self.streams or not self.name.is_symlink() else f"{self.name} -> {self.target}"


def find_place(path: str | Path) -> Place:
    """Follow a name to where it leads; raises OutputError where its links lead in a circle, or through a file."""
    name, target = Path(path), str(path)
    try:
        target = os.path.join(os.getcwd(), target)
        for _ in range(MOST_LINKS):
            target = os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target))
            found = _DESCRIPTOR.fullmatch(target)
            if found and found[1] in (None, str(os.getpid())):
                kind = _kind(os.fstat(int(found[2])).st_mode)
                return Place(name, Path(target), kind if kind == FOLDER else STREAM, int(found[2]))
            if found or not os.path.islink(target):
                break
            target = os.path.join(os.path.dirname(target), os.readlink(target))
        else:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        kind = _kind(os.stat(target).st_mode)
    except FileNotFoundError:
        return Place(name, Path(target), NEW)
    except (OSError, ValueError) as error:
        raise explain(error, path) from error
    return Place(name, Path(target), "a file of another process" if found and kind == FILE else kind)


def _kind(mode: int) -> str:
    return next((words for test, words in _KINDS if test(mode)), "no regular file")


def require(path: str | Path, *, stream: bool = False) -> Place:
    """Return where a name leads, if a file can lie there; see `check_writable`."""
    place = find_place(path)
    if place.streams and stream:
        return place
    if place.kind not in (FILE, NEW):
        wanted = "a file in it" if place.kind == FOLDER else "a regular file"
        raise OutputError(f"{place}: {place.kind}; name {wanted}.")
    folder = place.target.parent
    if not folder.is_dir():
        found = "a file, not a directory," if folder.exists() else "no directory"
        raise OutputError(f"{place}: {found} {folder}; make it first.")
    if place.kind == FILE and not os.access(place.target, os.W_OK):
        read_only = os.statvfs(place.target).f_flag & os.ST_RDONLY
        raise explain(OSError(code := errno.EROFS if read_only else errno.EACCES, os.strerror(code)), path)
    return place


def check_writable(path: str | Path, *, stream: bool = False) -> Place:
    """Say before any work whether a file can be written, and where that is; what is there is not touched.

    Parameters
    ----------
    path : str or Path
        As the user named it.
    stream : bool
        Whether what will be written may go to a FIFO or an open stream.

    Raises
    ------
    OutputError
        With what lies there or is missing, and what to do.
    """
    place = require(path, stream=stream)
    if not place.streams:
        _try_making(place.target.parent, path)
    return place


def check_folder(path: str | Path) -> None:
    """Say before any work whether files can be written into a directory, which may have to be made.

    Raises
    ------
    UsageError
        If something else lies there.
    OutputError
        If it cannot be made or written.
    """
    place = find_place(path)
    if place.kind not in (FOLDER, NEW):
        raise UsageError(f"{place}: {place.kind}; name a directory.")
    there = place.target
    while not there.exists() and there != there.parent:
        there = there.parent
    _try_making(there, path)


def _try_making(folder: Path, path: str | Path) -> None:
    try:
        handle, name = tempfile.mkstemp(prefix=".scalefit-", dir=folder)
        os.close(handle)
        os.unlink(name)
    except FileNotFoundError as error:
        raise OutputError(f"{path}: no file can be made in {folder}; name another place.") from error
    except OSError as error:
        raise explain(error, path) from error


def explain(error: OSError | ValueError, path: str | Path) -> OutputError:
    """Return a failure to write as an error that names the path and says what to do."""
    if not isinstance(error, OSError) or error.errno is None:
        return OutputError(f"{str(path)!r}: cannot be a file ({error}); name another.")
    found = OutputError(f"{path}: {os.strerror(error.errno)}; {_ADVICE.get(error.errno, 'name another place')}.")
    found.errno = error.errno
    return found


def beside(name: str) -> str:
    """Return the start of a hidden file's name beside `name`, with room for what follows."""
    return "." + os.fsdecode(os.fsencode(name)[:200]) + "."
