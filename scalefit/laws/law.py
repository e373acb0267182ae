"""What a law is: parameters, formula, values, analytic gradient, start and source.

To add one, write its block in the file of its family and add it to that family's tuple.
Symbols as in the papers: N model size [parameters], X resource (C [FLOPs] or D [prompts]),
k(N) slope and E(N) offset of `log10 L = E(N) - k(N) log10 X`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Values = Mapping[str, Array]

Line = tuple[Array, Array, dict[str, tuple[Array | float, Array]]]
"""Slope k, offset E, and the derivatives of both by each parameter."""

LN10 = float(np.log(10.0))
BILLION = 1e9
"""Unit in which offsets are written: log10 of parameters in billions."""


@dataclass(frozen=True)
class Param:
    """A parameter: its unit, bounds, the scale it is fitted on, and whether each size has its own."""

    name: str
    unit: str
    bounds: tuple[float, float] = (-np.inf, np.inf)
    scale: Literal["linear", "log"] = "linear"
    per_size: bool = False


@dataclass(frozen=True)
class SizeLines:
    """Straight lines through each size's curve in log-log space, where a start comes from.

    `params`, `slope` (= -k), `centre` (mean log10 X), `level` (mean log10 L), `spread`
    (sum of squares of log10 X), `count`; all of shape (S,).
    """

    params: Array
    slope: Array
    centre: Array
    level: Array
    spread: Array
    count: Array
    deepest: float
    """Largest log10 X seen."""


@dataclass(frozen=True)
class Curves:
    """The raw curves of one size, for starts that need them: `resource` (Q, n), `loss` (n,)."""

    params: float
    resource: Array
    loss: Array


@dataclass(frozen=True)
class Law:
    """One scaling law.

    Attributes
    ----------
    log_loss : callable (p, N, X) -> log10 L
        `p` maps names to arrays that broadcast with `N`; `X` has shape (Q, ...), Q resources.
    gradient : callable (p, N, X) -> dict
        Derivative of `log10 L` by each parameter (on its own scale).
    start : callable
        Values computed from the data: from `SizeLines` for line laws, else from a list of `Curves`.
    line : callable, optional
        `(p, N) -> (k, E, {name: (dk, dE)})` for laws that are a line in log10 X within a size;
        dk is the number 0.0 where k does not depend on the parameter.
    bends : bool
        The resource enters as X / (1 + X/X_bend), so that curves flatten beyond X_bend.
    intensive : bool
        Compute enters per parameter, C/N, which the offset's closed form is written for.
    """

    name: str
    formula: str
    source: str
    params: tuple[Param, ...]
    log_loss: Callable[[Values, Array, Array], Array]
    gradient: Callable[[Values, Array, Array], dict[str, Array]]
    start: Callable[[Any], dict[str, Any]]
    line: Callable[[Values, Array], Line] | None = None
    resources: int = 1
    bends: bool = False
    intensive: bool = False

    @property
    def per_size(self) -> tuple[str, ...]:
        """Names of the parameters that each size has its own of."""
        return tuple(param.name for param in self.params if param.per_size)


def bend(log_x: Array, log_bend: Array) -> tuple[Array, Array]:
    """Return log10(X / (1 + X/X_bend)) and its derivative by ln X_bend."""
    ratio = (
        10.0 ** np.clip((log_x - log_bend).real, -300, 300)
        if not np.iscomplexobj(log_bend)
        else 10.0 ** (log_x - log_bend)
    )
    return log_x - np.log10(1 + ratio), ratio / (1 + ratio) / LN10
