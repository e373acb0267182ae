"""A number that was estimated, with how far it is known."""

from __future__ import annotations

from dataclasses import dataclass

from scalefit.units import format_quantity


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

    def cells(self) -> list[str]:
        """Return the value and the ends of its interval as a table shows them."""
        if self.low != self.low or abs(self.se) == float("inf"):
            return ["not determined", "", ""]

        def text(value: float) -> str:
            if abs(value) == float("inf"):
                return "no bound"
            return format_quantity(value) if abs(value) >= 1e4 else f"{value:.4g}"

        return [text(self.value), text(self.low), text(self.high)]
