"""What a terminal shows that knows only some characters: the nearest plain ones instead of an error."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

_PLAIN = {
    "\u2212": "-",
    "≤": "<=",
    "≥": ">=",
    "±": "+/-",
    "×": "x",
    "τ": "tau",
    "γ": "gamma",
    "→": "->",
    "…": "...",
    "–": "-",
    "’": "'",
}


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding has not."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(one) or unicodedata.normalize("NFKD", one) for one in text)
    return "".join(one if one.isascii() else "?" for one in plain if not unicodedata.combining(one)), error.end


def use_plain_characters() -> None:
    """Let stdout and stderr write the nearest plain characters where their encoding has not those of the text."""
    codecs.register_error("scalefit.plain", _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="scalefit.plain")
