"""Quantities as people write them: `100B` parameters, `50k` samples, `1e21` FLOPs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from scalefit.errors import UsageError

SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_QUANTITY = re.compile(r"\s*([0-9][0-9_,]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([A-Za-z]?)\s*")


LABELS = {
    "samples": "D [prompts]",
    "flops": "C [FLOPs]",
    "tokens": "tokens",
    "gpu_hours": "GPU-hours",
    "hours": "hours",
}


def resource_label(name: str, units: Mapping[str, str] | None = None) -> str:
    """Return what an axis of a resource says; `units` are those of a table's own columns."""
    unit = (units or {}).get(name)
    return LABELS.get(name) or (f"{name} [{unit}]" if unit else name)


def parse_quantity(text: str | float, name: str = "value") -> float:
    """Read a positive quantity with an optional suffix k, M, B (or G), T.

    Parameters
    ----------
    text : str or float
        `"100B"`, `"1.5e9"`, `"50k"` or a plain number.
    name : str
        What the quantity is, for the message.

    Raises
    ------
    UsageError
        If it is no number, not finite or not positive.
    """
    if isinstance(text, str):
        match = _QUANTITY.fullmatch(text)
        if match is None or match[2].lower() not in SUFFIXES:
            raise UsageError(f"{name}: {text!r} is not a quantity; write 1500000000, 1.5e9, 1.5B, 50k or 2M.")
        value = float(match[1].replace("_", "").replace(",", "")) * SUFFIXES[match[2].lower()]
    else:
        value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name}: {text!r} must be finite and greater than 0.")
    return value


def format_quantity(value: float) -> str:
    """Write a quantity with three significant digits and a suffix, `7B` or `53.8k`."""
    if not math.isfinite(value):
        return str(value)
    if value >= 1e15 or 0 < abs(value) < 1e-2:
        return f"{value:.3g}"
    for suffix, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale * 0.9995:
            return f"{value / scale:.3g}{suffix}"
    return f"{value:.3g}"


SPENT = {"samples": "prompts", "flops": "FLOPs", "gpu_hours": "GPU-hours"}
"""Resources in words, where their names are none."""


def say_amount(value: float, resource: str) -> str:
    """Return an amount of a resource as a sentence says it: `52.7k prompts`, `1.97e19 FLOPs`."""
    return f"{format_amount(value, resource)} {SPENT.get(resource, resource)}"


def say_solved(loss: float) -> str:
    """Return a loss as people say it: how many of 100 problems are solved at the first try."""
    return f"{100 * (1 - loss):.0f} of 100 solved at the first try"


def format_amount(value: float, resource: str) -> str:
    """Write an amount of a resource: FLOPs as `1.97e19`, never with a suffix; anything else as `format_quantity` does."""
    if "flops" not in resource.lower() or not math.isfinite(value) or value == 0:
        return format_quantity(value)
    mantissa, power = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(power)}"
