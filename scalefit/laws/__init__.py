"""The laws and their registry. Adding a law touches the file of its family only."""

from __future__ import annotations

from scalefit.errors import LawError, nearest
from scalefit.laws.curves import CURVES
from scalefit.laws.law import Law, Param
from scalefit.laws.lines import BENT, CLOSED, LINES
from scalefit.laws.relations import RELATIONS

LAWS: dict[str, Law] = {law.name: law for law in (*LINES, *CURVES)}
OFFSET_FORMS = (*CLOSED, *BENT)
"""The closed-offset laws that speak about unseen sizes; the default prediction averages them."""


def get_law(name: str | Law) -> Law:
    """Return a law by name, or the law itself; an unknown name is an error that says the nearest."""
    if isinstance(name, Law):
        return name
    try:
        return LAWS[name]
    except KeyError:
        raise LawError(f"no law {name!r}; {nearest(name, LAWS)} `scalefit laws` lists them.") from None


__all__ = ["LAWS", "OFFSET_FORMS", "RELATIONS", "Law", "Param", "get_law"]
