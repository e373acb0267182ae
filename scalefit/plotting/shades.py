"""How dark the three bands are and what they are called, in every picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scalefit.fitting.bands import BANDS

OPAQUE = {"": 0.34, "run_": 0.15, "eval_": 0.07}
"""Of the bands by the prefix of their names: the law's mean curve darkest, one evaluation lightest."""

MOST = 9
"""Sizes that a legend names."""


def share_of_darkness(found: Mapping[str, Any]) -> float:
    """Return what share of it the bands of many sizes have, which lie over one another."""
    return 1.0 if sum(bool(curve["fitted"]) for curve in found["curves"]) < 3 else 0.6


def named(sizes: Sequence[float]) -> list[float]:
    """Return the sizes that a legend names: all, or of many some."""
    if len(sizes) <= MOST:
        return list(sizes)
    return [sizes[at] for at in np.linspace(0, len(sizes) - 1, MOST).round().astype(int)]


def band_names(laws: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the bands are of, by their prefix; where the rest of single runs is drawn, a run is that run itself."""
    drawn = {law["kind"] == "within runs" for law in laws}
    run = " or ".join(name for kind, name in ((False, BANDS["run_"]), (True, "the run itself")) if kind in drawn)
    return {**BANDS, "run_": run}
