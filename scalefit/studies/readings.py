"""Forms that read the untrained model, and forms that differ from them in nothing but that they do not.

Two quantities of a size are read: the offset E(N) of a line whose k(N) saturates, and the share of its start that a size
gains on a clock that all sizes share. Within each, forms differ in nothing but where it comes from. To add one, add it here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.laws import OFFSET_FORMS
from scalefit.laws.law import BILLION, Law
from scalefit.laws.untrained import reading_clock, reading_offset
from scalefit.studies.untrained import Untrained

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Values = dict[str, Array]
"""What is read, by name, of each size (S,)."""
MORE = 4
"""Sizes that a fit needs for an offset of three parameters: with three it goes through every size, and tells nothing."""


@dataclass(frozen=True)
class Form:
    """A law, what it reads (None: nothing but the size) and how many parameters its offset or gain has."""

    law: Law
    reads: str | None
    parameters: int
    columns: dict[str, Array] | None = None
    """Of a gain: what its parameters multiply, (S,) each."""


def offset_forms(one: Untrained, values: Values, left: int) -> list[Form]:
    """Return the offsets that read, first, and the closed ones; k(N) saturates in all; `left` sizes are fitted at least."""
    sizes, found = one.data.sizes, []
    formulas = {reading.name: reading.formula for reading in one.readings}
    for name, read in values.items():
        for of_gain in (False, True):
            if of_gain and left < MORE:
                continue
            title = f"offset of {name}" + (" and k(N)" if of_gain else "")
            law = reading_offset(title, formulas[name], sizes, read, of_gain=of_gain)
            found.append(Form(law, name, 2 + of_gain))
    return [*found, *(Form(law, None, len(law.params) - 2) for law in OFFSET_FORMS)]


def gain_forms(one: Untrained, values: Values) -> list[Form]:
    """Return the gains that read, first, then one for all sizes and one that goes with log N; the start is that of the size in all."""
    sizes = one.data.sizes
    start = 10.0 ** values["pass@1"]
    ones = np.ones(len(sizes))
    formulas = {reading.name: reading.formula for reading in one.readings}
    reads = {name: {"g0": ones, "g_c": read} for name, read in values.items()}
    others = {"one gain": {"g0": ones}, "gain of log N": {"g0": ones, "g_log": np.log10(sizes / BILLION)}}
    found = []
    for name, columns in {**reads, **others}.items():
        told = name in reads
        formula = (
            f"g = g0 + g_c {formulas[name]}" if told else "g = g0" + (" + g_log log10(N/1e9)" * (len(columns) - 1))
        )
        law = reading_clock(f"gain of {name}" if told else name, formula, sizes, start, columns)
        found.append(Form(law, name if told else None, len(columns), columns))
    return found
