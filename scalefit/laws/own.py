"""A law of one's own: made from a plain function, and found again by its place, `module:NAME`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scalefit.errors import LawError, UsageError, nearest
from scalefit.laws.law import Array, Law, Param, Values, log10_of
from scalefit.named import import_named

SIZE = ("N", "params")
"""What a function calls the model size."""
_NAMELESS = "lambda"
"""What a law is called that nobody named."""


def law(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    formula: str | None = None,
    source: str = "the user's own",
    bounds: Mapping[str, tuple[float, float]] | None = None,
    start: Mapping[str, float] | None = None,
    per_size: Sequence[str] | None = None,
    log: bool = False,
    reference: str | None = None,
) -> Law:
    """Make a law of a plain function with named arguments.

    Parameters
    ----------
    function : callable
        Returns the loss, as in `lambda X, a, b: a * X**-b`. Its first argument is the resource, samples or flops, an
        array; an argument `N` (or `params`) is the model size; every other one is a parameter to be fitted.
    name, formula, source : str, optional
        What the law is called, how it is printed, and where it is from.
    bounds : mapping, optional
        Parameter to (low, high); positive bounds over more than three decades are searched on a logarithmic scale.
    start : mapping, optional
        Parameter to where the search begins; a default of the function's argument is one too. Without one the search
        begins at many places within the bounds.
    per_size : sequence of str, optional
        Parameters of which each model size has its own; by default all where the function has no `N`, else none.
    log : bool
        Whether the function returns log10 of the loss instead of the loss.
    reference : str, optional
        `module:NAME` to be written into saved fits, where the law is not found in its function's module.

    Raises
    ------
    LawError
        If the function has no parameter, or an option names none of them.

    Examples
    --------
    >>> import scalefit as sf
    >>> mine = sf.law(lambda X, floor, a, b: floor + a * X**-b, bounds={"floor": (0, 1), "b": (0, 3)})
    """
    size, names, begin = _arguments(function)
    begin |= {**(start or {})}
    own = (() if size else names) if per_size is None else per_size
    _check_names(names, bounds=bounds or {}, start=begin, per_size=own)

    def log_loss(p: Values, N: Array, X: Array) -> Array:
        sized = {size: N} if size else {}
        value = np.asarray(function(X[0], **{key: p[key] for key in names}, **sized))
        return value if log else log10_of(value)

    # Where a fit of the law looks for the name that holds it.
    log_loss.__module__ = function.__module__
    params = tuple(_param(key, (bounds or {}).get(key), key in own, begin.get(key)) for key in names)
    called = name or _called(function)
    said = formula or f"{'log10 L' if log else 'L'} = {called}{inspect.signature(function)}"
    return Law(called, said, source, params, log_loss, reference=reference)


def _check_names(names: Sequence[str], **options: Iterable[str]) -> None:
    for option, given in options.items():
        for key in given:
            if key not in names:
                raise LawError(f"{option}: no parameter {key!r}; {nearest(key, names)}")


def _param(name: str, bounds: tuple[float, float] | None, per_size: bool, start: float | None) -> Param:
    low, high = bounds or (-np.inf, np.inf)
    wide = 0 < low and 1e3 * low < high < np.inf
    return Param(name, "", (low, high), "log" if wide else "linear", per_size, start)


def _arguments(function: Callable[..., Any]) -> tuple[str | None, list[str], dict[str, float]]:
    """Return what a function calls the size, its parameters, and their defaults."""
    arguments = list(inspect.signature(function).parameters.values())
    if any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in arguments) or len(arguments) < 2:
        raise LawError(
            f"{_called(function)}: a law's function names its resource first and then each parameter, "
            "as in `lambda X, a, b: a * X**-b`."
        )
    size = next((one.name for one in arguments[1:] if one.name in SIZE), None)
    names = [one.name for one in arguments[1:] if one.name != size]
    return size, names, {one.name: float(one.default) for one in arguments[1:] if one.default is not one.empty}


def _called(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__).strip("<>")


def import_law(reference: str) -> Law:
    """Return the law that a module holds under a name, `module:NAME`; raises LawError."""
    try:
        found: Law = import_named(reference, Law)
    except UsageError as error:
        raise LawError(f"law {reference!r}: {error}") from error
    # A lambda has no name to be told by; the module has one for it.
    name = reference.rpartition(":")[2] if found.name == _NAMELESS else found.name
    return replace(found, name=name, reference=found.reference or reference)


def place_of(law: Law) -> str:
    """Return `module:NAME` of a law, from where it can be imported as it is.

    Raises
    ------
    LawError
        If there is no such place: it was made in a notebook, a script or a function.
    """
    if law.reference is not None:
        there = import_law(law.reference)
        if replace(there, reference=None) != replace(law, reference=None):
            raise LawError(f"law {law.name!r}: {law.reference} by now holds another law; import it again.")
        return law.reference
    module = law.log_loss.__module__
    if module != "__main__":
        for name, value in vars(sys.modules[module]).items():
            if isinstance(value, Law) and value == law:
                return f"{module}:{name}"
    raise LawError(
        f"law {law.name!r} has no place that it could be loaded from; to save a fit of it, write it into a module "
        "(mylaws.py: MINE = sf.law(...)) and import it from there (from mylaws import MINE)."
    )
