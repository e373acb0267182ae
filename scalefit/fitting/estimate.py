"""A number that was estimated, with how far it is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and interval (95 % unless asked otherwise); an end the data do not bound is infinite."""

    value: float
    se: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return the value ± its standard error and the interval."""
        return f"{self.value:.3g} ± {self.se:.2g} [{self.low:.3g}, {self.high:.3g}]"
