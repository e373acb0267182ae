"""A run forecast from its numbers, without a table: what is looked at again at every evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scalefit.prediction.forecast import ending
from scalefit.prediction.outlook import Siblings, look
from scalefit.prediction.prior import Prior, shipped
from scalefit.prediction.rolling import Curve
from scalefit.prediction.siblings import band

ON_THE_WAY = 9
"""Points between here and the end."""


@dataclass(frozen=True)
class Expected:
    """What is to be expected of the rest of a run, as `Forecast` says it.

    Attributes
    ----------
    now, end : dict
        Of the resource and `loss`; the end with points, low50 ... high95 and se.
    curve : list of dict
        resource and loss on the way.
    """

    run: str
    resource: str
    points: int
    now: dict[str, float]
    end: dict[str, float]
    curve: list[dict[str, float]]
    warnings: list[str] = field(default_factory=list)


def expect(
    curve: Curve, resource: str, until: float, *, siblings: Siblings | None = None, prior: Prior | None = None
) -> Expected:
    """Forecast a run to where it ends.

    Parameters
    ----------
    curve : Curve
        The run so far, with evaluations enough for a forecast.
    resource : str
        What its x is.
    until : float
        Where it ends, beyond its last evaluation.
    siblings : Siblings, optional
        Other runs on the same evaluation, in the same resource.
    prior : Prior, optional
        By default the one that is shipped.
    """
    outlook = look(curve, until, prior or shipped(), siblings)
    grid = np.linspace(curve.x[-1], until, ON_THE_WAY + 1, endpoint=False)
    losses = band(outlook, grid)["loss"].tolist()
    way = [{resource: x, "loss": loss} for x, loss in zip(grid.tolist(), losses, strict=True)]
    return Expected(curve.name, resource, len(curve.x), way[0], ending(outlook, until, resource), way[1:])
