"""Laws in which all sizes of a series learn by one clock: a share s(X) of what each has to gain, from where each starts.

`L = L0(N) - G(N) s(X)`, `s = 1/(1 + (X_mid/X)^B)`: half-way point X_mid and steepness B are shared, start L0 and gain G
are of size. The sigmoid of one curve is ScaleRL's (Khatri et al. 2025, arXiv:2510.13786, eq. 1); curves of several sizes
laid over each other by a normalisation are Nimmaturi et al.'s (2025, arXiv:2507.18014). New here are the common clock
with a start and a gain of each size's own, and the closed forms of both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalefit.laws.curves import along, between, curve_law, param
from scalefit.laws.law import BILLION, LN10, Array, Basis, Curves, Law, Param, Values, log10_of

SOURCE = "scalefit: one sigmoid of ScaleRL, arXiv:2510.13786, eq. 1, for all sizes"
Form = tuple[Array, dict[str, Array]]
"""A start or a gain of sizes, and its derivatives."""


def clock_share(p: Values, X: Array) -> Array:
    """Return the share of its gain that a size has made, s(X); 0 where X is 0."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1 / (1 + np.exp(p["B"] * np.log(p["X_mid"] / X))))


def share_slopes(p: Values, X: Array, share: Array) -> dict[str, Array]:
    """Return the derivatives of s(X) by X_mid and B."""
    bent = -share * (1 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        steep = bent * np.log(p["X_mid"] / X)
    return {"X_mid": bent * p["B"] / p["X_mid"], "B": np.where(X > 0, steep, 0.0)}


def _columns(p: Values, N: Array, X: Array) -> dict[str, Array]:
    share = clock_share(p, X[0])
    return {"L0": np.ones_like(share), "G": -share}


def _bent(p: Values, N: Array, X: Array) -> dict[str, Array]:
    slopes = share_slopes(p, X[0], clock_share(p, X[0]))
    return {name: -p["G"] * slope for name, slope in slopes.items()}


_CLOCK = (param("X_mid", "resource", 1e-6, 1e40, "log", False), param("B", "1", 1e-2, 20, "log", False))
CLOCK = curve_law(
    "clock",
    "L = L0(N) - G(N)/(1 + (X_mid/X)^B), L0 and G per size, X per parameter for flops",
    SOURCE,
    (param("L0", "loss", 0, 2), param("G", "loss", -2, 3), *_CLOCK),
    Basis(_columns, _bent, {"X_mid": along(0.1, 1e3, 17), "B": between(0.1, 10, 12)}),
    intensive=True,
)


def _start_linear(p: Values, N: Array, g: Array) -> Form:
    size = np.log10(N / BILLION)
    return p["S0"] + p["S_log"] * size, {"S0": np.ones_like(size), "S_log": size, "g": np.zeros_like(size)}


def _start_saturating(p: Values, N: Array, g: Array) -> Form:
    share = N / (N + p["N_S"])
    by_size = -p["S_sat"] * share / (N + p["N_S"])
    return p["S0"] + p["S_sat"] * share, {
        "S0": np.ones_like(share),
        "S_sat": share,
        "N_S": by_size,
        "g": np.zeros_like(share),
    }


def _start_affine(p: Values, N: Array, g: Array) -> Form:
    return p["S0"] + p["S_g"] * g, {"S0": np.ones_like(g), "S_g": g, "g": p["S_g"] + 0 * g}


_S0 = Param("S0", "loss", (0, 1.5))
STARTS: dict[str, tuple[str, tuple[Param, ...], Callable[[Values, Array, Array], Form]]] = {
    "linear": (
        "L0(N) = S0 + S_log log10(N/1e9)",
        (_S0, Param("S_log", "loss per decade of N", (-5, 5))),
        _start_linear,
    ),
    "affine": ("L0(N) = S0 + S_g g(N)", (_S0, Param("S_g", "loss", (-5, 5))), _start_affine),
    "saturating": (
        "L0(N) = S0 + S_sat N/(N + N_S)",
        (_S0, Param("S_sat", "loss", (-5, 5)), Param("N_S", "parameters", (1.0, 1e15), "log")),
        _start_saturating,
    ),
}
"""Closed forms of the start of a size: formula, parameters, value."""


def closed_clock(name: str, form: str) -> Law:
    """Build a law that speaks about unseen sizes: a relative gain that saturates, and a closed form of the start."""
    described, own, start_of = STARTS[form]
    params = (
        *_CLOCK,
        Param("g_max", "share of the start", (0, 1)),
        Param("N_g", "parameters", (1.0, 1e15), "log"),
        *own,
    )

    def parts(p: Values, N: Array, X: Array) -> tuple[Array, Array, Array, dict[str, Array]]:
        share = clock_share(p, X[0])
        g = p["g_max"] * N / (N + p["N_g"])
        start, by_own = start_of(p, N, g)
        return share, g, start, by_own

    def log_loss(p: Values, N: Array, X: Array) -> Array:
        share, g, start, _ = parts(p, N, X)
        return log10_of(start * (1 - g * share))

    def gradient(p: Values, N: Array, X: Array) -> dict[str, Array]:
        share, g, start, by_own = parts(p, N, X)
        by_clock = share_slopes(p, X[0], share)
        left = 1 - g * share
        by_g = by_own["g"] * left - start * share
        by = {key: -start * g * slope for key, slope in by_clock.items()}
        by |= {"g_max": by_g * N / (N + p["N_g"]), "N_g": -by_g * g / (N + p["N_g"])}
        by |= {key: slope * left for key, slope in by_own.items() if key != "g"}
        loss = start * left
        safe = np.where(np.real(loss) > 1e-9, loss, np.inf)
        return {key: slope / safe / LN10 for key, slope in by.items()}

    def start(curves: list[Curves]) -> dict[str, object]:
        return _closed_start(form, curves)

    formula = f"L = L0(N) (1 - g(N)/(1 + (X_mid/X)^B)), g(N) = g_max N/(N + N_g), {described}"
    return Law(name, formula, SOURCE, params, log_loss, gradient, start, intensive=True)


def _closed_start(form: str, curves: list[Curves]) -> dict[str, object]:
    """Return where a closed clock begins: the clock of all sizes, and closed forms through its starts and gains."""
    assert CLOCK.start is not None
    found = CLOCK.start(curves)
    N, first = np.array([curve.params for curve in curves]), np.asarray(found["L0"])
    g = np.clip(np.asarray(found["G"]) / first, 0.0, 1.0)
    grid = N.min() / 30 * (900 * N.max() / N.min()) ** np.linspace(0, 1, 33)[:, None]
    shares = N / (N + grid)
    top = np.clip((shares * g).sum(1) / (shares**2).sum(1), 0.0, 1.0)
    values = {"X_mid": found["X_mid"], "B": found["B"]}
    columns = {"linear": np.log10(N / BILLION)[None], "affine": top[:, None] * shares, "saturating": shares}[form]
    level, slope, off = _lines_through(columns, first, *(STARTS[form][1][0].bounds))
    missed = ((top[:, None] * shares - g) ** 2).sum(1)
    best = int(np.argmin(missed + off if form == "affine" else missed))
    at = {"linear": 0, "affine": best, "saturating": int(np.argmin(off))}[form]
    named = {
        param.name: value for param, value in zip(STARTS[form][1], (level[at], slope[at], grid[at, 0]), strict=False)
    }
    return {**values, "g_max": top[best], "N_g": grid[best, 0], **named}


def _lines_through(columns: Array, first: Array, low: float, high: float) -> tuple[Array, Array, Array]:
    """Return level, slope and squares left of lines of starts (S,) in each of K columns (K, S), the level within bounds."""
    away = columns - columns.mean(1, keepdims=True)
    slope = (away @ first) / np.maximum((away**2).sum(1), 1e-300)
    level = np.clip(first.mean() - slope * columns.mean(1), low, high)
    slope = (columns * (first - level[:, None])).sum(1) / np.maximum((columns**2).sum(1), 1e-300)
    return level, slope, ((level[:, None] + slope[:, None] * columns - first) ** 2).sum(1)


CLOSED_CLOCKS = tuple(closed_clock(f"clock-{form}", form) for form in STARTS)
CLOCKS = (CLOCK, *CLOSED_CLOCKS)
__all__ = ["CLOCKS", "CLOSED_CLOCKS", "clock_share", "share_slopes"]
