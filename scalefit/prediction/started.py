"""A size told by its start: the clock of the sizes that were fitted, the loss of the untrained model, and a gain between theirs.

An evaluation of the untrained model costs nothing beside a run. What it cannot tell is how much there is to gain: the share
of its start that each fitted size gains is continued to the size as the trend continues curves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import law_resource
from scalefit.fitting.one_clock import fit_clock
from scalefit.laws import get_law
from scalefit.laws.clocks import clock_share
from scalefit.numerics.mixtures import Mixture
from scalefit.prediction.trend import shares
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
LEAST_LOSS = 1e-3
"""Of a curve."""
SHOWN, GRID = 20, 60
"""Points of a curve and of a line that are drawn."""


def on_one_clock(data: FitData) -> dict[str, Any]:
    """Return every curve's share of its gain, (L0 - L)/G, and the clock that all sizes share, ready to be drawn.

    Returns
    -------
    dict
        series, resource; X_mid, B; `curves`: params, L0, G, x (as the clock sees it) and share, neighbours averaged to at
        most `SHOWN` points a curve; `line`: x and share.
    """
    clock, curves = fit_clock(data), []
    seen = law_resource(get_law("clock"), data, data.resource, data.params)[0]
    for row, at in enumerate(np.searchsorted(data.sizes, data.params)):
        x, loss = seen[row, data.present[row]], data.loss[row, data.present[row]]
        together = max(len(x) // SHOWN, 1)
        parts = np.argsort(x)[: len(x) // together * together].reshape(-1, together)
        start, gain = float(clock["L0"][at]), float(clock["G"][at])
        share = (start - loss[parts].mean(1)) / gain
        curves.append(
            {
                "params": float(data.params[row]),
                "L0": start,
                "G": gain,
                "x": np.exp(np.log(x[parts]).mean(1)),
                "share": share,
            }
        )
    x = np.geomspace(seen[data.present].min(), seen[data.present].max(), GRID)
    return {
        "series": data.series,
        "resource": data.resources[0],
        "X_mid": float(clock["X_mid"][0]),
        "B": float(clock["B"][0]),
        "curves": curves,
        "line": {"x": x, "share": clock_share(clock, x)},
    }


@dataclass(frozen=True)
class Started:
    """The clock of fitted sizes and the start of another: its loss at X = 0."""

    data: FitData
    start: float

    name: ClassVar[str] = "clock from its start"

    @cached_property
    def clock(self) -> dict[str, Array]:
        """Values of the clock law: X_mid and B of all, L0 and G of each size."""
        return fit_clock(self.data)

    def gain(self, params: float) -> float:
        """Return the share of its start that a size gains in the end."""
        shown = np.clip(self.clock["G"] / np.maximum(self.clock["L0"], LEAST_LOSS), 0, 1)
        return float(np.clip(shares(self.data.sizes, params) @ shown, 0, 1))

    def mean_curve(self, params: float, resource: Array) -> Mixture:
        """Return log10 L at values of the resource (1, n); what is unknown of it is not told."""
        every = np.full(resource.shape[1], params)
        share = clock_share(self.clock, law_resource(get_law("clock"), self.data, resource, every)[0])
        log = np.log10(np.maximum(self.start * (1 - self.gain(params) * share), LEAST_LOSS))
        return Mixture(np.ones(1), log[None], np.zeros((1, len(every))))
