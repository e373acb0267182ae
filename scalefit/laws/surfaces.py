"""Laws of size and data at once that are not a line in log10 X."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalefit.laws.curves import between, curve_law, from_loss, param
from scalefit.laws.law import Array, Basis, Curves, Law, Values


def _chinchilla(p: Values, N: Array, X: Array) -> dict[str, Array]:
    size, data = N ** -p["alpha"], X[0] ** -p["beta"]
    return {"E": np.ones_like(size * data), "A": size, "B": data}


def _chinchilla_bent(p: Values, N: Array, X: Array) -> dict[str, Array]:
    return {
        "alpha": -p["A"] * N ** -p["alpha"] * np.log(N),
        "beta": -p["B"] * X[0] ** -p["beta"] * np.log(X[0]),
    }


def _decomposition(p: Values, N: Array, X: Array) -> Array:
    return p["L_inf"] + (p["N0"] / N) ** p["alpha"] + p["lam"] / (1 + (X[0] / p["D0"]) ** p["beta"])


def _decomposition_by(p: Values, N: Array, X: Array) -> dict[str, Array]:
    size = (p["N0"] / N) ** p["alpha"]
    ratio = (X[0] / p["D0"]) ** p["beta"]
    share = 1 / (1 + ratio)
    fall = p["lam"] * share**2 * ratio
    one = np.ones_like(share)
    return {
        "L_inf": one,
        "N0": one * p["alpha"] * size / p["N0"],
        "alpha": one * size * np.log(p["N0"] / N),
        "lam": share,
        "D0": fall * p["beta"] / p["D0"],
        "beta": -fall * np.log(X[0] / p["D0"]),
    }


def _ends(curves: list[Curves]) -> tuple[Array, Array, Array]:
    """Return each size's first loss, last loss (means of a tenth) and geometric middle of X."""
    first, last, middle = [], [], []
    for curve in curves:
        order = np.argsort(curve.resource[0])
        loss, tenth = curve.loss[order], max(len(order) // 10, 1)
        first.append(loss[:tenth].mean())
        last.append(loss[-tenth:].mean())
        middle.append(np.exp(np.log(curve.resource[0]).mean()))
    return np.array(first), np.array(last), np.array(middle)


def _decomposition_start(curves: list[Curves]) -> dict[str, object]:
    first, last, middle = _ends(curves)
    N = np.array([curve.params for curve in curves])
    best = (np.inf, 0.5 * float(last.min()), 1e-3, 0.5)
    for alpha in (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2):
        shape = (N / N[0]) ** -alpha
        design = np.stack([np.ones_like(N), shape], 1)
        floor, amount = np.linalg.lstsq(design, last, rcond=None)[0]
        floor = float(np.clip(floor, 0, 0.95 * last.min()))
        amount = max(float(shape @ (last - floor) / (shape @ shape)), 1e-6)
        error = float(np.sum((floor + amount * shape - last) ** 2))
        if error < best[0]:
            best = (error, floor, amount, alpha)
    _, floor, amount, alpha = best
    return {
        "L_inf": floor,
        "N0": float(N[0] * amount ** (1 / alpha)),
        "alpha": alpha,
        "lam": np.maximum(first - last, 0.01),
        "D0": middle,
        "beta": 1.0,
    }


def _joint(p: Values, N: Array, X: Array) -> dict[str, Array]:
    share_C, share_D = N / (N + p["N0_C"]), N / (N + p["N0_D"])
    return {"k_C": -share_C * np.log10(X[0]), "k_D": -share_D * np.log10(X[1]), "E": np.ones_like(X[0])}


def _joint_bent(p: Values, N: Array, X: Array) -> dict[str, Array]:
    return {
        f"N0_{of}": p[f"k_{of}"] * N / (N + p[f"N0_{of}"]) ** 2 * np.log10(x) for of, x in zip("CD", X, strict=True)
    }


def _sizes(count: int) -> Callable[[Array, Array, Array], Array]:
    shares = np.linspace(0, 1, count)[:, None, None]
    return lambda N, low, high: N.min() / 30 * (900 * N.max() / N.min()) ** shares


SURFACES = (
    curve_law(
        "chinchilla",
        "L = E + A N^-alpha + B X^-beta",
        "Hoffmann et al. 2022, arXiv:2203.15556, eq. 2",
        (
            param("E", "loss", 1e-6, 100, "log", False),
            param("A", "loss x parameters^alpha", 1e-9, 1e12, "log", False),
            param("B", "loss x resource^beta", 1e-9, 1e12, "log", False),
            param("alpha", "1", 1e-3, 5, per_size=False),
            param("beta", "1", 1e-3, 5, per_size=False),
        ),
        Basis(_chinchilla, _chinchilla_bent, {"alpha": between(1e-3, 5, 20), "beta": between(1e-3, 5, 20)}),
    ),
    Law(
        "decomposition",
        "L = L_inf + (N0/N)^alpha + lam(N)/(1 + (X/D0(N))^beta)",
        "Tan et al. 2025, arXiv:2509.25300, Table 7",
        (
            param("L_inf", "loss", 0, 1, per_size=False),
            param("N0", "parameters", 1.0, 1e15, "log", False),
            param("alpha", "1", 1e-2, 5, per_size=False),
            param("lam", "loss", 0, 2),
            param("D0", "resource", 1e-6, 1e40, "log"),
            param("beta", "1", 5e-2, 10, per_size=False),
        ),
        *from_loss(_decomposition, _decomposition_by),
        _decomposition_start,
    ),
    curve_law(
        "joint",
        "log10 L = E(N) - k_C(N) log10 C - k_D(N) log10 D, both k saturating, E per size",
        "scalefit: arXiv:2509.25300, eq. 1, in C and D at once",
        (
            param("k_C", "1", -2, 2, per_size=False),
            param("N0_C", "parameters", 1.0, 1e15, "log", False),
            param("k_D", "1", -2, 2, per_size=False),
            param("N0_D", "parameters", 1.0, 1e15, "log", False),
            param("E", "log10 loss", -40, 40),
        ),
        Basis(_joint, _joint_bent, {"N0_C": _sizes(13), "N0_D": _sizes(13)}, of_loss=False),
        resources=2,
    ),
)
__all__ = ["SURFACES"]
