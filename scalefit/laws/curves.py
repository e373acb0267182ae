"""Laws that are not a line in log10 X, a curve for each size; and what builds them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalefit.laws.law import FLOOR, LN10, Array, Basis, Curves, Law, Param, Values, log10_of
from scalefit.laws.search import LOOKED_AT, Points, search


def from_loss(
    loss: Callable[[Values, Array, Array], Array], by: Callable[[Values, Array, Array], dict[str, Array]]
) -> tuple[Callable[[Values, Array, Array], Array], Callable[[Values, Array, Array], dict[str, Array]]]:
    """Turn a form of L and its derivatives into log10 L and its derivatives; L is kept above 1e-9."""

    def log_loss(p: Values, N: Array, X: Array) -> Array:
        return log10_of(loss(p, N, X))

    def gradient(p: Values, N: Array, X: Array) -> dict[str, Array]:
        value = loss(p, N, X)
        safe = np.where(np.real(value) > FLOOR, value, np.inf)
        return {name: slope / safe / LN10 for name, slope in by(p, N, X).items()}

    return log_loss, gradient


def _share(p: Values, X: Array) -> tuple[Array, Array]:
    ratio = np.exp(p["B"] * np.log(p["C_mid"] / X[0]))
    return 1 / (1 + ratio), ratio


def _sigmoid(p: Values, N: Array, X: Array) -> dict[str, Array]:
    share, _ = _share(p, X)
    return {"R0": share - 1, "A": -share}


def _sigmoid_bent(p: Values, N: Array, X: Array) -> dict[str, Array]:
    share, ratio = _share(p, X)
    fall = (p["A"] - p["R0"]) * share**2 * ratio
    return {"C_mid": fall * p["B"] / p["C_mid"], "B": fall * np.log(p["C_mid"] / X[0])}


def _exponential(p: Values, N: Array, X: Array) -> dict[str, Array]:
    decay = np.exp(-X[0] / p["X_scale"])
    return {"A": 1 - decay, "L0": decay}


def _exponential_bent(p: Values, N: Array, X: Array) -> dict[str, Array]:
    return {"X_scale": (p["L0"] - p["A"]) * np.exp(-X[0] / p["X_scale"]) * X[0] / p["X_scale"] ** 2}


def _saturating_power(p: Values, N: Array, X: Array) -> dict[str, Array]:
    tail = X[0] ** -p["B"]
    return {"A": -np.ones_like(tail), "D": tail}


def _saturating_power_bent(p: Values, N: Array, X: Array) -> dict[str, Array]:
    return {"B": -p["D"] * X[0] ** -p["B"] * np.log(X[0])}


def _broken(p: Values, N: Array, X: Array) -> dict[str, Array]:
    soft = np.log10(1 + X[0] / p["X_break"])
    return {"E": np.ones_like(soft), "k": soft - np.log10(X[0]), "k_late": -soft}


def _broken_bent(p: Values, N: Array, X: Array) -> dict[str, Array]:
    ratio = X[0] / p["X_break"]
    return {"X_break": (p["k_late"] - p["k"]) * ratio / (1 + ratio) / p["X_break"] / LN10}


def along(below: float, above: float, count: int) -> Callable[[Array, Array, Array], Array]:
    """Return a grid from the smallest X times `below` to the largest times `above`, for `Basis.grid`."""
    shares = np.linspace(0, 1, count)[:, None, None]
    return lambda N, low, high: low * below * (high * above / (low * below)) ** shares


def between(low: float, high: float, count: int) -> Callable[[Array, Array, Array], Array]:
    """Return a grid of exponents, evenly in their logarithms, for `Basis.grid`."""
    return lambda N, least, most: np.geomspace(low, high, count)[:, None, None]


def curve_law(
    name: str,
    formula: str,
    source: str,
    params: tuple[Param, ...],
    basis: Basis,
    *,
    resources: int = 1,
    intensive: bool = False,
) -> Law:
    """Build a law from a form of L (or of log10 L) that is linear in some parameters."""
    log_loss, gradient = from_loss(basis.value, basis.slopes) if basis.of_loss else (basis.value, basis.slopes)

    def start(curves: list[Curves]) -> dict[str, object]:
        return dict(search(basis, params, _as_points(curves, basis.of_loss)))

    return Law(
        name, formula, source, params, log_loss, gradient, start, basis=basis, resources=resources, intensive=intensive
    )


def _as_points(curves: list[Curves], of_loss: bool) -> Points:
    """Return curves padded to one length, each point weighing as in L; of long ones some of their evaluations."""
    shown = [np.unique(np.linspace(0, len(c.loss) - 1, min(len(c.loss), LOOKED_AT)).astype(int)) for c in curves]
    shape = len(curves), max(map(len, shown))
    X, loss, root = np.ones((len(curves[0].resource), *shape)), np.ones(shape), np.zeros(shape)
    for row, (curve, at) in enumerate(zip(curves, shown, strict=True)):
        here = slice(len(at))
        X[:, row, here], loss[row, here] = curve.resource[:, at], curve.loss[at]
        # A point left out counts as often as those that stand for it.
        root[row, here] = np.sqrt(len(curve.loss) / len(at)) * (1.0 if of_loss else np.maximum(curve.loss[at], 1e-4))
    goal = loss if of_loss else np.log10(np.maximum(loss, 1e-4))
    N = np.array([[curve.params] for curve in curves])
    return Points(N, X, goal, np.arange(len(curves)), lambda z, part: z * root[part])


def param(name: str, unit: str, low: float, high: float, scale: str = "linear", per_size: bool = True) -> Param:
    """Build a parameter, by default one that each size has of its own."""
    return Param(name, unit, (low, high), "log" if scale == "log" else "linear", per_size)


CURVES = (
    curve_law(
        "sigmoid",
        "1 - L = R0 + (A - R0)/(1 + (C_mid/X)^B), per size",
        "ScaleRL, Khatri et al. 2025, arXiv:2510.13786, eq. 1",
        (
            param("R0", "pass rate", -0.5, 1),
            param("A", "pass rate", 0, 1),
            param("C_mid", "resource", 1e-6, 1e40, "log"),
            param("B", "1", 1e-2, 20, "log"),
        ),
        Basis(_sigmoid, _sigmoid_bent, {"C_mid": along(0.1, 1e3, 17), "B": between(0.1, 10, 12)}, 1.0),
    ),
    curve_law(
        "saturating-power",
        "1 - L = A - D X^-B, per size",
        "compared in ScaleRL, arXiv:2510.13786",
        (
            param("A", "pass rate", -1, 1),
            param("D", "pass rate x resource^B", 1e-9, 1e40, "log"),
            param("B", "1", 1e-3, 20, "log"),
        ),
        Basis(_saturating_power, _saturating_power_bent, {"B": between(1e-3, 5, 33)}, 1.0),
    ),
    curve_law(
        "exponential",
        "L = A + (L0 - A) exp(-X/X_scale), per size",
        "standard relaxation form",
        (param("A", "loss", 0, 1), param("L0", "loss", 0, 2), param("X_scale", "resource", 1e-6, 1e40, "log")),
        Basis(_exponential, _exponential_bent, {"X_scale": along(0.1, 1e4, 33)}),
    ),
    curve_law(
        "broken-power",
        "log10 L = E - k log10 X - (k_late - k) log10(1 + X/X_break), per size",
        "Caballero et al. 2023, arXiv:2210.14891, one smooth break of width 1",
        (
            param("E", "log10 loss", -20, 20),
            param("k", "1", -2, 5),
            param("k_late", "1", -2, 5),
            param("X_break", "resource", 1e-6, 1e40, "log"),
        ),
        Basis(_broken, _broken_bent, {"X_break": along(1e-4, 1e4, 49)}, of_loss=False),
    ),
)
__all__ = ["CURVES", "along", "between", "curve_law", "from_loss", "param"]
