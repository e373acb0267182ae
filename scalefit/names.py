"""Names that become names of files: those of sizes and runs are checked, those of pictures are made."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
MOST_BYTES = 255
"""A file's name, in UTF-8, on every common file system."""
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def faults_of_names(names: Iterable[str], most: int = MOST_BYTES) -> list[str]:
    """Return what keeps names from being names of files beside each other, in words; none is fine.

    Refused are separators, `..`, what is invisible (NUL, control and format characters), spaces and dots at either end,
    names of more than `most` bytes, and names that a file system takes for one where it ignores case.
    """
    names = list(dict.fromkeys(names))
    faults = [f"{name!r} {fault}" for name in names if (fault := _fault(name, most))]
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_folded(name), []).append(name)
    faults += [
        f"{' and '.join(map(repr, some))} are one name where case is ignored; choose names that differ in more"
        for some in alike.values()
        if len(some) > 1
    ]
    return faults


def _fault(name: str, most: int) -> str | None:
    if not name:
        return "is empty; give a name"
    if "/" in name or "\\" in name:
        return "has a separator of paths in it; a name is no path"
    if ".." in name:
        return "has '..' in it; a name is no path"
    if any(unicodedata.category(character) in _INVISIBLE for character in name):
        return "has a control character or another invisible one in it; leave it out"
    if name != name.strip() or name.startswith(".") or name.endswith("."):
        return "starts or ends with a space or a dot; leave it out"
    if len(name.encode()) > most:
        return f"has {len(name.encode())} bytes; at most {most} make a name here"
    return None


def file_names(texts: Mapping[Key, str], most: int = 100) -> dict[Key, str]:
    """Return a readable part of a file's name for each text, different for each key, whatever is in the texts.

    What is no letter, digit, `_`, `.` or `-` becomes `-`; texts that would share a name where case is ignored, and those
    of more than `most` bytes, get the start of their key's hash.
    """
    plain = {key: _plain(text) for key, text in texts.items()}
    times = Counter(_folded(name) for name in plain.values())
    found = {}
    for key, name in plain.items():
        cut = name.encode()[:most].decode(errors="ignore")
        if not name or cut != name or times[_folded(name)] > 1:
            mark = hashlib.blake2b(repr(key).encode(), digest_size=4).hexdigest()
            name = "-".join(filter(None, (cut, mark)))
        found[key] = name
    return found


def _plain(text: str) -> str:
    return re.sub(r"\.\.+", ".", re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", text))).strip("-. ")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
