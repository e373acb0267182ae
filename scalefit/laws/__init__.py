"""The laws and their registry. Adding a law touches the file of its family only; a law of one's own needs no entry."""

from __future__ import annotations

from scalefit.errors import LawError, nearest
from scalefit.laws.clocks import CLOCKS
from scalefit.laws.curves import CURVES
from scalefit.laws.law import Law, Param
from scalefit.laws.lines import BENT, CLOSED, LINES
from scalefit.laws.own import import_law, law, place_of
from scalefit.laws.relations import RELATIONS
from scalefit.laws.surfaces import SURFACES

LAWS: dict[str, Law] = {law.name: law for law in (*LINES, *CURVES, *CLOCKS, *SURFACES)}
OFFSET_FORMS = CLOSED
"""Line laws with a closed offset, which speak about unseen sizes."""
AVERAGED = tuple(LAWS[name] for name in ("saturating-linear", "saturating-affine", "clock-linear", "clock-affine"))
"""The closed laws that the default prediction averages: lines and clocks, the level linear in log N or in what is gained."""
ANCHORED = (*CLOSED, *BENT)
"""The same with an anchor, which settles the level: lines and lines that flatten."""


def get_law(law: str | Law) -> Law:
    """Return a law by name or by `module:NAME`; a `Law` is one already.

    Raises
    ------
    LawError
        If there is none of this name, with the nearest, or it cannot be imported.
    """
    if isinstance(law, Law):
        return law
    if law not in LAWS and ":" in law:
        return import_law(law)
    try:
        return LAWS[law]
    except KeyError:
        raise LawError(f"no law {law!r}; {nearest(law, LAWS)} `scalefit laws` lists them.") from None


def name_of(law: Law) -> str:
    """Return what `get_law` finds a law by.

    Raises
    ------
    LawError
        If there is no such name.
    """
    return law.name if LAWS.get(law.name) == law else place_of(law)


__all__ = ["ANCHORED", "AVERAGED", "LAWS", "OFFSET_FORMS", "RELATIONS", "Law", "Param", "get_law", "law", "name_of"]
