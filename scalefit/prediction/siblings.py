"""A run among its siblings, and the bands that follow from what they and other families did."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.intervals import student
from scalefit.prediction.outlook import Outlook, Siblings, look
from scalefit.prediction.prior import Prior, shipped
from scalefit.prediction.rolling import Curve
from scalefit.table.io import RunTable

Array = NDArray[np.float64]
LEVELS = (0.5, 0.95)


def curves_of(runs: RunTable, x: str, evaluation: str) -> list[tuple[Curve, str, float]]:
    """Return every run of a table as a curve, with its series and size; evaluations at one amount are one, their mean."""
    found = []
    frame = runs.frame[(runs.frame["eval"] == evaluation) & (runs.frame[x] > 0)]
    for name, rows in frame.groupby("run_id", observed=True, sort=False):
        rows = rows.sort_values("step")
        spent = rows[x].to_numpy(float)
        # Runs of other sizes tick alike in samples; a resource that grows with size is counted by what a sample costs.
        samples = float(rows["samples"].iloc[-1]) if "samples" in rows else 0.0
        unit = spent[-1] / samples if samples > 0 else 1.0
        apart = np.r_[True, np.diff(spent) != 0]
        one = np.cumsum(apart) - 1
        loss = np.bincount(one, rows["loss"].to_numpy(float)) / np.bincount(one)
        curve = Curve(str(name), spent[apart], loss, float(unit))
        found.append((curve, str(rows["series"].iloc[0]), float(rows["params"].iloc[0])))
    return found


@dataclass(frozen=True)
class Setting:
    """A run among its siblings."""

    curve: Curve
    series: str = ""
    params: float = float("nan")
    siblings: Siblings = field(default_factory=Siblings)
    prior: Prior = field(default_factory=shipped)

    def look(self, until: float, target: Curve | None = None) -> Outlook:
        """Return what is known of the run's way to a value of the resource, as far as `target` goes."""
        return look(target or self.curve, until, self.prior, self.siblings)


def among_siblings(runs: RunTable, run: str, x: str, evaluation: str) -> Setting:
    """Return a run of a table among the others."""
    everyone = curves_of(runs, x, evaluation)
    target, series, params = next(one for one in everyone if one[0].name == run)
    return Setting(target, series, params, Siblings([one[0] for one in everyone if one[0].name != run]))


def band(outlook: Outlook, x: Array) -> dict[str, Array]:
    """Return loss and bands at `x`, of the curve (low50, ...) and of a new evaluation (eval_low50, ...)."""
    said, sigma = outlook.ahead(x), outlook.likely.sigma
    # As wide as a normal error would have to be for the same 95 % band.
    found = {"loss": said.mean, "se": said.se * student(0.95, outlook.freedom) / student(0.95, np.inf)}
    for level in LEVELS:
        for prefix, error in (("", said.se), ("eval_", np.hypot(said.se, sigma))):
            found |= bounds(said.mean, student(level, outlook.freedom) * error, f"{100 * level:.0f}", prefix)
    return found


def bounds(mean: Array, width: Array, name: str, prefix: str = "") -> dict[str, Array]:
    """Return both ends of a band, within what a loss can be."""
    return {
        f"{prefix}low{name}": np.maximum(mean - width, 0.0),
        f"{prefix}high{name}": np.minimum(mean + width, 1.0),
    }
