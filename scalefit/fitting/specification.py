"""What is asked of a fit."""

from __future__ import annotations

from dataclasses import dataclass

from scalefit.errors import UsageError, nearest

OBJECTIVES = ("loss", "log10-loss")
NOISES = ("ar1", "independent")


@dataclass(frozen=True)
class Specification:
    """What was asked: objective, noise model, Huber width (None for squared error).

    With `independent` noise a law is fitted by least squares of all points, as is published practice; with `ar1` a line law
    is fitted to the lines of runs, each as it is known.
    """

    objective: str = "loss"
    noise: str = "ar1"
    huber: float | None = None

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise UsageError(f"objective {self.objective!r}: {nearest(self.objective, OBJECTIVES)}")
        if self.noise not in NOISES:
            raise UsageError(f"noise {self.noise!r}: {nearest(self.noise, NOISES)}")
        if self.huber is not None and not self.huber > 0:
            raise UsageError(f"huber {self.huber}: must be greater than 0, in units of the (whitened) residual.")
