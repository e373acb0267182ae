"""Whether a run is still worth its cost: what going on buys, with its interval, against what it costs.

Stopping is final and going on is not, so a run is stopped only where the chance that it would have been wrong is small.
What a wrong decision would cost is stated both ways.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from scalefit.answer import Answer, text_table, warning_lines
from scalefit.errors import UsageError
from scalefit.prediction.expected import Expected
from scalefit.prediction.forecast import Forecast
from scalefit.said import Said
from scalefit.units import format_quantity

TOLERANCE = 0.01
"""Loss that the rest of a run has to gain where nothing is said of money."""
RISK = 0.2
"""Chance of having been worth it that a run may have and be stopped; see `benchmarks/stopping.py`."""
PATIENCE = 2
"""Evaluations in a row that must advise to stop before a run is stopped: one looks at every one of them."""
GOES_ON, STOP = "go on", "stop"


@dataclass(frozen=True)
class Rule:
    """When a run is to be stopped.

    Attributes
    ----------
    tolerance : float
        Fall of the loss that the rest of the run must bring; used where `price` and `worth` are not given.
    risk : float
        A run is stopped where the chance that going on is worth it is at most this.
    price : float, optional
        Of a unit of `cost`, a GPU-hour unless said otherwise, in any currency.
    worth : float, optional
        Of .01 of loss, in the same currency.
    """

    tolerance: float = TOLERANCE
    risk: float = RISK
    price: float | None = None
    worth: float | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense; raises UsageError."""
        if not 0 < self.risk < 1:
            raise UsageError(f"risk {self.risk:g}: a chance is between 0 and 1.")
        for name in ("tolerance", "price", "worth"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} {value:g}: must be finite and greater than 0.")
        if (self.price is None) != (self.worth is None):
            raise UsageError("price and worth go together: what a GPU-hour costs, and what .01 of loss is worth.")

    def needed(self, cost: float | None) -> float:
        """Return the fall of the loss that is worth a cost, in units of `price`."""
        if self.price is None or self.worth is None or cost is None:
            return self.tolerance
        return 0.01 * self.price * cost / self.worth


@dataclass(frozen=True, repr=False)
class Advice(Answer):
    """Whether a run is to go on.

    Attributes
    ----------
    now, end : dict
        Of the resource: where the run is and its level there; where it is to end, that level and its bands.
    gain, gain_se : float
        How much the loss is expected to fall from here to the end, and the standard error.
    share : float or None
        Of the whole fall, from the first evaluation to the end, that is in.
    cost : dict
        unit and amount of what the rest costs, and its money where a price was given.
    needed : float
        Fall of the loss that is worth the cost at the point of `best`, the one where going on pays most.
    chance : float
        That going on is worth it.
    regret_of_stopping, regret_of_going_on : float
        Expected loss that is thrown away by each where it is the wrong decision; the cost is counted as loss.
    verdict : str
        "stop" or "go on".
    """

    run: str
    resource: str
    points: int
    now: dict[str, float]
    end: dict[str, float]
    gain: float
    gain_se: float
    share: float | None
    cost: dict[str, Any]
    needed: float
    best: dict[str, float]
    chance: float
    regret_of_stopping: float
    regret_of_going_on: float
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "table"

    @property
    def table(self) -> list[dict[str, float]]:
        """Now and the end, a row each."""
        return [self.now, self.end]

    @property
    def stop(self) -> bool:
        """Whether the run is to be stopped."""
        return self.verdict == STOP

    @property
    def headline(self) -> str:
        """One line, as it is printed at every evaluation."""
        said = [f"end {_loss(self.end['loss'])} [{_loss(self.end['low95'])}, {_loss(self.end['high95'])}]"]
        if self.share is not None:
            said.append(f"{100 * self.share:.0f} % of the gain is in")
        bought = f"{_loss(self.gain)} ± {_loss(self.gain_se)}"
        said.append(f"another {_amount(self.cost)} buy {bought}: {self.verdict}")
        return "; ".join(said)

    def summary(self) -> Said:
        """Return the screen that `scalefit watch` shows."""
        name = self.resource
        rows = [[name, "loss", "95 % low", "high"]]
        rows.append([format_quantity(self.now[name]), f"{self.now['loss']:.4f}", "", ""])
        end = self.end
        rows.append([format_quantity(end[name]), f"{end['loss']:.4f}", f"{end['low95']:.4f}", f"{end['high95']:.4f}"])
        pays = f"chance {self.chance:.0%} that going on gains the {self.needed:.4f} that it must"
        regret = (
            f"expected regret: {self.regret_of_stopping:.4f} of loss by stopping now, "
            f"{self.regret_of_going_on:.4f} by going on"
        )
        lines = [f"{self.run}: {self.headline}", text_table(rows), f"  {pays}", f"  {regret}"]
        return Said([*lines, *warning_lines(self.warnings)])


def advise(
    found: Forecast | Expected,
    first: float,
    rule: Rule | None = None,
    *,
    unit: str | None = None,
    per: float | None = None,
) -> Advice:
    """Weigh what the rest of a run buys against what it costs.

    Parameters
    ----------
    found : Forecast or Expected
        Of the run, to where it is to end.
    first : float
        Loss that the run began with.
    rule : Rule, optional
        By default the rest must be worth .01 of loss.
    unit : str, optional
        What the cost is told in; by default the forecast's resource.
    per : float, optional
        Units of it that one of the resource costs; by default 1.

    Returns
    -------
    Advice
        Where a price was given, the end of the run is no more than the farthest point to which one could go on: the
        run is stopped only where no earlier one pays either.
    """
    rule = rule or Rule()
    resource, end = found.resource, found.end
    unit, per = (resource, 1.0) if unit is None or per is None else (unit, per)
    now = found.now
    gain, spread = now["loss"] - end["loss"], max(end["se"], 1e-9)
    points = [(end[resource], gain, spread)]
    if rule.price is not None:
        points += _on_the_way(found, end, spread)
    best = max(points, key=lambda point: _chance(point, now[resource], rule, per))
    needed = rule.needed(per * (best[0] - now[resource]))
    chance = _chance(best, now[resource], rule, per)
    whole = first - end["loss"]
    rest = per * (end[resource] - now[resource])
    return Advice(
        run=found.run,
        resource=resource,
        points=found.points,
        now={resource: now[resource], "loss": now["loss"]},
        end=end,
        gain=gain,
        gain_se=spread,
        share=min(max(1 - gain / whole, 0.0), 1.0) if whole > 0 else None,
        cost={"unit": unit, "amount": rest, **({} if rule.price is None else {"money": rule.price * rest})},
        needed=needed,
        best={resource: best[0], "gain": best[1]},
        chance=chance,
        regret_of_stopping=_positive_part(best[1] - needed, best[2]),
        regret_of_going_on=_positive_part(needed - best[1], best[2]),
        verdict=STOP if chance <= rule.risk else GOES_ON,
        warnings=list(found.warnings),
    )


def _on_the_way(found: Forecast | Expected, end: dict[str, float], spread: float) -> list[tuple[float, float, float]]:
    """Return points of the curve before the end, with gain and its error: that of a slope which is not known well."""
    name, start = found.resource, found.now[found.resource]
    reach = end[name] - start
    return [
        (point[name], found.now["loss"] - point["loss"], spread * (point[name] - start) / reach)
        for point in found.curve
        if start < point[name] < end[name]
    ]


def _chance(point: tuple[float, float, float], now: float, rule: Rule, per: float) -> float:
    """Return the chance that going on to a point is worth it."""
    from scipy.special import ndtr

    where, gain, spread = point
    return float(ndtr((gain - rule.needed(per * (where - now))) / spread))


def _positive_part(mean: float, spread: float) -> float:
    """Return the mean of the positive part of a normal variable."""
    z = mean / spread
    below = 0.5 * math.erfc(-z / math.sqrt(2))
    return mean * below + spread * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _loss(value: float) -> str:
    """Write a loss with three digits, as .412."""
    written = f"{value:.3f}".replace("0.", ".", 1)
    return ".000" if written == "-.000" else written


def _amount(cost: dict[str, Any]) -> str:
    from scalefit.table.schema import RESOURCES

    unit, amount = cost["unit"], format_quantity(cost["amount"])
    steps = "step" if amount == "1" else "steps"
    return f"{amount} {RESOURCES.get(unit, steps if unit == 'step' else unit)}"
