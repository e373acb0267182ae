"""How dark the three bands are and what they are called, in every picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scalefit.fitting.bands import BANDS

OPAQUE = {"": 0.34, "run_": 0.15, "eval_": 0.07}
"""Of the bands by the prefix of their names: the law's mean curve darkest, one evaluation lightest."""


def band_names(laws: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the bands are of, by their prefix; where the rest of single runs is drawn, a run is that run itself."""
    drawn = {law["kind"] == "within runs" for law in laws}
    run = " or ".join(name for kind, name in ((False, BANDS["run_"]), (True, "the run itself")) if kind in drawn)
    return {**BANDS, "run_": run}
