"""Laws that read the untrained model: the offset of a size, or the share of its start that it gains, is a line in what was measured before training.

What is read is a number a size, as N is: a law is built for a table, and says of another of its sizes what that size's
untrained model tells. To add a form, write a function that returns a law of the columns read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scalefit.laws.clocks import CLOCK, clock_share, share_slopes
from scalefit.laws.curves import param
from scalefit.laws.law import LN10, Array, Curves, Law, Param, Values, log10_of
from scalefit.laws.lines import SATURATING, OffsetForm, line_law

SOURCE = "scalefit: what a size's untrained model tells of its curve"
FAR = 200.0
"""Bound of a coefficient; what is read may span a tenth of a decade."""


def read_at(sizes: Array, values: Array) -> Callable[[Array], Array]:
    """Return what is read as a function of N: between two sizes (S,) along a line in log N, beyond them as at the outermost."""
    log = np.log(sizes)
    return lambda N: np.asarray(np.interp(np.log(N), log, values))


def reading_offset(name: str, reads: str, sizes: Array, values: Array, *, of_gain: bool = False) -> Law:
    """Build a law whose k(N) saturates and whose offset reads the untrained model, E = E0 + b c(N).

    Parameters
    ----------
    name, reads : str
        Of the law, and of what it reads.
    sizes, values : ndarray, shape (S,)
        Model sizes, ascending, and what their untrained models showed.
    of_gain : bool
        Whether E has a part that goes with k(N) too, x0 k(N), as if curves crossed at 10^x0 but for what is read.
    """
    at = read_at(sizes, values)

    def value(p: Values, N: Array, k: Array) -> tuple[Array, dict[str, Array], Array]:
        c = at(N)
        E, by, by_k = p["E0"] + p["b"] * c, {"E0": np.ones_like(c), "b": c}, np.zeros_like(k)
        if of_gain:
            E, by, by_k = E + p["x0"] * k, {**by, "x0": k}, p["x0"] + 0 * k
        return E, by, by_k

    def basis(N: Array, none: Array, top: Array) -> list[Array]:
        return [np.ones_like(top), at(N) * np.ones_like(top), *([top] if of_gain else [])]

    def parameters(c: Array, k: float, grid: float) -> dict[str, object]:
        return {"E0": c[0], "b": c[1], **({"x0": c[2] / k} if of_gain else {})}

    own = (Param("E0", "log10 loss", (-FAR, FAR)), Param("b", "log10 loss per unit of what is read", (-FAR, FAR)))
    crossing = (Param("x0", "log10 X", (-60, 60)),) if of_gain else ()
    formula = f"E(N) = E0 + b {reads}" + (" + x0 k(N)" if of_gain else "")
    form = OffsetForm(formula, own + crossing, value, basis=basis, parameters=parameters, direct=("E0", "b"))
    return line_law(name, SATURATING, form, SOURCE)


def reading_clock(name: str, formula: str, sizes: Array, start: Array, columns: Mapping[str, Array]) -> Law:
    """Build a clock law that begins at the untrained model's loss and gains a share of it, L = L0(N) (1 - g(N) s(X)).

    Parameters
    ----------
    name, formula : str
        Of the law, and of g.
    sizes, start : ndarray, shape (S,)
        Model sizes, ascending, and the loss of their untrained models.
    columns : mapping
        Parameters of g to what each multiplies, (S,).
    """
    begins = read_at(sizes, start)
    reads = {key: read_at(sizes, values) for key, values in columns.items()}
    clock = (param("X_mid", "resource", 1e-6, 1e40, "log", False), param("B", "1", 1e-2, 20, "log", False))
    params = (*clock, *(Param(key, "share of the start", (-FAR, FAR)) for key in reads))

    def parts(p: Values, N: Array, X: Array) -> tuple[Array, Array, dict[str, Array], Array]:
        share, by = clock_share(p, X[0]), {key: read(N) for key, read in reads.items()}
        return share, np.asarray(sum(p[key] * column for key, column in by.items())), by, begins(N)

    def log_loss(p: Values, N: Array, X: Array) -> Array:
        share, g, _, first = parts(p, N, X)
        return log10_of(first * (1 - g * share))

    def gradient(p: Values, N: Array, X: Array) -> dict[str, Array]:
        share, g, by, first = parts(p, N, X)
        loss = first * (1 - g * share)
        safe = np.where(np.real(loss) > 1e-9, loss, np.inf)
        slopes = {key: -first * g * slope for key, slope in share_slopes(p, X[0], share).items()}
        slopes |= {key: -first * column * share for key, column in by.items()}
        return {key: slope / safe / LN10 for key, slope in slopes.items()}

    def begin(curves: list[Curves]) -> dict[str, object]:
        assert CLOCK.start is not None
        found = CLOCK.start(curves)
        N = np.array([curve.params for curve in curves])
        g = np.clip(np.asarray(found["G"]) / begins(N), 0.0, 1.0)
        held = np.linalg.lstsq(np.stack([read(N) for read in reads.values()], 1), g, rcond=None)[0]
        return {"X_mid": found["X_mid"], "B": found["B"], **dict(zip(reads, held, strict=True))}

    described = f"L = L0 (1 - g(N)/(1 + (X_mid/X)^B)), L0 of the untrained model, {formula}"
    return Law(name, described, SOURCE, params, log_loss, gradient, begin, intensive=True)


__all__ = ["read_at", "reading_clock", "reading_offset"]
