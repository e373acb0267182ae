"""Laws that are not a line in log10 X, a curve for each size; and what builds them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalefit.laws.law import FLOOR, LN10, Array, Curves, Law, Param, Values, log10_of


def _from_loss(
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


def ends(curves: list[Curves]) -> tuple[Array, Array, Array]:
    """Return each size's first loss, last loss (means of a tenth) and geometric middle of X."""
    first, last, middle = [], [], []
    for curve in curves:
        order = np.argsort(curve.resource[0])
        loss, tenth = curve.loss[order], max(len(order) // 10, 1)
        first.append(loss[:tenth].mean())
        last.append(loss[-tenth:].mean())
        middle.append(np.exp(np.log(curve.resource[0]).mean()))
    return np.array(first), np.array(last), np.array(middle)


def _sigmoid(p: Values, N: Array, X: Array) -> Array:
    return 1 - (p["R0"] + (p["A"] - p["R0"]) / (1 + (p["C_mid"] / X[0]) ** p["B"]))


def _sigmoid_by(p: Values, N: Array, X: Array) -> dict[str, Array]:
    ratio = (p["C_mid"] / X[0]) ** p["B"]
    share = 1 / (1 + ratio)
    fall = (p["A"] - p["R0"]) * share**2 * ratio
    return {"R0": share - 1, "A": -share, "C_mid": fall * p["B"] / p["C_mid"], "B": fall * np.log(p["C_mid"] / X[0])}


def _sigmoid_start(curves: list[Curves]) -> dict[str, object]:
    first, last, middle = ends(curves)
    return {
        "R0": np.clip(1 - first, 0, 0.99),
        "A": np.clip(1 - last + 0.02, 0.01, 1.0),
        "C_mid": middle,
        "B": np.ones_like(middle),
    }


def _exponential(p: Values, N: Array, X: Array) -> Array:
    return p["A"] + (p["L0"] - p["A"]) * np.exp(-X[0] / p["X_scale"])


def _exponential_by(p: Values, N: Array, X: Array) -> dict[str, Array]:
    decay = np.exp(-X[0] / p["X_scale"])
    return {"A": 1 - decay, "L0": decay, "X_scale": (p["L0"] - p["A"]) * decay * X[0] / p["X_scale"] ** 2}


def _exponential_start(curves: list[Curves]) -> dict[str, object]:
    first, last, middle = ends(curves)
    return {"A": np.clip(last, 0.001, 1), "L0": np.clip(first, 0.002, 1.5), "X_scale": middle}


def _saturating_power(p: Values, N: Array, X: Array) -> Array:
    return 1 - p["A"] + p["D"] * X[0] ** -p["B"]


def _saturating_power_by(p: Values, N: Array, X: Array) -> dict[str, Array]:
    tail = X[0] ** -p["B"]
    return {"A": -np.ones_like(tail * p["A"]), "D": tail, "B": -p["D"] * tail * np.log(X[0])}


def _saturating_power_start(curves: list[Curves]) -> dict[str, object]:
    best_all: dict[str, list[float]] = {"A": [], "D": [], "B": []}
    for curve in curves:
        best = (np.inf, 0.5, 1.0, 0.5)
        for B in (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2):
            tail = curve.resource[0] ** -B
            design = np.stack([np.ones_like(tail), tail], 1)
            scale = np.linalg.norm(design, axis=0)
            floor, amount = np.linalg.lstsq(design / scale, curve.loss, rcond=None)[0] / scale
            error = float(np.sum((design @ [floor, amount] - curve.loss) ** 2))
            if error < best[0] and amount > 0:
                best = (error, 1 - floor, amount, B)
        for name, value in zip(("A", "D", "B"), best[1:], strict=True):
            best_all[name].append(value)
    return {"A": np.clip(best_all["A"], -1, 1), "D": np.maximum(best_all["D"], 1e-6), "B": np.array(best_all["B"])}


def _broken(p: Values, N: Array, X: Array) -> Array:
    lx = np.log10(X[0])
    return p["E"] - p["k"] * lx - (p["k_late"] - p["k"]) * np.log10(1 + X[0] / p["X_break"])


def _broken_by(p: Values, N: Array, X: Array) -> dict[str, Array]:
    soft = np.log10(1 + X[0] / p["X_break"])
    ratio = X[0] / p["X_break"]
    return {
        "E": np.ones_like(soft),
        "k": -np.log10(X[0]) + soft,
        "k_late": -soft,
        "X_break": (p["k_late"] - p["k"]) * ratio / (1 + ratio) / p["X_break"] / LN10,
    }


_BROKEN_LEVEL, _BROKEN_SLOPES = (-20.0, 20.0), (-2.0, 5.0)
_BROKEN_ENDS = np.array([_BROKEN_LEVEL, _BROKEN_SLOPES, _BROKEN_SLOPES]).T


def _broken_start(curves: list[Curves]) -> dict[str, object]:
    """Place the break of each size by a search along it, the rest by least squares, in which the law is linear.

    Curves that hardly bend have a valley along which the break leaves the data and a slope runs to its bound; a step by
    step descent crawls along it.
    """
    found = []
    for curve in curves:
        x, y = np.log10(curve.resource[0]), np.log10(np.maximum(curve.loss, 1e-4))
        tries = [_break_at(place, x, y, curve.loss) for place in np.linspace(x.min() - 4, x.max() + 4, 49)]
        at = int(np.argmin([one[0] for one in tries]))
        best, width = tries[at], (np.ptp(x) + 8) / 48
        for _ in range(20):
            width *= 0.7
            beside = [_break_at(best[4] + side * width, x, y, curve.loss) for side in (-1, 1)]
            best = min(best, *beside)
        found.append((*best[1:4], 10.0 ** best[4]))
    return dict(zip(("E", "k", "k_late", "X_break"), np.array(found).T, strict=True))


def _break_at(place: float, x: Array, y: Array, loss: Array) -> tuple[float, float, float, float, float]:
    """Return squared error, E, k, k_late and log10 X_break of the best line with its break there, within bounds."""
    soft = np.log10(1 + 10.0 ** np.minimum(x - place, 300))
    # log10 L = E - k (x - soft) - k_late soft, each point weighing as in L.
    design, target = np.stack([np.ones_like(x), soft - x, -soft], 1) * loss[:, None], y * loss
    size = np.linalg.norm(design, axis=0)
    free, values = np.ones(3, bool), np.zeros(3)
    while True:
        rest = target - design[:, ~free] @ values[~free]
        values[free] = np.linalg.lstsq(design[:, free] / size[free], rest, rcond=1e-9)[0] / size[free]
        inside = np.clip(values, *_BROKEN_ENDS)
        out = np.abs(inside - values)
        if not out.any():
            E, k, k_late = map(float, values)
            return float(np.sum((design @ values - target) ** 2)), E, k, k_late, place
        at = int(np.argmax(out))
        values[at], free[at] = inside[at], False


def curve_law(
    name: str,
    formula: str,
    source: str,
    params: tuple[Param, ...],
    forms: tuple[Callable[..., Array], Callable[..., dict[str, Array]]],
    start: Callable[[list[Curves]], dict[str, object]],
    *,
    resources: int = 1,
    of_loss: bool = True,
) -> Law:
    """Build a law from a form of L (or of log10 L) and its derivatives."""
    log_loss, gradient = _from_loss(*forms) if of_loss else forms
    return Law(name, formula, source, params, log_loss, gradient, start, resources=resources)


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
        (_sigmoid, _sigmoid_by),
        _sigmoid_start,
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
        (_saturating_power, _saturating_power_by),
        _saturating_power_start,
    ),
    curve_law(
        "exponential",
        "L = A + (L0 - A) exp(-X/X_scale), per size",
        "standard relaxation form",
        (param("A", "loss", 0, 1), param("L0", "loss", 0, 2), param("X_scale", "resource", 1e-6, 1e40, "log")),
        (_exponential, _exponential_by),
        _exponential_start,
    ),
    curve_law(
        "broken-power",
        "log10 L = E - k log10 X - (k_late - k) log10(1 + X/X_break), per size",
        "Caballero et al. 2023, arXiv:2210.14891, one smooth break of width 1",
        (
            param("E", "log10 loss", *_BROKEN_LEVEL),
            param("k", "1", *_BROKEN_SLOPES),
            param("k_late", "1", *_BROKEN_SLOPES),
            param("X_break", "resource", 1e-6, 1e40, "log"),
        ),
        (_broken, _broken_by),
        _broken_start,
        of_loss=False,
    ),
)
__all__ = ["CURVES", "curve_law", "ends", "param"]
