"""From a run's evaluations so far to what is to be expected of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scalefit.live.journal import Row
from scalefit.prediction.expected import expect
from scalefit.prediction.forecast import REFUSED
from scalefit.prediction.outlook import Siblings
from scalefit.prediction.rolling import LEAST_POINTS, Curve
from scalefit.prediction.siblings import curves_of
from scalefit.studies.stopping import Advice, Rule, advise
from scalefit.table.io import as_runs
from scalefit.table.schema import RESOURCES
from scalefit.table.select import Source
from scalefit.units import format_quantity

AHEAD = 2.0
"""Where nothing says where a run is to end, the forecast reaches to so many times what is spent."""
LEAST_HOURS = 0.01
"""GPU-hours below which a cost is told in the resource itself."""
NO_COST = "what the rest costs is not known yet; it is judged by a gain of {:g}"
ORDER = ("samples", "flops", "tokens")


def resource_of(row: Row, x: str | None) -> str:
    """Return the resource that a forecast is in: the one that was asked for, else the first that is logged."""
    return x or next((name for name in ORDER if row.get(name) is not None), "step")


def siblings_of(source: Source, run: str, x: str, evaluation: str) -> Siblings:
    """Return the other runs of a table on an evaluation; raises ScalefitError where it cannot be read."""
    curves = [curve for curve, _, _ in curves_of(as_runs(source), x, evaluation)]
    return Siblings([curve for curve in curves if curve.name != run and len(curve.x) >= LEAST_POINTS])


def obstacle(rows: Sequence[Row], x: str, until: float | None) -> str | None:
    """Return why a run with evaluations enough has no forecast; None where it has one, or is too short or at its end."""
    spent = [row[x] for row in rows if row.get(x) is not None]
    if len(rows) < LEAST_POINTS:
        return None
    if not spent:
        known = ", ".join(name for name in ("step", *RESOURCES) if rows[-1].get(name) is not None)
        return f"{x} is not logged; logged are {known}"
    if len({one for one in spent if one > 0}) < LEAST_POINTS:
        return f"{x} does not grow along the run as it should"
    if until is not None and spent[-1] > until:
        return f"the run is beyond the end that was given for it, {_of(x, until)}"
    if until is not None and until > REFUSED * spent[-1]:
        return f"its end at {_of(x, until)} is too far away; forecasts begin at {_of(x, until / REFUSED)}"
    return None


def _of(x: str, amount: float) -> str:
    return f"step {format_quantity(amount)}" if x == "step" else f"{format_quantity(amount)} {x}"


def ask(
    rows: Sequence[Row],
    x: str,
    until: float | None,
    rule: Rule,
    *,
    per: float | None = None,
    siblings: Siblings | None = None,
) -> Advice | None:
    """Forecast one evaluation of a run and weigh whether to go on.

    Parameters
    ----------
    rows : sequence of dict
        Of one run and evaluation, by step.
    x : str
        The resource.
    until : float, optional
        Where the run ends, in it.
    per : float, optional
        GPU-hours that a unit of the resource costs, where the rows do not say it.
    siblings : Siblings, optional
        Other runs on the same evaluation.

    Returns
    -------
    Advice or None
        None before there are enough evaluations, where the end is too far away to be forecast, or at the end itself.
    """
    rows = [row for row in rows if row.get(x) is not None]
    seen = list({row[x]: row for row in rows if row[x] > 0}.values())
    if len(seen) < LEAST_POINTS:
        return None
    now = seen[-1][x]
    until = until or AHEAD * now
    if not now < until <= REFUSED * now:
        return None
    first, last = seen[0], seen[-1]
    if now > first[x] and None not in (first.get("gpu_hours"), last.get("gpu_hours")):
        per = (last["gpu_hours"] - first["gpu_hours"]) / (now - first[x])
    doubts = []
    if rule.price is not None and not per:
        rule, doubts = replace(rule, price=None, worth=None), [NO_COST.format(rule.tolerance)]
    elif rule.price is None and per is not None and per * (until - now) < LEAST_HOURS:
        per = None
    spent, loss = np.array([row[x] for row in seen], float), np.array([row["loss"] for row in seen])
    samples = last.get("samples")
    unit = float(now / samples) if samples else 1.0  # as `curves_of` counts that of siblings
    found = expect(Curve(str(first["run_id"]), spent, loss, unit), x, until, siblings=siblings)
    found = replace(found, warnings=[*found.warnings, *doubts])
    return advise(found, rows[0]["loss"], rule, unit="gpu_hours" if per else None, per=per or None)
