"""Names in JSON objects: one that comes twice is refused, where Python's parser would keep the last without a word."""

from __future__ import annotations

from typing import Any


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object from its pairs, as `object_pairs_hook` of `json.loads`; raises ValueError if a name comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r:.40} is there twice")
    return found
