"""A file kept to oneself while it is read, changed and written back."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from scalefit.places import Place, beside, explain, require


@contextlib.contextmanager
def locked(path: str | Path, tell: Callable[[str], None] = lambda said: None, *, wait: bool = True) -> Iterator[int]:
    """Keep a file to oneself; whoever else asks for it waits.

    The lock is the kernel's and ends with its holder, however that ends. It lies on a hidden file beside the one that
    `path` leads to, not on that file, which a rename replaces; it is removed in the end, and does no harm if it stays.

    Parameters
    ----------
    path : str or Path
        The file, which need not exist.
    tell : callable
        Told for whom one waits, if one has to.
    wait : bool
        Whether to wait.

    Yields
    ------
    int
        Descriptor of the lock; a process that inherits it holds the lock too.

    Raises
    ------
    BlockingIOError
        If somebody else holds it and `wait` is false; the message names the holder.
    OutputError
        If no lock can be made there.
    """
    place = require(path)
    lock = place.target.with_name(beside(place.target.name) + "lock")
    descriptor = _acquire(lock, place, tell, wait)
    try:
        yield descriptor
    finally:
        # While it is still held, so that whoever comes next finds either a lock that is held or none.
        with contextlib.suppress(OSError):
            os.unlink(lock)
        os.close(descriptor)


def _acquire(lock: Path, place: Place, tell: Callable[[str], None], wait: bool) -> int:
    """Return a descriptor that holds the lock on the file that is `lock` now, not on one that was removed meanwhile."""
    told = False
    while True:
        descriptor = _open(lock, place)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, descriptor)
            if not _try(descriptor, place):
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
                if not wait:
                    raise BlockingIOError(errno.EWOULDBLOCK, f"{holder} is writing {place.name}")
                if not told:
                    tell(f"waiting for {holder}, which is writing {place.name}")
                told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                    with contextlib.suppress(OSError):  # the holder's name is a courtesy
                        os.ftruncate(descriptor, 0)
                        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                    undo.pop_all()
                    return descriptor


def _try(descriptor: int, place: Place) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise explain(error, place.name) from error
    return True


def _open(lock: Path, place: Place) -> int:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with contextlib.suppress(PermissionError):
            return os.open(lock, os.O_RDWR | os.O_CREAT | flags, 0o666)
        if not lock.exists():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return os.open(lock, os.O_RDONLY | flags)  # left by another user
    except OSError as error:
        raise explain(error, place.name) from error
