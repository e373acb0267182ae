"""Laws of size and data at once that are not a line in log10 X."""

from __future__ import annotations

import numpy as np

from scalefit.laws.curves import curve_law, ends, param
from scalefit.laws.law import Array, Curves, Values


def _chinchilla(p: Values, N: Array, X: Array) -> Array:
    return p["E"] + p["A"] * N ** -p["alpha"] + p["B"] * X[0] ** -p["beta"]


def _chinchilla_by(p: Values, N: Array, X: Array) -> dict[str, Array]:
    size, data = N ** -p["alpha"], X[0] ** -p["beta"]
    one = np.ones_like(size * data)
    return {
        "E": one,
        "A": size * one,
        "B": data * one,
        "alpha": -p["A"] * size * np.log(N) * one,
        "beta": -p["B"] * data * np.log(X[0]) * one,
    }


def _chinchilla_start(curves: list[Curves]) -> dict[str, object]:
    N = np.concatenate([np.full(c.loss.shape, c.params) for c in curves])
    D = np.concatenate([c.resource[0] for c in curves])
    L = np.concatenate([c.loss for c in curves])
    best = (np.inf, {"E": float(L.min()), "A": 1.0, "B": 1.0, "alpha": 0.3, "beta": 0.3})
    for alpha in np.linspace(0.1, 1.0, 10):
        for beta in np.linspace(0.1, 1.0, 10):
            design = np.stack([np.ones_like(N), N**-alpha, D**-beta], 1)
            scale = np.linalg.norm(design, axis=0)
            solution = np.linalg.lstsq(design / scale, L, rcond=None)[0] / scale
            error = float(np.sum((design @ solution - L) ** 2))
            if error < best[0] and (solution > 0).all():
                best = (
                    error,
                    {"E": solution[0], "A": solution[1], "B": solution[2], "alpha": float(alpha), "beta": float(beta)},
                )
    return dict(best[1])


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


def _decomposition_start(curves: list[Curves]) -> dict[str, object]:
    first, last, middle = ends(curves)
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


def _joint(p: Values, N: Array, X: Array) -> Array:
    share_C, share_D = N / (N + p["N0_C"]), N / (N + p["N0_D"])
    return p["E"] - p["k_C"] * share_C * np.log10(X[0]) - p["k_D"] * share_D * np.log10(X[1])


def _joint_by(p: Values, N: Array, X: Array) -> dict[str, Array]:
    C, D = np.log10(X[0]), np.log10(X[1])
    share_C, share_D = N / (N + p["N0_C"]), N / (N + p["N0_D"])
    return {
        "k_C": -share_C * C,
        "N0_C": p["k_C"] * share_C / (N + p["N0_C"]) * C,
        "k_D": -share_D * D,
        "N0_D": p["k_D"] * share_D / (N + p["N0_D"]) * D,
        "E": np.ones_like(C),
    }


def _joint_start(curves: list[Curves]) -> dict[str, object]:
    N = np.array([curve.params for curve in curves])
    log_C, log_D = (np.array([np.log10(curve.resource[q]).mean() for curve in curves]) for q in (0, 1))
    level = np.array([np.log10(np.maximum(curve.loss, 1e-4)).mean() for curve in curves])
    fall = [-np.polyfit(np.log10(c.resource[0]), np.log10(np.maximum(c.loss, 1e-4)), 1)[0] for c in curves]
    middle = float(np.exp(np.log(N).mean()))
    # Half of the slope each, and the level that goes with them.
    half = float(np.clip(max(fall), 0.01, 1.5))
    share = N / (N + middle)
    return {"k_C": half, "N0_C": middle, "k_D": half, "N0_D": middle, "E": level + half * share * (log_C + log_D)}


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
        (_chinchilla, _chinchilla_by),
        _chinchilla_start,
    ),
    curve_law(
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
        (_decomposition, _decomposition_by),
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
        (_joint, _joint_by),
        _joint_start,
        resources=2,
        of_loss=False,
    ),
)
__all__ = ["SURFACES"]
