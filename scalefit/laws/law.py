"""What a law is: parameters, formula, values and source; gradient and start where they are worth it.

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

from scalefit.errors import LawError
from scalefit.numerics.derivative import differentiate

Array = NDArray[Any]
Values = Mapping[str, Array]

Line = tuple[Array, Array, dict[str, tuple[Array | float, Array]]]
"""Slope k, offset E, and the derivatives of both by each parameter."""

LN10 = float(np.log(10.0))
FLOOR = 1e-9
"""Smallest loss of a curve."""
BILLION = 1e9
"""Unit in which offsets are written: log10 of parameters in billions."""


@dataclass(frozen=True)
class Param:
    """A parameter: its unit, bounds, the scale it is fitted on, whether each size has its own, and where it begins."""

    name: str
    unit: str
    bounds: tuple[float, float] = (-np.inf, np.inf)
    scale: Literal["linear", "log"] = "linear"
    per_size: bool = False
    start: float | None = None
    """Where the search begins in laws that compute no start from the data."""

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not low < high or (self.start is not None and not low <= self.start <= high):
            raise LawError(
                f"parameter {self.name!r}: bounds {low:g} to {high:g}, start {self.start}; low <= start <= high."
            )


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
class LinearForm:
    """What a line law is linear in, given the parameters it is not linear in.

    Attributes
    ----------
    nonlinear : tuple of str
        The q parameters in which k(N) and E(N) are not linear, each on a logarithmic or a linear scale as in `params`.
    grids : callable N -> list of q ndarrays
        Values of each among which the optimum lies.
    columns : callable (N (S,), values (G, q)) -> (slope columns, offset columns), each (G, S, c) or None
        k(N) and E(N) are their sums with the c coefficients; None where each size has its own.
    parameters : callable (coefficients (c,), values (q,)) -> dict
        The parameters that the coefficients stand for.
    direct : dict
        Parameters that are coefficients themselves, and which.
    """

    nonlinear: tuple[str, ...]
    grids: Callable[[Array], list[Array]]
    columns: Callable[[Array, Array], tuple[Array | None, Array | None]]
    parameters: Callable[[Array, Array], dict[str, Any]]
    direct: Mapping[str, int]


@dataclass(frozen=True)
class Curves:
    """The raw curves of one size, for starts that need them: `resource` (Q, n), `loss` (n,)."""

    params: float
    resource: Array
    loss: Array


@dataclass(frozen=True)
class Basis:
    """A form of L, or of log10 L, that is linear in some parameters: `constant` plus each of them times its column.

    Attributes
    ----------
    columns : callable (p, N, X) -> dict
        The column of each parameter that enters linearly; of `p` it reads the others only.
    bent : callable (p, N, X) -> dict
        The derivative of the form by each of the others.
    grid : mapping
        Each of the others to where it is sought: a function of sizes (R, 1) and of the smallest and largest X of
        each (R or 1, 1), which returns (G, R or 1, 1) values.
    of_loss : bool
        Whether the form is L; else it is log10 L.

    Notes
    -----
    The others are one or two, and either shared by all sizes or each size's own; then all parameters are.
    """

    columns: Callable[[Values, Array, Array], dict[str, Array]]
    bent: Callable[[Values, Array, Array], dict[str, Array]]
    grid: Mapping[str, Callable[[Array, Array, Array], Array]]
    constant: float = 0.0
    of_loss: bool = True

    def value(self, p: Values, N: Array, X: Array) -> Array:
        """Return the form's value."""
        return sum((p[name] * column for name, column in self.columns(p, N, X).items()), np.asarray(self.constant))

    def slopes(self, p: Values, N: Array, X: Array) -> dict[str, Array]:
        """Return its derivative by every parameter."""
        return {**self.columns(p, N, X), **self.bent(p, N, X)}


@dataclass(frozen=True)
class Law:
    """One scaling law.

    Attributes
    ----------
    log_loss : callable (p, N, X) -> log10 L
        `p` maps names to arrays that broadcast with `N`; `X` has shape (Q, ...), Q resources.
    gradient : callable (p, N, X) -> dict, optional
        Derivative of `log10 L` by each parameter (on its own scale); else by a complex step.
    start : callable, optional
        Values computed from the data: from `SizeLines` for line laws, else from a list of `Curves`. Without one the
        search begins at several places within the parameters' bounds.
    line : callable, optional
        `(p, N) -> (k, E, {name: (dk, dE)})` for laws that are a line in log10 X within a size;
        dk is the number 0.0 where k does not depend on the parameter.
    linear : LinearForm, optional
        Of line laws: what they are linear in.
    basis : Basis, optional
        What the law is linear in, where it is no line law; a fit then searches the other parameters only.
    bends : bool
        The resource enters as X / (1 + X/X_bend), so that curves flatten beyond X_bend.
    intensive : bool
        Compute enters per parameter, C/N, which the offset's closed form is written for.
    reference : str, optional
        `module:NAME` by which saved fits name a law that is not the package's; by default looked up.
    """

    name: str
    formula: str
    source: str
    params: tuple[Param, ...]
    log_loss: Callable[[Values, Array, Array], Array]
    gradient: Callable[[Values, Array, Array], dict[str, Array]] | None = None
    start: Callable[[Any], dict[str, Any]] | None = None
    line: Callable[[Values, Array], Line] | None = None
    linear: LinearForm | None = None
    basis: Basis | None = None
    resources: int = 1
    bends: bool = False
    intensive: bool = False
    reference: str | None = None

    def __post_init__(self) -> None:
        if self.basis is None:
            return
        searched = [param.per_size for param in self.params if param.name in self.basis.grid]
        apart = any(searched) and not all(param.per_size for param in self.params)
        if len(searched) != len(self.basis.grid) or not 1 <= len(searched) <= 2 or apart:
            raise LawError(
                f"law {self.name!r}: its basis searches {', '.join(self.basis.grid)}; it may search one or two of the law's "
                "parameters, shared ones, or each size's own where every parameter is."
            )

    def slopes(self, p: Values, N: Array, X: Array) -> dict[str, Array]:
        """Return the derivative of log10 L by each parameter at points, (n,) each."""
        return differentiate(self.log_loss, p, N, X) if self.gradient is None else self.gradient(p, N, X)

    @property
    def per_size(self) -> tuple[str, ...]:
        """Names of the parameters that each size has its own of."""
        return tuple(param.name for param in self.params if param.per_size)


def log10_of(loss: Array) -> Array:
    """Return log10 of a loss, which is kept above 1e-9."""
    return np.asarray(np.log10(np.where(np.real(loss) > FLOOR, loss, FLOOR)))


def bend(log_x: Array, log_bend: Array) -> tuple[Array, Array]:
    """Return log10(X / (1 + X/X_bend)) and its derivative by ln X_bend."""
    ratio = (
        10.0 ** np.clip((log_x - log_bend).real, -300, 300)
        if not np.iscomplexobj(log_bend)
        else 10.0 ** (log_x - log_bend)
    )
    return log_x - np.log10(1 + ratio), ratio / (1 + ratio) / LN10
